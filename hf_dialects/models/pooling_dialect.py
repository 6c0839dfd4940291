"""Pooling: the frames of an utterance become one vector.

B utterances, T frames, D channels of a frame, P size of the pooled vector.
"""

import inspect

import torch
from torch import nn

from .tdnn_dialect import FrameNorm, TdnnLayer, pointwise


class MeanPooling(nn.Module):
    """Mean over frames; also the frame all poolings share.

    Shapes: frames (B, T, D) of any float type; mask (B, T) bool, True = speech, or None for no padding. Returns (B, P)
    in the type of the frames, computed in float32 (float64 for float64 frames).

    Edge: padded frames change nothing, whatever they hold, NaN included; a row without any frame gives zeros and takes
    no gradient.
    """

    def __init__(self, size: int):
        super().__init__()

    def output_size(self, size: int) -> int:
        """P for frames of D = `size` channels."""
        return size

    def forward(self, frames: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is None:
            mask = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        if frames.ndim != 3 or mask.shape != frames.shape[:2]:
            raise ValueError(
                f"pooling takes frames (B, T, D) and a mask (B, T), found {tuple(frames.shape)} and {tuple(mask.shape)}"
            )
        mask = mask.bool()
        with torch.autocast(frames.device.type, enabled=False):
            values = frames if frames.dtype == torch.float64 else frames.float()
            values = values.masked_fill(~mask[..., None], 0)  # padding may hold NaN, which no product with 0 removes
            pooled = self.pool(values, mask).masked_fill(~mask.any(1, keepdim=True), 0)
        return pooled.to(frames.dtype)

    def weights(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, T, D), (B, T) → (B, T): share of every frame, 0 for padding, one in sum where there is a frame."""
        return mask / mask.sum(1, keepdim=True).clamp(min=1).to(frames.dtype)

    def pool(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.weights(frames, mask)[..., None] * frames).sum(1)


class MaxPooling(MeanPooling):
    """Largest value of every channel over frames."""

    def pool(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return frames.masked_fill(~mask[..., None], -torch.inf).amax(1)


class AttentionPooling(MeanPooling):
    """Self-attention pooling, Σ_t a_t h_t with a = softmax over frames of W h_t, W: D → 1.

    Source: Safari, India and Hernando 2020, "Self-attention encoding and pooling for speaker recognition"; the
    pooling of Map-Mix. W has no bias: softmax would cancel it.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self.score = nn.Linear(size, 1, bias=False)

    def weights(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = nn.functional.linear(frames, self.score.weight.to(frames.dtype)).squeeze(-1)  # (B, T)
        # the lowest number instead of -inf: a row of padding alone would be NaN
        return scores.masked_fill(~mask, torch.finfo(frames.dtype).min).softmax(1)


class _WithDeviation:
    """Adds the standard deviation (biased) to the mean: P = 2D, means first.

    The variance is kept above 1e-7, where the root still has a finite slope; a single frame has a deviation of 3e-4.
    """

    def output_size(self, size: int) -> int:
        return 2 * size

    def pool(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = self.weights(frames, mask)[..., None]  # (B, T, 1)
        mean = (weights * frames).sum(1)  # (B, D)
        variance = (weights * (frames - mean[:, None]).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=1e-7).sqrt()], -1)


class StatisticsPooling(_WithDeviation, MeanPooling):
    """Mean and standard deviation over frames, (B, 2D).

    Source: Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition".
    """


class AttentiveStatisticsPooling(_WithDeviation, AttentionPooling):
    """Mean and standard deviation weighted by attention, (B, 2D).

    Source: Okabe, Koshinaka and Shinoda 2018, "Attentive statistics pooling for deep speaker embedding", with the
    one-layer attention of `AttentionPooling`.
    """


class EcapaPooling(MeanPooling):
    """Attentive statistics per channel with global context, then a linear map: (B, `embedding_size`).

    Each channel has attention of its own, which sees the frame beside mean and standard deviation of the utterance. The
    means and standard deviations it gives are normalised over the batch and mapped to the embedding.

    Args:
        attention_size: width of the attention.
        embedding_size: P.

    Source: Desplanques, Thienpondt and Demuynck 2020, "ECAPA-TDNN", section 3.1; as in SpeechBrain's implementation.
    """

    def __init__(self, size: int, attention_size: int = 128, embedding_size: int = 192):
        super().__init__(size)
        self.attention = TdnnLayer(3 * size, attention_size)
        self.score = nn.Conv1d(attention_size, size, 1)
        self.norm = FrameNorm(2 * size)
        self.linear = nn.Linear(2 * size, embedding_size)

    def output_size(self, size: int) -> int:
        return self.linear.out_features

    def pool(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        values = frames.transpose(1, 2)  # (B, D, T)
        spoken = mask.any(1, keepdim=True)  # (B, 1): rows of padding alone must not enter the batch statistics
        equal = self.weights(frames, mask)[:, None]  # (B, 1, T)
        context = torch.cat(self._statistics(values, equal), 1)[..., None].expand(-1, -1, values.shape[2])
        scores = pointwise(self.score, self.attention(torch.cat([values, context], 1), mask).tanh())
        shares = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min).softmax(2)
        pooled = torch.cat(self._statistics(values, shares), 1)[..., None]  # (B, 2D, 1)
        weight, bias = self.linear.weight.to(values.dtype), self.linear.bias.to(values.dtype)
        return nn.functional.linear(self.norm(pooled, spoken).squeeze(2), weight, bias)

    @staticmethod
    def _statistics(values: torch.Tensor, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted mean and standard deviation over frames, (B, D) each."""
        mean = (shares * values).sum(2)
        variance = (shares * (values - mean[..., None]).square()).sum(2)
        return mean, variance.clamp(min=1e-12).sqrt()


POOLINGS = {
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
    "statistics": StatisticsPooling,
    "attentive_statistics": AttentiveStatisticsPooling,
    "ecapa": EcapaPooling,
}


def build_pooling(name: str, size: int, **options) -> nn.Module:
    """A pooling by name, for frames of `size` channels.

    Args:
        options: `attention_size` and `embedding_size` of "ecapa"; the others have none.

    Returns:
        Module (frames (B, T, D), mask (B, T) bool or None) → (B, P), with `output_size(D)` → P.

    Raises:
        ValueError: unknown name or option.
    """
    if name not in POOLINGS:
        raise ValueError(f"pooling is {name!r}; it must be one of: {', '.join(POOLINGS)}")
    known = [option for option in inspect.signature(POOLINGS[name]).parameters if option != "size"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(
            f"pooling_options names {unknown[0]!r}; the options of {name} pooling are: {', '.join(known) or 'none'}"
        )
    return POOLINGS[name](size, **options)
