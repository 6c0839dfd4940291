"""hf_dialects.metrics.calibration against hand-computed cases, scikit-learn and plain loops."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import DialectError
from hf_dialects.metrics import (
    brier_score,
    ece_bias_floor,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_table,
)

ALL = [expected_calibration_error, negative_log_likelihood, brier_score]

# Confidences .9 and .8 right, .85 and .6 wrong: three rows in (.8, .9] and (.5, .6], .8 itself in (.7, .8].
PROBABILITIES = [[0.9, 0.1], [0.15, 0.85], [0.2, 0.8], [0.6, 0.4]]
LABELS = [0, 0, 1, 1]


def random_rows(n=200, n_classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(n_classes, 0.5), size=n), random.integers(n_classes, size=n), random.random(n)


def ece_by_loop(probabilities, labels, weights, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, row in enumerate(probabilities) if b / bins < max(row) <= (b + 1) / bins]
        weight = sum(weights[i] for i in inside)
        if weight:
            confidence = sum(weights[i] * max(probabilities[i]) for i in inside) / weight
            right = sum(weights[i] for i in inside if probabilities[i].argmax() == labels[i]) / weight
            total += weight * abs(right - confidence)
    return total / sum(weights)


def test_by_hand():
    # Bins (.5, .6]: |.6 - 0|·1; (.7, .8]: |.8 - 1|·1; (.8, .9]: |.875 - .5|·2
    assert expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx((0.6 + 0.2 + 0.75) / 4)
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=1) == pytest.approx(abs(3.15 / 4 - 2 / 4))
    assert negative_log_likelihood(PROBABILITIES, LABELS) == pytest.approx(-np.log([0.9, 0.15, 0.8, 0.4]).mean())
    assert brier_score(PROBABILITIES, LABELS) == pytest.approx(2 * (0.1**2 + 0.85**2 + 0.2**2 + 0.6**2) / 4)
    weights = [3, 1, 0, 0]
    assert expected_calibration_error(PROBABILITIES, LABELS, weights=weights) == pytest.approx(abs(3.55 / 4 - 3 / 4))
    assert brier_score(PROBABILITIES, LABELS, weights=weights) == pytest.approx(2 * (3 * 0.1**2 + 0.85**2) / 4)


def test_reliability_table_by_hand():
    table = reliability_table(PROBABILITIES, LABELS, weights=[1, 1, 2, 1])
    assert table["low"] == pytest.approx(np.arange(10) / 10)
    assert table["high"] == pytest.approx(np.arange(1, 11) / 10)
    assert table["weight"].tolist() == [0, 0, 0, 0, 0, 1, 0, 2, 2, 0]
    assert table["confidence"][[5, 7, 8]] == pytest.approx([0.6, 0.8, 0.875])
    assert table["accuracy"][[5, 7, 8]] == pytest.approx([0, 1, 0.5])
    assert np.isnan(table["accuracy"][[0, 9]]).all()
    gaps = np.nan_to_num(np.abs(table["accuracy"] - table["confidence"]))
    expected = expected_calibration_error(PROBABILITIES, LABELS, weights=[1, 1, 2, 1])
    assert (gaps * table["weight"]).sum() / 5 == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(weighted):
    probabilities, labels, weights = random_rows()
    weights = weights if weighted else None
    options = {"sample_weight": weights, "labels": range(4)}
    assert negative_log_likelihood(probabilities, labels, weights=weights) == pytest.approx(
        sklearn.metrics.log_loss(labels, probabilities, **options)
    )
    two, binary = random_rows(n_classes=2)[:2]
    # For two classes the sum over both is twice the score of one.
    assert brier_score(two, binary, weights=weights) == pytest.approx(
        2 * sklearn.metrics.brier_score_loss(binary, two[:, 1], sample_weight=weights)
    )


@pytest.mark.parametrize("bins", [1, 7, 10, 15])
def test_ece_equals_plain_loop(bins):
    probabilities, labels, weights = random_rows()
    assert expected_calibration_error(probabilities, labels, bins, weights=weights) == pytest.approx(
        ece_by_loop(probabilities, labels, weights, bins)
    )


def test_certain_and_impossible():
    assert expected_calibration_error([[1.0, 0.0]], [0]) == 0
    assert negative_log_likelihood([[1.0, 0.0]], [0]) == 0
    assert negative_log_likelihood([[1.0, 0.0]], [1]) == pytest.approx(-np.log(np.finfo(float).eps))
    assert brier_score([[1.0, 0.0]], [1]) == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_order_does_not_matter_and_a_weight_of_two_is_a_row_twice(seed, n):
    probabilities, labels, _ = random_rows(n=n, seed=seed)
    random = np.random.default_rng(seed)
    weights, order = random.integers(1, 4, size=n), random.permutation(n)
    for metric in ALL:
        value = metric(probabilities, labels, weights=weights)
        assert metric(probabilities[order], labels[order], weights=weights[order]) == pytest.approx(value)
        rows = np.repeat(np.arange(n), weights)
        assert metric(probabilities[rows], labels[rows]) == pytest.approx(value)


def test_bias_floor_is_the_error_of_a_calibrated_model():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(5), size=300)
    draws = [
        expected_calibration_error(probabilities, [random.choice(5, p=row) for row in probabilities]) for _ in range(60)
    ]
    floor = ece_bias_floor(probabilities, n=1000)
    assert floor > 0.02, "a floor near zero would prove nothing"
    assert floor == pytest.approx(np.mean(draws), abs=4 * np.std(draws) / np.sqrt(60))
    assert floor == ece_bias_floor(probabilities, n=1000)
    assert floor != ece_bias_floor(probabilities, n=1000, seed=1)


def test_bias_floor_by_hand_and_with_more_rows():
    # One row of confidence c: right with probability c, so the error is 1 - c or c: 2·c·(1 - c) on average.
    assert ece_bias_floor([[0.7, 0.3]], n=20_000) == pytest.approx(2 * 0.7 * 0.3, abs=0.01)
    assert ece_bias_floor([[1.0, 0.0]] * 5) == 0
    probabilities = random_rows(n=4000)[0]
    assert ece_bias_floor(probabilities) == pytest.approx(ece_bias_floor(probabilities[:1000]) / 2, rel=0.2)


@pytest.mark.parametrize("metric", [*ALL, reliability_table])
def test_refuses(metric):
    with pytest.raises(DialectError, match="NaN or infinite values in 1 of 2 rows, first in row 1"):
        metric([[0.5, 0.5], [np.nan, 0.5]], [0, 1])
    with pytest.raises(DialectError, match=r"lie in \[-2, 3\] and a row sums to 1.*logits"):
        metric([[-2.0, 3.0]], [0])
    with pytest.raises(DialectError, match=r"a row sums to 0.7"):
        metric([[0.5, 0.5], [0.3, 0.4]], [0, 1])
    with pytest.raises(DialectError, match=r"labels holds the class number 2; expected 0 to 1"):
        metric([[0.5, 0.5]], [2])
    with pytest.raises(DialectError, match="probabilities has 2, labels has 1 rows"):
        metric([[0.5, 0.5], [0.5, 0.5]], [0])
    with pytest.raises(DialectError, match=r"probabilities have shape \(0, 2\)"):
        metric(np.zeros((0, 2)), [])
    with pytest.raises(DialectError, match=r"probabilities have shape \(2,\)"):
        metric([0.5, 0.5], [0, 1])


def test_refuses_no_bins():
    with pytest.raises(DialectError, match="bins is 0; expected 1 or more"):
        expected_calibration_error([[0.5, 0.5]], [0], bins=0)


def test_takes_half_precision_tensors():
    import torch

    logits = torch.randn(50, 14, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 14
    half = logits.softmax(-1).to(torch.bfloat16).requires_grad_()
    expected = negative_log_likelihood(logits.double().softmax(-1), labels)
    assert negative_log_likelihood(half, labels) == pytest.approx(expected, abs=0.01)
