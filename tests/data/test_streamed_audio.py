"""Recordings in blocks: the samples of one pass, and the same complaints."""

import numpy as np
import pytest
import soundfile
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.audio import decode, encode
from hf_dialects.data.streamed_audio import stream
from hf_dialects.errors import AudioError


@settings(max_examples=20, deadline=None)
@given(n_samples=st.integers(1, 9000), block=st.integers(1, 4000), rate=st.sampled_from([8000, 16000, 44100]))
def test_blocks_together_are_the_decoded_recording(n_samples, block, rate):
    recording = encode(tiny.waveform(1.0)[:n_samples], rate, "wav")
    found, expected = np.concatenate(list(stream(recording, block=block))), decode(recording)
    assert found.dtype == np.float32
    if rate == 16000:
        assert np.array_equal(found, expected)
    else:
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 3e-7


def test_channels_are_averaged_and_blocks_are_small(tmp_path):
    both = np.stack([tiny.waveform(1.0, 1), tiny.waveform(1.0, 2)], 1)
    soundfile.write(tmp_path / "a.flac", both, 16000)
    blocks = list(stream(tmp_path / "a.flac", block=2000))
    assert max(map(len, blocks)) == 1000
    assert np.array_equal(np.concatenate(blocks), decode(tmp_path / "a.flac"))


def test_damage_is_told_as_by_decode(tmp_path):
    whole = encode(tiny.waveform(1.0), 16000, "wav")
    with_nan = tiny.waveform(0.5)
    with_nan[7000] = np.nan
    soundfile.write(tmp_path / "nan.wav", with_nan, 16000, subtype="FLOAT")
    flac = encode(tiny.waveform(4.0), 16000, "flac")
    for recording in (b"", b"broken", whole[:60], flac[: len(flac) // 2], tmp_path / "nan.wav", tmp_path / "gone"):
        with pytest.raises(AudioError) as expected:
            decode(recording)
        with pytest.raises(AudioError) as found:
            list(stream(recording))
        assert found.value.reason == expected.value.reason
