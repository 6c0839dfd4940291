"""ECAPA-TDNN embedding models that SpeechBrain released → our encoder and pooling, by a table of names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from hf_dialects.errors import CheckpointError
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_ecapa_dialect import EcapaConfig
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectModel

# beginnings and endings of released names and ours; blocks are numbered from 1 there, the first layer being 0
PARTS = (
    (r"blocks\.0\.", "encoder.stem."),
    (r"blocks\.(\d+)\.tdnn1\.", "encoder.layers.{}.before."),
    (r"blocks\.(\d+)\.res2net_block\.blocks\.(\d+)\.", "encoder.layers.{}.parts.{}."),
    (r"blocks\.(\d+)\.tdnn2\.", "encoder.layers.{}.after."),
    (r"blocks\.(\d+)\.se_block\.conv1\.", "encoder.layers.{}.excitation.squeeze."),
    (r"blocks\.(\d+)\.se_block\.conv2\.", "encoder.layers.{}.excitation.excite."),
    (r"mfa\.", "encoder.aggregation."),
    (r"asp\.tdnn\.", "pooling.attention."),
    (r"asp\.conv\.", "pooling.score."),
    (r"asp_bn\.", "pooling."),
    (r"fc\.", "pooling.linear."),
)
INNER = {"conv.conv.": "convolution.", "norm.norm.": "norm.", "conv.": "", "norm.": "norm."}
NAME = re.compile(
    r"(conv\.conv\.|norm\.norm\.|conv\.|norm\.)(weight|bias|running_mean|running_var|num_batches_tracked)"
)
DILATIONS = (2, 3, 4)  # of the released models; weights do not show them


def our_name(name: str) -> str | None:
    """Name in `DialectModel` of a tensor of a released embedding model; None for one that has no place there."""
    for pattern, ours in PARTS:
        if start := re.match(pattern, name):
            numbers = [int(number) for number in start.groups()]
            if rest := NAME.fullmatch(name[start.end() :]):
                return ours.format(*[numbers[0] - 1, *numbers[1:]] if numbers else ()) + INNER[rest[1]] + rest[2]
    return None


def convert_state_dict(released: Mapping[str, torch.Tensor], dilations: Sequence[int] = DILATIONS) -> DialectModel:
    """A model with the weights of a released one: its frames, pooling and embedding, in eval mode.

    Args:
        released: state dict of SpeechBrain's `ECAPA_TDNN` with global context and without grouped convolutions.
        dilations: of its blocks.

    Raises:
        CheckpointError: tensors without a place in our model, or without which it would be incomplete; or sizes that do
            not fit one another.
    """
    table = {name: our_name(name) for name in released}
    strange = sorted(name for name, ours in table.items() if ours is None)
    if strange or "blocks.0.conv.conv.weight" not in table or "fc.conv.weight" not in table:
        raise CheckpointError(
            f"{len(strange)} of {len(table)} tensors are not named as in an ECAPA-TDNN of SpeechBrain"
            f"{', the first: ' + ', '.join(strange[:3]) if strange else ''}; take its embedding_model.ckpt"
        )
    try:
        model = DialectModel(_config(released, dilations))
        weights = {table[name]: tensor for name, tensor in released.items()}
        own = model.state_dict()
        for name in weights.keys() & own.keys():  # 1x1 convolutions there are linear layers here where there is no time
            if weights[name].ndim == own[name].ndim + 1 and weights[name].shape[-1] == 1:
                weights[name] = weights[name].squeeze(-1)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"the tensors make no ECAPA-TDNN of {len(dilations)} blocks: {' '.join(str(error).split())}"
        ) from error
    return model.eval()


def convert_ecapa(checkpoint: str | Path, out: str | Path, dilations: Sequence[int] = DILATIONS) -> DialectModel:
    """Write a released embedding model as a folder that `from_encoder_pretrained` and `--encoder` take.

    Args:
        checkpoint: `embedding_model.ckpt`, for example of speechbrain/lang-id-voxlingua107-ecapa. Read as weights only:
            no code in it is run.
        out: folder to write; holds the model and the feature extractor it was trained with.
        dilations: of its blocks.

    Raises:
        CheckpointError: the file cannot be read as weights, or see `convert_state_dict`.
    """
    try:
        released = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler meets
        raise CheckpointError(f"{checkpoint} cannot be read as weights: {str(error).splitlines()[0]}") from error
    if not isinstance(released, Mapping):
        raise CheckpointError(
            f"{checkpoint} holds {type(released).__name__}, a mapping of names to tensors is expected"
        )
    model = convert_state_dict(released, dilations)
    model.save_pretrained(out)
    released_features(model.config.encoder_config.num_mel_bins).save_pretrained(out)
    return model


def released_features(num_mel_bins: int) -> DialectFeatureExtractor:
    """The features of the released models: 25 ms windows every 10 ms at 16 kHz, decibels, mean taken away."""
    return DialectFeatureExtractor(feature_size=num_mel_bins, hop_s=0.01, window_s=0.025, n_fft=400, scale="decibel")


def _config(released: Mapping[str, torch.Tensor], dilations: Sequence[int]) -> DialectConfig:
    """Sizes as the shapes of the tensors give them."""
    channels, num_mel_bins, input_kernel_size = released["blocks.0.conv.conv.weight"].shape
    blocks = [f"blocks.{number}." for number in range(1, len(dilations) + 1)]
    part = released[blocks[0] + "res2net_block.blocks.0.conv.conv.weight"]
    encoder = EcapaConfig(
        num_mel_bins=num_mel_bins,
        channels=channels,
        hidden_size=released["mfa.conv.conv.weight"].shape[0],
        input_kernel_size=input_kernel_size,
        kernel_sizes=[released[block + "res2net_block.blocks.0.conv.conv.weight"].shape[2] for block in blocks],
        dilations=list(dilations),
        res2net_scale=channels // part.shape[0],
        squeeze_size=released[blocks[0] + "se_block.conv1.conv.weight"].shape[0],
    )
    options = {
        "attention_size": released["asp.conv.conv.weight"].shape[1],
        "embedding_size": released["fc.conv.weight"].shape[0],
    }
    return DialectConfig(encoder_config=encoder, pooling="ecapa", pooling_options=options)
