"""Intervals for a metric that resample whole groups, such as speakers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_dialects.errors import DialectError
from hf_dialects.metrics.resampling import Resampling, classes_of, evaluator


@dataclass(frozen=True)
class Interval:
    """A value with its interval, and on how many groups it stands.

    Attributes:
        value, low, high: the metric on all rows, and the ends of its interval.
        n: rows.
        n_groups: groups, such as speakers.
        groups_per_class: groups of the class that has fewest; None where classes are unknown.
        warning: why the interval is not to be relied on, such as "indicative (4 speakers)"; None otherwise.
    """

    value: float
    low: float
    high: float
    n: int
    n_groups: int
    groups_per_class: int | None = None
    warning: str | None = None

    def __str__(self) -> str:
        """Like ".612 [.55, .67] indicative (4 speakers)"; ends of a narrow interval have three decimals."""
        decimals = 2 if self.high - self.low >= 0.1 else 3
        text = f"{_short(self.value, 3)} [{_short(self.low, decimals)}, {_short(self.high, decimals)}]"
        return text if self.warning is None else f"{text} {self.warning}"

    def to_dict(self) -> dict:
        """The entry of `results.json`; what is not finite becomes None."""
        ends = {name: getattr(self, name) for name in ("value", "low", "high")}
        ends = {name: float(end) if np.isfinite(end) else None for name, end in ends.items()}
        return {**ends, "n": self.n, "groups": self.n_groups, "warning": self.warning}


def bootstrap_interval(
    metric: Callable,
    *arrays,
    groups,
    strata=None,
    crossed=None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    unit: str = "speakers",
) -> Interval:
    """Interval of `metric(*arrays)` over `n` bootstrap draws of whole groups.

    Expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap", arXiv:1411.5279):
    percentiles of rescaled draws (see `resampling`), taken as much further out as Student's t with groups less strata
    degrees of freedom is wider than the normal distribution. In simulations of accuracy and macro F1 with 30 speakers
    in 3 to 15 classes plain percentiles of a nominal 95 % covered 82 to 92 %, these 93 to 95 %. Draws whose mean is off
    the value by more than a quarter of their standard deviation (calibration error) are shifted onto it.

    Args:
        metric: `metric(*arrays, weights=(N,) float) -> float`; fixed arguments go in by `functools.partial`. Those of
            this package are computed from totals of groups, fast.
        arrays: what the metric takes, each with N rows.
        groups: (N,) what is resampled whole: speakers, else recordings, else sites.
        strata: (N,) class of each row. Groups nested in classes are drawn within their class; groups that share classes
            are drawn together. None takes the gold labels for metrics of this package and a single stratum for others.
        crossed: (N,) second factor drawn along, such as the sentence where every voice reads every sentence.
        n: number of draws.
        seed: of the draws.
        level: nominal coverage.
        unit: plural of what a group is, for the warning.

    Under 8 groups in all, or under 3 in any class, the interval carries a warning. The variance of a class with one
    group cannot be seen at all: the interval is too narrow.

    Raises:
        DialectError: from the metric; missing groups; lengths that differ; a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise DialectError(f"level is {level}; expected a coverage between 0 and 1, such as 0.95")
    value = float(metric(*arrays))
    n_rows = len(arrays[0])
    resampling = Resampling(groups, crossed, classes_of(metric, arrays, strata), n_rows)
    values_of = evaluator(metric, arrays, resampling)
    values = np.concatenate([values_of(weights) for weights in resampling.draws(n, seed)])
    valid = values[~np.isnan(values)]
    low, high = interval_ends(valid, value, expanded_tail((1 - level) / 2, resampling.degrees_of_freedom))
    warnings = [
        resampling.few_groups_warning(unit),
        None if len(valid) == n else f"{n - len(valid)} of {n} draws were empty",
    ]
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        n=n_rows,
        n_groups=resampling.groups.n_groups,
        groups_per_class=resampling.groups.groups_per_class,
        warning="; ".join(filter(None, warnings)) or None,
    )


def expanded_tail(tail: float, degrees_of_freedom: int) -> float:
    """Mass of the normal distribution beyond Student's t quantile of `tail`; `tail` for no degrees of freedom."""
    if degrees_of_freedom == 0:
        return tail
    return float(stats.norm.cdf(stats.t.ppf(tail, degrees_of_freedom)))


def interval_ends(draws: np.ndarray, value: float, tail: float) -> np.ndarray:
    """Low and high of `draws` (n,) at `tail` and 1 - `tail`, moved onto `value` where they are off; NaN if empty."""
    if len(draws) == 0:
        return np.array([np.nan, np.nan])
    bias = draws.mean() - value
    shift = bias if abs(bias) > 0.25 * draws.std() else 0.0  # the rule of Efron and Tibshirani 1993, chapter 10
    # A shift must not carry a share below 0 or above 1.
    bounds = min(0.0, draws.min()), max(1.0, draws.max())
    return np.clip(np.quantile(draws, [tail, 1 - tail]) - shift, *bounds)


def _short(number: float, decimals: int) -> str:
    text = f"{number + 0.0:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
