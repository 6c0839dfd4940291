"""Snippets: their bounds, and that pooling piece by piece is what slicing all frames gives."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.abx.pooler import SnippetPooler, parts_of, pooled, spans
from hf_dialects.abx.snippets import pieces, snippets, stream_snippets
from hf_dialects.errors import DialectError

HOP, RECEPTIVE, RATE = 320, 400, 16000  # samples, as in wav2vec 2.0: 50 frames of 25 ms per second
LENGTHS = (0.25, 1.0, 2.5, None)
POOLINGS = ("max", "mean", "statistics")


class Encoder:
    """Frames that are linear in the samples they cover, two layers, no context; counts its calls."""

    def __init__(self, channels: int = 3):
        self.weights = np.random.default_rng(0).normal(size=(2, RECEPTIVE, channels))
        self.seconds: list[float] = []

    def __call__(self, waveform: np.ndarray) -> dict[int, np.ndarray]:
        self.seconds.append(len(waveform) / RATE)
        windows = np.lib.stride_tricks.sliding_window_view(waveform, RECEPTIVE)[::HOP]
        return {layer: (windows @ weights).astype(np.float32) for layer, weights in enumerate(self.weights)}


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=round(seconds * RATE)).astype(np.float32)


def sliced(frames: np.ndarray, length_s: float | None, duration_s: float, pooling: str, tail: str) -> np.ndarray:
    """The slow way: all frames at once, one slice per snippet."""
    found, number = [], 0
    while length_s is None or (number + (0.5 if tail == "keep" else 1)) * length_s <= duration_s + 1e-6:
        first, end = (0, None) if length_s is None else (int(k * length_s * 50 + 0.5) for k in (number, number + 1))
        one = frames[first:end].astype(np.float64)
        mean, std = one.mean(0), np.sqrt(np.maximum(one.var(0), 1e-7))
        found.append({"max": one.max(0), "mean": mean, "statistics": np.concatenate([mean, std])}[pooling])
        number += 1
        if length_s is None:
            break
    return np.array(found)


@pytest.mark.parametrize("tail", ["drop", "keep"])
@pytest.mark.parametrize("seconds", [0.13, 0.25, 1.0, 4.99, 5.0, 6.3])
def test_pooled_equals_slicing(seconds, tail):
    waveform, encode = noise(seconds), Encoder()
    vectors, seconds_of = snippets(waveform, encode, 50, LENGTHS, POOLINGS, tail=tail, piece_s=1.1, context_s=0.1)
    whole = Encoder()(waveform)
    for (layer, length, pooling), found in vectors.items():
        expected = sliced(whole[layer], length, seconds, pooling, tail)
        assert found.dtype == np.float32
        assert len(found) == len(expected) == len(seconds_of[length])
        if len(found):
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert len(vectors) == 2 * len(LENGTHS) * len(POOLINGS)


def test_a_second_has_fifty_frames_and_the_last_one_may_lack_one():
    """The encoder gives 249 frames for 5 s; five snippets of 1 s come of them, of 50 frames but for the last."""
    waveform, encode = noise(5.0), Encoder()
    frames = encode(waveform)[0]
    assert len(frames) == 249
    vectors, seconds = snippets(waveform, encode, 50, [1.0], ["mean"])
    assert vectors[0, 1.0, "mean"].shape == (5, 3)
    for number, mean in enumerate(vectors[0, 1.0, "mean"]):
        assert mean == pytest.approx(frames[50 * number : 50 * number + 50].mean(0), abs=1e-5)
    assert seconds[1.0].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    nearly, _ = snippets(waveform[:-1], Encoder(), 50, [1.0], ["mean"])
    assert len(nearly[0, 1.0, "mean"]) == 4


def test_the_rest_is_dropped_or_kept_from_half_a_snippet_on():
    for seconds, kept in ((4.6, 2), (5.0, 3), (5.4, 3)):
        counts = [
            len(snippets(noise(seconds), Encoder(), 50, [2.0], ["max"], tail=tail)[0][0, 2.0, "max"])
            for tail in ("drop", "keep")
        ]
        assert counts == [2, kept]
    _, spans_of = snippets(noise(5.4), Encoder(), 50, [2.0, None], ["max"], tail="keep")
    assert spans_of[2.0][-1].tolist() == [4.0, 5.4]
    assert spans_of[None].tolist() == [[0.0, 5.4]]


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(1, 400),
    length_s=st.floats(0.04, 3).map(lambda one: round(one, 3)),
    cuts=st.lists(st.integers(1, 399), max_size=5),
)
def test_bounds_follow_each_other_however_frames_arrive(n_frames, length_s, cuts):
    """Frame t has the value t: the mean of a snippet tells where it lies, its largest value where it ends."""
    frames = np.arange(n_frames, dtype=np.float32)[:, None]
    pooler = SnippetPooler([length_s], 50, parts_of(["max", "mean"]))
    inner = sorted({cut for cut in cuts if cut < n_frames})
    found = [pooler.add(part)[length_s] for part in np.split(frames, inner)]
    found.append(pooler.end(n_frames / 50)[length_s])
    rows = np.concatenate(found)
    assert len(rows) == int(n_frames / 50 / length_s + 1e-6 / length_s)
    ends = rows[:, 0].astype(int) + 1
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    assert rows[:, 1] == pytest.approx((starts + ends - 1) / 2, abs=1e-3)
    sizes = ends - starts
    assert np.ptp(sizes) <= 1 if len(sizes) else True
    assert (np.abs(starts - np.arange(len(starts)) * length_s * 50) <= 0.5 + 1e-6).all()
    # the last one need not have all its frames
    assert (np.abs(ends[:-1] - (np.arange(len(ends)) + 1)[:-1] * length_s * 50) <= 0.5 + 1e-6).all()


@given(
    n_samples=st.integers(RECEPTIVE, 40 * RATE),
    piece_s=st.floats(0.1, 50),
    context_s=st.floats(0.02, 3),
)
def test_pieces_cover_the_frame_grid_once(n_samples, piece_s, context_s):
    found = pieces(n_samples, 50, RATE, piece_s, context_s)
    position = 0
    for piece in found:
        assert piece.start % HOP == 0
        assert piece.start // HOP + piece.skip == position, "new frames begin where the last piece ended"
        assert piece.stop - piece.start <= (piece_s + 2 * context_s) * RATE + 3 * HOP
        position += piece.new or 0
    assert found[-1].new is None
    assert found[-1].stop == n_samples
    assert position * HOP < n_samples
    assert len(found) == 1 or piece_s < n_samples / RATE + 1


def test_the_audio_is_encoded_once():
    encode = Encoder()
    snippets(noise(10.0), encode, 50, LENGTHS, POOLINGS, piece_s=2.0, context_s=0.5)
    assert len(encode.seconds) == 5
    assert sum(encode.seconds) == pytest.approx(10.0 + 8 * 0.5, abs=0.1)
    encode = Encoder()
    snippets(noise(10.0), encode, 50, LENGTHS, POOLINGS)
    assert encode.seconds == [10.0]


def test_two_hours_need_the_memory_of_one_piece():
    """All frames would take 2 x 2 h x 50 x 64 x 4 bytes = 184 MB, the samples 461 MB; snippets of 1 s 15 MB."""

    def encode(waveform):
        frames = np.ones((len(waveform) // HOP, 64), np.float32)
        return {0: frames, 1: frames + 1}

    read = np.zeros  # silence of any length
    n_samples = 2 * 3600 * RATE
    stream = stream_snippets(lambda a, b: read(b - a, np.float32), n_samples, encode, 50, [1.0, 20.0], ("max", "mean"))
    tracemalloc.start()
    counts = {1.0: 0, 20.0: 0}
    for found in stream:
        for (layer, length), rows in found.items():
            counts[length] += len(rows) if layer == 0 else 0
            assert rows.shape[1] == 128
            assert (rows == layer + 1).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts == {1.0: 7200, 20.0: 360}
    assert peak < 16e6


def test_large_offsets_leave_the_deviation_exact():
    frames = (1000 + np.random.default_rng(0).normal(size=(500, 4))).astype(np.float32)
    pooler = SnippetPooler([10.0], 50, ("mean", "std"))
    rows = np.concatenate([pooler.add(frames)[10.0], pooler.end(10.0)[10.0]])
    found = pooled(rows, ("mean", "std"), "statistics")
    assert found[0, 4:] == pytest.approx(frames.astype(np.float64).std(0), rel=1e-5)


def test_spans_of_no_snippet_are_empty():
    assert spans(0, 1.0, 0.5).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"lengths_s": [0.03]},
            "snippets are to last 0.03s; expected different lengths of at least 0.04 s, two frames",
        ),
        ({"lengths_s": [1.0, 1.0]}, "snippets are to last 1s, 1s"),
        ({"lengths_s": []}, "snippets are to last nothing"),
        ({"tail": "cut"}, "tail is 'cut'; expected 'drop' or 'keep'"),
        ({"poolings": ["attention"]}, "pooling is attention; expected some of max, mean, statistics"),
        ({"poolings": []}, "pooling is empty"),
        ({"frame_rate_hz": 49.0}, "49 frames per second do not divide 16000 samples per second"),
        ({"frame_rate_hz": 25.0}, "3.00 s of audio gave 149 frames; at 25 frames per second about 75 are expected"),
        ({"context_s": 0.0, "piece_s": 1.0}, "a piece of 1.00 s gave 49 frames, 50 are needed: take more context_s"),
    ],
)
def test_bad_input_is_explained(change, message):
    arguments = {"frame_rate_hz": 50.0, "lengths_s": [1.0], "poolings": ["max"]} | change
    with pytest.raises(DialectError, match=message):
        snippets(noise(3.0), Encoder(), **arguments)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(DialectError, match="layer 0 gives values that are not finite"):
        snippets(np.full(RATE, np.nan, np.float32), Encoder(), 50, [0.5], ["max"])
