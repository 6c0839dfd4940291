"""hf_dialects.retrieval.scores against equations 1 to 3 in plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import DialectError
from hf_dialects.retrieval import products, quantised, scores, seqsim, seqsim_matrix
from hf_dialects.retrieval.quantised import Int8
from hf_dialects.retrieval.sequences import Sequences, cuts


def loop_seqsim(x, y):
    """Frame by frame, in Python's floats."""

    def cosine(a, b):
        a, b = [float(v) for v in a], [float(v) for v in b]
        return sum(p * q for p, q in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    recall = sum(max(cosine(a, b) for b in y) for a in x) / len(x)
    precision = sum(max(cosine(a, b) for a in x) for b in y) / len(y)
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else total / 2


def at(*degrees):
    """Frames on the unit circle, of length 3."""
    angles = np.radians(degrees)
    return 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def speech(n, seed, size=8, shortest=1, longest=9, offset=1.0):
    random = np.random.default_rng(seed)
    lengths = random.integers(shortest, longest + 1, n)
    # the offset keeps similarities off zero, where the harmonic mean has a pole
    return [(offset + random.normal(size=(length, size))).astype(np.float32) for length in lengths]


sequences = st.builds(speech, n=st.integers(1, 5), seed=st.integers(0, 10**6), size=st.just(5))
few = settings(max_examples=25, deadline=None)


def test_by_hand():
    assert seqsim(at(0), at(60)) == pytest.approx(0.5)
    assert seqsim(at(0, 60), at(0)) == pytest.approx(2 * 0.75 * 1 / 1.75), "Re = (1 + 1/2) / 2, Pr = 1"
    assert seqsim(at(0, 90), at(90, 0, 0)) == pytest.approx(1)


def test_all_similarities_negative():
    assert seqsim(at(0), at(120)) == pytest.approx(-0.5), "a maximum of 0 would be that of padding"
    assert seqsim(at(0, 10), at(150, 170)) == pytest.approx(loop_seqsim(at(0, 10), at(150, 170)))
    assert seqsim(at(0), at(180)) == pytest.approx(-1)


def test_where_the_harmonic_mean_says_nothing():
    assert seqsim(at(0), at(90)) == pytest.approx(0, abs=1e-7)
    x, y = at(0), at(0, 180, 180, 180)  # Re = 1, Pr = -1/2
    assert seqsim(x, y) == pytest.approx(2 * 1 * -0.5 / 0.5), "above 0 equation 3 holds as it stands"
    y = at(80, *[180] * 9)  # Re = cos 80, Pr = (cos 80 - 9) / 10
    assert seqsim(x, y) == pytest.approx((np.cos(np.radians(80)) + (np.cos(np.radians(80)) - 9) / 10) / 2)


@pytest.mark.parametrize("block", [(2, 3), (5, 7), (1024, 2048)])
@given(xs=sequences, ys=sequences)
@few
def test_matrix_is_the_loop(block, xs, ys):
    with pytest.MonkeyPatch.context() as patch:  # small blocks pass long utterances through part by part
        patch.setattr(products.Float32, "rows", block[0])
        patch.setattr(products.Float32, "columns", block[1])
        found = seqsim_matrix(xs, ys)
    assert found.shape == (len(xs), len(ys))
    assert found.dtype == np.float32
    expected = [[loop_seqsim(x, y) for y in ys] for x in xs]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@given(xs=sequences, seed=st.integers(0, 100))
@few
def test_order_length_and_copies_of_frames_do_not_matter(xs, seed):
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(x) for x in xs]
    np.testing.assert_allclose(seqsim_matrix(shuffled), seqsim_matrix(xs), rtol=1e-4, atol=1e-6)
    scaled = [x * random.uniform(0.1, 10, (len(x), 1)).astype(np.float32) for x in xs]
    np.testing.assert_allclose(seqsim_matrix(scaled), seqsim_matrix(xs), rtol=1e-4, atol=1e-6)
    doubled = [np.repeat(x, 2, axis=0) for x in xs]
    np.testing.assert_allclose(seqsim_matrix(doubled), seqsim_matrix(xs), rtol=1e-4, atol=1e-6)


