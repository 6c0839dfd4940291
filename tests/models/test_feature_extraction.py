"""Log-mel features: by hand, blind to padding, saved and loaded."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoFeatureExtractor, WhisperFeatureExtractor

from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, extract, longest_input_s


def test_frames_are_log_mel_energies_of_hann_windows():
    extractor = DialectFeatureExtractor(feature_size=8, hop_s=0.01, window_s=0.02, n_fft=512)
    waveform = tiny.waveform(0.1)
    features = extractor.log_mel(waveform)
    assert features.shape == (1 + (1600 - 320) // 160, 8)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(320) / 320)
    for frame in (0, 3, 8):
        spectrum = np.fft.rfft(waveform[160 * frame : 160 * frame + 320] * hann, 512)
        expected = np.log(np.abs(spectrum) ** 2 @ extractor._filters().numpy() + 1e-6)
        assert features[frame] == pytest.approx(expected, abs=1e-3)


def test_mean_of_every_bin_is_taken_away_over_the_utterance():
    features = DialectFeatureExtractor()(
        [tiny.waveform(0.5), tiny.waveform(0.3, 1)], sampling_rate=16000, return_tensors="pt"
    )
    for row, mask in zip(features["input_features"], features["attention_mask"].bool(), strict=True):
        assert row[mask].mean(0).abs().max() < 1e-4
        assert not row[~mask].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40000), st.integers(0, 20000))
def test_neighbours_in_the_batch_change_nothing(length, longer):
    extractor = DialectFeatureExtractor(feature_size=10)
    rng = np.random.default_rng(length)
    one, other = (rng.standard_normal(size).astype(np.float32) for size in (length, length + longer))
    alone, together = extractor([one]), extractor([one, other])
    frames = alone["attention_mask"][0].sum()
    assert together["attention_mask"][0].sum() == frames >= 1
    assert np.array_equal(alone["input_features"][0][:frames], together["input_features"][0][:frames])


def test_bins_first_and_fixed_length():
    extractor = DialectFeatureExtractor(feature_size=20, bins_first=True, frames=100)
    features = extractor([tiny.waveform(1.0)], return_tensors="pt")
    assert features["input_features"].shape == (1, 20, 100)
    assert features["attention_mask"].shape == (1, 100)
    assert extractor.longest_s == pytest.approx(99 * 0.02 + 0.032)
    assert extractor.log_mel(np.zeros(round(extractor.longest_s * 16000), np.float32)).shape[0] == 100
    with pytest.raises(ValueError, match=r"148 feature frames, the encoder takes 100 \(2.01 s\)"):
        extractor([tiny.waveform(3.0)[: 16000 * 3 - 320]])


def test_wrong_rate_is_refused():
    with pytest.raises(ValueError, match="sampled at 8000 Hz, the model takes 16000 Hz"):
        DialectFeatureExtractor()(np.zeros(800, np.float32), sampling_rate=8000)


def test_saved_and_loaded(tmp_path):
    extractor = DialectFeatureExtractor(feature_size=20, hop_s=0.01, frames=200, bins_first=True, normalize=False)
    extractor.save_pretrained(tmp_path)
    again = DialectFeatureExtractor.from_pretrained(tmp_path)
    waveform = tiny.waveform(0.5)
    assert np.array_equal(extractor(waveform)["input_features"], again(waveform)["input_features"])


def test_every_encoder_gets_a_mask_from_its_own_extractor():
    for kind in tiny.ENCODERS:
        batch = extract(tiny.feature_extractor(kind), [tiny.waveform(0.9), tiny.waveform(0.01)])
        assert batch["attention_mask"].shape[0] == 2
        assert 0 < batch["attention_mask"][1].sum() < batch["attention_mask"][0].sum()
        assert isinstance(batch["attention_mask"], torch.Tensor)


def test_whisper_extractor_pads_to_its_thirty_seconds():
    extractor = WhisperFeatureExtractor()
    assert longest_input_s(extractor) == 30
    assert extract(extractor, [tiny.waveform(0.9)])["input_features"].shape == (1, 80, 3000)
    assert longest_input_s(tiny.feature_extractor("wav2vec2")) is None


def test_auto_class_finds_it(tmp_path):
    import hf_dialects

    hf_dialects.register()
    DialectFeatureExtractor(feature_size=12).save_pretrained(tmp_path)
    assert isinstance(AutoFeatureExtractor.from_pretrained(tmp_path), DialectFeatureExtractor)
