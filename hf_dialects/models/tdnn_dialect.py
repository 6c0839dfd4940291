"""Convolutions over the frames of padded batches, in which no utterance notices its padding.

B utterances, C channels, T frames.
"""

import torch
from torch import nn


class FrameNorm(nn.BatchNorm1d):
    """Batch normalisation over the frames of all utterances, padding left out.

    In training mode mean and variance are those of the frames that the mask keeps. Where there is one frame only, and
    where the layer is frozen (its weight takes no gradient), the running statistics are used and stay as they are.

    Shapes: values (B, C, T); mask (B, T) bool or None. Returns (B, C, T) in the type of the values, computed in float32
    (float64 for float64).
    """

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        precise = values if values.dtype == torch.float64 else values.float()
        mean, variance = self.running_mean.to(precise.dtype), self.running_var.to(precise.dtype)
        if self.training and self.weight.requires_grad:
            mean, variance = self._batch_statistics(precise, mask, mean, variance)
        scale = self.weight.to(precise.dtype) * (variance + self.eps).rsqrt()
        return ((precise - mean[:, None]) * scale[:, None] + self.bias.to(precise.dtype)[:, None]).to(values.dtype)

    def _batch_statistics(self, values, mask, running_mean, running_variance):
        kept = torch.ones_like(values[:, :1]) if mask is None else mask[:, None].to(values.dtype)
        count = kept.sum()
        mean = (values * kept).sum((0, 2)) / count.clamp(min=1)
        variance = ((values - mean[:, None]).square() * kept).sum((0, 2)) / count.clamp(min=1)
        several = count > 1
        with torch.no_grad():
            step = self.momentum * several
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.copy_(running_mean + step * (mean - running_mean))
            self.running_var.copy_(running_variance + step * (unbiased - running_variance))
            self.num_batches_tracked += several
        return torch.where(several, mean, running_mean), torch.where(several, variance, running_variance)


class TdnnLayer(nn.Module):
    """Convolution, ReLU, normalisation.

    The convolution sees every utterance mirrored at its own ends: (B, C, T) → (B, C', T).
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 1, dilation: int = 1):
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, kernel_size, dilation=dilation)
        self.norm = FrameNorm(outputs)
        self.reach = dilation * (kernel_size - 1) // 2

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        seen = mirrored(values, self.reach, mask) if self.reach else values
        return self.norm(pointwise(self.convolution, seen).relu(), mask)


def pointwise(convolution: nn.Conv1d, values: torch.Tensor) -> torch.Tensor:
    """Run a convolution in the type of its input."""
    weight, bias = convolution.weight.to(values.dtype), convolution.bias.to(values.dtype)
    return nn.functional.conv1d(values, weight, bias, dilation=convolution.dilation)


def mirrored(values: torch.Tensor, reach: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Continue every utterance by its mirror image, the last frame not repeated ("reflect").

    An utterance shorter than `reach` is mirrored to and fro; of one frame every frame is that one.

    Args:
        values: (B, C, T).
        reach: frames to add on each side.
        mask: (B, T) bool, True from the first frame to the last of the utterance; None = no padding.

    Returns:
        (B, C, T + 2·reach)
    """
    n_frames = values.shape[-1]
    if mask is None and n_frames > reach:
        return nn.functional.pad(values, (reach, reach), mode="reflect")
    position = torch.arange(-reach, n_frames + reach, device=values.device).abs()
    length = torch.full((1,), n_frames, device=values.device) if mask is None else mask.sum(1)
    last = (length - 1).clamp(min=0)[:, None]  # (B, 1)
    period = (2 * last).clamp(min=1)
    index = position % period
    index = torch.minimum(index, period - index) * (last > 0)  # (B, T + 2·reach)
    return values.gather(2, index[:, None].expand(*values.shape[:2], -1))


def masked_mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean over the frames of each utterance, (B, C, T) → (B, C); zeros for one without frames."""
    if mask is None:
        return values.mean(2)
    kept = mask[:, None].to(values.dtype)
    return (values * kept).sum(2) / kept.sum(2).clamp(min=1)
