"""hf_dialects.retrieval.top_k and its index against a sorted matrix."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import CheckpointError, DialectError, MissingExtra
from hf_dialects.retrieval import FrameIndex, products, search, seqsim_matrix, top_k


def spoken(n_words, noise, seed, size=32):
    """Two voices saying the same words: sequences of phones, each some frames long, with noise."""
    random = np.random.default_rng(seed)
    phones = random.normal(size=(40, size))
    words = [random.integers(40, size=random.integers(3, 10)) for _ in range(n_words)]

    def say(word):
        frames = np.concatenate([np.repeat(phones[[phone]], random.integers(1, 4), axis=0) for phone in word])
        return (frames + noise * random.normal(size=frames.shape)).astype(np.float32)

    return [say(word) for word in words], [say(word) for word in words]


def best_of(scores, k):
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@given(noise=st.sampled_from([0.1, 1.0, 3.0]), seed=st.integers(0, 1000), k=st.sampled_from([1, 3, 12]))
@settings(max_examples=12, deadline=None)
def test_int8_ranks_as_float32(noise, seed, k):
    queries, targets = spoken(30, noise, seed)
    scores = seqsim_matrix(queries, targets)
    for precision in ("float32", "int8"):
        indices, values = search(queries, targets, k, precision=precision)
        assert (indices == best_of(scores, k)).all(), precision
        np.testing.assert_allclose(values, np.take_along_axis(scores, indices, axis=1), atol=1e-6)


def test_int8_rules_most_targets_out(monkeypatch):
    queries, targets = spoken(60, 0.3, 0, size=256)
    seen = []
    among = top_k._Ranking.among
    monkeypatch.setattr(
        top_k._Ranking, "among", lambda self, of, wanted: seen.append(list(map(len, wanted))) or among(self, of, wanted)
    )
    indices, _ = search(queries, targets, precision="int8")
    assert indices[:, 0].tolist() == list(range(60))
    assert np.mean(seen) < 6, "of 60 targets"


@pytest.mark.parametrize(("noise", "in_8_bits"), [(0.3, [4, 56]), (20.0, [4])])
def test_a_trial_decides(noise, in_8_bits, monkeypatch):
    """Where little can be ruled out the rest of the queries goes to float32 at once."""
    queries, targets = spoken(60, noise, 0, size=256)
    sizes = []
    by_int8 = top_k._Ranking.by_int8

    def seen(self, start, stop, exact):
        sizes.append(stop - start)
        return by_int8(self, start, stop, exact)

    monkeypatch.setattr(top_k._Ranking, "by_int8", seen)
    monkeypatch.setattr(top_k, "is_fast", lambda: True)
    indices, _ = search(queries, targets, 2)
    assert sizes == in_8_bits
    assert (indices == search(queries, targets, 2, precision="float32")[0]).all()
    assert (search(queries[:1], targets, 2)[0] == indices[:1]).all()
    monkeypatch.setattr(top_k, "is_fast", lambda: False)
    sizes.clear()
    assert (search(queries, targets, 2)[0] == indices).all()
    assert sizes == []


def test_in_panels(monkeypatch):
    queries, targets = spoken(30, 1.0, 0)
    expected = search(queries, targets, 4)
    for name, frames in (("panel", 40), ("rows", 16), ("columns", 16)):
        monkeypatch.setattr(products.Float32, name, frames)
    for precision in ("float32", "int8"):
        assert (search(queries, targets, 4, precision=precision)[0] == expected[0]).all()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_of_equal_targets_the_first(precision):
    queries, targets = spoken(10, 0.5, 0)
    indices, scores = search(queries, [targets[3], *targets, targets[3]], 3, precision=precision)
    assert indices[3].tolist() == [0, 4, 11]
    assert len(set(scores[3].tolist())) == 1


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_all_scores_negative(precision):
    """Bounds hold where SeqSim is not monotone."""
    random = np.random.default_rng(0)
    queries = [np.abs(random.normal(size=(random.integers(1, 4), 4))) for _ in range(8)]
    targets = [-np.abs(random.normal(size=(random.integers(1, 4), 4))) for _ in range(8)]
    targets += [random.normal(size=(random.integers(1, 4), 4)) for _ in range(8)]
    scores = seqsim_matrix(queries, targets)
    assert (scores < 0).any()
    assert (search(queries, targets, 16, precision=precision)[0] == best_of(scores, 16)).all()
    assert (search(queries, targets[:8], 2, precision=precision)[0] == best_of(scores[:, :8], 2)).all()


def test_not_exact_has_true_scores():
    queries, targets = spoken(30, 1.0, 0)
    indices, scores = search(queries, targets, 5, exact=False, precision="int8")
    np.testing.assert_allclose(scores, np.take_along_axis(seqsim_matrix(queries, targets), indices, axis=1), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (indices[:, 0] == search(queries, targets)[0][:, 0]).mean() > 0.9


def test_candidates_are_ranked_exactly():
    queries, targets = spoken(12, 1.0, 0)
    candidates = np.array([np.random.default_rng(row).permutation(12)[:5] for row in range(12)])
    indices, values = search(queries, targets, 2, candidates=candidates)
    scores = seqsim_matrix(queries, targets)
    for row, (chosen, found) in enumerate(zip(candidates, indices, strict=True)):
        assert found.tolist() == sorted(chosen, key=lambda target, row=row: -scores[row, target])[:2]
        np.testing.assert_allclose(values[row], scores[row, found], atol=1e-6)


def test_index_finds_what_is_there(tmp_path):
    queries, targets = spoken(80, 0.5, 0)
    index = FrameIndex.build(targets[:50], n_codes=64)
    index.add(targets[50:])
    assert len(index) == 80
    assert (index.candidates(queries, 5) == np.arange(80)[:, None]).any(axis=1).all()
    index.save(tmp_path / "index.npz")
    read = FrameIndex.load(tmp_path / "index.npz")
    assert (read.candidates(queries, 5) == index.candidates(queries, 5)).all()
    assert (search(queries, targets, 3, candidates=read)[0] == search(queries, targets, 3)[0]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["index.npz"]


def test_index_ranks_by_seqsim_of_codes():
    queries, targets = spoken(15, 1.0, 0)
    index = FrameIndex.build(targets, n_codes=20)

    def coded(sequences):
        units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in sequences]
        return [index.codebook[(one @ index.codebook.T).argmax(axis=1)] for one in units]

    scores = seqsim_matrix(coded(queries), coded(targets))
    found = np.take_along_axis(scores, index.candidates(queries, 15), axis=1)
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1), atol=1e-5)


def test_index_of_few_frames_and_of_copies():
    frames = [np.eye(3)[[0]], np.eye(3)[[1, 1]], np.eye(3)[[0]]]
    index = FrameIndex.build(frames)
    assert index.codebook.shape == (3, 3), "no more codes than frames, copies counted once"
    assert set(index.candidates([np.eye(3)[[0]]], 2)[0]) == {0, 2}


def test_index_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"faiss is not installed; run: pip install 'hf-dialects\[retrieval\]'"):
        FrameIndex.build([np.eye(3)])
    assert search([np.eye(3)], [np.eye(3)])[1][0, 0] == pytest.approx(1), "the search itself does without"


def test_damaged_index_is_told(tmp_path):
    path = tmp_path / "index.npz"
    FrameIndex.build([np.eye(3)]).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"something else"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as an index of frames"):
            FrameIndex.load(path)
    np.savez(path, codebook=np.eye(2), codes=np.array([0, 5]), lengths=np.array([2]))
    with pytest.raises(CheckpointError, match="do not fit"):
        FrameIndex.load(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        FrameIndex.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; expected 1 to the number of targets, 3"),
        ({"k": 4}, "k is 4; expected 1 to the number of targets, 3"),
        ({"candidates": [[0.5], [1]]}, r"candidates are float64 \(2, 1\); expected numbers"),
        ({"candidates": [[0]]}, "for 2 queries"),
        ({"candidates": [[0], [3]]}, "candidates hold 0 to 3; there are 3 targets"),
        ({"candidates": [[0, 1], [1, 1]], "k": 2}, "k is 2, but a query has only 1 different candidates"),
    ],
)
def test_wrong_questions_are_told(options, message):
    with pytest.raises(DialectError, match=message):
        search([np.eye(3)] * 2, [np.eye(3)] * 3, **options)
