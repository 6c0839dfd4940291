"""Zipformers that icefall trained → our models, and back. Names are the same but for a prefix and an unused tensor."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedConfig

from hf_dialects.disk import whole_file
from hf_dialects.errors import CheckpointError
from hf_dialects.icefall_checkpoint import Weights, averaged, read_checkpoint
from hf_dialects.icefall_config import icefall_config, read_tokens, special_tokens
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.saving import CONFIG, WEIGHTS, save_for_hub

ENCODER = ("encoder_embed.", "encoder.")
PREFIX = ZipformerForRNNT.base_model_prefix + "."
LAYER = r"encoder\.encoders\.\d+\.(?:encoder\.)?layers\.\d+"
UNUSED = re.compile(rf"{LAYER}\.bypass_scale")  # every layer of icefall has it, none uses it
DEFAULT_SCALE = 0.5
TOKENS = "tokens.txt"
LISTED = 10
Model = ZipformerForRNNT | ZipformerModel


def convert_state_dict(
    weights: Weights, encoder_only: bool = False, settings: Mapping | None = None, **overrides
) -> Model:
    """A model with the weights of one that icefall trained, float32 and in eval mode.

    Tensors that are float32 already are taken as they are, not copied.

    Args:
        weights: state dict of icefall's `AsrModel` with a Zipformer.
        encoder_only: leave the heads out, whatever they are.
        settings: options of the training, see `icefall_config`.
        overrides: fields of `ZipformerConfig` that shapes do not tell, such as `query_head_dim`.

    Returns:
        A `ZipformerForRNNT`; with `encoder_only` a `ZipformerModel`.

    Raises:
        CheckpointError: tensors are missing, not expected, of another shape or not finite (all are listed); or see
            `icefall_config`.
    """
    if encoder_only:
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(ENCODER)}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    config = icefall_config(shapes, settings, not encoder_only, overrides)
    return _filled(ZipformerModel if encoder_only else ZipformerForRNNT, config, weights)


def icefall_state_dict(model: Model) -> dict[str, torch.Tensor]:
    """The weights under icefall's names, float32 on the CPU, with all that its `load_state_dict` wants."""
    weights = {_icefall_name(name): tensor.detach().cpu().float() for name, tensor in model.state_dict().items()}
    for name, bias in list(weights.items()):
        if re.fullmatch(rf"{LAYER}\.norm\.bias", name):
            weights[name.replace("norm.bias", "bypass_scale")] = torch.full_like(bias, DEFAULT_SCALE)
    return weights


def convert_icefall(
    checkpoint: str | Path,
    out: str | Path,
    average: bool = False,
    since: str | Path | None = None,
    tokens: str | Path | None = None,
    encoder_only: bool = False,
    **overrides,
) -> Model:
    """Write a checkpoint of icefall as a folder that `from_pretrained` and `--encoder` take.

    Args:
        checkpoint: file of icefall's training or export, or a bare state dict, also of safetensors. No code in it is
            run.
        out: folder to write: model, feature extractor, model files, vocabulary.
        average: take the running mean of the weights, which checkpoints of a training hold.
        since: an earlier checkpoint of the same training; the mean is over what came after it. Implies `average`.
        tokens: icefall's tokens.txt, copied into the folder; ids of blank, start and end are taken from it.
        encoder_only, overrides: see `convert_state_dict`.

    Returns:
        The model; its weights stay in the file `checkpoint` until they are used, so leave that as it is.

    Raises:
        CheckpointError: a file cannot be used, or see `convert_state_dict`.
        DialectError: the disk is full.
    """
    for source in (checkpoint, since, tokens):
        if source is not None and Path(out).resolve() in Path(source).resolve().parents:
            raise CheckpointError(f"{source} lies in {out}, whose files are replaced: name another folder")
    found = read_checkpoint(checkpoint)
    weights = found.weights
    if average or since is not None:
        weights = averaged(found, None if since is None else read_checkpoint(since))
    vocabulary = None if tokens is None else read_tokens(tokens)
    if vocabulary is not None:
        overrides = special_tokens(vocabulary) | overrides
    try:
        model = convert_state_dict(weights, encoder_only, found.settings, **overrides)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint} cannot be converted: {error}") from error
    if vocabulary is not None and (encoder_only or len(vocabulary) != model.config.vocab_size):
        size = "no vocabulary" if encoder_only else f"{model.config.vocab_size} tokens"
        raise CheckpointError(f"{tokens} has {len(vocabulary)} tokens, but the model has {size}")
    save_for_hub(model, ZipformerFeatureExtractor(feature_size=model.config.num_mel_bins), out)
    if tokens is not None:
        with whole_file(Path(out) / TOKENS, "the model itself is written") as unfinished:
            shutil.copyfile(tokens, unfinished)
    return model


