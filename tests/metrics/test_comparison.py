"""hf_dialects.metrics.comparison: error rates by simulation, hand-computed cases."""

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_dialects.errors import DialectError
from hf_dialects.metrics import accuracy, expected_calibration_error, holm, macro_f1, paired_test

N_CLASSES, SPEAKERS, CLIPS = 5, 6, 12


def arms(seed, gain=0.0, n_seeds=1, seed_spread=0.0):
    """Predictions a and b (S, N), gold and speaker (N,) of 30 speakers; a is right more often by about `gain`.

    Speakers differ in how hard they are and in which arm suits them better; runs differ in skill by `seed_spread`.
    """
    random = np.random.default_rng(seed)
    gold = np.repeat(np.arange(N_CLASSES), SPEAKERS * CLIPS)
    speaker = np.repeat(np.arange(N_CLASSES * SPEAKERS), CLIPS)
    hard = random.normal(0, 0.1, size=speaker[-1] + 1)
    predictions = []
    for mean in (0.65 + gain, 0.65):
        suits = hard + random.normal(0, 0.06, size=len(hard))
        skill = mean + random.normal(0, seed_spread, size=(n_seeds, 1)) + suits[speaker]  # (S, N)
        right = random.random(skill.shape) < skill
        wrong = (gold + random.integers(1, N_CLASSES, size=skill.shape)) % N_CLASSES
        predictions.append(np.where(right, gold, wrong))
    return *predictions, gold, speaker


def rejected(metric, repeats, **options):
    """Share of simulated comparisons with p < 0.05."""
    p = [paired_test(metric, *arms(seed, **options), n=200, seed=seed).p for seed in range(repeats)]
    return np.mean(np.array(p) < 0.05)


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_error_rate_is_nominal(metric):
    assert 0.03 < rejected(metric, repeats=500) < 0.07


@pytest.mark.parametrize(("n_seeds", "seed_spread"), [(3, 0.0), (3, 0.03), (5, 0.03)])
def test_error_rate_with_seeds_stays_below_nominal(n_seeds, seed_spread):
    # With few seeds that do not matter their variance is still counted: the test is then cautious.
    assert 0.005 < rejected(accuracy, repeats=300, n_seeds=n_seeds, seed_spread=seed_spread) < 0.07


def test_one_run_mistakes_luck_for_a_method():
    assert rejected(accuracy, repeats=200, seed_spread=0.05) > 0.2


def test_has_the_power_it_promises():
    data = [paired_test(macro_f1, *arms(seed), n=300) for seed in range(40)]
    detectable = np.mean([result.smallest_detectable for result in data])
    assert rejected(macro_f1, repeats=200, gain=detectable) == pytest.approx(0.8, abs=0.1)
    assert rejected(macro_f1, repeats=100, gain=2 * detectable) > 0.97


def test_equals_students_t_on_means_of_speakers():
    a, b, gold, speaker = arms(0, gain=0.05)
    result = paired_test(accuracy, a, b, gold, speaker, strata=np.zeros_like(gold), n=20_000)
    by_speaker = [((a == gold).astype(float) - (b == gold))[0, speaker == s].mean() for s in range(30)]
    expected = stats.ttest_1samp(by_speaker, 0)
    assert result.difference == pytest.approx(np.mean(by_speaker))
    assert result.p == pytest.approx(expected.pvalue, rel=0.1)
    ends = expected.confidence_interval()
    assert [result.interval.low, result.interval.high] == pytest.approx(list(ends), abs=0.002)
    error = np.std(by_speaker, ddof=1) / np.sqrt(30)
    assert result.smallest_detectable == pytest.approx(
        (stats.t.ppf(0.975, 29) + stats.t.ppf(0.8, 29)) * error, rel=0.03
    )
    assert result.smallest_detectable == pytest.approx(2.8 * error, rel=0.08)


