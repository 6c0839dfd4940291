"""What SeqSim is held against: cheaper similarities, fairer distractors, labels without meaning.

Dimensions: N utterances, n queries and m targets of a pair of sites.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy
from hf_dialects.retrieval.hubness import csls
from hf_dialects.retrieval.parallel import Pair, Parallel

SEQSIM, CSLS, MEAN_VECTOR, DURATION = "SeqSim", "CSLS", "mean vector", "duration only"
MATCHED, SHUFFLED = "duration-matched distractors", "shuffled labels"
OWN = (SEQSIM, CSLS, MATCHED, MEAN_VECTOR, DURATION, SHUFFLED)


class Trial(NamedTuple):
    """One way to retrieve within a pair of sites.

    Attributes:
        name: what it is called.
        scores: (n, m); minus infinity for targets that do not compete.
        right: (n, m) bool.
    """

    name: str
    scores: np.ndarray
    right: np.ndarray


class Trials:
    """All ways, pair of sites by pair of sites.

    Args:
        scores: (N, N) SeqSim.
        frames: N arrays (T, D), for their mean vectors.
        durations: (N,), in any unit.
        others: name → (N, N) similarities of your own, higher for what is more alike.
        distractors: how many wrong targets compete where they are matched in duration.
        neighbours: of CSLS.
        seed: of the shuffled labels.
    """

    def __init__(
        self,
        scores: np.ndarray,
        frames: Sequence,
        durations: np.ndarray,
        others: Mapping[str, np.ndarray],
        distractors: int,
        neighbours: int,
        seed: int,
    ):
        self.log_duration = np.log(durations)
        gaps = -np.abs(self.log_duration[:, None] - self.log_duration)
        self.matrices = {SEQSIM: scores, MEAN_VECTOR: cosine_of_means(frames), DURATION: gaps}
        for name, given in others.items():
            self.matrices[name] = _checked(name, given, len(durations))
        self.distractors, self.neighbours, self.seed = distractors, neighbours, seed

    def of(self, pair: Pair) -> Iterator[Trial]:
        """Every way within a pair of sites."""
        block = np.ix_(pair.queries, pair.targets)
        for name, matrix in self.matrices.items():
            yield Trial(name, matrix[block], pair.right)
        scores = self.matrices[SEQSIM][block]
        yield Trial(CSLS, csls(scores, self.neighbours), pair.right)
        yield Trial(MATCHED, np.where(self._competes(pair), scores, -np.inf), pair.right)
        order = generator(self.seed, 0, (pair.source, pair.target), SHUFFLED).permutation(len(pair.targets))
        yield Trial(SHUFFLED, scores, pair.right[:, order])

    def _competes(self, pair: Pair) -> np.ndarray:
        """Right targets, and for each query the wrong ones whose duration is nearest to that of a right one, (n, m)."""
        durations = self.log_duration[pair.targets]
        gaps = np.array([np.abs(durations - durations[row][:, None]).min(axis=0) for row in pair.right])
        gaps[pair.right] = np.inf
        nearest = np.argsort(gaps, axis=1, kind="stable")[:, : self.distractors]
        competes = pair.right.copy()
        np.put_along_axis(competes, nearest, True, axis=1)
        return competes


def cosine_of_means(frames: Sequence) -> np.ndarray:
    """(N, N) float64 cosines of mean vectors; 0 beside a mean of length zero."""
    means = np.stack([as_numpy(one).mean(axis=0, dtype=np.float64) for one in frames])
    lengths = np.sqrt((means**2).sum(axis=1, keepdims=True))
    units = means / np.where(lengths > 0, lengths, 1)
    return units @ units.T


def durations_of(parallel: Parallel, frames: Sequence) -> tuple[np.ndarray, str]:
    """(N,) durations and what they are: the attribute `duration`, else numbers of frames."""
    given = parallel.column("duration")
    if given is not None and given.dtype.kind in "fiu" and (given > 0).all():
        return given.astype(np.float64), "seconds of the attribute duration"
    return np.array([len(one) for one in frames], dtype=np.float64), "numbers of frames"


def _checked(name: str, given, n: int) -> np.ndarray:
    matrix = as_numpy(given)
    if name in OWN:
        raise DialectError(f"{name!r} is a name of the benchmark's own; give the control another one")
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise DialectError(f"control {name!r} has shape {matrix.shape} or is not finite; expected ({n}, {n})")
    return matrix
