"""The grid: every setting scored as `abx` does, corrected for looking at all, taken up where it stopped."""

import numpy as np
import pandas as pd
import pytest

from hf_dialects import abx_grid
from hf_dialects.abx import abx
from hf_dialects.abx_grid import Items, Question, Setting, max_statistic, run_grid, setting_named
from hf_dialects.errors import DialectError

SETTINGS = [Setting(layer, length, "max") for length in (1.0, None) for layer in (0, 6)]
QUESTION = Question("dialect", differ=("speaker",))
FAST = {"draws": 100, "permutations": 99, "progress": False}


def items_of(setting: Setting, n: int = 48) -> Items:
    """Twelve speakers, six per dialect; layer 6 tells the dialects apart, layer 0 does not."""
    random = np.random.default_rng([setting.layer, int(setting.length_s or 9)])
    speaker = np.arange(n) % 12
    vectors = random.normal(size=(n, 5)) + 1
    vectors[:, 0] += 3 * setting.layer * (speaker % 2)
    attributes = {"dialect": np.where(speaker % 2, "north", "south"), "speaker": [f"s{one}" for one in speaker]}
    return Items(vectors, pd.DataFrame(attributes))


def test_scores_are_those_of_abx():
    grid = run_grid(items_of, SETTINGS, QUESTION, seed=3, **FAST)
    assert list(grid.table.columns) == list(abx_grid.COLUMNS)
    assert grid.table[["layer", "snippet", "pooling"]].to_numpy().tolist() == [
        [0, "1s", "max"],
        [6, "1s", "max"],
        [0, "whole", "max"],
        [6, "whole", "max"],
    ]
    for setting, (_, row) in zip(SETTINGS, grid.table.iterrows(), strict=True):
        items = items_of(setting)
        result = abx(items.vectors, items.attributes, on="dialect", differ="speaker")
        interval, band = result.interval(by="speaker", n=100, seed=3), result.permutation_band("speaker", n=99, seed=3)
        assert (row["score"], row["error_rate"]) == (result.score, result.error_rate)
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        assert (row["null_low"], row["null_high"], row["p"]) == (band.low, band.high, band.p)
        assert (row["items"], row["groups"], row["cells"]) == (48, 12, 2)
        assert row["triples"] == result.cells["triples"].sum()
        pd.testing.assert_frame_equal(grid.matrix(setting), result.matrix, check_names=False)
    assert (grid.table["p_adjusted"] >= grid.table["p"]).all()
    scores = grid.table["score"]
    assert (scores[[1, 3]] > 0.8).all()
    assert (grid.table["p_adjusted"][[1, 3]] < 0.1).all()
    assert (grid.table["p_adjusted"][[0, 2]] > 0.1).all()


def test_the_largest_of_a_permutation_by_hand():
    """1 to 5 lie -2, -1, 0, 1, 2 off their mean; with the second null, which is turned round, the largest of the five
    permutations are 2, 1, 0, 1, 2, in the same unit for both. 4.5 lies 1.5 off: two of five are as far."""
    one = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = max_statistic([4.5, 2.0, None], [one, one[::-1], []])
    assert found[0] == pytest.approx((1 + 2) / 6)
    assert found[1] == pytest.approx(1.0)
    assert np.isnan(found[2])


def test_a_setting_that_stands_there_twice_costs_nothing_and_one_alone_is_not_corrected():
    null = np.random.default_rng(0).normal(size=200)
    alone = max_statistic([2.0], [null])[0]
    assert alone == (1 + (null >= 2.0).sum()) / 201
    assert max_statistic([2.0, 2.0], [null, null]).tolist() == [alone, alone]
    assert max_statistic([0.2, 2.0], [null / 10, null])[1] == pytest.approx(alone)  # units play no part


def test_looking_at_many_settings_finds_something_no_more_often_than_at_one():
    random, found = np.random.default_rng(1), 0
    for _ in range(300):
        drawn = random.normal(size=(20, 100))
        found += max_statistic(drawn[:, 0], drawn[:, 1:]).min() <= 0.1
    assert 0.06 < found / 300 < 0.14  # nominal 0.1; without correction 0.88


def test_permutations_without_a_triple_and_without_effect():
    assert max_statistic([1.0], [[np.nan, 0.4, 0.6]])[0] == pytest.approx(1 / 4)
    assert max_statistic([0.5], [[0.5, 0.5]]).tolist() == [1.0]
    assert np.isnan(max_statistic([0.7], [[]])).all()


def test_settings_are_scored_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(abx_grid, "abx", lambda *given, **named: asked.append(1) or abx(*given, **named))
    first = run_grid(items_of, SETTINGS[:2], QUESTION, folder=tmp_path, **FAST)
    again = run_grid(items_of, SETTINGS, QUESTION, folder=tmp_path, **FAST)
    assert len(asked) == 4
    pd.testing.assert_frame_equal(again.table[:2].drop(columns="p_adjusted"), first.table.drop(columns="p_adjusted"))
    fresh = run_grid(items_of, SETTINGS, QUESTION, **FAST)
    pd.testing.assert_frame_equal(again.table, fresh.table)
    run_grid(items_of, SETTINGS, Question("dialect"), folder=tmp_path, **FAST)
    assert len(asked) == 12, "another question is another score"
    run_grid(lambda setting: items_of(setting, 32), SETTINGS, Question("dialect"), folder=tmp_path, **FAST)
    assert len(asked) == 16, "so are other items"


