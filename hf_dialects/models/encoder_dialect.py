"""What differs between the speech encoders of transformers: building, loading, frame masks, blocks, lengths.

B utterances, S samples or F feature frames of the input, T encoder frames, D channels.
"""

from math import prod

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from .modeling_ecapa_dialect import EcapaModel
from .modeling_zipformer import SHORTEST, ZipformerModel

BLIND_TO_PADDING = ("wav2vec2-bert", "whisper", "ecapa")  # besides layer-normalised convolutional fronts
FRONTS = {"wav2vec2-bert": ("feature_projection",), "ecapa": ("stem",), "zipformer": ("encoder_embed",)}
MAY_BE_MISSING = ("masked_spec_embed",)  # made new where a checkpoint was saved without time masking


def build_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """A randomly initialised encoder; of Whisper only the encoder half."""
    if config.model_type == "whisper":
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(config)
    if config.model_type == "ecapa":
        return EcapaModel(config)
    if config.model_type == "zipformer":
        return ZipformerModel(config)
    return AutoModel.from_config(config)


def load_encoder(name_or_path: str, **options) -> PreTrainedModel:
    """The encoder of a saved checkpoint, also of one with a CTC or other head; see `load_pretrained`."""
    return encoder_in(load_pretrained(name_or_path, **options))


def encoder_in(model: PreTrainedModel) -> PreTrainedModel:
    """The encoder of a dialect model or of a sequence-to-sequence model; another model is its own."""
    if model.config.model_type == "dialect":
        return model.encoder
    return model.get_encoder() if model.config.is_encoder_decoder else model


def load_pretrained(name_or_path: str, **options) -> PreTrainedModel:
    """A saved model without its head, all weights of its encoder found.

    Args:
        name_or_path: Hub id or folder.
        options: passed to `AutoModel.from_pretrained` (revision, token, dtype …).

    Raises:
        ValueError: the checkpoint holds no weights for some encoder parameters (truncated, or another architecture).
    """
    model, report = AutoModel.from_pretrained(name_or_path, output_loading_info=True, **options)
    if model.config.model_type == "dialect":
        return model
    expected = set(encoder_in(model).state_dict())
    prefixes = ("", "encoder.") if model.config.is_encoder_decoder else ("",)
    missing = sorted(
        name
        for name in report["missing_keys"]
        if any(name.removeprefix(prefix) in expected for prefix in prefixes) and not name.endswith(MAY_BE_MISSING)
    )
    if missing:
        raise ValueError(
            f"checkpoint {name_or_path!r} has no weights for {len(missing)} encoder parameters, the first: "
            f"{', '.join(missing[:3])}; is the file truncated, or of another architecture than "
            f"{model.config.model_type}? Download it again or name another encoder."
        )
    return model


def input_name(config: PreTrainedConfig) -> str:
    """ "input_features" for encoders of spectral features, "input_values" for those of samples."""
    return "input_values" if getattr(config, "conv_kernel", None) else "input_features"


def output_size(config: PreTrainedConfig) -> int:
    """D, the channels of a frame."""
    if getattr(config, "add_adapter", False):
        return config.output_hidden_size
    return config.hidden_size


def minimum_input(config: PreTrainedConfig) -> int:
    """Shortest input that yields one frame (the receptive field): samples for encoders of samples, else feature
    frames."""
    length = SHORTEST if config.model_type == "zipformer" else 1
    if input_name(config) == "input_values":
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            length = (length - 1) * stride + kernel
    return length


def fixed_input(config: PreTrainedConfig) -> int | None:
    """Feature frames that the encoder always takes, or None where any length goes."""
    return 2 * config.max_source_positions if config.model_type == "whisper" else None


def padding_leaks(config: PreTrainedConfig) -> bool:
    """Whether a padded batch may change an utterance's frames.

    Group-normalised convolutional fronts average over padding. Encoders that were never compared count as leaking.
    """
    if config.model_type == "zipformer":
        return not config.pad_invariant
    norm = getattr(config, "feat_extract_norm", None)
    return norm == "group" if norm is not None else config.model_type not in BLIND_TO_PADDING