def export_icefall(folder: str | Path, out: str | Path) -> dict[str, torch.Tensor]:
    """Write a saved model as a file that icefall's `load_checkpoint` takes: {"model": state dict}.

    Args:
        folder: of a `ZipformerForRNNT` or a `ZipformerModel`.
        out: file to write, such as pretrained.pt.

    Raises:
        CheckpointError: the folder holds no such model, or its weights are cut short or do not fit its configuration.
        DialectError: the disk is full.
    """
    folder = Path(folder)
    kinds = {kind.__name__: kind for kind in (ZipformerForRNNT, ZipformerModel)}
    try:
        settings, _ = PreTrainedConfig.get_config_dict(folder)
        architecture = next(iter(settings.get("architectures") or ["no model"]))
        if architecture not in kinds:
            raise CheckpointError(f"its {CONFIG} names {architecture}")
        weights = {_icefall_name(name): tensor for name, tensor in load_file(folder / WEIGHTS[0]).items()}
        model = _filled(kinds[architecture], ZipformerConfig.from_dict(settings), weights)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{folder} cannot be exported: {' '.join(str(error).split())}. A folder of a {' or a '.join(kinds)} is "
            f"expected, with a whole {CONFIG} and {WEIGHTS[0]}"
        ) from error
    state = icefall_state_dict(model)
    with whole_file(out) as unfinished:
        torch.save({"model": state}, unfinished)
    return state


def _icefall_name(name: str) -> str:
    return name.removeprefix(PREFIX)


def _filled(kind: type[Model], config: ZipformerConfig, weights: Weights) -> Model:
    """A model that takes over tensors by icefall's names, once they are found to be all there and fit to use."""
    with torch.device("meta"):
        model = kind(config)
    own = {_icefall_name(name): (name, tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tensor for name, tensor in weights.items() if not UNUSED.fullmatch(name)}
    common = [name for name in own if name in given]
    shapes = {name: (tuple(given[name].shape), tuple(own[name][1])) for name in common}
    _reject(
        {
            "missing": [name for name in own if name not in given],
            "not expected": [name for name in given if name not in own],
            "of another shape": [
                f"{name} {found} instead of {wanted}" for name, (found, wanted) in shapes.items() if found != wanted
            ],
            "of another kind": [
                f"{name} {given[name].dtype}" for name in common if not given[name].is_floating_point()
            ],
        }
    )
    given = {name: given[name].float() for name in common}
    _reject({"not finite": [name for name, tensor in given.items() if not tensor.isfinite().all()]})
    model.load_state_dict({own[name][0]: tensor for name, tensor in given.items()}, assign=True)
    return model.eval()


def _reject(problems: Mapping[str, list[str]]) -> None:
    """Complain of tensors by what is wrong with them."""
    texts = [
        f"{len(names)} {what}: {', '.join(names[:LISTED])}{' …' * (len(names) > LISTED)}"
        for what, names in problems.items()
        if names
    ]
    if texts:
        raise CheckpointError(f"the tensors do not make this model; {'; '.join(texts)}")
