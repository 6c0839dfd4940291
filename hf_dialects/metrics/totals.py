"""Metrics that see the rows only through weighted totals, so that thousands of resamplings cost one matrix product.

Dimensions: N rows, K totals, C classes.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import NamedTuple

import numpy as np
from scipy import sparse

from hf_dialects.metrics.arrays import as_numpy, as_weights


class Totals(NamedTuple):
    """A metric taken apart: value = formula(weights @ rows).

    Attributes:
        rows: (N, K) sparse, what each row adds to the totals.
        formula: (..., K) totals to (...) values; NaN where no row has weight.
        gold: (N,) int64, the class of each row.
    """

    rows: sparse.csr_array
    formula: Callable[[np.ndarray], np.ndarray]
    gold: np.ndarray


def additive(totals: Callable[..., Totals]) -> Callable[..., float]:
    """Make a metric of a function that takes it apart.

    The metric takes the function's arguments and `weights` (N,), None for ones; the function itself stays reachable
    as its attribute `totals`, from which resamplings are computed for whole groups of rows.
    """

    @wraps(totals)
    def metric(*arrays, weights=None, **options) -> float:
        rows, formula, _ = totals(*arrays, **options)
        return float(formula(as_weights(weights, rows.shape[0]) @ rows))

    metric.__signature__ = _with_weights(totals)
    metric.totals = totals
    return metric


def totals_of(metric: Callable) -> Callable[..., Totals] | None:
    """The function that takes `metric` apart, also through `functools.partial`; None for any other callable."""
    if isinstance(metric, partial):
        inner = totals_of(metric.func)
        return inner and partial(inner, *metric.args, **metric.keywords)
    return getattr(metric, "totals", None)


def prepared(prepare: Callable[..., Callable[[np.ndarray], np.ndarray]]) -> Callable[..., float]:
    """Make a metric of a function that sorts (or whatever is costly) once for all resamplings.

    The function takes the metric's arrays and returns one from weights (N, d) of d draws to values (d,), NaN where a
    draw has none. It stays reachable as the metric's attribute `prepare`.
    """

    @wraps(prepare)
    def metric(*arrays, weights=None) -> float:
        values_of = prepare(*arrays)
        return float(values_of(as_weights(weights, len(as_numpy(arrays[0])))[:, None])[0])

    metric.__signature__ = _with_weights(prepare)
    metric.prepare = prepare
    return metric


def mean_totals(values: np.ndarray, gold: np.ndarray) -> Totals:
    """The weighted mean of `values` (N,)."""
    rows = sparse.csr_array(np.stack([values, np.ones(len(values))], axis=1))
    return Totals(rows, lambda totals: ratio(totals[..., 0], totals[..., 1]), gold)


def ratio(numerator, denominator) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is zero."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _with_weights(function: Callable) -> inspect.Signature:
    """The signature of a metric made of `function`: its arguments and `weights`, to a float."""
    signature = inspect.signature(function)
    weights = inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default=None)
    return signature.replace(parameters=[*signature.parameters.values(), weights], return_annotation=float)