@given(xs=sequences, longer=st.integers(10, 30))
@few
def test_other_utterances_do_not_matter(xs, longer):
    """Nothing is padded to the longest."""
    alone = [seqsim(xs[0], x) for x in xs]
    beside = seqsim_matrix(xs[:1], [*xs, *speech(2, 1, size=5, shortest=longer, longest=longer)])
    np.testing.assert_allclose(beside[0, : len(xs)], alone, rtol=1e-5, atol=1e-6)


def test_symmetric_is_full():
    xs = speech(40, 0)
    with pytest.MonkeyPatch.context() as patch:
        for name, frames in (("rows", 16), ("columns", 24), ("panel", 60)):
            patch.setattr(products.Float32, name, frames)
        half, full = seqsim_matrix(xs), seqsim_matrix(xs, list(xs))
    np.testing.assert_allclose(half, full, atol=1e-6)
    np.testing.assert_allclose(np.diag(half), 1, atol=1e-6)
    assert (half == half.T).all()
    assert (seqsim_matrix(xs, xs, symmetric=True) == seqsim_matrix(xs)).all()


def test_copies_have_equal_scores():
    xs, ys = speech(9, 0, size=64, longest=30), speech(9, 1, size=64, longest=30)
    found = seqsim_matrix([*xs, xs[2]], [ys[4], *ys, ys[4].copy()])
    assert (found[:, 0] == found[:, 5]).all()
    assert (found[:, 0] == found[:, 10]).all()
    assert (found[2] == found[9]).all()
    assert len(np.unique(found[0])) == 9, "others are told apart"


def test_torch_is_the_same(monkeypatch):
    xs, ys = speech(12, 0), speech(15, 1)
    expected = seqsim_matrix(xs, ys)
    for rows in (4096, 3):  # in one piece, and part by part
        monkeypatch.setattr(products.Torch, "rows", rows)
        monkeypatch.setattr(scores, "products_of", lambda *_: products.Torch("cpu"))
        np.testing.assert_allclose(seqsim_matrix(xs, ys), expected, atol=1e-6)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("size", [1, 7, 16, 96])
def test_int8_is_within_its_bound(size, fast, monkeypatch):
    monkeypatch.setattr(quantised, "is_fast", lambda: fast)
    random = np.random.default_rng(size)
    lengths = random.integers(1, 20, 12)
    frames = [random.normal(size=(length, size)) for length in lengths]
    for one in frames:
        one[:, 0] *= 20  # a channel that sticks out
    given = Sequences("frames", frames)
    exact, rounded = products.Float32(), Int8(size)
    x, y = (given.load(np.arange(*part)) for part in ((0, 5), (5, 12)))
    x8, y8 = rounded.operand(x), rounded.operand(y)
    precision, recall = rounded.precision_recall(x8, y8)
    true_precision, true_recall = exact.precision_recall(x, y)
    of_recall = rounded.largest_error(x8.mean_residual, y8.largest_residual)
    of_precision = rounded.largest_error(y8.mean_residual, x8.largest_residual).T
    assert (np.abs(recall - true_recall) <= of_recall).all()
    assert (np.abs(precision - true_precision) <= of_precision).all()
    assert (precision != true_precision).any(), "nothing was rounded: this test would prove nothing"


def test_int8_without_instructions_for_it(monkeypatch):
    """Whole numbers in float32 have the same products."""
    xs = speech(9, 0, size=96, longest=30)
    found = {}
    for fast in (True, False):
        monkeypatch.setattr(quantised, "is_fast", lambda fast=fast: fast)
        found[fast] = seqsim_matrix(xs, precision="int8")
    assert (found[True] == found[False]).all()
    assert (found[True] != seqsim_matrix(xs)).any()


@pytest.mark.parametrize("size", [16, 80, 512])
def test_mixing_keeps_lengths_and_spreads_every_channel(size):
    """One channel alone becomes as many equal ones as the largest power of 2 that divides the width."""
    one = np.eye(size, dtype=np.float32)
    block = size & -size
    steps = Int8(size).operand(Sequences("frames", [one]).load([0])).units.numpy().astype(int)
    largest = np.abs(steps).max()
    assert set(np.unique(np.abs(steps))) <= {0, largest}
    assert (np.count_nonzero(steps, axis=1) == block).all()
    assert (steps @ steps.T == block * largest**2 * np.eye(size)).all(), "orthogonal"


