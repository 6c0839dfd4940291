"""Products of frames and their maxima, per pair of sequences.

Three ways: float32 with BLAS, int8 with torch (fast where the processor has VNNI), float32 on an accelerator.

Dimensions: F and G frames of two blocks of n and m sequences, D channels.
"""

from typing import Protocol

import numba
import numpy as np

from hf_dialects.retrieval.sequences import Frames

LOWEST = np.int32(-(2**31))
FLOATS, INTEGERS = np.int32(2**31 - 1), np.int32(0)  # which bits of negative numbers `ordered` flips


class Products(Protocol):
    """A way to score blocks of sequences.

    Attributes:
        rows, columns: frames of a block that it is fast with.
        panel: frames that are worth holding while others pass by.
        threads: how many blocks at once.
    """

    rows: int
    columns: int
    panel: int
    threads: int

    def operand(self, frames: Frames) -> Frames:
        """What `precision_recall` takes."""

    def precision_recall(self, x: Frames, y: Frames) -> tuple[np.ndarray, np.ndarray]:
        """Pr and Re of SeqSim for all pairs, (n, m) float64 each."""


class Float32:
    """Float32 with BLAS; a block of products stays in the cache (L3) until its maxima are taken."""

    rows, columns, panel = 2048, 2048, 2**15
    flip = FLOATS

    def __init__(self):
        self.threads = numba.config.NUMBA_NUM_THREADS

    def operand(self, frames: Frames) -> Frames:
        """The same."""
        return frames

    def precision_recall(self, x: Frames, y: Frames) -> tuple[np.ndarray, np.ndarray]:
        """As `Products.precision_recall`; a long sequence is passed through part by part."""
        by_row = np.full((int(x.offsets[-1]), len(y)), LOWEST)
        by_column = np.full((len(x), int(y.offsets[-1])), LOWEST)
        for top in range(0, len(by_row), self.rows):
            rows = slice(top, top + self.rows)
            x_offsets = np.clip(x.offsets - top, 0, self.rows)
            for left in range(0, by_column.shape[1], self.columns):
                columns = slice(left, left + self.columns)
                products = self.product(x.units[rows], y.units[columns]).view(np.int32)
                y_offsets = np.clip(y.offsets - left, 0, self.columns)
                _raise_to_maxima(by_row[rows], by_column[:, columns], products, x_offsets, y_offsets, self.flip)
        if self.flip:
            by_row, by_column = (ordered.py_func(one, self.flip).view(np.float32) for one in (by_row, by_column))
        recall = np.add.reduceat(by_row, x.offsets[:-1], axis=0, dtype=np.float64) / x.lengths[:, None]
        precision = np.add.reduceat(by_column, y.offsets[:-1], axis=1, dtype=np.float64) / y.lengths
        return precision, recall

    def product(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(F, G)."""
        return x @ y.T


class Torch:
    """Float32 on a torch device."""

    rows, columns, panel, threads = 4096, 8192, 2**18, 1

    def __init__(self, device: str):
        self.device = device

    def operand(self, frames: Frames) -> Frames:
        """`frames` on the device."""
        import torch

        return Frames(torch.from_numpy(frames.units).to(self.device), frames.offsets)

    def precision_recall(self, x: Frames, y: Frames) -> tuple[np.ndarray, np.ndarray]:
        """As `Products.precision_recall`."""
        import torch

        def over(values, axis: int, frames: Frames, kind: str):  # of the segments of `values` (F, G) along `axis`
            values = values if axis == 0 else values.T.contiguous()
            offsets = torch.from_numpy(frames.offsets).to(self.device)
            found = torch.segment_reduce(values, kind, offsets=offsets, axis=0)
            return found if axis == 0 else found.T

        by_row, by_column = [], None
        for top in range(0, len(x.units), self.rows):
            products = x.units[top : top + self.rows] @ y.units.T
            part = Frames(None, np.clip(x.offsets - top, 0, len(products)))
            by_row.append(over(products, 1, y, "max"))
            # a sequence without a frame in this part has the maximum minus infinity
            best = over(products, 0, part, "max")
            by_column = best if by_column is None else torch.maximum(by_column, best)
        recall = over(torch.cat(by_row).double(), 0, x, "mean")
        precision = over(by_column.double(), 1, y, "mean")
        return precision.cpu().numpy(), recall.cpu().numpy()


@numba.njit(nogil=True, cache=True)
def ordered(bits, flip):
    """Bits of float32 as int32 in the same order; applied twice, the bits again. With INTEGERS, what is given."""
    return bits ^ ((bits >> np.int32(31)) & flip)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _raise_to_maxima(by_row, by_column, products, x_offsets, y_offsets, flip):
    """Raise by_row (F, m) and by_column (n, G) to the maxima of products (F, G) within each sequence, all int32.

    Maxima of integers become vector instructions, those of floats do not: floats come as their bits, with `flip`. Rows
    are taken four at a time, so that by_column is read and written once for four products.
    """
    for i in range(len(x_offsets) - 1):
        last = x_offsets[i + 1] - 1
        for a in range(x_offsets[i], last + 1, 4):
            b, c, d = min(a + 1, last), min(a + 2, last), min(a + 3, last)  # the last row again, where there are fewer
            for j in range(len(y_offsets) - 1):
                of = slice(y_offsets[j], y_offsets[j + 1])
                best = by_row[a, j], by_row[b, j], by_row[c, j], by_row[d, j]
                rows = products[a, of], products[b, of], products[c, of], products[d, of]
                by_row[a, j], by_row[b, j], by_row[c, j], by_row[d, j] = _of_rows(*rows, *best, by_column[i, of], flip)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _of_rows(a, b, c, d, best_a, best_b, best_c, best_d, by_column, flip):
    """The maxima of four rows (T,) and what they were before; raises by_column (T,) on the way."""
    for column in range(len(by_column)):
        value_a, value_b = ordered(a[column], flip), ordered(b[column], flip)
        value_c, value_d = ordered(c[column], flip), ordered(d[column], flip)
        best_a, best_b = max(best_a, value_a), max(best_b, value_b)
        best_c, best_d = max(best_c, value_c), max(best_d, value_d)
        by_column[column] = max(by_column[column], max(max(value_a, value_b), max(value_c, value_d)))
    return best_a, best_b, best_c, best_d
