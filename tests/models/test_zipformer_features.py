"""Kaldi features for the Zipformer: lengths, padding, saving, refusals. Values: test_zipformer_vectors.py."""

import math
import sys

import numpy as np
import pytest
import tiny
import torch
from transformers import AutoFeatureExtractor

from hf_dialects.models.feature_extraction_dialect import extract, extract_whole
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor


@pytest.mark.parametrize("n_samples", [1360, 1439, 1440, 1519, 1520, 1599, 1600, 16000, 16079, 16080])
def test_a_frame_every_ten_milliseconds(n_samples):
    found = ZipformerFeatureExtractor()(np.zeros(n_samples, np.float32))["input_features"]
    assert found.shape == (1, (n_samples + 80) // 160, 80)
    assert found.dtype == np.float32


def test_a_batch_holds_what_each_utterance_has_alone():
    extractor, waveforms = ZipformerFeatureExtractor(), [tiny.waveform(seconds, 1) for seconds in (0.5, 0.9, 0.101)]
    together = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    assert together["input_features"].shape == (3, 90, 80)
    assert together["attention_mask"].sum(1).tolist() == [50, 90, 10]
    assert together["attention_mask"].dtype == torch.int64
    for row, waveform in enumerate(waveforms):
        alone = extractor(torch.from_numpy(waveform), return_tensors="pt")["input_features"][0]
        assert torch.equal(together["input_features"][row, : len(alone)], alone)
        assert (together["input_features"][row, len(alone) :] == np.float32(math.log(1e-10))).all()
    assert torch.equal(extract_whole(extractor, waveforms[0]), together["input_features"][:1, :50])


def test_utterances_too_short_for_the_encoder_are_completed_with_silence():
    extractor, short = ZipformerFeatureExtractor(), tiny.waveform(0.02)
    found = extractor([short])["input_features"]
    assert found.shape == (1, 9, 80)
    assert np.array_equal(found, extractor([np.pad(short, (0, 1360 - 320))])["input_features"])
    assert extract(extractor, [short])["attention_mask"].sum() == 9


def test_saved_and_loaded(tmp_path):
    extractor = ZipformerFeatureExtractor(feature_size=40, sampling_rate=8000)
    extractor.save_pretrained(tmp_path)
    again = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(again) is ZipformerFeatureExtractor
    waveform = tiny.waveform(0.3)
    assert again(waveform)["input_features"].shape == (1, 60, 40)
    assert np.array_equal(extractor(waveform)["input_features"], again(waveform)["input_features"])


def test_what_is_refused():
    extractor = ZipformerFeatureExtractor()
    with pytest.raises(ValueError, match="sampled at 44100 Hz, the model takes 16000 Hz: resample it first"):
        extractor(tiny.waveform(0.5), sampling_rate=44100)
    with pytest.raises(ValueError, match=r"an utterance has shape \(2, 800\); \(S,\) samples of one channel"):
        extractor([np.zeros((2, 800), np.float32)])


def test_without_torchaudio_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio.compliance.kaldi", None)
    with pytest.raises(
        ImportError, match=r"Kaldi features need torchaudio.*pip install 'torch<2.15' 'torchaudio<2.12'"
    ):
        ZipformerFeatureExtractor()(tiny.waveform(0.5))
