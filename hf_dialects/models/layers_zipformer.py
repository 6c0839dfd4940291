"""Building blocks of the Zipformer: its activations, normalisation, resampling, attention, convolution, and the layer.

B utterances, T frames, D channels, H attention heads. Padding masks are True where a frame is padding.

Source: Yao et al. 2023, "Zipformer: a faster and better encoder for automatic speech recognition" (arXiv:2310.11230);
parameters are named as in icefall's implementation, whose weights give the same numbers here.
"""

from math import log, pi

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_zipformer import ZipformerConfig

MASKED_SCORE = -1000.0
BYPASS_LIMITS = (0.2, 1.0)  # training keeps the scales within
LOG_SCALE_LIMITS = (-1.5, 1.5)


def precise(values: torch.Tensor) -> torch.Tensor:
    """The values in float32 where their type has fewer digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def swoosh_l(values: torch.Tensor) -> torch.Tensor:
    """Swoosh-L, ln(1 + exp(x - 4)) - 0.08 x - 0.035, computed in float32."""
    x = precise(values)
    return (nn.functional.softplus(x - 4) - 0.08 * x - 0.035).to(values.dtype)


def swoosh_r(values: torch.Tensor) -> torch.Tensor:
    """Swoosh-R, ln(1 + exp(x - 1)) - 0.08 x - 0.313261687, which is zero at zero; computed in float32."""
    x = precise(values)
    return (nn.functional.softplus(x - 1) - 0.08 * x - 0.313261687).to(values.dtype)


def scaled(layer: nn.Module, initial_scale: float) -> nn.Module:
    """The layer, marked so that its weights start `initial_scale` times as large as usual."""
    layer.initial_scale = initial_scale
    return layer


class Limit(torch.autograd.Function):
    """A parameter as it is; a gradient that would carry it further out of its limits is turned around."""

    @staticmethod
    def forward(ctx, parameter: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward(parameter)
        ctx.limits = low, high
        return parameter.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (parameter,), (low, high) = ctx.saved_tensors, ctx.limits
        outwards = ((parameter < low) & (gradient > 0)) | ((parameter > high) & (gradient < 0))
        return torch.where(outwards, -gradient, gradient), None, None


class SharedDropout(nn.Module):
    """Dropout of whole channels: (B, T, D) → (B, T, D), one mask for all frames of an utterance."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return values
        return values * nn.functional.dropout(values.new_ones(len(values), 1, values.shape[-1]), self.p)


