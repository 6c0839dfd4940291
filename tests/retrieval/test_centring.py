"""hf_dialects.retrieval.centring: statistics of a named set."""

import numpy as np
import pytest

from hf_dialects.errors import DialectError
from hf_dialects.retrieval import FrameStatistics, seqsim_matrix


def narrow(n, seed, size=6):
    """Frames in a narrow cone, more spread in some directions than in others."""
    random = np.random.default_rng(seed)
    spread = np.linspace(0.1, 3, size) * np.random.default_rng(1).normal(size=(size, size))
    lengths = random.integers(20, 60, n)
    return [(10 + random.normal(size=(length, size)) @ spread).astype(np.float32) for length in lengths]


def test_centred_and_whitened():
    frames = narrow(30, 0)
    joined = np.concatenate(frames).astype(float)
    centred = FrameStatistics.fit(frames, "a set", range(30))
    assert centred.n_frames == len(joined)
    np.testing.assert_allclose(centred.mean, joined.mean(axis=0))
    np.testing.assert_allclose(np.concatenate(centred.apply(frames)).mean(axis=0), 0, atol=1e-5)
    whitened = FrameStatistics.fit(frames, "a set", range(30), whiten=True, shrinkage=0)
    moved = np.concatenate(whitened.apply(frames))
    np.testing.assert_allclose(np.cov(moved.T, bias=True), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(whitened.whitening, whitened.whitening.T, atol=1e-9)


def test_centring_spreads_similarities():
    frames = narrow(30, 0)
    centred = FrameStatistics.fit(narrow(30, 5), "others", range(30)).apply(frames)
    assert seqsim_matrix(frames).min() > 0.9
    assert seqsim_matrix(centred).std() > 5 * seqsim_matrix(frames).std()


def test_shrinkage_bounds_directions_without_variance():
    frames = [one * np.array([1, 1, 1, 1, 1, 0], np.float32) for one in narrow(10, 0)]
    with pytest.raises(DialectError, match="some directions have no variance and shrinkage is 0"):
        FrameStatistics.fit(frames, "flat", range(10), whiten=True, shrinkage=0)
    assert np.isfinite(FrameStatistics.fit(frames, "flat", range(10), whiten=True).whitening).all()


def test_says_what_it_is():
    frames = narrow(3, 0)
    statistics = FrameStatistics.fit(frames, "FLEURS train", ["a", "b", "c"])
    assert statistics.describe(["x", "y"]) == "centred on FLEURS train"
    expected = "centred on FLEURS train (transductive: 1 of 2 utterances are in it)"
    assert statistics.describe(["x", "c"]) == expected
    whitened = FrameStatistics.fit(frames, "it", [1, 2, 3], whiten=True)
    assert whitened.describe(["4"]) == "whitened on it"
    assert "transductive" in whitened.describe([1, 5])


@pytest.mark.parametrize(
    ("frames", "ids", "message"),
    [
        ([], [], "a set: 0 utterances and 0 ids"),
        ([np.ones((2, 3))], ["a", "b"], "1 utterances and 2 ids; expected one id for each"),
        ([np.ones((2, 3)), np.ones((2, 4))], ["a", "b"], "frames have the sizes"),
        ([np.full((2, 3), np.nan)], ["a"], "a set: frames hold NaN"),
    ],
)
def test_wrong_sets_are_told(frames, ids, message):
    with pytest.raises(DialectError, match=message):
        FrameStatistics.fit(frames, "a set", ids)


def test_other_frames_are_told():
    statistics = FrameStatistics.fit(narrow(2, 0), "a set", "ab")
    with pytest.raises(DialectError, match="frames have 3 channels, the statistics of a set 6"):
        statistics.apply([np.ones((2, 3))])
