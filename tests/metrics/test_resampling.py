"""hf_dialects.metrics.resampling: who is drawn with whom, and how much a draw counts."""

import numpy as np
import pytest

from hf_dialects.metrics.resampling import Resampling, multiplicities


def test_chunks_do_not_change_a_draw(monkeypatch):
    groups = np.repeat(np.arange(20), 5)
    monkeypatch.setattr("hf_dialects.metrics.resampling._CHUNK", 20 * 70)
    sizes = [weights.shape for weights in Resampling(groups, None, None, 100).draws(200, seed=0)]
    assert sizes == [(20, 70), (20, 70), (20, 60)]


def test_draws_count_every_stratum_fully():
    random = np.random.default_rng(0)
    weights = multiplicities(5, 40_000, random)
    assert weights.sum(axis=0) == pytest.approx(5)
    assert set(np.unique(weights)) == {0, 1.25, 2.5, 3.75, 5}
    # The variance of the mean of k values over draws is the unbiased estimate s² / k.
    values = np.array([0.0, 1, 1, 3, 7])
    assert (values @ weights / 5).var() == pytest.approx(values.var(ddof=1) / 5, rel=0.03)
    assert multiplicities(1, 3, random).tolist() == [[1, 1, 1]]


def test_strata_follow_nesting():
    nested = Resampling(["a", "b", "c", "d"], None, [0, 0, 1, 1], 4).groups
    assert nested.strata[0] == nested.strata[1] != nested.strata[2] == nested.strata[3]
    assert (nested.degrees_of_freedom, nested.groups_per_class) == (2, 2)
    every_class = Resampling(["a", "a", "b", "b"], None, [0, 1, 0, 1], 4).groups
    assert (every_class.degrees_of_freedom, every_class.groups_per_class) == (1, 2)
    # b speaks 0 and 1: the groups of both are drawn together, those of 2 apart
    bridged = Resampling(list("abbcdee"), None, [0, 0, 1, 1, 2, 2, 2], 7).groups
    assert len(np.unique(bridged.strata)) == 2
    assert bridged.strata[0] == bridged.strata[1] == bridged.strata[2] != bridged.strata[3] == bridged.strata[4]


def test_crossed_weights_are_products():
    voice, sentence = np.indices((4, 5)).reshape(2, -1)
    resampling = Resampling(voice, sentence, None, 20)
    (weights,) = resampling.draws(50, seed=0)
    for column in weights.T:
        table = column[resampling.cell].reshape(4, 5)
        assert table.sum() == pytest.approx(20)
        assert np.outer(table.sum(axis=1), table.sum(axis=0)) / 20 == pytest.approx(table)
    assert len(np.unique(weights.sum(axis=1))) > 1
    assert resampling.degrees_of_freedom == 3
