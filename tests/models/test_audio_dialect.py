"""Reading audio where the package is not installed; tests of damaged files compare it with `data.audio.decode`."""

from pathlib import Path

import numpy as np
import pytest

from hf_dialects.data import audio, containers
from hf_dialects.models import audio_dialect, containers_dialect
from hf_dialects.models.audio_dialect import load_audio


def test_the_copy_that_travels_is_the_original():
    assert Path(containers_dialect.__file__).read_text("utf-8") == Path(containers.__file__).read_text("utf-8")
    for name in ("RATES", "LARGEST_FACTOR", "LOUDEST", "BLOCK", "MP3_SLACK"):
        assert getattr(audio_dialect, name) == getattr(audio, name)


@pytest.mark.parametrize("rate", [0, 7, 2**31])
def test_arrays_of_an_absurd_rate_are_refused(rate):
    with pytest.raises(
        ValueError, match=f"the waveform has a sampling rate of {rate} Hz; 1000 to 768000 Hz are expect"
    ):
        load_audio({"array": np.ones(100, np.float32), "sampling_rate": rate}, 16000)


@pytest.mark.parametrize("rate", [12345, 47999, 44100, 767_999])
def test_arrays_of_any_other_rate_are_resampled_as_corpora_are(rate):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate).astype(np.float32)
    found = load_audio({"array": tone, "sampling_rate": rate}, 16000)
    assert np.array_equal(found, audio.resample(tone, rate, 16000))
    expected = np.sin(2 * np.pi * 440 * np.arange(len(found)) / 16000)
    assert len(found) == pytest.approx(4000, abs=1)
    drift = 50e-6 * len(found) / 16000  # seconds at the end, at most
    assert np.abs(found - expected)[200:-200].max() < 5e-3 + 2 * np.pi * 440 * drift
