"""Sequences of frames: checked, joined, and every frame of length one.

Dimensions: N sequences, n of them joined, T frames of a sequence, F of all joined, D channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy

SMALL, LARGE = np.float32(1e-20), np.float32(1e20)  # between these sums of squares are as precise as others


@dataclass(frozen=True)
class Frames:
    """Joined sequences.

    Attributes:
        units: (F, D) frames of length one, float32, or what products are taken of instead.
        offsets: (n + 1,) int64, where each sequence starts, and the end.
    """

    units: object
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) frames of each sequence."""
        return np.diff(self.offsets)

    def part(self, start: int, stop: int) -> "Frames":
        """Sequences start to stop."""
        first, last = self.offsets[start], self.offsets[stop]
        return Frames(self.units[first:last], self.offsets[start : stop + 1] - first)


class Sequences:
    """N sequences (T, D), checked without reading their values; equal ones are kept once.

    Copies then have the scores of the first one, and ties between them are exact however products are rounded.

    Args:
        name: what messages call them.
        given: lists, arrays, memory maps or tensors.
        size: D that is expected; None = any.

    Attributes:
        lengths: (n,) frames of each distinct sequence.
        number: (N,) int64, which distinct sequence each one is.
        size: D.

    Raises:
        DialectError: nothing, sequences that are not (T, D) with T > 0 and one D, or another D than `size`.
    """

    def __init__(self, name: str, given: Sequence, size: int | None = None):
        self.name, self.given = name, given
        shapes = [_array(sequence).shape for sequence in given]
        sizes = {shape[-1] if len(shape) else 0 for shape in shapes}
        if {len(shape) for shape in shapes} != {2} or len(sizes) != 1 or not all(map(all, shapes)):
            found = ", ".join(str(tuple(shape)) for shape in sorted(set(shapes))[:5]) or "nothing"
            raise DialectError(
                f"{name} have the shapes {found}; expected sequences of frames (T, D), with the same D and at least "
                "one frame each"
            )
        self.size = sizes.pop()
        if size not in (None, self.size):
            raise DialectError(f"{name} have {self.size} channels, the others {size}; take both from one layer")
        self._distinct, self.number = np.unique(_first_equal(given), return_inverse=True)
        self.lengths = np.array([shapes[number][0] for number in self._distinct])

    def __len__(self) -> int:
        return len(self._distinct)

    def load(self, numbers) -> Frames:
        """Distinct sequences, joined, in float32, with every frame divided by its length.

        Raises:
            DialectError: NaN or infinite values, or a frame of zeros, which has no direction.
        """
        numbers = self._distinct[numbers]
        parts = [_float32(self.given[number]) for number in numbers]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        units = np.empty((offsets[-1], self.size), dtype=np.float32)
        for number, part, start in zip(numbers, parts, offsets[:-1], strict=True):
            bad = _divide_by_length(part, units[start : start + len(part)])
            if bad >= 0:
                zero = not part[bad].any()
                what = "a frame of zeros, which has no direction" if zero else "NaN or infinite values"
                raise DialectError(f"{self.name}[{number}] holds {what}, first in frame {bad}; leave such frames out")
        return Frames(units, offsets)


def cuts(lengths: np.ndarray, longest: int, most: int | None = None) -> list[tuple[int, int]]:
    """(start, stop) of groups of consecutive sequences: of at most `longest` frames, or one; at most `most` of them."""
    bounds, total = [0], 0
    for number, length in enumerate(lengths):
        if number > bounds[-1] and (total + length > longest or number - bounds[-1] == most):
            bounds.append(number)
            total = 0
        total += int(length)
    return list(zip(bounds, [*bounds[1:], len(lengths)], strict=True))


def _first_equal(sequences: Sequence) -> np.ndarray:
    """(N,) int64, the first sequence that equals each one; of unequal ones only three frames are read."""
    candidates: dict[tuple, list[int]] = {}
    first = np.arange(len(sequences))
    for number, sequence in enumerate(sequences):
        frames = _array(sequence)
        ends = (as_numpy(frames[row]).tobytes() for row in (0, len(frames) // 2, -1))
        earlier = candidates.setdefault((tuple(frames.shape), *ends), [])
        same = (other for other in earlier if np.array_equal(as_numpy(frames), as_numpy(sequences[other])))
        first[number] = next(same, number)
        if first[number] == number:
            earlier.append(number)
    return first


def _array(sequence):
    return sequence if hasattr(sequence, "shape") else np.asarray(sequence)


def _float32(sequence) -> np.ndarray:
    """In float32 and contiguous; larger or smaller values than it has are scaled, which leaves directions alone."""
    frames = as_numpy(sequence)
    if frames.dtype == np.float64:
        largest = np.abs(frames).max(axis=1, keepdims=True)
        frames = frames / np.where(largest > 0, largest, 1)
    return np.ascontiguousarray(frames, dtype=np.float32)


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _divide_by_length(frames, units):
    """Fill units (T, D) with frames (T, D) of length one; the first frame that has no finite length but 0, or -1."""
    for frame in range(len(frames)):
        values, unit = frames[frame], units[frame]
        squares = _squares(values, np.float32(1))
        largest = np.float32(1)
        if not SMALL < squares < LARGE:  # scaled by the largest value squares neither overflow nor vanish
            largest = np.abs(values).max()
            if not 0 < largest < np.inf:
                return frame
            squares = _squares(values, largest)
            if not squares < np.inf:
                return frame
        length = np.sqrt(squares)
        for channel in range(len(values)):
            unit[channel] = values[channel] / largest / length
    return -1


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def _squares(values, unit):
    total = np.float32(0)
    for channel in range(len(values)):
        value = values[channel] / unit
        total += value * value
    return total
