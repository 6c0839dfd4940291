import numpy as np
import pytest
import triple_loop
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.abx import dtw as module
from hf_dialects.abx.dtw import dtw, dtw_distances
from hf_dialects.errors import DialectError


def at(*degrees):
    """Frames on the unit circle."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def frame_distances(x, y, distance):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if distance == "euclidean":
        return [[float(np.linalg.norm(u - v)) for v in y] for u in x]
    cosines = [[float(np.clip(u @ v / np.sqrt((u @ u) * (v @ v)), -1, 1)) for v in y] for u in x]
    return [[1 - c if distance == "cosine" else float(np.arccos(c) / np.pi) for c in line] for line in cosines]


def random_sequences(lengths, size=6, seed=0, dtype=np.float64):
    random = np.random.default_rng(seed)
    return [(random.standard_normal((length, size)) + 0.5).astype(dtype) for length in lengths]


@pytest.mark.parametrize("distance", ["cosine", "angular", "euclidean"])
@pytest.mark.parametrize(("dtype", "off"), [(np.float64, 1e-8), (np.float32, 3e-6)])
def test_equals_the_plain_recursion(distance, dtype, off):
    sequences = random_sequences([1, 1, 2, 3, 7, 12, 5, 30], dtype=dtype)
    found = dtw_distances(sequences, distance)
    scale = 10 if distance == "euclidean" else 1
    for i, x in enumerate(sequences):
        for j, y in enumerate(sequences):
            expected = triple_loop.dtw(frame_distances(x, y, distance))
            assert found[i, j] == pytest.approx(expected, abs=off * scale), (i, j)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_symmetric_and_zero_to_itself(lengths, seed):
    sequences = random_sequences(lengths, seed=seed)
    for distance in ("cosine", "angular", "euclidean"):
        found = dtw_distances(sequences, distance)
        assert (found == found.T).all()
        assert (np.diag(found) == 0).all()
        alone = dtw(sequences[1], sequences[0], distance)
        assert alone == pytest.approx(found[0, 1], abs=1e-7), "does not depend on what else is compared"


def test_by_hand():
    # the path goes through (0, 0), (0, 1), (1, 2): costs 0, 0, 0
    assert dtw(at(0, 90), at(0, 0, 90)) == 0
    # (0, 0) costs 0 and (1, 1) costs 1: one half of the path
    assert dtw(at(0, 90), at(0, 0)) == 0.5
    assert dtw(at(0, 90), at(0, 180), "angular") == pytest.approx(0.25)
    assert dtw(3 * at(0), 5 * at(0), "euclidean") == pytest.approx(2)
    assert dtw(3 * at(0), 5 * at(0), "cosine") == 0


def test_of_equally_cheap_paths_the_shortest_counts():
    """All frames are 90 degrees apart, so every path has costs of one per step, and a mean of one."""
    assert dtw(at(0, 0, 0), at(90, 90)) == 1
    x, y = at(0, 0), at(90, 0)
    # cheapest: (0, 0), then (1, 1): 1 over 2; (0, 0), (0, 1), (1, 1) is as cheap, but longer
    assert dtw(x, y) == dtw(y, x) == 0.5


def test_padding_never_matters(monkeypatch):
    """A long neighbour, other tiles, other pairs: the distance of two sequences stays what it is."""
    short = random_sequences([3, 5, 4], seed=1)
    alone = dtw_distances(short, "cosine")
    long = random_sequences([700, 2, 513, 1], seed=2)
    together = dtw_distances([long[0], *short, *long[1:]], "cosine")
    np.testing.assert_array_equal(together[1:4, 1:4], alone)
    padded = [np.concatenate([one, np.full((9, 6), 1e3)]) for one in short]
    assert (dtw_distances(padded, "cosine") != alone)[np.triu_indices(3, 1)].all(), "padding would have been seen"
    monkeypatch.setattr(module, "TILE", 4)
    np.testing.assert_array_equal(dtw_distances(short, "cosine"), alone)


def test_only_needed_pairs_are_computed():
    sequences = random_sequences([4, 3, 5, 2])
    needed = np.zeros((4, 4), dtype=bool)
    needed[0, 1] = needed[3, 2] = True
    found, whole = dtw_distances(sequences, "cosine", needed), dtw_distances(sequences, "cosine")
    assert sorted(zip(*np.nonzero(found), strict=True)) == [(0, 1), (1, 0), (2, 3), (3, 2)]
    assert (found[found > 0] == whole[found > 0]).all()


def test_one_hot_frames_of_float32_tie_exactly():
    """Discrete units: distances are counts, whatever the precision."""
    random = np.random.default_rng(3)
    units = [np.eye(5)[random.integers(5, size=random.integers(1, 8))] for _ in range(20)]
    double = dtw_distances(units, "cosine")
    assert (dtw_distances([one.astype(np.float32) for one in units], "cosine") == double).all()
    assert len(np.unique(double)) < 40


def test_too_long_sequences_are_refused():
    with pytest.raises(DialectError, match="sequence 1 has 4097 frames; at most 4096 can be warped: cut snippets"):
        dtw_distances([np.ones((1, 1)), np.ones((4097, 1))], "cosine")
    assert dtw(np.ones((4096, 1)), np.ones((2, 1))) == 0
