"""What an ABX test found: a score per cell, per pair of values and over all, with intervals and a permutation test."""

from functools import cached_property
from itertools import chain

import numpy as np
import pandas as pd

from hf_dialects.abx.counts import Counter
from hf_dialects.abx.significance import PermutationBand, interval, mean_of_pairs, permutation_band
from hf_dialects.metrics.intervals import Interval


class ABXResult:
    """Scores of an ABX test: the share of triples in which X is nearer to A than to B, ties one half.

    The score of a cell is the mean over its triples, that of a pair of values the mean over its cells, the score the
    mean over the pairs; `weighted` takes the mean over all triples instead. Chance is one half.

    Attributes:
        cells: DataFrame, one row per cell: on_a (value of A and X), on_b (value of B), the columns of BY,
            {across}_ab and {across}_x, score (NaN without a triple), triples.
        pairs: DataFrame, one row per ordered pair of values: on_a, on_b, score (NaN without a cell), cells (with a
            triple), empty_cells, triples.
        weighted: whether means are over triples.
    """

    def __init__(self, counter: Counter, weighted: bool = False):
        self._counter = counter
        self.weighted = weighted
        self.cells, self._of_cells = _cells(counter)
        if not self.cells["triples"].any():
            raise counter.task.no_triple()

    @cached_property
    def pairs(self) -> pd.DataFrame:
        values = self._counter.task.on_column.values
        full = self.cells["triples"].to_numpy() > 0
        place = self._of_cells @ [len(values), 1]
        scores, triples = self.cells["score"].to_numpy()[full], self.cells["triples"].to_numpy()[full]

        def total(places: np.ndarray, weights=None) -> np.ndarray:
            return np.bincount(places, weights, minlength=len(values) ** 2)

        cells = total(place[full])
        weights = triples if self.weighted else np.ones(len(scores))
        with np.errstate(invalid="ignore"):
            score = total(place[full], scores * weights) / total(place[full], weights)
        table = {
            "on_a": np.repeat(values, len(values)),
            "on_b": np.tile(values, len(values)),
            "score": score,
            "cells": cells,
            "empty_cells": total(place) - cells,
            "triples": total(place[full], triples).astype(np.int64),
        }
        unlike = ~np.eye(len(values), dtype=bool).ravel()
        return pd.DataFrame({name: column[unlike] for name, column in table.items()})

    @cached_property
    def score(self) -> float:
        """Mean over pairs of values; 1 = always told apart, 0.5 = chance."""
        if self.weighted:
            full = self.cells[self.cells["triples"] > 0]
            return float(np.average(full["score"], weights=full["triples"]))
        return float(mean_of_pairs(self.pairs["score"].to_numpy()[None])[0])

    @property
    def error_rate(self) -> float:
        """1 - score, the figure of the zero-resource community."""
        return 1 - self.score

    @property
    def matrix(self) -> pd.DataFrame:
        """(K, K) scores, the value of A and X in rows, that of B in columns; NaN on the diagonal and without a cell."""
        values = self._counter.task.on_column.values
        return self.pairs.pivot(index="on_a", columns="on_b", values="score").reindex(index=values, columns=values)

    @property
    def warning(self) -> str | None:
        """What is left out of the score for want of triples; None if nothing is."""
        empty = int((self.cells["triples"] == 0).sum())
        lacking = int((self.pairs["cells"] == 0).sum())
        parts = [f"{empty} of {len(self.cells)} cells have no triple"] if empty else []
        if lacking:
            parts.append(f"{lacking} of {len(self.pairs)} pairs of {self._counter.task.on} have no cell")
        return f"{' and '.join(parts)}: left out" if parts else None

    def interval(
        self, by="recording", crossed: str | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
    ) -> Interval:
        """`Interval` of the score over draws of whole groups.

        Cells are not built anew from copies of items: a triple weighs the product of the multiplicities of the groups
        its items belong to, each group once, so no item meets its own copy. Where groups make up the cells (they are
        values of BY or ACROSS), the cells are weighted. Groups nested in ON are drawn within their value.

        Args:
            by: attribute that is resampled whole: recording, speaker, site; or N values.
            crossed: second attribute drawn along, such as the sentence where each is read by all; one of BY.
            n, seed, level: as in `bootstrap_interval`; expanded percentiles, and a warning with few groups.

        Raises:
            DialectError: missing groups; `crossed` that varies within a context.
        """
        return interval(self._counter, self.score, self.weighted, by, crossed, n, seed, level)

    def permutation_band(self, by="recording", n: int = 1000, seed: int = 0, level: float = 0.95) -> PermutationBand:
        """The score against what it would be if ON meant nothing, see `significance.permutation_band`."""
        return permutation_band(self._counter, self.score, self.weighted, by, n, seed, level)

    def __str__(self) -> str:
        """Like "ABX score .875, error rate .125 (2 pairs, 2 cells, 16 triples)", and what was left out."""
        triples, cells = self.cells["triples"], int((self.cells["triples"] > 0).sum())
        pairs = int((self.pairs["cells"] > 0).sum())
        text = (
            f"ABX score {self.score:.3f}, error rate {self.error_rate:.3f} "
            f"({pairs} pairs, {cells} cells, {int(triples.sum())} triples)"
        )
        return text if self.warning is None else f"{text}; {self.warning}"

    __repr__ = __str__


def _cells(counter: Counter) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of cells, and the numbers (n_cells, 2) of the values on_a and on_b."""
    task = counter.task
    values = task.on_column.values
    columns = ["on_a", "on_b", *task.by, *(f"{name}{of}" for name in task.across for of in ("_ab", "_x"))]
    rows, numbers = [], []
    for counts in counter.count(task.on_column.codes[None]):
        context = counts.context
        present = np.zeros((len(counts.labels), len(context.across_values)), dtype=bool)
        present[np.searchsorted(counts.labels, task.on_column.codes[context.items]), context.across] = True
        scores = counts.scores[0]
        for a, x, ab, b in np.argwhere(_possible(present, context.across_apart)):
            pair = counts.labels[[a, b]]
            of_across = chain.from_iterable(zip(context.across_values[ab], context.across_values[x], strict=True))
            row = (*values[pair], *context.by, *of_across, scores[a, x, ab, b], counts.triples[0, a, x, ab, b])
            rows.append(row)
            numbers.append(pair)
    cells = pd.DataFrame(rows, columns=[*columns, "score", "triples"]).astype({"score": float, "triples": "int64"})
    return cells, np.array(numbers, dtype=np.int64).reshape(-1, 2)


def _possible(present: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """(K, C, C, K) bool: cells (label of A and X, ACROSS of X, ACROSS of A and B, label of B) with items on each side.

    Args:
        present: (K, C), which labels occur with which values of ACROSS.
        apart: (C, C), which values of ACROSS may stand beside each other.
    """
    unlike = ~np.eye(len(present), dtype=bool)
    sides = present[:, :, None, None] & present[:, None, :, None] & present.T[None, None, :, :]
    return sides & apart[None, :, :, None] & unlike[:, None, None, :]
