"""hf_dialects.metrics.totals: a metric and the parts it is made of."""

import inspect
import pickle
from functools import partial

import numpy as np
import pytest

from hf_dialects.metrics import accuracy, cluster_accuracy, expected_calibration_error, macro_f1
from hf_dialects.metrics.totals import ratio, totals_of


def test_value_is_the_formula_of_the_weighted_totals():
    rows, formula, gold = macro_f1.totals([0, 1, 1], [0, 1, 0])
    weights = np.array([[1, 1, 1], [1, 2, 0], [0.5, 0, 3]])
    expected = [macro_f1([0, 1, 1], [0, 1, 0], weights=row) for row in weights]
    assert formula(weights @ rows) == pytest.approx(expected)
    assert gold.tolist() == [0, 1, 1]


def test_empty_draws_are_nan():
    for metric, arrays in [
        (accuracy, ([0], [0])),
        (macro_f1, ([0], [0])),
        (expected_calibration_error, ([[1.0]], [0])),
    ]:
        rows, formula, _ = metric.totals(*arrays)
        assert np.isnan(formula(np.zeros((2, 1)) @ rows)).all()


def test_found_through_partial_and_absent_elsewhere():
    rows, formula, _ = totals_of(partial(cluster_accuracy, clusters=[0, 0, 1]))([0, 1, 2], [1, 0, 0])
    assert formula(np.ones(3) @ rows) == pytest.approx(2 / 3)
    assert totals_of(partial(np.mean, axis=0)) is None
    assert totals_of(np.mean) is None


def test_metrics_are_plain_functions_to_the_outside():
    assert list(inspect.signature(expected_calibration_error).parameters) == [
        "probabilities",
        "labels",
        "bins",
        "weights",
    ]
    assert pickle.loads(pickle.dumps(accuracy)) is accuracy
    assert accuracy.__doc__.startswith("Share of rows")


def test_ratio():
    found = ratio([1, 0, 2], [2, 0, 0])
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()
