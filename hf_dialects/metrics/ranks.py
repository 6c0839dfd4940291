"""How early the right item stands in a ranked list: recall among the first k, mean reciprocal rank.

Shapes: ranks (N,) int, the 1-based rank of the right item of each query; weights (N,) float or None for ones.
"""

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_labels, as_numpy, check_same_length
from hf_dialects.metrics.totals import Totals, additive, mean_totals


@additive
def recall_at_k(ranks, k: int = 1) -> Totals:
    """Share of queries, by weight, whose right item is among the first k.

    Raises:
        DialectError: no query, ranks below 1, or k below 1.
    """
    if k < 1:
        raise DialectError(f"k is {k}; expected 1 or more")
    return _mean_over_queries(as_ranks(ranks) <= k)


@additive
def mean_reciprocal_rank(ranks) -> Totals:
    """Mean of 1 / rank over queries, by weight.

    Source: Voorhees 1999, "The TREC-8 question answering track report".

    Raises:
        DialectError: no query, or ranks below 1.
    """
    return _mean_over_queries(1 / as_ranks(ranks))


def ranks_of(similarity, right) -> np.ndarray:
    """Rank (N,) int64, from 1, of the right item of each query among M candidates.

    Of several right items the first counts. Equal similarity counts against: a wrong item stands before a right one, so
    that a constant similarity finds nothing.

    Args:
        similarity: (N, M) float, higher for what matches better.
        right: (N,) int, the right candidate, or (N, M) bool where there may be several.

    Raises:
        DialectError: NaN, shapes that do not fit, or a query without a right candidate.
    """
    similarity, right = as_numpy(similarity), as_numpy(right)
    if similarity.ndim != 2 or 0 in similarity.shape or np.isnan(similarity).any():
        raise DialectError(
            f"similarity has shape {similarity.shape} or holds NaN; expected (N, M), one row per query, without NaN"
        )
    n_candidates = similarity.shape[1]
    if right.ndim == 1:
        right = as_labels("right", right, n_candidates)[:, None] == np.arange(n_candidates)
    check_same_length(similarity=similarity, right=right)
    if right.dtype != bool or right.shape != similarity.shape:
        raise DialectError(f"right is {right.dtype} {right.shape}; expected (N,) int, or bool {similarity.shape}")
    without = np.flatnonzero(~right.any(1))
    if len(without):
        raise DialectError(f"{len(without)} queries have no right candidate, first query {without[0]}; leave them out")
    best = np.where(right, similarity, -np.inf).max(1, keepdims=True)
    return 1 + ((similarity >= best) & ~right).sum(1)


def as_ranks(values) -> np.ndarray:
    """Ranks (N,) int64, N > 0, all at least 1."""
    ranks = as_labels("ranks", values)
    if ranks.min() < 1:
        raise DialectError("ranks hold 0; expected ranks that start at 1")
    return ranks


def _mean_over_queries(values: np.ndarray) -> Totals:
    return mean_totals(values.astype(np.float64), np.zeros(len(values), dtype=np.int64))