def test_equals_students_t_on_runs_where_only_they_differ():
    gold, speaker = np.zeros(4000, int), np.arange(4000) // 10
    wrong = np.array([100, 300, 200, 800, 400])  # of run i of a, spread evenly over speakers
    a = np.stack([np.arange(4000) % (4000 // count) == 0 for count in wrong]).astype(int)
    result = paired_test(accuracy, a, np.zeros_like(a), gold, speaker, n=4000)
    expected = stats.ttest_1samp(1 - a.mean(axis=1), 1.0)
    assert result.difference == pytest.approx(-a.mean())
    assert result.p == pytest.approx(expected.pvalue, rel=0.1)
    ends = expected.confidence_interval()
    assert [1 + result.interval.low, 1 + result.interval.high] == pytest.approx(list(ends), abs=0.005)


def test_unpacks_and_interval_agrees_with_p():
    for seed in range(10):
        difference, interval, p = paired_test(macro_f1, *arms(seed, gain=0.05, n_seeds=5), n=300)
        assert interval.low <= difference == interval.value <= interval.high
        assert (p < 0.05) == (interval.low > 0 or interval.high < 0)
        assert interval.warning is None


def test_swapping_arms_turns_the_sign():
    a, b, gold, speaker = arms(0, n_seeds=3)
    forth, back = paired_test(macro_f1, a, b, gold, speaker), paired_test(macro_f1, b, a, gold, speaker)
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.interval.low == pytest.approx(-back.interval.high)
    assert forth.p == pytest.approx(back.p)


def test_equal_arms():
    a, _, gold, speaker = arms(0, n_seeds=3)
    result = paired_test(accuracy, a, a, gold, speaker)
    assert (result.difference, result.p, result.interval.low, result.interval.high) == (0, 1, 0, 0)


def test_constant_difference_is_certain():
    gold = np.repeat([0, 1], 20)
    result = paired_test(accuracy, gold, 1 - gold, gold, groups=np.arange(40))
    assert (result.difference, result.p) == (1, 0)


def test_few_seeds_and_few_groups_are_named():
    a, b, gold, speaker = arms(0, n_seeds=5)
    assert paired_test(accuracy, a, b, gold, speaker).warning is None
    assert paired_test(accuracy, a[:4], b[:4], gold, speaker).warning == "4 seeds: seed variance is not resolved"
    one = paired_test(accuracy, a[0], b[0], gold, speaker // 6)
    assert one.warning == "indicative (5 speakers); 1 seed: seed variance is not resolved"
    assert one.interval.warning == "indicative (5 speakers)"
    assert one.n_seeds == 1
    assert one.to_dict()["warning"] == one.warning


def test_one_speaker_per_class_cannot_be_tested():
    a, b, gold, _ = arms(0, gain=0.3)
    result = paired_test(accuracy, a, b, gold, groups=gold)
    assert result.p == 1
    assert (result.interval.low, result.interval.high, result.smallest_detectable) == (-np.inf, np.inf, np.inf)
    assert result.warning.startswith("indicative (5 speakers)")
    json.dumps(result.to_dict(), allow_nan=False)


def test_spread_over_seeds_widens_the_interval():
    a, b, gold, speaker = arms(0, n_seeds=5)
    steady = paired_test(accuracy, a, b, gold, speaker)
    shaken = a.copy()
    shaken[:2, ::3] = (gold[::3] + 1) % N_CLASSES  # two runs of a fail on every third clip
    loose = paired_test(accuracy, shaken, b, gold, speaker)
    assert loose.smallest_detectable > 2 * steady.smallest_detectable


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_totals_of_groups_equal_one_call_per_draw(n_seeds):
    a, b, gold, speaker = arms(0, n_seeds=n_seeds)
    sentence = np.arange(len(gold)) % CLIPS
    options = {"groups": speaker, "crossed": sentence, "n": 100}
    fast = paired_test(macro_f1, a, b, gold, **options)
    slow = paired_test(lambda *arrays, weights=None: macro_f1(*arrays, weights=weights), a, b, gold, **options)
    assert [*fast.interval.to_dict().values()] == pytest.approx([*slow.interval.to_dict().values()])
    assert fast.p == pytest.approx(slow.p)


def test_probabilities_and_values():
    _, _, gold, speaker = arms(0)
    random = np.random.default_rng(0)
    a, b = random.dirichlet(np.ones(N_CLASSES), size=(2, 3, len(gold)))  # (S, N, C) each
    result = paired_test(expected_calibration_error, a, b, gold, speaker)
    per_seed = [
        expected_calibration_error(x, gold) - expected_calibration_error(y, gold) for x, y in zip(a, b, strict=True)
    ]
    assert result.difference == pytest.approx(np.mean(per_seed))
    assert paired_test(expected_calibration_error, a[0], b[0], gold, speaker).difference == pytest.approx(per_seed[0])

    def mean_rank(gold, values, weights=None):
        return float(np.average(values, weights=weights))

    values = random.random((2, len(gold)))
    found = paired_test(mean_rank, *values, gold, speaker, n=50).difference
    assert found == pytest.approx(values[0].mean() - values[1].mean())


def test_refuses():
    test = partial(paired_test, accuracy)
    with pytest.raises(DialectError, match=r"a has shape \(3,\) and b \(2,\)"):
        test([0, 1, 1], [0, 1], [0, 1, 1], groups=[0, 1, 2])
    with pytest.raises(DialectError, match=r"a and b have shape \(2, 2\) for 3 gold labels"):
        test(np.zeros((2, 2), int), np.zeros((2, 2), int), [0, 1, 1], groups=[0, 1, 2])
    runs = np.zeros((2, 3), int)
    with pytest.raises(DialectError, match=r"seeds are \[1, 1\] for 2 runs"):
        test(runs, runs, [0, 1, 1], groups=[0, 1, 2], seeds=[1, 1])
    with pytest.raises(DialectError, match=r"seeds are \[1, 2, 3\] for 2 runs"):
        test(runs, runs, [0, 1, 1], groups=[0, 1, 2], seeds=[1, 2, 3])
    with pytest.raises(DialectError, match=r"groups has shape \(2,\)"):
        test(runs, runs, [0, 1, 1], groups=[0, 1])
    with pytest.raises(DialectError, match="level is 0"):
        test(runs, runs, [0, 1, 1], groups=[0, 1, 2], level=0)


def test_holm_by_hand():
    # Sorted .005·4 = .02, .01·3 = .03, .03·2 = .06, .04·1 = .04 raised to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([0.02]) == pytest.approx([0.02])
    assert len(holm([])) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p_values, level):
    adjusted = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= p_values).all()
    assert adjusted.max() <= 1
    rejected = set()
    for step, i in enumerate(order):  # the procedure as published: stop at the first p above level / (M - step)
        if p_values[i] * (len(p_values) - step) > level:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


@pytest.mark.parametrize("p_values", [[0.1, 1.2], [-0.1], [np.nan, 0.5], [[0.1, 0.2]]])
def test_holm_refuses(p_values):
    with pytest.raises(DialectError, match="expected a list of values between 0 and 1"):
        holm(p_values)
