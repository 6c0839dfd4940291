"""Intervals of an ABX score over draws of whole groups, and its band when the labels of ON mean nothing.

Dimensions: N items, G groups, K values of ON, R draws or permutations.
"""

from dataclasses import dataclass, field
from math import factorial, prod

import numpy as np

from hf_dialects.abx.counts import Counter, Counts
from hf_dialects.abx.task import Task, combined, mixes
from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_codes, as_numpy
from hf_dialects.metrics.intervals import Interval, expanded_tail, interval_ends
from hf_dialects.metrics.resampling import FEW_GROUPS, Resampling


@dataclass(frozen=True)
class PermutationBand:
    """A score beside those of permuted labels.

    Attributes:
        score: with the labels as they are.
        low, high: the band that holds 95 % of the scores of permuted labels; with few groups it is wide and need not
            lie around 0.5.
        mean: of these scores.
        p: share of labellings, the given one among them, that score at least as high.
        n: permutations.
        n_groups: units whose labels were exchanged.
        arrangements: how many different labellings there are; p is at least one over this.
        warning: why not to rely on it, such as "indicative (4 speakers)"; None otherwise.
        null: (n,) float64, the scores of permuted labels, NaN where a permutation left no triple.
    """

    score: float
    low: float
    high: float
    mean: float
    p: float
    n: int
    n_groups: int
    arrangements: int
    warning: str | None = None
    null: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Like "0.712, by chance 0.431 to 0.580, p = 0.001"."""
        text = f"{self.score:.3f}, by chance {self.low:.3f} to {self.high:.3f}, p = {self.p:.2g}"
        return text if self.warning is None else f"{text}, {self.warning}"


class PairMeans:
    """Scores of R labellings or draws, gathered from cells to pairs of values to one number each."""

    def __init__(self, n_values: int, n_replicates: int, weighted: bool):
        self.sums, self.totals = np.zeros((2, n_replicates, n_values, n_values))
        self.weighted = weighted

    def add(self, counts: Counts, cell_weights: np.ndarray | None = None) -> None:
        """Add a context; `cell_weights` (R, C, C) by ACROSS of X and ACROSS of A and B."""
        weights = 1.0 if cell_weights is None else cell_weights[:, None, :, :, None]
        full = counts.triples > 0
        if self.weighted:
            sums, totals = weights * counts.wins, weights * counts.triples
        else:
            sums, totals = weights * np.where(full, counts.scores, 0.0), weights * full
        place = np.ix_(range(len(self.sums)), counts.labels, counts.labels)
        self.sums[place] += sums.sum(axis=(2, 3))
        self.totals[place] += totals.sum(axis=(2, 3))

    def scores(self) -> np.ndarray:
        """(R,) float64, NaN where nothing counts."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.weighted:
                return self.sums.sum(axis=(1, 2)) / self.totals.sum(axis=(1, 2))
            return mean_of_pairs((self.sums / self.totals).reshape(len(self.sums), -1))


def mean_of_pairs(scores: np.ndarray) -> np.ndarray:
    """(R,) means over the pairs (R, P) that have a score; NaN without any."""
    known = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        return np.where(known, scores, 0.0).sum(axis=1) / known.sum(axis=1)


def interval(counter: Counter, score: float, weighted: bool, by, crossed, n: int, seed: int, level: float) -> Interval:
    """`ABXResult.interval`."""
    if not 0 < level < 1:
        raise DialectError(f"level is {level}; expected a coverage between 0 and 1, such as 0.95")
    if n < 2:
        raise DialectError(f"n is {n}; expected at least 2 draws, better 1000 or more")
    task = counter.task
    resampling = Resampling(
        _group_values(task, by),
        None if crossed is None else _group_values(task, crossed),
        task.on_column.codes,
        task.n,
    )
    if crossed is not None and not _fixed_in_contexts(task, resampling.crossed.codes):
        raise DialectError(f"crossed={crossed!r} varies within a context; expected one of by={task.by!r}")
    random = np.random.default_rng(seed)
    weights = resampling.groups.multiplicities(n, random)
    crossed_weights = None if crossed is None else resampling.crossed.multiplicities(n, random)
    values = np.concatenate(
        [
            _weighted_scores(
                counter, weighted, resampling, weights[:, part], None if crossed is None else crossed_weights[:, part]
            )
            for part in counter.portions(n)
        ]
    )
    valid = values[~np.isnan(values)]
    low, high = interval_ends(valid, score, expanded_tail((1 - level) / 2, resampling.degrees_of_freedom))
    empty = None if len(valid) == n else f"{n - len(valid)} of {n} draws were empty"
    warnings = [resampling.few_groups_warning(_plural(by)), empty]
    return Interval(
        value=score,
        low=float(low),
        high=float(high),
        n=task.n,
        n_groups=resampling.groups.n_groups,
        groups_per_class=resampling.groups.groups_per_class,
        warning="; ".join(filter(None, warnings)) or None,
    )


