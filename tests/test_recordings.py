"""What a pass over a recording tells, however it is cut into blocks, and pieces out of a stream."""

import numpy as np
import pytest
import soundfile
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2FeatureExtractor

from hf_dialects import recordings
from hf_dialects.models.speech_dialect import loud_level, speech_share
from hf_dialects.recordings import Recording, slices, survey


def cut(samples: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(place % (len(samples) + 1) for place in places))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(1, 20000), st.sampled_from([0.0, 0.5]))
def test_a_survey_is_that_of_the_whole_waveform(places, n_samples, offset):
    samples = tiny.waveform(1.25)[:n_samples] + np.float32(offset)
    found = survey(cut(samples, places), tiny.RATE)
    assert found.n_samples == n_samples
    exact = samples.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(), abs=1e-12)
    assert found.variance == pytest.approx(exact.var(), rel=1e-9)
    assert found.loud_db == loud_level(samples, tiny.RATE)
    assert found.speech_share == speech_share(samples, tiny.RATE)


def test_a_normalised_recording_is_what_the_extractor_makes_of_it():
    samples = tiny.waveform(3.0) + np.float32(0.02)
    found = survey([samples], tiny.RATE).normalized(samples)
    expected = Wav2Vec2FeatureExtractor(do_normalize=True)(samples, sampling_rate=tiny.RATE)["input_values"][0]
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 2e-5


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 200), max_size=8),
    st.lists(st.tuples(st.integers(0, 199), st.integers(1, 60)), min_size=1, max_size=8),
)
def test_pieces_of_a_stream_are_those_of_the_whole(places, spans):
    values = torch.arange(200)
    spans = sorted((start, min(200, start + length)) for start, length in spans)
    blocks = map(torch.from_numpy, cut(values.numpy(), places))
    found = list(slices(blocks, spans))
    assert [piece.tolist() for piece in found] == [list(range(*span)) for span in spans]


def test_a_long_recording_is_read_again_instead_of_held(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tiny.waveform(2.0), tiny.RATE)
    short = Recording.read(tmp_path / "a.wav", tiny.RATE)
    read = []
    monkeypatch.setattr(recordings, "WHOLE_S", 1.0)
    monkeypatch.setattr(recordings, "decode", lambda *_: pytest.fail("a long recording was decoded whole"))
    monkeypatch.setattr(recordings, "stream", lambda *given, own=recordings.stream: read.append(1) or own(*given))
    long = Recording.read(tmp_path / "a.wav", tiny.RATE)
    assert len(long) == len(short) == 32000
    assert np.array_equal(np.concatenate(list(long.blocks())), np.concatenate(list(short.blocks())))
    assert len(read) == 2
    assert long.survey.variance == pytest.approx(short.survey.variance, rel=1e-12)
