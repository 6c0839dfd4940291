"""Is one arm better than another: paired differences over groups and seeds, and correction for many comparisons."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy
from hf_dialects.metrics.intervals import Interval
from hf_dialects.metrics.resampling import Resampling, classes_of, evaluator, multiplicities

FEW_SEEDS = 5


@dataclass(frozen=True)
class PairedResult:
    """metric(a) - metric(b); unpacks as `difference, interval, p`.

    Attributes:
        difference: mean over seeds.
        interval: of the difference; it excludes 0 exactly where p is below 1 - level.
        p: two-sided.
        smallest_detectable: difference that data with this spread would show with 80 % power; inf where none would.
        n_seeds: runs of each arm.
        warning: few groups, few seeds; None otherwise.
    """

    difference: float
    interval: Interval
    p: float
    smallest_detectable: float
    n_seeds: int
    warning: str | None

    def __iter__(self) -> Iterator:
        return iter((self.difference, self.interval, self.p))

    def to_dict(self) -> dict:
        """The interval's entries, with p, smallest_detectable and seeds; what is not finite becomes None."""
        detectable = self.smallest_detectable if np.isfinite(self.smallest_detectable) else None
        more = {"p": self.p, "smallest_detectable": detectable, "seeds": self.n_seeds, "warning": self.warning}
        return {**self.interval.to_dict(), **more}


def paired_test(
    metric: Callable,
    a,
    b,
    gold,
    groups,
    crossed=None,
    seeds=None,
    strata=None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    unit: str = "speakers",
) -> PairedResult:
    """Test whether two arms, judged on the same rows, differ in `metric`.

    Groups and seeds are resampled together, the same for both arms, seeds in pairs. The p-value is that of Student's t
    with the bootstrap standard error. Its variance is that of groups plus that of seeds less their interaction, which
    both contain (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"), its degrees of freedom
    those of groups and of seeds after Satterthwaite. Unlike a share of draws it is not bounded by 1 / n, as Holm's
    correction over a table needs.

    Args:
        metric: called as `metric(gold, a, weights=...)` for labels and other values per row, as `metric(a, gold,
            weights=...)` for probabilities.
        a, b: predictions (N,) or (S, N) of S runs, or probabilities (N, C) or (S, N, C).
        gold: (N,) int.
        groups, crossed, strata, n, seed, level, unit: as in `bootstrap_interval`; strata None takes `gold`.
        seeds: (S,) seeds of the runs, distinct; run i of both arms has seed i. None: runs are paired by position.

    Under 5 runs the warning says that the variance over seeds is not resolved; with one run it is not in the interval
    at all. Where no class has two groups nothing can be tested: p is 1 and the interval infinite.

    Raises:
        DialectError: from the metric; arms of different shapes; seeds that do not fit the arms.
    """
    if not 0 < level < 1:
        raise DialectError(f"level is {level}; expected a coverage between 0 and 1, such as 0.95")
    a, b, gold = as_numpy(a), as_numpy(b), as_numpy(gold)
    runs = _runs(a, b, gold, seeds)
    n_seeds = len(runs)
    resampling = Resampling(
        groups, crossed, classes_of(metric, runs[0][0], gold if strata is None else strata), len(gold)
    )

    per_seed = np.array([metric(*of_a) - metric(*of_b) for of_a, of_b in runs])  # (S,)
    values_of = [tuple(evaluator(metric, arrays, resampling) for arrays in run) for run in runs]
    chunks = [
        np.stack([of_a(weights) - of_b(weights) for of_a, of_b in values_of]) for weights in resampling.draws(n, seed)
    ]
    draws = np.concatenate(chunks, axis=1)  # (S, n)
    draws = draws[:, ~np.isnan(draws).any(axis=0)]

    difference = float(per_seed.mean())
    error, freedom = _standard_error(per_seed, draws, resampling.degrees_of_freedom, np.random.default_rng([seed, 1]))
    few_groups = resampling.few_groups_warning(unit)
    few_seeds = f"{n_seeds} seed{'s' * (n_seeds > 1)}: seed variance is not resolved" if n_seeds < FEW_SEEDS else None
    empty = f"{n - draws.shape[1]} of {n} draws were empty" if draws.shape[1] < n else None
    reach = _quantile((1 + level) / 2, freedom) * error
    interval = Interval(
        value=difference,
        low=difference - reach,
        high=difference + reach,
        n=len(gold),
        n_groups=resampling.groups.n_groups,
        groups_per_class=resampling.groups.groups_per_class,
        warning=few_groups,
    )
    return PairedResult(
        difference=difference,
        interval=interval,
        p=_two_sided_p(difference, error, freedom),
        smallest_detectable=(_quantile((1 + level) / 2, freedom) + _quantile(0.8, freedom)) * error,
        n_seeds=n_seeds,
        warning="; ".join(filter(None, [few_groups, few_seeds, empty])) or None,
    )


