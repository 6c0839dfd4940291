"""What a query earns where several targets are right and some are equally similar.

Of equally similar targets none comes first: a query earns what it would on average over their orders. Chance is the
same thing with all targets equally similar.

Dimensions: N queries, M targets.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hf_dialects.errors import DialectError


class Place(NamedTuple):
    """Where the best right target of each query stands, (N,) int64 each.

    Attributes:
        above: wrong targets that are more similar.
        tied: targets as similar as it, itself among them.
        right: right ones among these.
    """

    above: np.ndarray
    tied: np.ndarray
    right: np.ndarray


def places(scores: np.ndarray, right: np.ndarray) -> Place:
    """Place of the best right target of each row.

    Args:
        scores: (N, M).
        right: (N, M) bool, at least one per row.

    Raises:
        DialectError: a row without a right target, or NaN.
    """
    if np.isnan(scores).any() or not right.any(axis=1).all():
        raise DialectError("scores hold NaN, or a query has no right target; leave such queries out")
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    tied = scores == best
    return Place((scores > best).sum(axis=1), tied.sum(axis=1), (tied & right).sum(axis=1))


def chance(competes: np.ndarray, right: np.ndarray) -> Place:
    """Place of the right targets if all that compete, (N, M) bool both, were equally similar."""
    n = competes.sum(axis=1)
    return Place(np.zeros_like(n), n, (competes & right).sum(axis=1))


def recall_credit(place: Place, k: int) -> np.ndarray:
    """(N,) probability that a right target is among the first k: hypergeometric within the ties."""
    found = np.zeros(len(place.above))
    for rank, probability in _first_right(place, most=k):
        found += np.where(rank <= k, probability, 0)
    return found


def reciprocal_credit(place: Place) -> np.ndarray:
    """(N,) expected 1 / rank of the first right target."""
    return sum(probability / rank for rank, probability in _first_right(place))


def _first_right(place: Place, most: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ranks (N,) that the first right target may have, one after the other, and how likely it has them."""
    above, tied, right = place
    missed = np.ones(len(above))
    for drawn in range(min(most or tied.max(initial=0), tied.max(initial=0))):
        left = np.maximum(tied - drawn, 1)
        hit = np.minimum(right / left, 1)  # none is left once the ties are through, and nothing is missed by then
        yield above + drawn + 1, missed * hit
        missed = missed * (1 - hit)