def test_a_setting_without_items_or_triples_keeps_its_row(tmp_path):
    def read(setting):
        items = items_of(setting)
        return Items(items.vectors[:0], items.attributes[:0]) if setting.length_s else items

    grid = run_grid(read, SETTINGS, QUESTION, **FAST)
    assert grid.table["score"].notna().tolist() == [False, False, True, True]
    assert grid.table["warning"][0] == "there are no items: no recording is long enough, or none has all attributes"
    with pytest.raises(DialectError, match="setting 0,1s,max has no score: there are no items"):
        grid.matrix(SETTINGS[0])
    with pytest.raises(DialectError, match="there are no items"):
        run_grid(read, SETTINGS[:2], QUESTION, **FAST)


def test_intervals_stay_between_0_and_1_where_draws_empty_cells():
    """With four speakers, three of whom meet in a triple, most draws leave cells without any."""
    random, number = np.random.default_rng(0), np.arange(200)
    table = {"dialect": number // 4 % 4, "speaker": number % 4, "sentence": random.integers(3, size=200)}
    items = Items(random.normal(size=(200, 5)) + 1, pd.DataFrame(table))
    question = Question("dialect", by=("sentence",), differ=("speaker",))
    table = run_grid(lambda setting: items, SETTINGS[:1], question, draws=300, permutations=0, progress=False).table
    assert "of 300 draws were empty" in table["warning"][0]
    assert 0.4 < table["low"][0] < table["score"][0] < table["high"][0] < 0.6


def test_a_nested_attribute_is_told_to_go_into_differ():
    with pytest.raises(DialectError, match=r"every speaker has a single dialect.*use differ=\('speaker',\)"):
        run_grid(items_of, SETTINGS, Question("dialect", across=("speaker",)), **FAST)


def test_a_value_with_a_single_item_or_speaker_is_named():
    def read(setting):
        items = items_of(setting)
        items.attributes.loc[0, "dialect"] = "west"
        return items

    grid = run_grid(read, SETTINGS[:1], Question("dialect"), **FAST)
    assert "never A and X for want of a second item: dialect west" in grid.table["warning"][0]
    assert grid.matrix(SETTINGS[0]).loc["west"].isna().all()
    assert grid.matrix(SETTINGS[0])["west"].notna().sum() == 2


def test_items_without_an_attribute_are_left_out_and_counted():
    def read(setting):
        items = items_of(setting)
        items.attributes.loc[[0, 3], "speaker"] = None
        items.attributes.loc[[3, 5], "dialect"] = ""
        return items

    grid = run_grid(read, SETTINGS[:1], QUESTION, **FAST)
    assert grid.table["items"][0] == 45
    assert grid.table["warning"][0].startswith("3 of 48 items left out, without dialect 2, speaker 2")
    with pytest.raises(DialectError, match="there is no attribute 'room'; the corpus has dialect, speaker"):
        run_grid(items_of, SETTINGS, Question("room"), **FAST)


def test_few_groups_are_told_about_and_none_can_be_named():
    grid = run_grid(lambda setting: items_of(setting, 6), SETTINGS[:1], Question("dialect"), **FAST)
    assert "indicative (6 speakers)" in grid.table["warning"][0]
    grid = run_grid(items_of, SETTINGS[:1], QUESTION, groups=None, **FAST)
    assert grid.table[["low", "null_low", "p", "p_adjusted", "groups", "warning"]].isna().all(axis=None)


def test_sequences_are_compared_too():
    def read(setting):
        items = items_of(setting, 24)
        return Items(
            [np.repeat(row[None], 2 + number % 3, 0) for number, row in enumerate(items.vectors)], items.attributes
        )

    grid = run_grid(read, [Setting(6, None, "frames")], QUESTION, **FAST)
    pooled = run_grid(lambda setting: items_of(setting, 24), [Setting(6, None, "max")], QUESTION, **FAST)
    assert grid.table["score"][0] == pooled.table["score"][0], "each sequence is one frame, held"


def test_settings_have_names():
    settings = [Setting(9, 10.0, "max"), Setting(9, 2.5, "mean"), Setting(9, None, "max")]
    assert [str(one) for one in settings] == ["9,10s,max", "9,2.5s,mean", "9,whole,max"]
    assert setting_named(settings, "9, 10s, max") == setting_named(settings, "9,10,max") == settings[0]
    assert setting_named(settings, "9,whole,max") == settings[2]
    with pytest.raises(
        DialectError, match="there is no setting '8,10s,max' of layer, length and pooling; there are 9,10s"
    ):
        setting_named(settings, "8,10s,max")
