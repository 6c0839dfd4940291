"""Do two tables of distances between the same dialects go together: the Mantel test.

C dialects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from scipy.stats import rankdata

from hf_dialects.errors import DialectError

EARTH_KM = 6371.0088  # mean radius
SIDES = ("greater", "less", "two-sided")


@dataclass(frozen=True)
class MantelResult:
    """Correlation of two tables over the pairs of dialects.

    Attributes:
        correlation: -1 to 1.
        p: share of permutations of the dialects, the given order among them, that are at least as extreme.
        permutations: how many were looked at.
        exact: whether these are all there are.
    """

    correlation: float
    p: float
    permutations: int
    exact: bool


def mantel(a, b, alternative: str = "two-sided", method: str = "spearman", n: int = 9999, seed: int = 0):
    """Correlation of the entries above the diagonal, tested by permuting the dialects of `a`.

    Pairs of dialects are not independent, dialects are exchangeable: rows and columns are permuted together. All orders
    are taken where there are at most `n`.

    Source: Mantel 1967, "The detection of disease clustering and a generalized regression approach".

    Args:
        a, b: (C, C) symmetric; the diagonal is not looked at.
        alternative: "greater", "less" or "two-sided".
        method: "spearman", of ranks, or "pearson".

    Raises:
        DialectError: tables of unequal or no square shape, not symmetric or not finite, fewer than 4 dialects, or
            entries that are all equal.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    _check(a, b, alternative, method)
    size = len(a)
    above = np.triu_indices(size, k=1)
    if method == "spearman":
        a, b = _ranked(a, above), _ranked(b, above)
    fixed = _standardised(b[above])
    moved = a - a[above].mean()
    scale = np.sqrt((moved[above] ** 2).sum())

    def correlation(order: np.ndarray) -> float:
        return float(moved[np.ix_(order, order)][above] @ fixed / scale)

    exact = factorial(size) <= n + 1
    if exact:
        orders = (np.array(order) for order in permutations(range(size)))
    else:
        random = np.random.default_rng(seed)
        orders = (np.arange(size) if first else random.permutation(size) for first in [True, *[False] * n])
    found = np.array([correlation(order) for order in orders])
    given = found[0]
    extreme = {"greater": found - given, "less": given - found, "two-sided": np.abs(found) - abs(given)}[alternative]
    return MantelResult(float(given), float((extreme >= -1e-12).mean()), len(found), exact)


def great_circle_km(latitudes: Sequence[float], longitudes: Sequence[float]) -> np.ndarray:
    """(C, C) distances on the sphere between points given in degrees (haversine formula)."""
    lat, lon = np.radians(np.asarray(latitudes, dtype=float)), np.radians(np.asarray(longitudes, dtype=float))
    half = np.sin((lat[:, None] - lat) / 2) ** 2
    half = half + np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    return 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


def mutual_confusion(counts) -> np.ndarray:
    """(C, C) symmetric: the mean of the shares of i taken for j and of j taken for i.

    Args:
        counts: (C, C) confusion, gold in rows; every row has an entry above 0.
    """
    counts = np.asarray(counts, dtype=np.float64)
    shares = counts / counts.sum(1, keepdims=True)
    return (shares + shares.T) / 2


def _ranked(table: np.ndarray, above) -> np.ndarray:
    """The table with its entries above the diagonal as ranks, on both sides of it."""
    ranks = np.zeros_like(table)
    ranks[above] = rankdata(table[above])
    return ranks + ranks.T


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values - values.mean()
    return values / np.sqrt((values**2).sum())


def _check(a: np.ndarray, b: np.ndarray, alternative: str, method: str) -> None:
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise DialectError(f"the tables have the shapes {a.shape} and {b.shape}; expected two of the same square shape")
    if len(a) < 4:
        raise DialectError(f"a Mantel test of {len(a)} dialects has too few orders; expected at least 4")
    if alternative not in SIDES or method not in ("spearman", "pearson"):
        raise DialectError(
            f"alternative is {alternative!r} and method {method!r}; expected one of {', '.join(SIDES)}, "
            "and spearman or pearson"
        )
    above = np.triu_indices(len(a), k=1)
    for name, table in (("first", a), ("second", b)):
        if not np.isfinite(table[above]).all() or not np.allclose(table, table.T):
            raise DialectError(f"the {name} table is not symmetric, or has entries that are not finite")
        if np.ptp(table[above]) == 0:
            raise DialectError(f"all pairs have the same value in the {name} table; nothing can correlate with it")
