"""How many words the two sides of a right pair share: what is said alike may be found by its sound alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hf_dialects.retrieval.parallel import Pair

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def tokens(text) -> frozenset[str]:
    """Words of a text, in small letters; characters where it is written without spaces. Empty for a missing text."""
    words = text.lower().split() if isinstance(text, str) else []
    return frozenset(words if len(words) > 1 else "".join(words))


def jaccard(left: frozenset, right: frozenset) -> float:
    """Share of the words of both that are words of each; NaN where one has none."""
    return len(left & right) / len(left | right) if left and right else np.nan


def overlap_of(pair: Pair, words: Sequence[frozenset[str]]) -> np.ndarray:
    """(n,) largest overlap of each query with a right target, NaN where a text is missing."""
    found = np.full(len(pair.queries), np.nan)
    for row, query in enumerate(pair.queries):
        values = [jaccard(words[query], words[target]) for target in pair.targets[pair.right[row]]]
        found[row] = np.nan if np.isnan(values).all() else np.nanmax(values)
    return found


def by_overlap(overlap: np.ndarray, credits: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean credit of the queries (Q,) in each fifth of the overlap: low, high, n and the names of the credits."""
    fifth = np.digitize(overlap, EDGES[1:-1])  # NaN comes last and is left out below
    rows = []
    for number in range(len(EDGES) - 1):
        inside = ~np.isnan(overlap) & (fifth == number)
        means = {name: values[inside].mean() if inside.any() else np.nan for name, values in credits.items()}
        rows.append({"low": EDGES[number], "high": EDGES[number + 1], "n": int(inside.sum()), **means})
    return pd.DataFrame(rows)
