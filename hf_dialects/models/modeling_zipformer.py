"""The Zipformer encoder: a convolutional front-end, then stacks of layers at different frame rates.

B utterances, F feature frames (100 Hz), M mel bins, T frames of the stacks (50 Hz), D channels of the output.

Source: Yao et al. 2023, "Zipformer: a faster and better encoder for automatic speech recognition" (arXiv:2310.11230);
parameters are named as in icefall's implementation, whose weights give the same numbers here. Training has dropout,
skipped layers and limits on bypass and normalisation scales, which suits fine-tuning; the balancers, whitening and
warm-up schedules with which icefall trains large models from scratch are left out.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_zipformer import ZipformerConfig
from .layers_zipformer import (
    BiasNorm,
    Bypass,
    ChunkCausalConv,
    Downsample,
    SharedDropout,
    ZipformerLayer,
    relative_positions,
    scaled,
    swoosh_l,
    swoosh_r,
)

SHORTEST = 9  # feature frames that make one frame


@dataclass
class ZipformerModelOutput(ModelOutput):
    """Frames of the encoder.

    Attributes:
        last_hidden_state: (B, ceil(T / output_downsampling_factor), D).
        frame_mask: (B, ceil(T / output_downsampling_factor)) bool, True = speech, False = padding.
        hidden_states: of n stacks n + 1 tensors: the input of the first, then the output of each, all (B, T, channels
            of the stack), before the last downsampling.
    """

    last_hidden_state: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None


class ConvNeXt(nn.Module):
    """Depthwise 7 x 7 convolution and two pointwise ones around a Swoosh-L, added to its input: (B, C, T, bins)."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.pointwise_conv1 = nn.Conv2d(channels, 3 * channels, 1)
        self.pointwise_conv2 = scaled(nn.Conv2d(3 * channels, channels, 1), 0.01)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.pointwise_conv2(swoosh_l(self.pointwise_conv1(self.depthwise_conv(values))))


