"""Credit with ties against all orders, and hubs and CSLS by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import DialectError
from hf_dialects.metrics import mean_reciprocal_rank, ranks_of, recall_at_k
from hf_dialects.retrieval import csls, k_occurrence, skewness
from hf_dialects.retrieval.credit import chance, places, recall_credit, reciprocal_credit


def over_all_orders(scores, right, k):
    """Recall and reciprocal rank of one query, averaged over every order of the targets that ties allow."""
    recalls, reciprocals = [], []
    for order in permutations(range(len(scores))):
        ranked = sorted(order, key=lambda target: -scores[target])
        rank = 1 + next(place for place, target in enumerate(ranked) if right[target])
        recalls.append(rank <= k)
        reciprocals.append(1 / rank)
    return np.mean(recalls), np.mean(reciprocals)


queries = st.tuples(
    st.lists(st.integers(0, 2), min_size=5, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5).filter(any)
)


@given(queries, st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_credit_is_the_mean_over_orders(query, k):
    scores, right = (np.array([one]) for one in query)
    recall, reciprocal = over_all_orders(*query, k)
    place = places(scores.astype(float), right)
    assert recall_credit(place, k)[0] == pytest.approx(recall)
    assert reciprocal_credit(place)[0] == pytest.approx(reciprocal)
    by_chance = over_all_orders([0] * 5, query[1], k)
    guessed = chance(np.ones_like(right), right)
    assert (recall_credit(guessed, k)[0], reciprocal_credit(guessed)[0]) == pytest.approx(by_chance)


def test_without_ties_credit_is_the_metric():
    random = np.random.default_rng(0)
    scores, right = random.normal(size=(50, 20)), random.random((50, 20)) < 0.2
    right[:, 0] |= ~right.any(axis=1)
    place, ranks = places(scores, right), ranks_of(scores, right)
    for k in (1, 2, 5, 30):
        assert recall_credit(place, k).mean() == pytest.approx(recall_at_k(ranks, k))
    assert reciprocal_credit(place).mean() == pytest.approx(mean_reciprocal_rank(ranks))


def test_place_by_hand():
    scores = np.array([[0.9, 0.5, 0.5, 0.5, 0.1]])
    right = np.array([[False, True, True, False, True]])
    place = places(scores, right)
    assert [side[0] for side in place] == [1, 3, 2]
    assert recall_credit(place, 1)[0] == 0
    assert recall_credit(place, 2)[0] == pytest.approx(2 / 3)
    assert recall_credit(place, 3)[0] == pytest.approx(1)
    assert reciprocal_credit(place)[0] == pytest.approx(2 / 3 / 2 + 1 / 3 / 3)


def test_a_constant_similarity_earns_chance_wherever_the_right_one_stands():
    right = np.eye(10, dtype=bool)
    place = places(np.zeros((10, 10)), right)
    assert recall_credit(place, 1) == pytest.approx(np.full(10, 0.1))
    assert recall_credit(place, 5) == pytest.approx(np.full(10, 0.5))


def test_places_want_a_right_target():
    with pytest.raises(DialectError, match="a query has no right target"):
        places(np.zeros((1, 2)), np.zeros((1, 2), dtype=bool))


def test_k_occurrence_by_hand():
    scores = np.array([[3.0, 2, 1], [3, 1, 2], [1, 1, 0]])
    assert k_occurrence(scores).tolist() == [2.5, 0.5, 0]
    assert k_occurrence(scores, 2).tolist() == [3, 2, 1]
    assert k_occurrence(np.zeros((4, 4))).tolist() == [1, 1, 1, 1]
    assert k_occurrence(np.random.default_rng(0).normal(size=(30, 7)), 3).sum() == 90


def test_a_hub_is_seen_and_csls_removes_it():
    random = np.random.default_rng(0)
    scores = np.eye(50) + 0.1 * random.normal(size=(50, 50))
    scores[:, 7] += 1.5
    assert k_occurrence(scores)[7] == 50
    assert skewness(k_occurrence(scores)) > 5
    assert k_occurrence(csls(scores)).max() <= 2
    assert skewness(np.ones(50)) == 0


def test_csls_by_hand():
    scores = np.array([[0.8, 0.2], [0.4, 0.6]])
    means = np.array([[0.5], [0.5]]), np.array([0.6, 0.4])
    np.testing.assert_allclose(csls(scores), 2 * scores - means[0] - means[1])
    np.testing.assert_allclose(csls(scores, 1), 2 * scores - [[0.8], [0.6]] - [0.8, 0.6])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: k_occurrence(np.zeros((2, 3)), 4), "k is 4; expected 1 to the number of targets, 3"),
        (lambda: k_occurrence(np.full((2, 2), np.nan)), "hold NaN"),
        (lambda: csls(np.zeros(3)), r"scores have shape \(3,\)"),
        (lambda: csls(np.zeros((2, 2)), 0), "neighbours is 0"),
    ],
)
def test_wrong_input_is_told(call, message):
    with pytest.raises(DialectError, match=message):
        call()