def permutation_band(
    counter: Counter, score: float, weighted: bool, by, n: int, seed: int, level: float
) -> PermutationBand:
    """Scores when the labels of ON are exchanged between whole groups, everything else staying in its place.

    Groups with one value of ON each, such as speakers of dialects, exchange their values; where values of BY are fixed
    for a group, only with groups of the same. If some group has several values of ON, such as a speaker recorded with
    several microphones, the values are exchanged within each group instead.

    Raises:
        DialectError: missing groups; fewer than 1 permutation.
    """
    if n < 1 or not 0 < level < 1:
        raise DialectError(f"n is {n} and level {level}; expected a number of permutations and a share such as 0.95")
    task = counter.task
    on = task.on_column.codes
    groups = as_codes(str(by) if isinstance(by, str) else "by", _group_values(task, by), task.n)
    nested = not mixes(groups, on[None])
    unit, pairs = combined(np.stack([groups, on], axis=1))
    of_unit = pairs[:, 1]
    stratum = _strata(task, groups, pairs[:, 0]) if nested else pairs[:, 0]
    arrangements = prod(_arrangements(of_unit[stratum == one]) for one in np.unique(stratum))
    random = np.random.default_rng(seed)
    labels = np.repeat(of_unit[None], n, axis=0)
    for one in np.unique(stratum):
        members = np.flatnonzero(stratum == one)
        labels[:, members] = random.permuted(labels[:, members], axis=1)
    values = np.concatenate([_scores(counter, weighted, labels[part][:, unit]) for part in counter.portions(n)])
    valid = values[~np.isnan(values)]
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2]) if len(valid) else (np.nan, np.nan)
    as_high = int((valid >= score - 1e-12).sum())
    n_groups = len(of_unit) if nested else int(groups.max()) + 1
    warnings = [
        f"indicative ({n_groups} {_plural(by)})" if n_groups < FEW_GROUPS else None,
        "no permutation changes the score: take groups within the contexts" if np.ptp(valid) < 1e-12 else None,
        None if len(valid) == n else f"{n - len(valid)} of {n} permutations left no triple",
    ]
    return PermutationBand(
        score=score,
        low=float(low),
        high=float(high),
        mean=float(valid.mean()),
        p=(1 + as_high) / (1 + len(valid)),
        n=n,
        n_groups=n_groups,
        arrangements=arrangements,
        warning="; ".join(filter(None, warnings)) or None,
        null=values,
    )


def _scores(counter: Counter, weighted: bool, labels: np.ndarray) -> np.ndarray:
    """(R,) scores of the labellings (R, N)."""
    means = PairMeans(len(counter.task.on_column.values), len(labels), weighted)
    for counts in counter.count(labels):
        means.add(counts)
    return means.scores()


def _weighted_scores(counter: Counter, weighted: bool, resampling: Resampling, weights, crossed_weights) -> np.ndarray:
    """(R,) scores of draws with `weights` (G, R) and, for a crossed factor, `crossed_weights` (G', R)."""
    task, groups = counter.task, resampling.groups.codes
    size = weights.shape[1]
    means = PairMeans(len(task.on_column.values), size, weighted)
    of_cells = _fixed_in_cells(task, groups)
    # where groups make up the cells, triples of one cell weigh the same
    alike = np.zeros(task.n, dtype=np.int64), np.ones((1, size))
    for counts in counter.weigh(*(alike if of_cells else (groups, weights))):
        context = counts.context
        n_across = len(context.across_values)
        cell_weights = np.ones((size, n_across, n_across))
        if of_cells:
            first = np.unique(context.across, return_index=True)[1]
            cell_weights *= _of_cells(weights, groups[context.items[first]])
        if crossed_weights is not None:
            factor = crossed_weights[resampling.crossed.codes[context.items[0]]]
            cell_weights *= factor[:, None, None]
        means.add(counts, cell_weights)
    return means.scores()


def _of_cells(weights: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(R, C, C) product of the weights (G, R) of the groups (C,) of X and of A and B; one if they are the same."""
    of_value = weights[group].T
    product = of_value[:, :, None] * of_value[:, None, :]
    return np.where(group[:, None] == group, of_value[:, :, None], product)


def _fixed_in_contexts(task: Task, codes: np.ndarray) -> bool:
    return all((codes[context.items] == codes[context.items[0]]).all() for context in task.contexts)


def _fixed_in_cells(task: Task, codes: np.ndarray) -> bool:
    """Whether items of one context that share the values of ACROSS belong to one group."""
    return all(not mixes(context.across, codes[None, context.items]) for context in task.contexts)


def _strata(task: Task, groups: np.ndarray, of_unit: np.ndarray) -> np.ndarray:
    """(G,) number of the values that each group has in those attributes of BY that are fixed for every group."""
    columns = [task.column(name).codes for name in task.by]
    first = np.unique(groups, return_index=True)[1]
    fixed = [codes[first][of_unit] for codes in columns if not mixes(groups, codes[None])]
    return combined(np.array(fixed, dtype=np.int64).reshape(-1, len(of_unit)).T)[0]


def _arrangements(labels: np.ndarray) -> int:
    return factorial(len(labels)) // prod(factorial(int(count)) for count in np.bincount(labels))


def _group_values(task: Task, by) -> np.ndarray:
    if not isinstance(by, str):
        return as_numpy(by)
    task.column(by)  # raises where it is missing
    return task.attributes[by]


def _plural(by) -> str:
    return f"{by}s" if isinstance(by, str) else "groups"