def holm(p_values) -> np.ndarray:
    """Holm's step-down adjusted p-values, in the order given (M,) float64.

    The i-th smallest of M is multiplied by M - i + 1, raised to those before it and capped at 1.
    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = as_numpy(p_values).astype(np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():  # NaN fails both
        raise DialectError(f"p_values are {p.tolist()}; expected a list of values between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def _runs(a: np.ndarray, b: np.ndarray, gold: np.ndarray, seeds) -> list[tuple[tuple, tuple]]:
    """What the metric takes for each run: [(arguments of a, arguments of b)]."""
    if a.shape != b.shape:
        raise DialectError(f"a has shape {a.shape} and b {b.shape}; expected the same rows and as many runs in both")
    n = len(gold)
    is_probability = a.ndim == 3 or (a.ndim == 2 and a.dtype.kind == "f" and len(a) == n)
    runs_a, runs_b = (arm[None] if arm.ndim == 1 + is_probability else arm for arm in (a, b))
    if runs_a.ndim != 2 + is_probability or runs_a.shape[1] != n or not len(runs_a):
        raise DialectError(
            f"a and b have shape {a.shape} for {n} gold labels; expected (N,) or (S, N) for S runs, "
            "or (N, C) or (S, N, C) for probabilities"
        )
    if seeds is not None:
        seeds = as_numpy(seeds).tolist()
        if len(seeds) != len(runs_a) or len(set(seeds)) < len(seeds):
            raise DialectError(
                f"seeds are {seeds} for {len(runs_a)} runs of each arm; expected one distinct seed for each run"
            )
    if is_probability:
        return [((of_a, gold), (of_b, gold)) for of_a, of_b in zip(runs_a, runs_b, strict=True)]
    return [((gold, of_a), (gold, of_b)) for of_a, of_b in zip(runs_a, runs_b, strict=True)]


def _standard_error(
    per_seed: np.ndarray, draws: np.ndarray, group_freedom: int, random: np.random.Generator
) -> tuple[float, float]:
    """Standard error of the mean over seeds and its degrees of freedom; 0 of these where groups show no variance.

    per_seed: (S,) differences on all rows; draws: (S, n) differences in draws of groups.
    """
    n_seeds, n = draws.shape
    if group_freedom == 0 or n < 2:
        return np.inf, 0.0
    of_groups = draws.mean(axis=0)
    group_variance = of_groups.var(ddof=1)
    if n_seeds == 1:
        return float(np.sqrt(group_variance)), float(group_freedom)

    seed_weights = multiplicities(n_seeds, n, random) / n_seeds  # (S, n)
    of_seeds = per_seed @ seed_weights
    of_both = (draws * seed_weights).sum(axis=0)
    interaction_variance = (of_both - of_groups - of_seeds).var(ddof=1)
    seed_variance = per_seed.var(ddof=1) / n_seeds
    variance = max(group_variance + seed_variance - interaction_variance, group_variance, seed_variance)
    if variance == 0:
        return 0.0, float(group_freedom)
    parts = group_variance**2 / group_freedom + seed_variance**2 / (n_seeds - 1)
    parts += interaction_variance**2 / (group_freedom * (n_seeds - 1))
    return float(np.sqrt(variance)), float(variance**2 / parts)


def _two_sided_p(difference: float, error: float, freedom: float) -> float:
    if difference == 0 or freedom == 0:
        return 1.0
    return float(2 * stats.t.sf(abs(difference) / error, freedom)) if error > 0 else 0.0


def _quantile(probability: float, freedom: float) -> float:
    return float(stats.t.ppf(probability, freedom)) if freedom > 0 else np.inf
