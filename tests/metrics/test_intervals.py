"""hf_dialects.metrics.intervals: coverage by simulation, and the fast path against the plain one."""

import json
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_dialects.errors import DialectError
from hf_dialects.metrics import (
    Interval,
    accuracy,
    bootstrap_interval,
    brier_score,
    cluster_accuracy,
    expected_calibration_error,
    macro_f1,
    negative_log_likelihood,
    weighted_f1,
)

LABEL_METRICS = [accuracy, macro_f1, weighted_f1, partial(cluster_accuracy, clusters=[0, 0, 1, 1, 2, 2])]
PROBABILITY_METRICS = [expected_calibration_error, negative_log_likelihood, brier_score]


def corpus(n_classes, speakers, clips, spread, seed):
    """Gold, predictions and speakers (N,): speakers nested in classes, their accuracy logistic(1.2 + spread·normal)."""
    random = np.random.default_rng(seed)
    gold = np.repeat(np.arange(n_classes), speakers * clips)
    speaker = np.repeat(np.arange(n_classes * speakers), clips)
    skill = 1 / (1 + np.exp(-1.2 - spread * random.standard_normal(n_classes * speakers)))
    right = random.random(len(gold)) < skill[speaker]
    wrong = (gold + random.choice([1, 1, 1, 2, 3], size=len(gold))) % n_classes
    return gold, np.where(right, gold, wrong), speaker


def covered(metric, repeats=400, **options):
    """Share of corpora whose interval holds the population's value."""
    truth = metric(*corpus(**{**options, "speakers": 4000}, seed=10**6)[:2])
    held = []
    for seed in range(repeats):
        gold, predicted, speaker = corpus(**options, seed=seed)
        interval = bootstrap_interval(metric, gold, predicted, groups=speaker, n=500, seed=seed)
        held.append(interval.low <= truth <= interval.high)
    return np.mean(held)


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
@pytest.mark.parametrize(("n_classes", "speakers"), [(6, 5), (10, 3), (5, 6)])
def test_covers_with_thirty_speakers(metric, n_classes, speakers):
    assert 0.90 < covered(metric, n_classes=n_classes, speakers=speakers, clips=15, spread=0.8) < 0.985


def test_fails_with_one_speaker_per_class_and_says_so():
    options = {"n_classes": 10, "clips": 15, "spread": 0.8}
    assert covered(accuracy, repeats=50, speakers=1, **options) < 0.1
    gold, predicted, speaker = corpus(**options, speakers=1, seed=0)
    interval = bootstrap_interval(accuracy, gold, predicted, groups=speaker)
    assert interval.low == interval.high == interval.value
    assert interval.groups_per_class == 1
    assert interval.warning == "indicative (10 speakers, 1 in the smallest class)"


def test_rows_as_groups_are_far_too_sure():
    gold, predicted, speaker = corpus(n_classes=6, speakers=5, clips=100, spread=0.8, seed=0)
    by_speaker = bootstrap_interval(accuracy, gold, predicted, groups=speaker)
    by_row = bootstrap_interval(accuracy, gold, predicted, groups=np.arange(len(gold)))
    assert by_speaker.high - by_speaker.low > 2 * (by_row.high - by_row.low)


def test_mean_over_groups_agrees_with_students_t():
    values = np.random.default_rng(0).standard_normal(12) + 3

    def mean(column, weights=None):
        return float(np.average(column, weights=weights))

    interval = bootstrap_interval(mean, values, groups=np.arange(12), n=20_000)
    reach = stats.t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert interval.high - interval.low == pytest.approx(2 * reach, rel=0.1)
    assert interval.groups_per_class is None


def crossed_rows(seed, voices=10, sentences=12):
    """Hits (N,) of every voice on every sentence, with their names."""
    random = np.random.default_rng(seed)
    skill = random.standard_normal((voices, 1)) + random.standard_normal((1, sentences)) + 0.5
    right = random.random((voices, sentences)) < 1 / (1 + np.exp(-skill))
    voice, sentence = np.indices(right.shape)
    return right.ravel().astype(int), voice.ravel(), sentence.ravel()