@given(values=st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=70), rows=st.integers(1, 9))
@few
def test_maxima_are_those_of_floats(values, rows):
    table = np.random.default_rng(0).permuted(np.tile(np.float32(values), (rows, 1)), axis=1)
    by_row, by_column = np.full((rows, 1), products.LOWEST), np.full((1, len(values)), products.LOWEST)
    ends = np.array([0, rows]), np.array([0, len(values)])
    products._raise_to_maxima(by_row, by_column, table.view(np.int32), *ends, products.FLOATS)
    found = [products.ordered.py_func(one, products.FLOATS).view(np.float32) for one in (by_row, by_column)]
    assert (found[0][:, 0] == table.max(axis=1)).all()
    assert (found[1][0] == table.max(axis=0)).all()


def test_int8_bound_is_narrow():
    """Mixing channels keeps it narrow where some are a hundred times as large as others."""
    for scale in (np.ones(512), np.where(np.arange(512) % 100, 1, 100)):
        frames = [scale * np.random.default_rng(0).normal(size=(50, 512))]
        found = Int8(512).operand(Sequences("frames", frames).load(np.array([0])))
        assert found.largest_residual[0] < 0.02
    assert np.abs(seqsim_matrix(frames, precision="int8") - seqsim_matrix(frames)).max() < 0.001


def test_kinds_of_arrays(tmp_path):
    xs = speech(4, 0)
    expected = seqsim_matrix(xs)
    np.save(tmp_path / "frames.npy", np.concatenate(xs))
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    offsets = np.cumsum([0, *map(len, xs)])
    maps = [mapped[start:stop] for start, stop in pairwise(offsets)]
    assert (seqsim_matrix(maps) == expected).all()
    np.testing.assert_allclose(seqsim_matrix([x.tolist() for x in xs]), expected, atol=1e-6)
    np.testing.assert_allclose(seqsim_matrix([torch.from_numpy(x) for x in xs]), expected, atol=1e-6)
    half = seqsim_matrix([torch.from_numpy(x).bfloat16() for x in xs])
    np.testing.assert_allclose(half, expected, atol=0.02)


def test_sizes_of_numbers_do_not_matter():
    xs = speech(5, 0)
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(seqsim_matrix([x * np.float32(scale) for x in xs]), seqsim_matrix(xs), atol=1e-5)
    np.testing.assert_allclose(seqsim_matrix([1e200 * x.astype(float) for x in xs]), seqsim_matrix(xs), atol=1e-5)


def test_cuts():
    assert cuts(np.array([3, 3, 3, 9, 1]), 6) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert cuts(np.array([1, 1, 1]), 100, most=2) == [(0, 2), (2, 3)]
    assert cuts(np.array([500]), 6) == [(0, 1)]


@pytest.mark.parametrize(
    ("xs", "ys", "options", "message"),
    [
        ([], [], {}, "xs have the shapes nothing; expected sequences of frames"),
        ([np.ones(4)], None, {}, r"xs have the shapes \(4,\); expected"),
        ([np.ones((0, 4))], None, {}, r"xs have the shapes \(0, 4\)"),
        ([np.ones((2, 4))], [np.ones((2, 5))], {}, "ys have 5 channels, the others 4; take both from one layer"),
        ([np.ones((2, 4)), np.eye(4, k=1)], None, {}, r"xs\[1\] holds a frame of zeros.*first in frame 3"),
        ([np.array([[1, 2], [1, np.nan]])], None, {}, r"xs\[0\] holds NaN or infinite values, first in frame 1"),
        ([np.array([[1, np.inf]], np.float32)], None, {}, r"xs\[0\] holds NaN or infinite values"),
        ([np.ones((2, 4))], None, {"precision": "int4"}, "precision is 'int4'; expected one of float32, int8"),
        ([np.ones((2, 4))], None, {"precision": "int8", "device": "cuda"}, "is for the CPU; on cuda take float32"),
        ([np.ones((2, 4))], [np.ones((2, 4))] * 2, {"symmetric": True}, "there are 1 xs and 2 ys; leave ys out"),
    ],
)
def test_wrong_input_is_told(xs, ys, options, message):
    with pytest.raises(DialectError, match=message):
        seqsim_matrix(xs, ys, **options)
