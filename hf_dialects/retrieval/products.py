"""Products of frames and their maxima, per pair of sequences.

Three ways: float32 with BLAS, int8 with torch (fast where the processor has VNNI), float32 on an accelerator.

Dimensions: F and G frames of two blocks of n and m sequences, D channels.
"""

from typing import Protocol

import numba
import numpy as np

from hf_dialects.retrieval.sequences import Frames


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

    rows, columns, panel = 1024, 2048, 2**15
    dtype, lowest = np.float32, -np.inf

    def __init__(self):
        self.threads = numba.config.NUMBA_NUM_THREADS

    def operand(self, frames: Frames) -> Frames:
        """The same."""
        return frames

    def precision_recall(self, x: Frames, y: Frames) -> tuple[np.ndarray, np.ndarray]:
        """As `Products.precision_recall`; a long sequence is passed through part by part."""
        by_row = np.full((int(x.offsets[-1]), len(y)), self.lowest, self.dtype)
        by_column = np.full((len(x), int(y.offsets[-1])), self.lowest, self.dtype)
        for top in range(0, len(by_row), self.rows):
            rows = slice(top, top + self.rows)
            x_offsets = np.clip(x.offsets - top, 0, self.rows)
            for left in range(0, by_column.shape[1], self.columns):
                columns = slice(left, left + self.columns)
                products = self.product(x.units[rows], y.units[columns])
                y_offsets = np.clip(y.offsets - left, 0, self.columns)
                _raise_to_maxima(by_row[rows], by_column[:, columns], products, x_offsets, y_offsets)
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


@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})  # without NaN the loops become vector instructions
def _raise_to_maxima(by_row, by_column, products, x_offsets, y_offsets):
    """Raise by_row (F, m) and by_column (n, G) to the maxima of products (F, G) within each sequence."""
    for i in range(len(x_offsets) - 1):
        over_rows = by_column[i]
        for row in range(x_offsets[i], x_offsets[i + 1]):
            values = products[row]  # read twice, while it is in the nearest cache
            for column in range(len(values)):
                over_rows[column] = max(over_rows[column], values[column])
            for j in range(len(y_offsets) - 1):
                best = by_row[row, j]
                for column in range(y_offsets[j], y_offsets[j + 1]):
                    best = max(best, values[column])
                by_row[row, j] = best
