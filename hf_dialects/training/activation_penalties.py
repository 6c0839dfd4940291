"""Penalties on activations, of which only the gradient counts: Balancer and Whiten.

Source: Yao et al. 2023, "Zipformer: a faster and better encoder for automatic speech recognition" (arXiv:2310.11230),
appendix A.3. N frames without padding, C channels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["Balancer", "Schedule", "Whiten", "scheduled", "whiteness"]

TINY = 1e-20
Schedule = float | tuple[tuple[float, float], ...]


def scheduled(schedule: Schedule, batch: float) -> float:
    """Value at a batch: a constant, or linear between (batch, value) pairs and constant outside them."""
    return float(np.interp(batch, *zip(*schedule, strict=True))) if isinstance(schedule, tuple) else schedule


@dataclass(frozen=True)
class Balancer:
    """Keeps the share of positive values and the mean absolute value of every channel within limits.

    Equation 9 of the paper: with the mean μ, standard deviation σ and root mean square r of a channel, the penalty is
    the distance of μ / σ from its limits plus that of ln r from its own. A limit p of the share becomes
    artanh(2 p - 1) / (√π ln 2) (the paper prints arctan), one of the mean absolute value a becomes √(π / 2) a. For
    normal values the first is closer to zero than their share says: 0.55 stands for about 0.53. The gradient of the
    penalty is brought to a root mean square of `scale` in every channel and multiplied, value by value, with the size
    of the gradient that is there.

    Args:
        min_positive, max_positive: share of positive values; 0 and 1 are no limits.
        min_abs, max_abs: mean absolute value.
        probability: that a step is regularised.
        scale: size of what is added, beside the gradient.
    """

    min_positive: Schedule = 0.05
    max_positive: Schedule = 0.95
    min_abs: Schedule = 0.2
    max_abs: Schedule = 100.0
    probability: Schedule = ((0, 0.5), (8000, 0.125))
    scale: float = 0.04

    def penalty(self, frames: torch.Tensor, batch: float = 0.0) -> torch.Tensor:
        """(N, C) → (C,), zero within the limits."""
        mean_limits = [_mean_at_share(scheduled(one, batch)) for one in (self.min_positive, self.max_positive)]
        size_limits = [_log(scheduled(one, batch) * math.sqrt(math.pi / 2)) for one in (self.min_abs, self.max_abs)]
        mean = frames.mean(0) / frames.var(0, correction=0).clamp(min=TINY).sqrt()
        size = frames.square().mean(0).clamp(min=TINY).log() / 2
        return _outside(mean, *mean_limits) + _outside(size, *size_limits)

    def added(self, frames: torch.Tensor, gradient: torch.Tensor, batch: float = 0.0) -> torch.Tensor:
        """What the gradient (N, C) of frames (N, C) gains."""
        (own,) = torch.autograd.grad(self.penalty(frames, batch).sum(), frames)
        return self.scale * own / own.square().mean(0).sqrt().clamp(min=TINY) * gradient.abs()


@dataclass(frozen=True)
class Whiten:
    """Keeps directions of the channels from dominating the others.

    Equation 10 of the paper: where `whiteness` is above the limit, its gradient is added with `scale` times the norm of
    the gradient that is there. (icefall looks less often at a place that was below the limit when it last looked; here
    a step depends on nothing before it.)

    Args:
        limit: of the whiteness.
        groups: of neighbouring channels, such as heads; channels of different groups may go together.
        probability: that a step is regularised.
        scale: size of what is added, beside the gradient.
    """

    limit: Schedule
    groups: int = 1
    probability: Schedule = 0.25
    scale: float = 0.01

    def added(self, frames: torch.Tensor, gradient: torch.Tensor, batch: float = 0.0) -> torch.Tensor:
        """What the gradient (N, C) of frames (N, C) gains."""
        found = whiteness(frames, self.groups)
        if found <= scheduled(self.limit, batch):
            return torch.zeros_like(gradient)
        (own,) = torch.autograd.grad(found, frames)
        return own * (self.scale * gradient.norm() / own.norm().clamp(min=TINY))


def whiteness(frames: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Mean square over squared mean of the eigenvalues of the covariance: (N, C) → ().

    1 where all are equal, C where one is all there is; at least C / (N - 1), as fewer frames span fewer directions, and
    0 where nothing varies. Between `groups` of channels covariances count as zero.
    """
    frames = (frames - frames.mean(0)).unflatten(-1, (groups, -1)).transpose(0, 1)  # (groups, N, C / groups)
    covariance = frames.mT @ frames  # its scale does not matter
    mean = covariance.diagonal(dim1=-2, dim2=-1).mean()
    return covariance.square().sum() / frames.shape[0] / frames.shape[-1] / mean.square().clamp(min=TINY)


def _mean_at_share(share: float) -> float:
    """Mean over standard deviation that stands for a share of positive values."""
    if share in (0, 1):
        return math.copysign(math.inf, share - 0.5)
    return math.atanh(2 * share - 1) / (math.sqrt(math.pi) * math.log(2))


def _log(value: float) -> float:
    return math.log(value) if value else -math.inf


def _outside(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return (low - value).relu() + (value - high).relu()