def pad_to_fixed(features: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Zero-pad features (B, M, F) on the right to the encoder's fixed length.

    Raises:
        ValueError: the input is longer than the encoder can take.
    """
    length = fixed_input(config)
    if length is None or features.shape[-1] == length:
        return features
    if features.shape[-1] > length:
        raise ValueError(
            f"the input has {features.shape[-1]} feature frames, the {config.model_type} encoder takes {length}: "
            "cut the recording into windows (set window_s)"
        )
    return nn.functional.pad(features, (0, length - features.shape[-1]))


def frame_mask(encoder: PreTrainedModel, attention_mask: torch.Tensor | None, frames: torch.Tensor) -> torch.Tensor:
    """Which frames are speech and which come from padding.

    Args:
        encoder: the encoder that made the frames.
        attention_mask: (B, S) or (B, F), 1 = input, 0 = padding on the right; None = no padding.
        frames: (B, T, D).

    Returns:
        (B, T) bool, True = frame of the utterance. A row without input has no True frame.
    """
    batch, n_frames = frames.shape[:2]
    if attention_mask is None:
        return torch.ones(batch, n_frames, dtype=torch.bool, device=frames.device)
    padded = torch.tensor(attention_mask.shape[-1])
    # hidden states below the last come before an adapter, or a last downsampling
    adapted = n_frames == int(frame_lengths(encoder, padded))
    lengths = frame_lengths(encoder, attention_mask.sum(-1), adapted)
    return torch.arange(n_frames, device=frames.device) < lengths.to(frames.device)[:, None]


def frame_lengths(encoder: PreTrainedModel, lengths: torch.Tensor, adapted: bool = True) -> torch.Tensor:
    """Frames that inputs of these lengths yield.

    Args:
        encoder: the encoder.
        lengths: (B,) or (), samples or feature frames.
        adapted: count after the adapter, or the downsampling, that some encoders put on their last hidden state.
    """
    if encoder.config.model_type == "whisper":
        return (lengths + 1) // 2  # the second convolution has stride 2
    if not hasattr(encoder, "_get_feat_extract_output_lengths"):
        return lengths
    if encoder.config.model_type == "zipformer":
        return encoder._get_feat_extract_output_lengths(lengths, output=adapted)
    options = {} if adapted or not getattr(encoder.config, "add_adapter", False) else {"add_adapter": False}
    return torch.where(lengths > 0, encoder._get_feat_extract_output_lengths(lengths, **options), 0)


def frame_stride(config: PreTrainedConfig) -> int:
    """Samples, or feature frames, from one frame to the next (before an adapter)."""
    if input_name(config) == "input_values":
        return prod(config.conv_stride)
    if config.model_type == "zipformer":
        return 2 * config.output_downsampling_factor
    return 2 if config.model_type == "whisper" else 1


def one_frame_rate(config: PreTrainedConfig) -> bool:
    """Whether the last hidden state has as many frames as those below it."""
    if config.model_type == "zipformer":
        return config.output_downsampling_factor == 1
    return not getattr(config, "add_adapter", False)


def blocks(encoder: PreTrainedModel) -> nn.ModuleList:
    """The transformer (conformer, convolutional) blocks, or the Zipformer's stacks, first to last."""
    if encoder.config.model_type == "zipformer":
        return encoder.encoder.encoders
    return encoder.layers if hasattr(encoder, "layers") else encoder.encoder.layers


def front(encoder: PreTrainedModel) -> list[nn.Module]:
    """Modules that turn the input into the input of the first block: what `freeze_feature_encoder` freezes."""
    names = FRONTS.get(encoder.config.model_type, ("feature_extractor", "conv1", "conv2"))
    return [getattr(encoder, name) for name in names if hasattr(encoder, name)]


def after_blocks(encoder: PreTrainedModel) -> list[nn.Module]:
    """Modules that only the last hidden state passes through."""
    found = []
    if encoder.config.model_type == "whisper":
        found.append(encoder.layer_norm)
    elif getattr(encoder.config, "do_stable_layer_norm", False):
        found.append(encoder.encoder.layer_norm)
    elif encoder.config.model_type == "zipformer" and encoder.encoder.downsample_output is not None:
        found.append(encoder.encoder.downsample_output)
    names = ("adapter", "intermediate_ffn", "aggregation")
    found += [module for name in names if (module := getattr(encoder, name, None)) is not None]
    return found


def hidden_states(encoder: PreTrainedModel, inputs: dict, all_layers: bool) -> list[torch.Tensor]:
    """Run the encoder.

    Returns:
        [last] or, with `all_layers`, the input of the first block followed by every block's output, each (B, T, D);
        the last one is the encoder's final output (after its final norm, where it has one).
    """
    config = encoder.config
    if encoder.training and getattr(config, "apply_spec_augment", False) and config.mask_time_prob > 0:
        inputs = inputs | _no_masks_on_short_input(encoder, inputs)
    if config.model_type == "whisper":
        inputs = {"input_features": pad_to_fixed(inputs["input_features"], config)}
    output = encoder(**inputs, output_hidden_states=all_layers)
    if not all_layers:
        return [output.last_hidden_state]
    return [*output.hidden_states[:-1], output.last_hidden_state]


def _no_masks_on_short_input(encoder: PreTrainedModel, inputs: dict) -> dict:
    """transformers refuses time masks longer than the utterance; such short batches go unmasked."""
    if encoder.config.model_type == "whisper":
        return {}
    values = inputs[encoder.main_input_name]
    length = values.shape[1]
    if encoder.main_input_name == "input_values":
        length = int(encoder._get_feat_extract_output_lengths(torch.tensor(length)))
    if length > encoder.config.mask_time_length:
        return {}
    return {"mask_time_indices": torch.zeros(values.shape[0], length, dtype=torch.bool, device=values.device)}
