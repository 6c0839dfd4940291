"""Hubs: targets that are returned for many queries, whatever these say; and scores that allow for them.

Dimensions: N queries, M targets.
"""

import numpy as np
from scipy import stats

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy

NEIGHBOURS = 10


def k_occurrence(scores, k: int = 1) -> np.ndarray:
    """How often each target (M,) float64 is among the k best of a query.

    Of equal scores at the edge of the k best each counts in part. Source: Radovanović et al. 2010, "Hubs in space",
    JMLR 11.

    Args:
        scores: (N, M), higher for what is more alike.
        k: 1 to M.

    Raises:
        DialectError: shapes, NaN or k that do not fit.
    """
    scores = _checked(scores, k)
    edge = -np.partition(-scores, k - 1, axis=1)[:, k - 1, None]
    above, at = scores > edge, scores == edge
    left = k - above.sum(axis=1, keepdims=True)
    return (above + at * (left / at.sum(axis=1, keepdims=True))).sum(axis=0)


def skewness(counts) -> float:
    """Third standardised moment of k-occurrences (M,): 0 without hubs, above 1 with strong ones; 0 if all are equal."""
    counts = np.asarray(counts, dtype=np.float64)
    return float(stats.skew(counts)) if np.ptp(counts) > 0 else 0.0


def csls(scores, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Cross-domain similarity local scaling (N, M) float64: 2 s(x, y) - r(x) - r(y).

    r is the mean score of the `neighbours` best of a row or column, or of all where there are fewer: what is close to
    everything loses. Source: Conneau et al. 2018, "Word translation without parallel data", arXiv:1710.04087.

    Raises:
        DialectError: shapes or NaN, or no neighbours.
    """
    scores = _checked(scores, 1)
    if neighbours < 1:
        raise DialectError(f"neighbours is {neighbours}; expected 1 or more")
    of_queries = _mean_of_best(scores, neighbours)
    of_targets = _mean_of_best(scores.T, neighbours)
    return 2 * scores - of_queries[:, None] - of_targets


def _mean_of_best(scores: np.ndarray, k: int) -> np.ndarray:
    """(N,) mean of the k highest of each row, summed in the order of size so that equal rows have equal means."""
    k = min(k, scores.shape[1])
    return np.sort(scores, axis=1)[:, -k:].mean(axis=1)


def _checked(scores, k: int) -> np.ndarray:
    scores = as_numpy(scores).astype(np.float64)
    if scores.ndim != 2 or 0 in scores.shape or np.isnan(scores).any():
        raise DialectError(f"scores have shape {scores.shape} or hold NaN; expected (N, M), queries by targets")
    if not 1 <= k <= scores.shape[1]:
        raise DialectError(f"k is {k}; expected 1 to the number of targets, {scores.shape[1]}")
    return scores