def test_crossed_factors_are_resampled_together():
    truth = crossed_rows(0, voices=3000, sentences=3000)[0].mean()
    both, alone = [], []
    for seed in range(300):
        right, voice, sentence = crossed_rows(seed + 1)
        gold = np.ones_like(right)
        interval = partial(bootstrap_interval, accuracy, gold, right, groups=voice, n=400, seed=seed)
        both.append(interval(crossed=sentence))
        alone.append(interval())
    assert np.mean([i.low <= truth <= i.high for i in both]) > 0.92
    assert np.mean([i.low <= truth <= i.high for i in alone]) < 0.88, "sentences would not matter"


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("metric", [*LABEL_METRICS, *PROBABILITY_METRICS])
def test_totals_of_groups_equal_one_call_per_draw(metric, crossed):
    gold, predicted, speaker = corpus(n_classes=6, speakers=3, clips=4, spread=1, seed=0)
    random = np.random.default_rng(0)
    arrays = (
        (random.dirichlet(np.ones(6), size=len(gold)), gold) if metric in PROBABILITY_METRICS else (gold, predicted)
    )
    options = {"groups": speaker, "crossed": random.integers(9, size=len(gold)) if crossed else None, "n": 200}
    calls = []

    def plain(*arrays, weights=None):
        calls.append(weights)
        return metric(*arrays, weights=weights)

    fast = bootstrap_interval(metric, *arrays, **options)
    slow = bootstrap_interval(plain, *arrays, **options, strata=gold)
    assert len(calls) == 201
    assert [fast.value, fast.low, fast.high] == pytest.approx([slow.value, slow.low, slow.high], abs=1e-12)
    assert fast.warning == slow.warning


def test_explicit_single_stratum_lets_class_sizes_vary():
    gold, predicted, speaker = corpus(n_classes=2, speakers=20, clips=10, spread=0.1, seed=0)
    predicted = np.zeros_like(predicted)  # right on class 0 only: accuracy is the share of class 0
    within = bootstrap_interval(accuracy, gold, predicted, groups=speaker)
    free = bootstrap_interval(accuracy, gold, predicted, groups=speaker, strata=np.zeros_like(gold))
    assert [within.low, within.high] == pytest.approx([0.5, 0.5])
    assert free.high - free.low > 0.2


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 1000))
def test_interval_holds_the_value(n_classes, speakers, seed):
    gold, predicted, speaker = corpus(n_classes, speakers, clips=6, spread=1, seed=seed)
    for metric in (accuracy, macro_f1, weighted_f1):
        interval = bootstrap_interval(metric, gold, predicted, groups=speaker, n=400, seed=seed)
        assert 0 <= interval.low <= interval.value + 1e-12
        assert interval.value - 1e-12 <= interval.high <= 1
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(n_classes), size=len(gold))
    interval = bootstrap_interval(expected_calibration_error, probabilities, gold, groups=speaker, n=400)
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


def test_shifted_interval_does_not_leave_the_range():
    # Right as often as it says, in every bin: draws can only lie above the value.
    top = np.repeat([0.6, 0.75, 0.9], 20)
    right = np.concatenate([np.arange(20) < 20 * confidence for confidence in (0.6, 0.75, 0.9)])
    probabilities, gold = np.stack([top, 1 - top], axis=1), 1 - right
    interval = bootstrap_interval(expected_calibration_error, probabilities, gold, groups=np.arange(60))
    assert interval.value == pytest.approx(0)
    assert interval.low == 0
    assert 0.02 < interval.high < 0.2


def test_same_seed_same_interval_whatever_the_names_of_groups():
    gold, predicted, speaker = corpus(n_classes=4, speakers=5, clips=5, spread=1, seed=0)
    first = bootstrap_interval(macro_f1, gold, predicted, groups=speaker, seed=3)
    assert first == bootstrap_interval(macro_f1, gold, predicted, groups=[f"voice{s:03d}" for s in speaker], seed=3)
    other = bootstrap_interval(macro_f1, gold, predicted, groups=speaker, seed=4)
    assert (first.low, first.high) != (other.low, other.high)
    wide = bootstrap_interval(macro_f1, gold, predicted, groups=speaker, level=0.99)
    assert wide.low < first.low < first.high < wide.high


