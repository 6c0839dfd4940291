import numpy as np
import pytest
import torch

from hf_dialects.abx.distances import ITEM_BITS, ITEM_MASK, NEVER, PooledDistances, checked_vectors
from hf_dialects.errors import DialectError


def everything(n):
    return ~np.eye(n, dtype=bool)


def decoded(keys):
    return keys & ITEM_MASK, (keys >> ITEM_BITS) / 2.0**36


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # numpy and torch
def test_keys_hold_distances_and_items(device):
    vectors = np.array([[1, 0], [0, 2], [-3, 0], [5, 5]], dtype=np.float32)
    keys = PooledDistances(vectors, "cosine", device).keys(0, 4, everything(4))
    items, halves = decoded(keys[:, :3])
    assert items.tolist() == [[3, 1, 2], [3, 0, 2], [1, 3, 0], [0, 1, 2]]
    cosines = np.cos(np.radians([[45, 90, 180], [45, 90, 90], [90, 135, 180], [45, 45, 135]]))
    assert halves == pytest.approx((1 - cosines) / 2, abs=2e-11)
    assert (keys[:, 3] == NEVER).all()
    assert keys[3, 0] >> ITEM_BITS == keys[3, 1] >> ITEM_BITS, "a tie"


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_keys_are_in_the_order_of_the_distances(distance, device):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((30, 7)) + 100 * (distance == "euclidean")
    allowed = everything(30) & (random.random((30, 30)) < 0.7)
    whole = PooledDistances(vectors, distance, device).keys(0, 30, allowed)
    for x, row in enumerate(whole):
        used = np.flatnonzero(allowed[x])
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        true = -units @ units[x] if distance == "cosine" else np.linalg.norm(vectors - vectors[x], axis=1)
        assert (row[: len(used)] & ITEM_MASK).tolist() == used[np.argsort(true[used])].tolist()
        assert (row[len(used) :] == NEVER).all()
    part = PooledDistances(vectors, distance, device).keys(11, 13, allowed[11:13])
    np.testing.assert_array_equal(part, whole[11:13])


def test_extreme_sizes_keep_their_direction():
    directions = np.array([[1.0, 0.2], [0.1, 1.0], [1.0, 1.1], [-1.0, 0.3]])
    plain = decoded(PooledDistances(directions, "cosine").keys(0, 4, everything(4)))
    for scale in (1e300, 1e-300, 1e30):
        scaled = PooledDistances(directions * scale, "cosine").keys(0, 4, everything(4))
        np.testing.assert_array_equal(decoded(scaled)[0], plain[0])
        far = PooledDistances(directions * scale, "euclidean").keys(0, 4, everything(4))
        near = PooledDistances(directions, "euclidean").keys(0, 4, everything(4))
        np.testing.assert_array_equal(far & ITEM_MASK, near & ITEM_MASK)


def test_equal_vectors_are_at_distance_zero_in_euclidean_space():
    same = np.full((5, 3), 7.0)
    keys = PooledDistances(same, "euclidean").keys(0, 5, everything(5))
    assert (keys[:, :4] >> ITEM_BITS == 0).all()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.array([[1.0, 0], [np.nan, 1], [np.inf, 1]]), "2 of 3 vectors hold NaN or infinite values: items 1, 2. Le"),
        (np.array([[1.0, 0], [0, 0]]), "1 of 2 vectors hold a vector of zeros, which has no direction: items 1. Leave"),
        (np.zeros((20, 2)), "items 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …\\. Leave"),
        ([np.ones((2, 3)), np.array([[1, 1, 1], [0, 0, 0]])], "1 of 2 sequences hold a vector of zeros"),
        ([np.ones((2, 3)), np.full((2, 3), np.nan)], "1 of 2 sequences hold NaN or infinite values: items 1"),
        ([np.ones((2, 3)), np.ones((2, 4))], r"shapes \(2, 3\), \(2, 4\); expected \(N, D\), or N sequences of frames"),
        ([np.ones((2, 3)), np.ones((0, 3))], r"shapes \(0, 3\), \(2, 3\)"),
        ([np.ones(3), np.ones((2, 3))], r"expected \(N, D\)"),
        ([], "shapes nothing"),
        (np.ones(4), r"shapes \(\)"),
        (np.array([["a", "b"]]), "vectors hold <U1 values; expected numbers"),
    ],
)
def test_messages(vectors, message):
    with pytest.raises(DialectError, match=message):
        checked_vectors(vectors, "cosine")


def test_unknown_distance():
    with pytest.raises(DialectError, match="distance is 'manhattan'; expected one of cosine, angular, euclidean"):
        checked_vectors(np.ones((2, 2)), "manhattan")


def test_zeros_have_euclidean_distances():
    assert checked_vectors(np.zeros((2, 2)), "euclidean").shape == (2, 2)


def test_types_that_are_kept_and_types_that_are_widened():
    assert checked_vectors(np.ones((2, 2), np.float32), "cosine").dtype == np.float32
    assert checked_vectors(torch.ones(2, 2, dtype=torch.bfloat16), "cosine").dtype == np.float64
    assert checked_vectors(np.ones((2, 2), int), "cosine").dtype == np.float64
    assert [one.dtype for one in checked_vectors([np.ones((3, 2), np.float16)] * 2, "cosine")] == [np.float32] * 2
    assert isinstance(checked_vectors(np.ones((2, 5, 3)), "cosine"), list), "(N, T, D) are sequences"