class BiasNorm(nn.Module):
    """x exp(s) / rms(x - b) over the channels of (…, D), with learned s and b; in float32, without epsilon."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        log_scale = Limit.apply(self.log_scale, *LOG_SCALE_LIMITS) if self.training else self.log_scale
        x = precise(values)
        scale = (x - self.bias).square().mean(-1, keepdim=True).rsqrt() * precise(log_scale).exp()
        return (x * scale).to(values.dtype)


class Bypass(nn.Module):
    """Between `before` and `after`, both (B, T, D), as far as a learned scale per channel says.

    In training an utterance keeps `before` with probability `skip_rate`.
    """

    def __init__(self, channels: int, skip_rate: float = 0.0):
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((channels,), 0.5))
        self.skip_rate = skip_rate

    def forward(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        scale = self.bypass_scale
        if self.training:
            scale = Limit.apply(scale, *BYPASS_LIMITS)
            if self.skip_rate > 0:
                scale = scale * (torch.rand(len(before), 1, 1, device=before.device) >= self.skip_rate)
        return before + (after - before) * scale


class Downsample(nn.Module):
    """One frame out of `factor`: their mean, weighted by a learned softmax.

    A group that the end cuts is completed with the last frame: of the batch, padding or not, or with `pad_invariant`
    of each utterance.
    """

    def __init__(self, factor: int, pad_invariant: bool = False):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(factor))
        self.pad_invariant = pad_invariant

    def forward(self, values: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Resample.

        Args:
            values: (B, T, D).
            lengths: (B,), frames of each utterance; None = no padding.

        Returns:
            (B, ceil(T / factor), D)
        """
        factor, n_frames = len(self.bias), values.shape[1]
        frames = torch.arange(-(-n_frames // factor) * factor, device=values.device)
        if self.pad_invariant and lengths is not None:
            frames = torch.minimum(frames, (lengths[:, None] - 1).clamp(min=0))  # (B, T)
            values = values.gather(1, frames[..., None].expand(-1, -1, values.shape[-1]))
        else:
            values = values[:, frames.clamp(max=n_frames - 1)]
        weights = precise(self.bias).softmax(0).to(values.dtype)
        return (values.unflatten(1, (-1, factor)) * weights[:, None]).sum(2)


def relative_positions(n_frames: int, dim: int, device: torch.device | None = None) -> torch.Tensor:
    """Table of relative positions, (2 T - 1, dim) float32: row T - 1 + o belongs to offset o.

    Offsets are compressed, logarithmically far from zero, to angles in (-π / 2, π / 2), of which pairs of cosine and
    sine are taken; the last column is 1.
    """
    offsets = torch.arange(1 - n_frames, n_frames, dtype=torch.float32, device=device)
    compression = dim**0.5
    compressed = compression * offsets.sign() * ((offsets.abs() + compression).log() - log(compression))
    angles = torch.atan(compressed / (dim / (2 * pi)))[:, None] * torch.arange(1, dim // 2 + 1, device=device)
    table = torch.stack([angles.cos(), angles.sin()], -1).flatten(1)
    table[:, -1] = 1
    return table


class AttentionWeights(nn.Module):
    """Weights that all attention modules of a layer share: (B, T, D) → (B, H, T, T).

    Scores are not divided by the root of the query's size; small initial weights of the projection stand for it.
    """

    def __init__(self, config: ZipformerConfig, stack: int):
        super().__init__()
        self.num_heads = config.num_heads[stack]
        self.sizes = [self.num_heads * size for size in (config.query_head_dim, config.query_head_dim)]
        self.sizes.append(self.num_heads * config.pos_head_dim)
        self.in_proj = scaled(nn.Linear(config.encoder_dims[stack], sum(self.sizes)), config.query_head_dim**-0.25)
        self.linear_pos = scaled(nn.Linear(config.pos_dim, self.sizes[-1], bias=False), 0.05)

    def forward(
        self, values: torch.Tensor, positions: torch.Tensor, blocked: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Weights of the frames j that frame i attends to.

        Args:
            values: (B, T, D).
            positions: (2 T - 1, pos_dim), see `relative_positions`.
            blocked: broadcast to (B, H, T, T), True where frame i does not see frame j.
        """
        parts = self.in_proj(values).split(self.sizes, -1)
        queries, keys, position_queries = (heads(part, self.num_heads) for part in parts)  # (B, H, T, ·)
        places = heads(self.linear_pos(positions)[None], self.num_heads)  # (1, H, 2 T - 1, pos_head_dim)
        scores = queries @ keys.mT + by_offset(position_queries @ places.mT)
        if blocked is not None:
            scores = scores.masked_fill(blocked, MASKED_SCORE)
        return precise(scores).softmax(-1).to(scores.dtype)


def heads(values: torch.Tensor, num_heads: int) -> torch.Tensor:
    """(B, T, H · d) → (B, H, T, d)."""
    return values.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def by_offset(scores: torch.Tensor) -> torch.Tensor:
    """Scores (…, T, 2 T - 1) of each offset → (…, T, T) where (i, j) is that of offset j - i. Nothing is copied."""
    n_frames = scores.shape[-2]
    if n_frames == 1:
        return scores
    width = 2 * n_frames - 2  # one row on and one column back, in memory
    moved = scores.flatten(-2).narrow(-1, n_frames - 1, n_frames * width)
    return moved.unflatten(-1, (n_frames, width))[..., :n_frames]


class SelfAttention(nn.Module):
    """Values averaged with given weights: (B, T, D), (B, H, T, T) → (B, T, D)."""

    def __init__(self, channels: int, num_heads: int, value_head_dim: int):
        super().__init__()
        self.in_proj = nn.Linear(channels, num_heads * value_head_dim)
        self.out_proj = scaled(nn.Linear(num_heads * value_head_dim, channels), 0.05)

    def forward(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        attended = weights @ heads(self.in_proj(values), weights.shape[1])
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class NonlinAttention(nn.Module):
    """Gated values averaged with the weights of one head, gated again: (B, T, D), (B, T, T) → (B, T, D)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = 3 * channels // 4
        self.in_proj = nn.Linear(channels, 3 * hidden)
        self.out_proj = scaled(nn.Linear(hidden, channels), 0.05)

    def forward(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        gate, inner, outer = self.in_proj(values).chunk(3, -1)
        return self.out_proj((weights @ (inner * gate.tanh())) * outer)


class FeedForward(nn.Module):
    """(B, T, D) → (B, T, D)."""

    def __init__(self, channels: int, hidden: int, dropout: float):
        super().__init__()
        self.in_proj = nn.Linear(channels, hidden)
        self.dropout = SharedDropout(dropout)
        self.out_proj = scaled(nn.Linear(hidden, channels), 0.1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(swoosh_l(self.in_proj(values))))


class ChunkCausalConv(nn.Module):
    """Depthwise convolution that sees no frame beyond the chunk: (B, D, T) → (B, D, T).

    The sum of a causal convolution and of one inside each chunk, which misses frames at the chunk's edges; a learned
    scale per distance from either edge makes up for it. A chunk longer than the batch, or -1, is the whole batch; with
    `pad_invariant` it ends where each utterance ends.
    """

    def __init__(self, channels: int, kernel_size: int, pad_invariant: bool = False):
        super().__init__()
        self.causal_conv = nn.Conv1d(channels, channels, (kernel_size + 1) // 2, groups=channels)
        self.chunkwise_conv = nn.Conv1d(channels, channels, kernel_size, groups=channels, padding=kernel_size // 2)
        self.chunkwise_conv_scale = nn.Parameter(torch.zeros(2, channels, kernel_size))
        self.pad_invariant = pad_invariant

    def forward(self, values: torch.Tensor, padding: torch.Tensor | None = None, chunk_size: int = -1) -> torch.Tensor:
        n_frames, kernel_size = values.shape[-1], self.chunkwise_conv_scale.shape[-1]
        causal = self.causal_conv(nn.functional.pad(values, (kernel_size // 2, 0)))
        length = torch.tensor([[n_frames]], device=values.device)
        if self.pad_invariant and padding is not None:
            length = (~padding).sum(1, keepdim=True)  # (B, 1)
        if not 0 < chunk_size <= n_frames:
            chunk_size = n_frames
        chunks = nn.functional.pad(values, (0, -n_frames % chunk_size)).unflatten(-1, (-1, chunk_size))
        inside = self.chunkwise_conv(chunks.transpose(1, 2).flatten(0, 1))
        inside = inside.unflatten(0, (len(values), -1)).transpose(1, 2).flatten(2)[..., :n_frames]
        frame = torch.arange(n_frames, device=values.device)[None] % chunk_size
        return causal + inside * self._edges(frame, length.clamp(max=chunk_size))

    def _edges(self, frame: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """Scale of frames that are the `frame`-th (·, T) of a chunk of `end` (·, 1) frames: (·, D, T)."""
        kernel_size = self.chunkwise_conv_scale.shape[-1]
        left, right = nn.functional.pad(self.chunkwise_conv_scale, (0, 1)).mT  # (k + 1, D) each, the last row is zero
        from_end = kernel_size - end + frame
        from_end = torch.where(from_end < 0, kernel_size, from_end)
        return (1 + left[frame.clamp(max=kernel_size)] + right[from_end.clamp(max=kernel_size)]).mT


class ConvolutionModule(nn.Module):
    """Gated depthwise convolution over frames, blind to padding: (B, T, D) → (B, T, D)."""

    def __init__(self, config: ZipformerConfig, stack: int):
        super().__init__()
        channels, kernel_size = config.encoder_dims[stack], config.cnn_module_kernels[stack]
        self.causal = config.causal
        self.in_proj = nn.Linear(channels, 2 * channels)
        if config.causal:
            self.depthwise_conv = ChunkCausalConv(channels, kernel_size, config.pad_invariant)
        else:
            self.depthwise_conv = nn.Conv1d(channels, channels, kernel_size, groups=channels, padding=kernel_size // 2)
        self.out_proj = scaled(nn.Linear(channels, channels), 0.05)

    def forward(self, values: torch.Tensor, padding: torch.Tensor | None = None, chunk_size: int = -1) -> torch.Tensor:
        x = nn.functional.glu(self.in_proj(values), -1)
        if padding is not None:
            x = x.masked_fill(padding[..., None], 0)
        x = x.mT
        x = self.depthwise_conv(x, padding, chunk_size) if self.causal else self.depthwise_conv(x)
        return self.out_proj(swoosh_r(x.mT))


class ZipformerLayer(GradientCheckpointingLayer):
    """One layer of stack number `stack`: (B, T, D) → (B, T, D)."""

    def __init__(self, config: ZipformerConfig, stack: int):
        super().__init__()
        channels, hidden = config.encoder_dims[stack], config.feedforward_dims[stack]
        attention = channels, config.num_heads[stack], config.value_head_dim
        self.self_attn_weights = AttentionWeights(config, stack)
        self.self_attn1 = SelfAttention(*attention)
        self.self_attn2 = SelfAttention(*attention)
        self.feed_forward1 = FeedForward(channels, 3 * hidden // 4, config.dropout)
        self.feed_forward2 = FeedForward(channels, hidden, config.dropout)
        self.feed_forward3 = FeedForward(channels, 5 * hidden // 4, config.dropout)
        self.nonlin_attention = NonlinAttention(channels)
        self.conv_module1 = ConvolutionModule(config, stack)
        self.conv_module2 = ConvolutionModule(config, stack)
        self.norm = BiasNorm(channels)
        self.bypass_mid = Bypass(channels)
        self.bypass = Bypass(channels, config.layer_skip_rate * config.downsampling_factors[stack] ** 0.5)

    def forward(
        self,
        values: torch.Tensor,
        positions: torch.Tensor,
        blocked: torch.Tensor | None = None,
        padding: torch.Tensor | None = None,
        chunk_size: int = -1,
    ) -> torch.Tensor:
        """Encode.

        Args:
            values: (B, T, D).
            positions: (2 T - 1, pos_dim), see `relative_positions`.
            blocked: broadcast to (B, H, T, T), True where frame i does not attend to frame j.
            padding: (B, T), True = padding.
            chunk_size: of a causal model, in frames of this stack; -1 for the whole utterance.
        """
        weights = self.self_attn_weights(values, positions, blocked)
        x = values + self.feed_forward1(values)
        x = x + self.nonlin_attention(x, weights[:, 0])
        x = x + self.self_attn1(x, weights)
        x = x + self.conv_module1(x, padding, chunk_size)
        x = x + self.feed_forward2(x)
        x = self.bypass_mid(values, x)
        x = x + self.self_attn2(x, weights)
        x = x + self.conv_module2(x, padding, chunk_size)
        x = x + self.feed_forward3(x)
        return self.bypass(values, self.norm(x))
