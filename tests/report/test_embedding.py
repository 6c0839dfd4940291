import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from hf_dialects.report.embedding import neighbour_purity, sample, separation, standardised, tsne


def slow_purity(distances, values, speakers, k):
    """Neighbours one after the other."""
    purities, chances = [], []
    for one in range(len(values)):
        others = [row for row in range(len(values)) if speakers[row] != speakers[one]]
        others.sort(key=lambda row: (distances[one][row], row))
        same = [values[row] == values[one] for row in others]
        if others:
            purities.append(sum(same[:k]) / len(same[:k]))
            chances.append(sum(same) / len(same))
    return (np.mean(purities), np.mean(chances)) if any(chances) else (None, None)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 14), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_purity_equals_the_plain_way(n, n_values, n_speakers, k, seed):
    random = np.random.default_rng(seed)
    points = random.integers(0, 3, size=(n, 2)).astype(float)  # few places: many ties
    values, speakers = random.integers(0, n_values, n), random.integers(0, n_speakers, n)
    distances = cdist(points, points)
    found, expected = neighbour_purity(distances, values, speakers, k), slow_purity(distances, values, speakers, k)
    assert found == expected if expected[0] is None else found == pytest.approx(expected)


def test_a_voice_alone_does_not_make_a_dialect():
    """Two speakers per dialect, each in a place of its own, the dialects of neighbours differing."""
    places = {"a": 0.0, "b": 10.0, "c": 11.0, "d": 1.0}
    dialects = {"a": "x", "b": "x", "c": "y", "d": "y"}
    speakers = [name for name in places for _ in range(12)]
    vectors = np.array([[places[name] + 0.01 * number] for number, name in enumerate(speakers)])
    found = separation(vectors, {"dialect": [dialects[name] for name in speakers]}, speakers)["dialect"]
    assert found.purity == 0
    assert found.chance == pytest.approx(12 / 36)
    of_speakers = separation(vectors, {"speaker": speakers}, speakers)["speaker"]
    assert of_speakers.purity is None
    assert of_speakers.silhouette > 0.5


def test_silhouette_by_hand():
    vectors = np.array([[0.0], [1.0], [10.0]])
    found = separation(vectors, {"dialect": ["x", "x", "y"], "one": ["x", "x", "x"]}, [None, None, None])
    assert found["dialect"].silhouette == pytest.approx((9 / 10 + 8 / 9 + 0) / 3)
    assert found["one"].silhouette is None
    assert (found["one"].purity, found["one"].chance) == (1, 1)


def test_clips_whose_value_is_unknown_are_left_out():
    vectors = np.array([[0.0], [1.0], [10.0], [0.5]])
    known = separation(vectors[:3], {"cluster": ["x", "x", "y"]}, list("abc"))
    assert separation(vectors, {"cluster": ["x", "x", "y", None]}, list("abcd")) == known


def test_standardised_copes_with_constant_dimensions():
    found = standardised(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert found.tolist() == [[-1, 0], [1, 0]]


def test_sample_does_not_depend_on_order():
    ids = [f"clip-{number}" for number in range(50)]
    drawn = {ids[row] for row in sample(ids, 10, seed=1)}
    backwards = ids[::-1]
    assert {backwards[row] for row in sample(backwards, 10, seed=1)} == drawn
    assert {ids[row] for row in sample(ids, 10, seed=2)} != drawn
    assert sample(ids, 50).tolist() == list(range(50))


def test_tsne_keeps_groups_and_is_the_same_again():
    random = np.random.default_rng(0)
    vectors = np.concatenate([random.normal(size=(15, 5)), 20 + random.normal(size=(15, 5))])
    points = tsne(vectors)
    assert points.shape == (30, 2)
    assert np.array_equal(points, tsne(vectors))
    groups = np.repeat([0, 1], 15)
    assert neighbour_purity(cdist(points, points), groups, np.arange(30), k=5)[0] == 1
    assert tsne(vectors[:4, :1]).shape == (4, 2)
