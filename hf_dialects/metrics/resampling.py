"""Bootstrap draws of whole groups, such as speakers, and a metric's value in each draw.

Draws are rescaled (Rao and Wu 1988, JASA 83): of the k groups of a stratum k - 1 are drawn with replacement and each
draw counts k / (k - 1). Drawing k of k understates the variance by (k - 1) / k, a third with three speakers per class.
Crossed factors are drawn independently and a row weighs the product of its multiplicities (Owen 2007, "The pigeonhole
bootstrap"): safe, but where nothing matters except the combination of both the variance comes out up to threefold.

Dimensions: N rows, n draws, cells = groups, or combinations of group and crossed value.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_codes
from hf_dialects.metrics.totals import totals_of

_CHUNK = 4_000_000  # weights held at a time

FEW_GROUPS = 8
FEW_GROUPS_PER_CLASS = 3


class Factor:
    """One resampled column and its strata.

    Groups that share a class, directly or through others, share a stratum: groups nested in classes are drawn within
    their class; where every group has rows of every class there is one stratum.

    Attributes:
        codes: (N,) int, the group of each row.
        strata: (n_groups,) int.
        groups_per_class: number of groups of the class that has fewest; None where classes are unknown.
        degrees_of_freedom: number of groups less the number of strata.
    """

    def __init__(self, name: str, values, classes: np.ndarray | None, n_rows: int):
        self.codes = as_codes(name, values, n_rows)
        self.n_groups = int(self.codes.max()) + 1
        if classes is None:
            self.strata, self.groups_per_class = np.zeros(self.n_groups, dtype=np.int64), None
        else:
            n_classes = int(classes.max()) + 1
            pairs = np.unique(self.codes * n_classes + classes)
            group, of_class = np.divmod(pairs, n_classes)
            size = self.n_groups + n_classes
            graph = sparse.csr_array((np.ones(len(pairs)), (group, self.n_groups + of_class)), shape=(size, size))
            self.strata = connected_components(graph, directed=False)[1][: self.n_groups]
            self.groups_per_class = int(np.bincount(of_class)[np.unique(of_class)].min())
        self.degrees_of_freedom = self.n_groups - len(np.unique(self.strata))

    @property
    def is_few(self) -> bool:
        """Whether an interval over this factor is no more than indicative."""
        per_class = FEW_GROUPS_PER_CLASS if self.groups_per_class is None else self.groups_per_class
        return self.n_groups < FEW_GROUPS or per_class < FEW_GROUPS_PER_CLASS

    def multiplicities(self, n: int, random: np.random.Generator) -> np.ndarray:
        """How much each group counts in n draws, (n_groups, n) float64; every stratum keeps its total."""
        weights = np.empty((self.n_groups, n))
        for stratum in np.unique(self.strata):
            members = np.flatnonzero(self.strata == stratum)
            weights[members] = multiplicities(len(members), n, random)
        return weights


class Resampling:
    """Draws of groups, alone or crossed with a second factor.

    Attributes:
        groups, crossed: the factors; crossed is None for one factor.
        cell: (N,) int, the cell of each row.
    """

    def __init__(self, groups, crossed, classes, n_rows: int):
        classes = None if classes is None else as_codes("strata", classes, n_rows)
        self.groups = Factor("groups", groups, classes, n_rows)
        self.crossed = None if crossed is None else Factor("crossed", crossed, classes, n_rows)
        if self.crossed is None:
            self.cell, self.n_cells = self.groups.codes, self.groups.n_groups
        else:
            pairs, self.cell = np.unique(
                self.groups.codes * self.crossed.n_groups + self.crossed.codes, return_inverse=True
            )
            self._cell_group, self._cell_crossed = np.divmod(pairs, self.crossed.n_groups)
            self.n_cells = len(pairs)

    @property
    def degrees_of_freedom(self) -> int:
        """Of the factor that has fewer."""
        factors = [self.groups] if self.crossed is None else [self.groups, self.crossed]
        return min(factor.degrees_of_freedom for factor in factors)

    def draws(self, n: int, seed: int) -> Iterator[np.ndarray]:
        """Weights (n_cells, d) of n draws, d at a time; the same for the same groups, n and seed."""
        if n < 2:
            raise DialectError(f"n is {n}; expected at least 2 draws, better 1000 or more")
        random = np.random.default_rng(seed)
        step = max(1, _CHUNK // self.n_cells)
        for start in range(0, n, step):
            d = min(step, n - start)
            weights = self.groups.multiplicities(d, random)
            if self.crossed is not None:
                weights = weights[self._cell_group] * self.crossed.multiplicities(d, random)[self._cell_crossed]
            yield weights

    def few_groups_warning(self, unit: str) -> str | None:
        """Such as "indicative (4 speakers)"; None where groups are many. `unit` is the plural of what a group is."""
        if not self.groups.is_few and (self.crossed is None or not self.crossed.is_few):
            return None
        n, per_class = self.groups.n_groups, self.groups.groups_per_class
        found = f"{n} {unit if n != 1 else unit.removesuffix('s')}"
        if n >= FEW_GROUPS and self.groups.is_few:
            found += f", {per_class} in the smallest class"
        if self.crossed is not None and self.crossed.is_few:
            found += f", {self.crossed.n_groups} crossed"
        return f"indicative ({found})"


def multiplicities(k: int, n: int, random: np.random.Generator) -> np.ndarray:
    """How much each of k groups of a stratum counts in n draws: (k, n) float64, columns sum to k; ones for k = 1."""
    size = max(k - 1, 1)
    drawn = random.integers(k, size=(size, n)) * n + np.arange(n)
    return np.bincount(drawn.ravel(), minlength=k * n).reshape(k, n) * (k / size)


def evaluator(metric: Callable, arrays: tuple, resampling: Resampling) -> Callable[[np.ndarray], np.ndarray]:
    """Function from the weights (n_cells, d) of draws to the metric's values (d,), NaN where a draw is empty.

    Metrics made of totals are computed from the totals of cells, prepared ones from the weights of rows, some draws at
    a time; others are called once per draw with `weights`.
    """
    totals, cell = totals_of(metric), resampling.cell
    if prepare := getattr(metric, "prepare", None):
        values_of, step = prepare(*arrays), max(1, _CHUNK // len(cell))

        def some_at_a_time(weights: np.ndarray) -> np.ndarray:
            parts = (weights[:, start : start + step] for start in range(0, weights.shape[1], step))
            return np.concatenate([values_of(part[cell]) for part in parts])

        return some_at_a_time
    if totals is None:

        def one_by_one(weights: np.ndarray) -> np.ndarray:
            columns = (column[cell] for column in weights.T)
            return np.array([metric(*arrays, weights=column) if column.any() else np.nan for column in columns])

        return one_by_one

    rows, formula, _ = totals(*arrays)
    n_rows = rows.shape[0]
    members = sparse.csr_array(
        (np.ones(n_rows), (resampling.cell, np.arange(n_rows))), shape=(resampling.n_cells, n_rows)
    )
    cell_totals = sparse.csr_array((members @ rows).T)  # (K, n_cells)
    return lambda weights: formula((cell_totals @ weights).T)


def classes_of(metric: Callable, arrays: tuple, strata):
    """The class of each row: `strata`, else the gold labels where the metric tells which they are, else None."""
    totals = totals_of(metric)
    return totals(*arrays).gold if strata is None and totals is not None else strata
