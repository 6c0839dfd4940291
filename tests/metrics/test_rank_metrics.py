"""hf_dialects.metrics.ranks by hand, against scikit-learn and against a sorted list."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from hf_dialects.errors import DialectError
from hf_dialects.metrics import bootstrap_interval, mean_reciprocal_rank, ranks_of, recall_at_k


def test_by_hand():
    ranks = [1, 3, 2, 10]
    assert [recall_at_k(ranks, k=k) for k in (1, 2, 3, 9, 10)] == [1 / 4, 2 / 4, 3 / 4, 3 / 4, 1]
    assert recall_at_k(ranks) == recall_at_k(ranks, k=1)
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 3 + 1 / 2 + 1 / 10) / 4)
    assert recall_at_k(ranks, k=2, weights=[1, 0, 3, 4]) == 1 / 2
    assert mean_reciprocal_rank(ranks, weights=[1, 1, 0, 0]) == pytest.approx(2 / 3)


def test_ranks_by_hand():
    similarity = [[0.9, 0.5, 0.1], [0.2, 0.2, 0.2], [0.1, 0.4, 0.3]]
    assert ranks_of(similarity, [1, 0, 2]).tolist() == [2, 3, 2], "equal similarity counts against"
    several = np.array([[False, True, True], [True, True, True], [True, False, False]])
    assert ranks_of(similarity, several).tolist() == [2, 1, 3], "the first right item counts, right ones do not compete"


def test_equal_to_scikit_learn():
    random = np.random.default_rng(0)
    similarity, right = random.normal(size=(80, 12)), random.integers(12, size=80)
    ranks = ranks_of(similarity, right)
    for k in (1, 3, 7):
        assert recall_at_k(ranks, k=k) == top_k_accuracy_score(right, similarity, k=k, labels=np.arange(12))
    one_hot = right[:, None] == np.arange(12)
    # with one right item per query average precision is the reciprocal rank
    assert mean_reciprocal_rank(ranks) == pytest.approx(label_ranking_average_precision_score(one_hot, similarity))


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=6), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_ranks_equal_those_of_a_sorted_list(similarity, right):
    found = ranks_of(np.array(similarity, dtype=float), np.full(len(similarity), right))
    for row, rank in zip(similarity, found, strict=True):
        order = sorted(range(4), key=lambda item: (-row[item], item == right))
        assert rank == order.index(right) + 1


def test_intervals_are_of_groups():
    ranks = np.repeat([1, 2, 5, 1, 9, 1, 1, 3, 2, 1], 4)
    interval = bootstrap_interval(recall_at_k, ranks, groups=np.repeat(np.arange(10), 4), n=200)
    assert (interval.value, interval.n_groups) == (0.5, 10)
    assert interval.low < 0.5 < interval.high


def test_wrong_input_is_told():
    with pytest.raises(DialectError, match="ranks hold 0; expected ranks that start at 1"):
        recall_at_k([0, 1])
    with pytest.raises(DialectError, match="ranks is empty"):
        mean_reciprocal_rank([])
    with pytest.raises(DialectError, match="k is 0; expected 1 or more"):
        recall_at_k([1], k=0)
    with pytest.raises(DialectError, match="or holds NaN; expected"):
        ranks_of([[math.nan, 1.0]], [0])
    with pytest.raises(DialectError, match="right holds the class number 2; expected 0 to 1"):
        ranks_of([[0.0, 1.0]], [2])
    with pytest.raises(DialectError, match="1 queries have no right candidate, first query 1"):
        ranks_of(np.eye(2), [[True, False], [False, False]])
    with pytest.raises(DialectError, match=r"right is bool \(2, 3\); expected \(N,\) int, or bool \(2, 2\)"):
        ranks_of(np.eye(2), np.ones((2, 3), dtype=bool))