def test_two_thousand_draws_take_under_a_second():
    random = np.random.default_rng(0)
    gold = random.integers(20, size=10_000)
    predicted = random.integers(20, size=10_000)
    start = time.perf_counter()
    bootstrap_interval(macro_f1, gold, predicted, groups=gold * 20 + random.integers(20, size=10_000))
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.6123, 0.55, 0.674, 100, 30), ".612 [.55, .67]"),
        (
            Interval(0.6123, 0.55, 0.674, 100, 4, 2, "indicative (4 speakers)"),
            ".612 [.55, .67] indicative (4 speakers)",
        ),
        (Interval(0.6123, 0.6004, 0.6239, 9000, 300), ".612 [.600, .624]"),
        (Interval(-0.0123, -0.15, -0.00001, 100, 30), "-.012 [-.15, .00]"),
        (Interval(1.0, 0.85, 1.0, 100, 30), "1.000 [.85, 1.00]"),
        (Interval(10.5, 9.25, 12.0, 100, 30), "10.500 [9.25, 12.00]"),
    ],
)
def test_text(interval, text):
    assert str(interval) == text


def test_entry_of_results_json():
    interval = Interval(0.6, 0.5, float("nan"), 100, 4, 2, "indicative (4 speakers)")
    expected = {"value": 0.6, "low": 0.5, "high": None, "n": 100, "groups": 4, "warning": "indicative (4 speakers)"}
    assert interval.to_dict() == expected
    gold, predicted, speaker = corpus(n_classes=3, speakers=4, clips=5, spread=1, seed=0)
    found = bootstrap_interval(accuracy, gold, predicted, groups=speaker).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["n"], found["groups"], found["warning"]) == (60, 12, None)


@pytest.mark.parametrize(
    ("groups", "crossed", "warning"),
    [
        (np.zeros(16), None, "indicative (1 site)"),
        (np.arange(16) // 4, None, "indicative (4 sites)"),
        (np.arange(16) // 2, None, None),
        (np.arange(16) // 2, np.arange(16) % 2, "indicative (8 sites, 2 crossed)"),
    ],
)
def test_few_groups_warning(groups, crossed, warning):
    gold = np.zeros(16, int)
    interval = bootstrap_interval(accuracy, gold, gold, groups=groups, crossed=crossed, unit="sites")
    assert interval.warning == warning


def test_empty_draws_are_counted():
    # Every voice reads its own sentence: a draw may combine voices only with sentences of others.
    interval = bootstrap_interval(accuracy, [0] * 3, [0, 1, 0], groups=[0, 1, 2], crossed=[0, 1, 2], n=300)
    assert interval.warning.startswith("indicative (3 speakers, 3 crossed); ")
    assert interval.warning.endswith(" of 300 draws were empty")


def test_refuses():
    interval = partial(bootstrap_interval, accuracy, [0, 1, 0], [0, 1, 1])
    with pytest.raises(DialectError, match="groups is missing in 2 of 3 rows, first in row 1"):
        interval(groups=["anna", None, ""])
    with pytest.raises(DialectError, match="groups is missing in 1 of 3 rows"):
        interval(groups=[1.0, 2.0, np.nan])
    with pytest.raises(DialectError, match=r"groups has shape \(2,\); expected one value for each of the 3 rows"):
        interval(groups=["a", "b"])
    with pytest.raises(DialectError, match=r"crossed has shape \(4,\)"):
        interval(groups=["a", "b", "c"], crossed=[1, 2, 3, 4])
    with pytest.raises(DialectError, match="level is 95"):
        interval(groups=["a", "b", "c"], level=95)
    with pytest.raises(DialectError, match="n is 1; expected at least 2 draws"):
        interval(groups=["a", "b", "c"], n=1)
    with pytest.raises(DialectError, match="predicted holds the class number -1"):
        bootstrap_interval(accuracy, [0, 1], [0, -1], groups=[0, 1])
