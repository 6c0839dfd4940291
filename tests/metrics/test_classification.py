"""hf_dialects.metrics.classification against hand-computed cases and scikit-learn."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects import metrics
from hf_dialects.errors import DialectError
from hf_dialects.metrics import accuracy, cluster_accuracy, confusion_matrix, macro_f1, per_class, weighted_f1

CLUSTERS = np.array([0, 0, 1, 1, 2])
ALL = [accuracy, macro_f1, weighted_f1, partial(cluster_accuracy, clusters=CLUSTERS)]

# Three classes. Hits: 2 of 3, 1 of 1, 0 of 2. Predicted: 3, 2, 1 times.
GOLD = [0, 0, 0, 1, 2, 2]
PREDICTED = [0, 0, 1, 1, 0, 1]
PREDICTED_ONCE = [0, 0, 2, 1, 0, 1]


@pytest.fixture
def labels():
    random = np.random.default_rng(0)
    gold = random.integers(5, size=300)
    return gold, np.where(random.random(300) < 0.5, gold, random.integers(5, size=300)), random.random(300) * 3


def test_by_hand():
    assert accuracy(GOLD, PREDICTED) == pytest.approx(3 / 6)
    # F1 = 2·hits / (gold + predicted): 2·2 / (3 + 3), 2·1 / (1 + 3), 0 / (2 + 0)
    assert per_class(GOLD, PREDICTED)["f1"] == pytest.approx([2 / 3, 1 / 2, 0])
    assert macro_f1(GOLD, PREDICTED) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert weighted_f1(GOLD, PREDICTED) == pytest.approx((3 * 2 / 3 + 1 * 1 / 2 + 0) / 6)
    assert cluster_accuracy(GOLD, PREDICTED, clusters=[0, 1, 1]) == pytest.approx(4 / 6)
    assert confusion_matrix(GOLD, PREDICTED).tolist() == [[2, 1, 0], [0, 1, 0], [1, 1, 0]]
    assert confusion_matrix(GOLD, PREDICTED_ONCE, weights=[1, 2, 3, 4, 5, 6]).tolist() == [
        [3, 0, 3],
        [0, 4, 0],
        [5, 6, 0],
    ]


def test_weights_by_hand():
    weights = [1, 1, 2, 4, 0, 0]
    assert accuracy(GOLD, PREDICTED, weights=weights) == pytest.approx(6 / 8)
    # Class 2 keeps no gold weight and is not predicted: it is left out of the mean of 2·2 / (4 + 2) and 2·4 / (4 + 6).
    assert macro_f1(GOLD, PREDICTED, weights=weights) == pytest.approx((4 / 6 + 8 / 10) / 2)
    # Predicted falsely it counts 0: hits 2, 4, 0; gold 4, 4, 0; predicted 2, 4, 2.
    assert macro_f1(GOLD, PREDICTED_ONCE, weights=weights) == pytest.approx((4 / 6 + 8 / 8 + 0) / 3)
    assert weighted_f1(GOLD, PREDICTED_ONCE, weights=weights) == pytest.approx((4 / 6 + 8 / 8) / 2)


def test_macro_f1_averages_over_the_classes_in_gold():
    gold, predicted = [0, 0, 1, 1], [0, 3, 1, 1]
    assert macro_f1(gold, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert macro_f1(gold, predicted, n_classes=7) == macro_f1(gold, predicted)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(labels, weighted):
    gold, predicted, weights = labels
    weights = weights if weighted else None
    f1 = partial(sklearn.metrics.f1_score, gold, predicted, sample_weight=weights)
    assert accuracy(gold, predicted, weights=weights) == pytest.approx(
        sklearn.metrics.accuracy_score(gold, predicted, sample_weight=weights)
    )
    assert macro_f1(gold, predicted, weights=weights) == pytest.approx(f1(average="macro"))
    assert weighted_f1(gold, predicted, weights=weights) == pytest.approx(f1(average="weighted"))
    assert cluster_accuracy(gold, predicted, CLUSTERS, weights=weights) == pytest.approx(
        sklearn.metrics.accuracy_score(CLUSTERS[gold], CLUSTERS[predicted], sample_weight=weights)
    )
    np.testing.assert_allclose(
        confusion_matrix(gold, predicted, weights),
        sklearn.metrics.confusion_matrix(gold, predicted, sample_weight=weights),
    )
    expected = sklearn.metrics.precision_recall_fscore_support(gold, predicted, sample_weight=weights)
    for found, values in zip(per_class(gold, predicted, weights).values(), expected, strict=True):
        np.testing.assert_allclose(found, values)


def test_equals_scikit_learn_where_classes_are_missing(labels):
    gold, predicted, weights = labels
    gold, weights = np.where(gold == 4, 3, gold), np.where(gold == 1, 0, weights)  # no class 4, no weight on class 1
    options = {"labels": np.unique(gold), "sample_weight": weights, "zero_division": np.nan}
    expected = sklearn.metrics.f1_score(gold, predicted, average="macro", **options)
    assert macro_f1(gold, predicted, weights=weights) == pytest.approx(expected)
    expected = sklearn.metrics.precision_recall_fscore_support(
        gold, predicted, labels=range(6), sample_weight=weights, zero_division=np.nan
    )
    found = per_class(gold, predicted, weights, n_classes=6)
    assert np.isnan(found["f1"][5])
    for values, reference in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(values, reference)


@st.composite
def weighted_rows(draw):
    n = draw(st.integers(1, 12))
    column = partial(st.lists, min_size=n, max_size=n)
    gold, predicted = (np.array(draw(column(st.integers(0, 4)))) for _ in range(2))
    weights = draw(column(st.integers(0, 3)).filter(any))
    return gold, predicted, np.array(weights), draw(st.permutations(range(n)))


@settings(max_examples=60, deadline=None)
@given(weighted_rows())
def test_order_does_not_matter_and_a_weight_of_two_is_a_row_twice(rows):
    gold, predicted, weights, order = rows
    for metric in ALL:
        value = metric(gold, predicted, weights=weights)
        assert 0 <= value <= 1
        assert metric(gold[order], predicted[order], weights=weights[order]) == pytest.approx(value)
        assert metric(gold, predicted, weights=0.1 * weights) == pytest.approx(value)
        # Zero rows are kept for macro F1, whose list of classes they fix.
        twice = np.repeat(np.arange(len(gold)), np.maximum(weights, 1))
        copies = np.repeat(weights > 0, np.maximum(weights, 1)).astype(float)
        assert metric(gold[twice], predicted[twice], weights=copies) == pytest.approx(value)


def test_takes_tensors():
    import torch

    assert accuracy(torch.tensor(GOLD), torch.tensor(PREDICTED), weights=torch.ones(6, requires_grad=True)) == 0.5


@pytest.mark.parametrize("metric", [accuracy, macro_f1, weighted_f1, confusion_matrix, per_class])
def test_refuses(metric):
    with pytest.raises(DialectError, match="gold is empty"):
        metric([], [])
    with pytest.raises(DialectError, match="gold has 3, predicted has 2 rows"):
        metric([0, 1, 2], [0, 1])
    with pytest.raises(DialectError, match="predicted holds the class number -1; expected 0 or more"):
        metric([0, 1], [0, -1])
    with pytest.raises(DialectError, match=r"gold holds the class number 7; expected 0 to 3 \(4 classes\)"):
        metric([0, 7], [0, 1], n_classes=4)
    with pytest.raises(DialectError, match="predicted holds float64 values; expected integers"):
        metric([0, 1], [0.2, 0.8])
    with pytest.raises(DialectError, match=r"predicted has shape \(2, 3\)"):
        metric([0, 1], np.zeros((2, 3), int))
    with pytest.raises(DialectError, match="n_classes is 0"):
        metric([0, 1], [0, 1], n_classes=0)
    with pytest.raises(DialectError, match=r"weights have shape \(3,\); expected one weight for each of the 2 rows"):
        metric([0, 1], [0, 1], weights=[1, 1, 1])
    with pytest.raises(DialectError, match="weights hold negative, NaN or infinite"):
        metric([0, 1], [0, 1], weights=[1, np.nan])
    with pytest.raises(DialectError, match="all 2 weights are zero"):
        metric([0, 1], [0, 1], weights=[0, 0])


def test_refuses_a_class_without_cluster():
    with pytest.raises(DialectError, match=r"predicted holds the class number 2; expected 0 to 1 \(2 classes\)"):
        cluster_accuracy([0, 1], [0, 2], clusters=[0, 0])


def test_package_exports_lazily_and_without_torch():
    code = (
        "import sys; sys.argv = ['hf-dialects'];"  # started as the command line, the package loads no model classes
        "import hf_dialects.metrics as m; assert 'numpy' not in sys.modules and 'accuracy' in dir(m);"
        "[getattr(m, name) for name in m.__all__]; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'acuracy'"):
        metrics.acuracy  # noqa: B018
