"""hf_dialects.metrics.detection against hand-computed cases, plain loops and scikit-learn."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score, roc_curve

from hf_dialects.errors import DialectError
from hf_dialects.metrics import (
    accuracy,
    bootstrap_interval,
    c_avg,
    equal_error_rate,
    macro_f1,
    mean_equal_error_rate,
    pooled_equal_error_rate,
    resampling,
)
from hf_dialects.metrics.resampling import Resampling, evaluator

# Three classes. Likelihood ratios p / (mean of the two others): the last row, 0.45 / 0.275, is at log β for no β used.
THREE = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.85, 0.05], [0.45, 0.2, 0.35]]
GOLD = [0, 0, 1, 2]


def random_rows(n=150, n_classes=5, seed=0, skill=1.5):
    random = np.random.default_rng(seed)
    gold = random.integers(n_classes, size=n)
    logits = random.normal(size=(n, n_classes)) + skill * np.eye(n_classes)[gold]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), gold, random.random(n)


def cost_by_loop(probabilities, gold, weights, beta, form, classes=None):
    """C_avg as the evaluation plan writes it: over targets, and over pairs of target and non-target."""
    classes = range(probabilities.shape[1]) if classes is None else classes

    def accepted(row, target):
        if form == "hard":
            return max(classes, key=lambda c: row[c]) == target
        others = [row[c] for c in classes if c != target]
        return math.log(row[target]) - math.log(sum(others) / len(others)) >= math.log(beta)

    def share(of_class, target):
        members = [i for i in range(len(gold)) if gold[i] == of_class]
        hits = sum(weights[i] for i in members if accepted(probabilities[i], target))
        return hits / sum(weights[i] for i in members)

    total = 0.0
    for target in classes:
        false_alarms = sum(share(other, target) for other in classes if other != target)
        total += 1 - share(target, target) + beta / (len(classes) - 1) * false_alarms
    return total / len(classes)


def rate_by_sklearn(scores, is_target, weights):
    """Where the ROC curve, corners joined by straight lines, meets the line of equal rates."""
    false_alarm, hits, _ = roc_curve(is_target, scores, sample_weight=weights, drop_intermediate=False)
    gap = 1 - hits - false_alarm
    after = int(np.argmax(gap <= 0))
    return np.interp(0, [-gap[after - 1], -gap[after]], [false_alarm[after - 1], false_alarm[after]])


def test_cost_by_hand():
    # β = 1: a class is accepted from p = 1/3 on. Row 0 accepts {0}; row 1 {1}; row 2 {1}; row 3 {0, 2}.
    # P_miss: 1/2, 0, 0. P_fa(1, 0) = 1/2, P_fa(0, 2) = 1, the others 0.
    one = (1 / 2 + 1 / 2 * (1 / 2 + 1)) / 3
    assert c_avg(THREE, GOLD, beta=1) == pytest.approx(one)
    # β = 9: from p = 9/11 on. Only row 2 is accepted, by its own class.
    nine = (1 + 0 + 1) / 3
    assert c_avg(THREE, GOLD, beta=9) == pytest.approx(nine)
    assert c_avg(THREE, GOLD) == c_avg(THREE, GOLD, beta=(1, 9)) == pytest.approx((one + nine) / 2)
    # Row 1 and row 3 are wrong: P_miss 1/2, 0, 1 and P_fa(1, 0) = 1/2, P_fa(0, 2) = 1.
    assert c_avg(THREE, GOLD, beta=1, form="hard") == pytest.approx((3 / 2 + 1 / 2 * 3 / 2) / 3)
    assert c_avg(THREE, GOLD, beta=9, form="hard") == pytest.approx((3 / 2 + 9 / 2 * 3 / 2) / 3)


def test_cost_within_clusters_by_hand():
    # Class 2 is alone in its cluster. Between 0 and 1: row 0 .8 : .1, row 1 .3 : .6, row 2 .1 : .85.
    assert c_avg(THREE, GOLD, beta=1, clusters=[0, 0, 1]) == pytest.approx((1 / 2 + 1 / 2 * 1) / 2)
    # .8 : .1 and .85 : .1 are on either side of 8.25, so row 0 is missed as well; nobody is accepted falsely.
    assert c_avg(THREE, GOLD, beta=8.25, clusters=[0, 0, 1]) == pytest.approx(1 / 2)
    assert c_avg([[0.25, 0.75]], [0], beta=1, clusters=[0, 0]) == 2.0


def test_perfect_and_useless_costs():
    perfect = np.eye(4)
    assert c_avg(perfect, [0, 1, 2, 3]) == c_avg(perfect, [0, 1, 2, 3], form="hard") == 0
    assert c_avg(np.full((4, 4), 0.25), [0, 1, 2, 3], beta=9) == 1.0, "nothing is accepted"
    wrong = np.eye(4)[[1, 2, 3, 0]]
    assert c_avg(wrong, [0, 1, 2, 3], beta=9) == pytest.approx(1 + 9 / 3)


@pytest.mark.parametrize("form", ["threshold", "hard"])
@pytest.mark.parametrize("beta", [1.0, 9.0, 0.3])
def test_cost_equals_the_plan_written_as_loops(form, beta):
    probabilities, gold, weights = random_rows()
    expected = cost_by_loop(probabilities, gold, weights, beta, form)
    assert c_avg(probabilities, gold, beta=beta, form=form, weights=weights) == pytest.approx(expected, abs=1e-12)
    clusters = np.array([0, 1, 0, 1, 0])
    parts = [np.flatnonzero(clusters == c) for c in (0, 1)]
    expected = np.mean([cost_by_loop(probabilities, gold, weights, beta, form, part.tolist()) for part in parts])
    found = c_avg(probabilities, gold, beta=beta, form=form, clusters=clusters, weights=weights)
    assert found == pytest.approx(expected, abs=1e-12)


def test_hard_cost_is_the_mean_error_of_classes():
    probabilities, gold, _ = random_rows(seed=3)
    errors = 1 - recall_score(gold, probabilities.argmax(1), average="macro")
    assert c_avg(probabilities, gold, form="hard") == pytest.approx((1 + 5 / 4) * errors)


def test_overconfidence_costs_in_the_threshold_form_alone():
    probabilities, gold, _ = random_rows(n=2000, skill=1.0)
    sharp = probabilities**6 / (probabilities**6).sum(1, keepdims=True)
    assert c_avg(sharp, gold) > c_avg(probabilities, gold) + 0.1
    assert c_avg(sharp, gold, form="hard") == c_avg(probabilities, gold, form="hard")


def test_classes_without_rows_have_no_misses_but_raise_false_alarms():
    probabilities = [[0.5, 0.1, 0.4], [0.2, 0.7, 0.1]]
    assert c_avg(probabilities, [0, 1], beta=1) == pytest.approx((1 / 2 * 1) / 2), "row 0 is accepted by class 2 too"


def test_rate_by_hand():
    # Thresholds 4, 3, 2, 1 give (miss, false alarm) (1/2, 0), (1/2, 1/2), (0, 1/2), (0, 1).
    assert equal_error_rate([4, 3, 2, 1], [True, False, True, False]) == 0.5
    # (2/3, 0), (1/3, 0), (1/3, 1/2), (0, 1/2): between the second and the third the false alarms reach 1/3.
    assert equal_error_rate([6, 5, 4, 3, 2], [True, True, False, True, False]) == pytest.approx(1 / 3)
    assert equal_error_rate([2, 1], [True, False]) == 0
    assert equal_error_rate([1, 2], [True, False]) == 1
    assert equal_error_rate([7, 7, 7], [True, False, False]) == 0.5, "equal scores move together"
    # (1, 0) to (0, 1/2), one block of a target and the false alarm beside it: 1 - x = x / 2 at x = 2/3
    assert equal_error_rate([2, 2, 1], [True, False, False]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("decimals", [8, 1])  # with one decimal most scores are shared
@pytest.mark.parametrize("seed", range(5))
def test_rate_equals_that_of_scikit_learns_roc_curve(seed, decimals):
    probabilities, gold, weights = random_rows(seed=seed, skill=0.7)
    probabilities = np.round(probabilities, decimals)
    for target in range(5):
        scores, is_target = probabilities[:, target], gold == target
        expected = rate_by_sklearn(scores, is_target, weights)
        assert equal_error_rate(scores, is_target, weights) == pytest.approx(expected, abs=1e-12)


def test_mean_and_pooled_rates():
    probabilities, gold, weights = random_rows(seed=9)
    each = [equal_error_rate(probabilities[:, c], gold == c, weights) for c in range(5)]
    assert mean_equal_error_rate(probabilities, gold, weights=weights) == pytest.approx(np.mean(each))
    trials = (gold[:, None] == np.arange(5)).ravel()
    pooled = rate_by_sklearn(probabilities.ravel(), trials, np.repeat(weights, 5))
    assert pooled_equal_error_rate(probabilities, gold, weights) == pytest.approx(pooled)
    # one threshold for all is a burden where the detectors are on different scales
    scaled = probabilities * [1, 1, 1, 1, 0.01]
    scaled /= scaled.sum(1, keepdims=True)
    assert pooled_equal_error_rate(scaled, gold) > mean_equal_error_rate(scaled, gold) + 0.05
    assert math.isnan(mean_equal_error_rate(probabilities, np.zeros(150, dtype=int)))


@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
@settings(max_examples=25, deadline=None)
def test_only_the_order_of_scores_counts(seed, power):
    probabilities, gold, _ = random_rows(n=40, n_classes=3, seed=seed)
    scores, is_target = probabilities[:, 0], gold == 0
    if 0 < is_target.sum() < 40:
        rate = equal_error_rate(scores, is_target)
        assert rate == equal_error_rate(np.log(scores / (1 - scores)), is_target)
        assert rate == equal_error_rate(scores**power, is_target)
        assert rate == pytest.approx(1 - equal_error_rate(-scores, is_target))
        assert 0 <= rate <= 1


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_repeated_rows_are_weights(seed):
    probabilities, gold, _ = random_rows(n=30, n_classes=3, seed=seed)
    times = np.random.default_rng(seed).integers(0, 3, size=30)
    many = np.repeat(np.arange(30), times)
    if len(np.unique(gold[many])) > 1:
        for metric in (c_avg, mean_equal_error_rate, pooled_equal_error_rate):
            expected = metric(probabilities[many], gold[many])
            assert metric(probabilities, gold, weights=times) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [c_avg, partial(c_avg, form="hard", beta=1), mean_equal_error_rate])
def test_fast_intervals_equal_those_of_one_call_per_draw(metric):
    probabilities, gold, _ = random_rows(n=120, n_classes=3)
    options = {"groups": np.arange(120) // 5, "strata": gold, "n": 100}
    slow = bootstrap_interval(
        lambda *arrays, weights=None: metric(*arrays, weights=weights), probabilities, gold, **options
    )
    fast = bootstrap_interval(metric, probabilities, gold, **options)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
    assert fast.low < fast.value < fast.high


def test_draws_are_taken_some_at_a_time(monkeypatch):
    probabilities, gold, _ = random_rows(n=60, n_classes=3)
    draws = Resampling(np.arange(60) // 4, None, gold, 60)
    weights = next(draws.draws(50, seed=0))  # (15, 50)
    monkeypatch.setattr(resampling, "_CHUNK", 7 * 60)  # seven draws of sixty rows
    found = evaluator(mean_equal_error_rate, (probabilities, gold), draws)(weights)
    each = [mean_equal_error_rate(probabilities, gold, weights=column[draws.cell]) for column in weights.T]
    assert found == pytest.approx(each, abs=1e-12)


def test_draws_without_a_class_leave_it_out():
    probabilities, gold, _ = random_rows(n=60, n_classes=3)
    weights = np.where(gold == 2, 0.0, 1.0)
    kept = gold != 2
    assert c_avg(probabilities, gold, weights=weights) == pytest.approx(c_avg(probabilities[kept], gold[kept]))
    each = [equal_error_rate(probabilities[kept, c], gold[kept] == c) for c in (0, 1)]
    assert mean_equal_error_rate(probabilities, gold, weights=weights) == pytest.approx(np.mean(each))


def test_wrong_input_is_told():
    with pytest.raises(DialectError, match="apply a softmax first"):
        c_avg([[2.0, -1.0]], [0])
    with pytest.raises(DialectError, match="beta is 0; expected a positive number, or several"):
        c_avg(THREE, GOLD, beta=0)
    with pytest.raises(DialectError, match="form is 'soft'; expected one of threshold, hard"):
        c_avg(THREE, GOLD, form="soft")
    with pytest.raises(DialectError, match="clusters has 2 entries; expected one for each of the 3 classes"):
        c_avg(THREE, GOLD, clusters=[0, 1])
    for clusters in (None, [0]):
        with pytest.raises(DialectError, match="no two classes are to be told apart"):
            c_avg([[1.0]], [0], clusters=clusters)
    with pytest.raises(DialectError, match="needs trials of the target and others; one kind is missing"):
        equal_error_rate([1.0, 2.0], [True, True])
    with pytest.raises(DialectError, match="or hold NaN; expected one number per trial"):
        equal_error_rate([1.0, math.nan], [True, False])
    with pytest.raises(DialectError, match="scores has 2, is_target has 1 rows"):
        equal_error_rate([1.0, 2.0], [True])


def test_other_metrics_keep_their_way_of_being_resampled():
    assert not hasattr(accuracy, "prepare")
    assert not hasattr(macro_f1, "prepare")
    assert not hasattr(mean_equal_error_rate, "totals")