class ZipformerFrontEnd(nn.Module):
    """Features (B, F, M) → (B, T, channels of the first stack), T = (F - 7) // 2.

    The last three frames of an utterance see what the batch holds behind it, unless the model is pad-invariant.
    """

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        first, second, third = config.frontend_channels
        channels = config.encoder_dims[0]
        bins = ((config.num_mel_bins - 1) // 2 - 1) // 2
        self.pad_invariant = config.pad_invariant
        self.conv = nn.ModuleDict(
            {  # numbered as in released weights
                "0": nn.Conv2d(1, first, 3, padding=(0, 1)),
                "4": nn.Conv2d(first, second, 3, stride=2),
                "7": nn.Conv2d(second, third, 3, stride=(1, 2)),
            }
        )
        self.convnext = ConvNeXt(third)
        self.out = nn.Linear(third * bins, channels)
        self.out_norm = BiasNorm(channels)
        self.dropout = SharedDropout(config.dropout)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Encode.

        Args:
            features: (B, F, M).
            lengths: (B,), frames of each utterance that come out; None = no padding.
        """
        x = features[:, None]
        for convolution in self.conv.values():
            x = swoosh_r(convolution(x))  # (B, C, T, bins) in the end
        if self.pad_invariant and lengths is not None:
            x = x.masked_fill(padding_of(lengths, x.shape[2])[:, None, :, None], 0)
        x = self.convnext(x).transpose(1, 2).flatten(2)
        return self.dropout(self.out_norm(self.out(x)))


class ZipformerStack(nn.Module):
    """Layers that work at the rate of their input: (B, T, channels) → the same."""

    def __init__(self, config: ZipformerConfig, stack: int):
        super().__init__()
        self.config = config
        self.factor = config.downsampling_factors[stack]
        self.layers = nn.ModuleList(ZipformerLayer(config, stack) for _ in range(config.num_encoder_layers[stack]))

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        config, n_frames = self.config, values.shape[1]
        positions = relative_positions(n_frames, config.pos_dim, values.device).to(values.dtype)
        positions = nn.functional.dropout(positions, config.position_dropout, self.training)
        padding = blocked = None
        if lengths is not None:
            padding = padding_of(lengths, n_frames)
            blocked = padding[:, None, None]  # (B, 1, 1, T)
        chunk_size = config.chunk_size // self.factor  # -1 stays -1
        if chunk_size > 0:
            left_chunks = config.left_context_frames // config.chunk_size
            outside = outside_chunks(n_frames, chunk_size, left_chunks, values.device)
            blocked = outside if blocked is None else outside | blocked
        for layer in self.layers:
            values = layer(values, positions, blocked, padding, chunk_size)
        return values


class DownsampledStack(nn.Module):
    """A stack that works at a lower rate than its input: (B, T, channels) → the same."""

    def __init__(self, config: ZipformerConfig, stack: int):
        super().__init__()
        self.factor = config.downsampling_factors[stack]
        self.downsample = Downsample(self.factor, config.pad_invariant)
        self.encoder = ZipformerStack(config, stack)
        self.out_combiner = Bypass(config.encoder_dims[stack])

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        slow_lengths = None if lengths is None else groups(lengths, self.factor)
        slow = self.encoder(self.downsample(values, lengths), slow_lengths)
        return self.out_combiner(values, slow.repeat_interleave(self.factor, 1)[:, : values.shape[1]])


class ZipformerEncoder(nn.Module):
    """All stacks, and the assembly of their channels."""

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        self.encoder_dims = config.encoder_dims
        self.encoders = nn.ModuleList(
            (ZipformerStack if factor == 1 else DownsampledStack)(config, stack)
            for stack, factor in enumerate(config.downsampling_factors)
        )
        self.downsample_output = None
        if config.output_downsampling_factor > 1:
            self.downsample_output = Downsample(config.output_downsampling_factor, config.pad_invariant)

    def forward(
        self, values: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Encode.

        Args:
            values: (B, T, channels of the first stack).
            lengths: (B,), frames of each utterance; None = no padding.

        Returns:
            Frames (B, ceil(T / output_downsampling_factor), D); hidden states, see `ZipformerModelOutput`.
        """
        states = [values]
        for stack, channels in zip(self.encoders, self.encoder_dims, strict=True):
            states.append(stack(with_channels(states[-1], channels), lengths))
        frames = self._assembled(states[1:])
        if self.downsample_output is not None:
            frames = self.downsample_output(frames, lengths)
        return frames, states

    def _assembled(self, outputs: list[torch.Tensor]) -> torch.Tensor:
        """Each channel from the last stack that has it."""
        pieces, channels = [outputs[-1]], self.encoder_dims[-1]
        for output, width in zip(reversed(outputs), reversed(self.encoder_dims), strict=True):
            if width > channels:
                pieces.append(output[..., channels:width])
                channels = width
        return torch.cat(pieces, -1)


def with_channels(values: torch.Tensor, channels: int) -> torch.Tensor:
    """(…, D) → (…, channels): the first of them, or zeros behind."""
    return nn.functional.pad(values, (0, channels - values.shape[-1]))  # a negative width cuts


def padding_of(lengths: torch.Tensor, n_frames: int) -> torch.Tensor:
    """(B, T) bool, True = padding, of utterances with so many frames (B,)."""
    return torch.arange(n_frames, device=lengths.device) >= lengths[:, None]


def groups(lengths: torch.Tensor, factor: int) -> torch.Tensor:
    """Groups of `factor` frames that so many frames fill, the last one perhaps in part."""
    return (lengths + factor - 1) // factor


def outside_chunks(
    n_frames: int, chunk_size: int, left_chunks: int, device: torch.device | None = None
) -> torch.Tensor:
    """Which frames frame i does not see: (T, T) bool.

    Args:
        n_frames: T.
        chunk_size: frames of a chunk; frame i sees all of its own.
        left_chunks: chunks before it that it sees too, one if 0; -1 for all.
    """
    chunk = torch.arange(n_frames, device=device) // chunk_size
    outside = chunk[None] > chunk[:, None]
    if left_chunks >= 0:
        outside |= chunk[None] < chunk[:, None] - max(1, left_chunks)
    return outside


class ZipformerPreTrainedModel(PreTrainedModel):
    """Initial weights, and what all Zipformer models have in common."""

    config_class = ZipformerConfig
    base_model_prefix = "zipformer"
    main_input_name = "input_features"
    input_modalities = "audio"
    supports_gradient_checkpointing = True
    _no_split_modules = ["ZipformerLayer"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            bound, scale = module.weight[0].numel() ** -0.5, getattr(module, "initial_scale", None)
            nn.init.uniform_(module.weight, -bound * (scale or 1), bound * (scale or 1))
            if module.bias is not None:
                bound = bound if scale is None else 0.1 * scale
                nn.init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, BiasNorm):
            nn.init.normal_(module.bias, std=1e-4)
            nn.init.ones_(module.log_scale)
        elif isinstance(module, Bypass):
            nn.init.constant_(module.bypass_scale, 0.5)
        elif isinstance(module, Downsample):
            nn.init.zeros_(module.bias)
        elif isinstance(module, ChunkCausalConv):
            nn.init.zeros_(module.chunkwise_conv_scale)
        else:
            super()._init_weights(module)

    def _get_feat_extract_output_lengths(self, lengths: torch.Tensor, output: bool = True) -> torch.Tensor:
        """Frames that so many feature frames yield.

        Args:
            lengths: any shape, feature frames.
            output: frames of the output; otherwise those of the hidden states, before the last downsampling.
        """
        frames = ((lengths - 7) // 2).clamp(min=0)
        return groups(frames, self.config.output_downsampling_factor) if output else frames


class ZipformerModel(ZipformerPreTrainedModel):
    """Frames at 25 Hz from 80-bin features at 100 Hz, see `ZipformerFeatureExtractor`."""

    def __init__(self, config: ZipformerConfig):
        super().__init__(config)
        self.encoder_embed = ZipformerFrontEnd(config)
        self.encoder = ZipformerEncoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> ZipformerModelOutput:
        """Encode.

        Args:
            input_features: (B, F, M), F at least 9.
            attention_mask: (B, F), 1 = input, 0 = padding on the right; None = no padding.
            output_hidden_states: also return the hidden states; the configuration's setting when None.

        Raises:
            ValueError: features of another size, or too few frames.
        """
        bins = self.config.num_mel_bins
        if input_features.ndim != 3 or input_features.shape[-1] != bins or input_features.shape[1] < SHORTEST:
            raise ValueError(
                f"the zipformer encoder takes features (B, F, {bins}) of at least {SHORTEST} frames, found "
                f"{tuple(input_features.shape)}"
            )
        lengths = None
        if attention_mask is not None:
            lengths = self._get_feat_extract_output_lengths(attention_mask.sum(-1), output=False)
            if self.config.pad_invariant:
                input_features = input_features.masked_fill(attention_mask[..., None] == 0, 0)
        frames, states = self.encoder(self.encoder_embed(input_features, lengths), lengths)
        frame_mask = frames.new_ones(frames.shape[:2], dtype=torch.bool)
        if lengths is not None:
            frame_mask = ~padding_of(groups(lengths, self.config.output_downsampling_factor), frames.shape[1])
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return ZipformerModelOutput(
            last_hidden_state=frames,
            frame_mask=frame_mask,
            hidden_states=tuple(states) if output_hidden_states else None,
        )
