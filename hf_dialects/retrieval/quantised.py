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

from hf_dialects.retrieval.products import FLOATS, INTEGERS, Float32
from hf_dialects.retrieval.sequences import Frames

REACH = 4.0  # standard deviations of a coordinate of a random unit frame that the steps cover
STEPS = 127
SMALLEST_BLOCK = 16  # channels mixed with each other


@dataclass(frozen=True)
class Quantised(Frames):
    """Frames in whole steps, a tensor (F, W) int8 or an array (F, W) float32.

    Attributes:
        mean_residual, largest_residual: (n,) over each sequence's frames.
    """

    mean_residual: np.ndarray
    largest_residual: np.ndarray

    def part(self, start: int, stop: int) -> "Quantised":
        """Sequences start to stop."""
        frames = super().part(start, stop)
        residuals = self.mean_residual[start:stop], self.largest_residual[start:stop]
        return Quantised(frames.units, frames.offsets, *residuals)


class Int8(Float32):
    """Frames of D channels in 8 bits.

    Where the processor multiplies these fast their products are sums of integers, exact; elsewhere they are taken of
    whole numbers in float32, as fast as those of frames.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.step = REACH / (STEPS * np.sqrt(size))
        self.flip = INTEGERS if is_fast() else FLOATS

    def operand(self, frames: Frames) -> Quantised:
        """`frames` mixed and rounded; channels are filled up with zeros to a multiple of 16."""
        import torch

        signs, block = mixing(self.size)
        steps = np.empty((len(frames.units), len(signs)), dtype=np.int8)
        residual = np.empty(len(steps))
        _quantise(frames.units, signs, block, self.step, steps, residual)
        mean = np.add.reduceat(residual, frames.offsets[:-1]) / frames.lengths
        largest = np.maximum.reduceat(residual, frames.offsets[:-1])
        units = steps.astype(np.float32) if self.flip else torch.from_numpy(steps)
        return Quantised(units, frames.offsets, mean, largest)

    def precision_recall(self, x: Quantised, y: Quantised) -> tuple[np.ndarray, np.ndarray]:
        """As `Products.precision_recall`; `largest_error` says how far off."""
        precision, recall = super().precision_recall(x, y)
        return precision * self.step**2, recall * self.step**2

    def product(self, x, y) -> np.ndarray:
        """(F, G), int32 or whole numbers in float32."""
        if self.flip:
            return super().product(x, y)
        import torch

        return torch._int_mm(x, y.t()).numpy()

    def largest_error(self, x_residual: np.ndarray, y_residual: np.ndarray) -> np.ndarray:
        """How far a mean of maxima (n, m) can be from that of float32, however that sums.

        Float32 rounds by u = 2^-24 of a number. To a + (1 + a) b, which holds for exact numbers, come at most

        - D u each for the sums of D products, of float32 and, without VNNI, of whole numbers,
        - (log2 W + 3) u for the mixing of each of the two frames, W channels in at most 16 stages,
        - (D / 2 + 3) u of a and of b, lengths that are at most 1: four times that in the bound,

        together less than (4 D + 64) u.

        Args:
            x_residual: (n,) mean residuals of the sequences over whose frames the mean is taken.
            y_residual: (m,) largest residuals of the others.
        """
        rounding = (4 * self.size + 64) * 2.0**-24
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _quantise(units, signs, block, step, steps, residual):
    """Fill steps (F, W) int8 and residual (F,) from units (F, D)."""
    size, half = units.shape[1], len(signs) // 2
    mixed, other = np.zeros(2 * half, dtype=np.float32), np.empty(2 * half, dtype=np.float32)
    scale = np.float32(1 / (np.sqrt(block) * step))
    for frame in range(len(units)):
        for channel in range(size):
            mixed[channel] = units[frame, channel] * signs[channel]
        mixed[size:] = 0
        left = block
        while left > 1:
            _mix(mixed, other[:half], other[half:])
            mixed, other = other, mixed
            left //= 2
        residual[frame] = step * _round(mixed, scale, steps[frame])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _mix(values, sums, differences):
    """A stage of the Walsh-Hadamard transform, neighbours moved half the width apart: as many of these as a block has
    binary digits mix all of it, in an order of its own, and all stages have the same long loop."""
    for pair in range(len(sums)):
        left, right = values[2 * pair], values[2 * pair + 1]
        sums[pair] = left + right
        differences[pair] = left - right


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _round(mixed, scale, steps):
    """Fill steps (W,) from mixed (W,); returns the length of what rounding took away, in steps."""
    squares = np.float32(0)
    for channel in range(len(mixed)):
        value = mixed[channel] * scale
        whole = min(max(np.int32(np.rint(value)), np.int32(-STEPS)), np.int32(STEPS))
        steps[channel] = whole
        squares += (value - np.float32(whole)) ** 2
    return np.sqrt(squares)
