"""Products of frames rounded to 8 bits, and how far they can be off.

A unit frame x is stored in whole steps, x8 = step * q, after signs are flipped and channels mixed by Hadamard matrices,
the same for all frames: products stay what they are, and channels that stick out are spread over many. With the
lengths of what rounding took away, a = |x - x8| and b = |y - y8|, products are off by at most

    |x·y - x8·y8| <= |(x - x8)·y| + |x8·(y - y8)| <= a + (1 + a) b

and, as a maximum moves no further than what it is taken over, so are the maxima and their means (equations 1 and 2).

Dimensions: F frames, D channels, n and m sequences.
"""

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

from hf_dialects.retrieval.products import Float32
from hf_dialects.retrieval.sequences import Frames

REACH = 4.0  # standard deviations of a coordinate of a random unit frame that the steps cover
STEPS = 127
SMALLEST_BLOCK = 16  # channels mixed with each other


@dataclass(frozen=True)
class Quantised(Frames):
    """Frames in whole steps, a tensor (F, D) int8, and the mean and largest residual (n,) of each sequence's frames."""

    mean_residual: np.ndarray
    largest_residual: np.ndarray

    def part(self, start: int, stop: int) -> "Quantised":
        """Sequences start to stop."""
        frames = super().part(start, stop)
        residuals = self.mean_residual[start:stop], self.largest_residual[start:stop]
        return Quantised(frames.units, frames.offsets, *residuals)


class Int8(Float32):
    """Frames of D channels in 8 bits; their products are sums of integers, exact."""

    dtype, lowest = np.int32, np.iinfo(np.int32).min

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.step = REACH / (STEPS * np.sqrt(size))

    def operand(self, frames: Frames) -> Quantised:
        """`frames` mixed and rounded; channels are filled up with zeros to a multiple of 16."""
        import torch

        signs, block = mixing(self.size)
        steps = np.empty((len(frames.units), len(signs)), dtype=np.int8)
        residual = np.empty(len(steps))
        _quantise(frames.units, signs, block, self.step, steps, residual)
        mean = np.add.reduceat(residual, frames.offsets[:-1]) / frames.lengths
        return Quantised(
            torch.from_numpy(steps), frames.offsets, mean, np.maximum.reduceat(residual, frames.offsets[:-1])
        )

    def precision_recall(self, x: Quantised, y: Quantised) -> tuple[np.ndarray, np.ndarray]:
        """As `Products.precision_recall`; `largest_error` says how far off."""
        precision, recall = super().precision_recall(x, y)
        return precision * self.step**2, recall * self.step**2

    def product(self, x, y) -> np.ndarray:
        """(F, G) int32."""
        import torch

        return torch._int_mm(x, y.t()).numpy()

    def largest_error(self, x_residual: np.ndarray, y_residual: np.ndarray) -> np.ndarray:
        """How far a mean of maxima (n, m) can be from that of float32, however that sums.

        Args:
            x_residual: (n,) mean residuals of the sequences over whose frames the mean is taken.
            y_residual: (m,) largest residuals of the others.
        """
        rounding = 2 * self.size * 2.0**-24  # of float32 sums, of which D / 2^24 is the largest possible
        return x_residual[:, None] + (1 + x_residual[:, None]) * y_residual + rounding


@lru_cache
def mixing(size: int) -> tuple[np.ndarray, int]:
    """Signs (W,) float32 of the channels, W the next multiple of 16, and how many are mixed, a power of 2."""
    width = -(-size // SMALLEST_BLOCK) * SMALLEST_BLOCK
    signs = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.float32), width)
    return signs, width & -width


def is_fast() -> bool:
    """Whether the processor multiplies 8-bit integers faster than float32 (VNNI)."""
    import torch

    return torch.cpu._is_vnni_supported()


@numba.njit(nogil=True, cache=True)
def _quantise(units, signs, block, step, steps, residual):
    """Fill steps (F, W) int8 and residual (F,) from units (F, D)."""
    size, width = units.shape[1], len(signs)
    mixed = np.zeros(width, dtype=np.float32)
    scale = np.float32(1 / (np.sqrt(block) * step))
    for frame in range(len(units)):
        mixed[size:] = 0
        for channel in range(size):
            mixed[channel] = units[frame, channel] * signs[channel]
        half = 1
        while half < block:  # fast Walsh-Hadamard transform of every block
            for start in range(0, width, 2 * half):
                for channel in range(start, start + half):
                    left, right = mixed[channel], mixed[channel + half]
                    mixed[channel] = left + right
                    mixed[channel + half] = left - right
            half *= 2
        squares = 0.0
        for channel in range(width):
            value = mixed[channel] * scale
            rounded = min(max(np.rint(value), np.float32(-STEPS)), np.float32(STEPS))
            steps[frame, channel] = np.int8(rounded)
            squares += (value - rounded) ** 2
        residual[frame] = np.sqrt(squares) * step
