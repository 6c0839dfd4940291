"""Frames moved to a common centre, or whitened, with statistics of a named set.

Encoders put all frames into a narrow cone; without its centre similarities spread. Statistics of the very utterances
that are searched use the answers' distribution: results then are transductive, and are to be called so.

Dimensions: N utterances, T frames of one, D channels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy


@dataclass(frozen=True)
class FrameStatistics:
    """Centre and spread of the frames of a named set.

    Attributes:
        source: name of the set, such as "FLEURS train".
        ids: of its utterances.
        mean: (D,) float64.
        whitening: (D, D) float64, which makes the covariance the identity; None = frames are centred only.
        n_frames: that the statistics are of.
    """

    source: str
    ids: frozenset[str]
    mean: np.ndarray
    whitening: np.ndarray | None
    n_frames: int

    @classmethod
    def fit(
        cls, frames: Sequence, source: str, ids: Iterable[str], whiten: bool = False, shrinkage: float = 0.01
    ) -> "FrameStatistics":
        """Statistics of N arrays (T, D), every frame counting once.

        Args:
            source: name of the set.
            ids: N ids of the utterances, by which it is told whether they are searched too.
            whiten: also divide by the spread in every direction (ZCA, which turns frames as little as possible).
            shrinkage: share of the mean variance mixed into that of every direction; above 0 where directions are
                without variance.

        Raises:
            DialectError: no frames, sizes that differ, NaN, or ids that are not N.
        """
        ids = [str(one) for one in ids]
        if len(ids) != len(frames) or not ids:
            raise DialectError(f"{source}: {len(frames)} utterances and {len(ids)} ids; expected one id for each")
        arrays = [as_numpy(one) for one in frames]
        sizes = {one.shape[1:] for one in arrays}
        if len(sizes) != 1 or arrays[0].ndim != 2:
            raise DialectError(f"{source}: frames have the sizes {sorted(sizes)}; expected (T, D) with the same D")
        n_frames = sum(map(len, arrays))
        mean = sum(one.sum(axis=0, dtype=np.float64) for one in arrays) / n_frames
        if not np.isfinite(mean).all():
            raise DialectError(f"{source}: frames hold NaN or infinite values; leave such utterances out")
        whitening = _whitening(arrays, mean, n_frames, shrinkage) if whiten else None
        return cls(source, frozenset(ids), mean, whitening, n_frames)

    def apply(self, frames: Sequence) -> list[np.ndarray]:
        """N arrays (T, D) float32, in memory.

        Raises:
            DialectError: frames of another size.
        """
        return [self._apply(as_numpy(one)) for one in frames]

    def describe(self, ids: Iterable[str]) -> str:
        """Such as "centred on FLEURS train", or with "transductive" where the utterances `ids` are among its own."""
        ids = {str(one) for one in ids}
        shared = len(ids & self.ids)
        what = f"{'centred' if self.whitening is None else 'whitened'} on {self.source}"
        return f"{what} (transductive: {shared} of {len(ids)} utterances are in it)" if shared else what

    def _apply(self, frames: np.ndarray) -> np.ndarray:
        if frames.shape[-1] != len(self.mean):
            raise DialectError(
                f"frames have {frames.shape[-1]} channels, the statistics of {self.source} {len(self.mean)}; take both "
                "from one layer of one model"
            )
        moved = frames - self.mean
        return (moved if self.whitening is None else moved @ self.whitening).astype(np.float32)


def _whitening(arrays: Sequence[np.ndarray], mean: np.ndarray, n_frames: int, shrinkage: float) -> np.ndarray:
    covariance = sum((one - mean).T @ (one - mean) for one in arrays) / n_frames
    variances, directions = np.linalg.eigh(covariance)
    variances = (1 - shrinkage) * np.maximum(variances, 0) + shrinkage * variances.mean()
    if variances.min() <= 0:
        raise DialectError("some directions have no variance and shrinkage is 0; expected a share such as 0.01")
    return (directions / np.sqrt(variances)) @ directions.T
