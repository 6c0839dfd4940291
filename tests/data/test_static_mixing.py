"""Static mixup: lengths, levels, crops and analysis of mixed waveforms."""

import io

import numpy as np
import pytest
import soundfile
import tiny
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.audio import decode
from hf_dialects.data.clips import Clips
from hf_dialects.data.collate import Collator
from hf_dialects.data.pairs import Pair
from hf_dialects.data.static_mixing import StaticMixing, mix_waveforms
from hf_dialects.models.feature_extraction_dialect import extract


def wav(seconds: float, seed: int, level: float = 1.0) -> dict:
    file = io.BytesIO()
    soundfile.write(file, level * tiny.waveform(seconds, seed) + 0.01, tiny.RATE, format="WAV", subtype="FLOAT")
    return {"bytes": file.getvalue(), "path": None}


def clips(**options) -> Clips:
    audio = [wav(0.3, 0), wav(0.5, 1, level=0.1), wav(1.2, 2), wav(0.9, 3)]
    corpus = Dataset.from_dict({"id": list("abcd"), "dialect": [0, 1, 2, 0], "audio": audio})
    return Clips(corpus, **{"crop_s": 0.6, "training": True, "seed": 4} | options)


def normalised(waveform: np.ndarray) -> np.ndarray:
    return (waveform - waveform.mean()) / waveform.std()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 60),
    m=st.integers(2, 60),
    weight=st.floats(0, 1),
    gain=st.floats(0.01, 50),
    seed=st.integers(0, 99),
)
def test_mixture_is_that_of_normalised_waveforms_at_the_own_level(n, m, weight, gain, seed):
    rng = np.random.default_rng(seed)
    own, partner = rng.normal(0.2, 0.3, n).astype(np.float32), rng.normal(-0.1, gain, m).astype(np.float32)
    found = mix_waveforms(own, partner, weight)
    expected = np.zeros(max(n, m))
    for row in range(max(n, m)):
        expected[row] += weight * normalised(own)[row] if row < n else 0
        expected[row] += (1 - weight) * normalised(partner)[row] if row < m else 0
    assert found.dtype == np.float32
    assert np.allclose(found, own.std() * expected, atol=1e-4)


def test_silence_on_either_side():
    speech, silence = tiny.waveform(0.1, 1), np.zeros(900, dtype=np.float32)
    assert np.allclose(mix_waveforms(speech, silence, 0.3), 0.3 * (speech - speech.mean()), atol=1e-7)
    mixture = mix_waveforms(silence, speech, 0.3)
    assert np.allclose(mixture, 0.7 * (speech - speech.mean()), atol=1e-7)


def test_both_are_cropped_as_in_plain_training_and_the_shorter_is_padded():
    plain, mixing = clips(), StaticMixing(clips())
    item = mixing[Pair(5, 0, 2, 0.25)]
    short, cropped = plain[(5, 0)]["clip"], plain[(5, 2)]["clip"]
    assert (len(short), len(cropped)) == (4800, 9600)
    assert np.array_equal(item["clip"], mix_waveforms(short, cropped, 0.25))
    assert len(item["clip"]) == 9600, "no longer than the longer one"
    names = ("row", "label", "partner_label", "own_weight", "recordable")
    assert [item[name] for name in names] == [0, 0, 2, 0.25, False]
    assert not np.array_equal(item["clip"], mixing[Pair(6, 0, 2, 0.25)]["clip"]), "crops change with the epoch"


def test_an_unmixed_example_is_the_plain_one_and_recordable():
    plain, mixing = clips(), StaticMixing(clips())
    item = mixing[Pair(5, 3, 3, 1.0)]
    assert np.array_equal(item["clip"], plain[(5, 3)]["clip"])
    assert item["recordable"]
    assert item["partner_label"] == item["label"] == 0


def test_features_are_those_of_the_mixture():
    extractor = tiny.feature_extractor("whisper")
    options = {"analyse": extractor.log_mel, "hop": extractor.hop_length, "window": extractor.window_length}
    mixing, plain = StaticMixing(clips(**options)), clips(hop=extractor.hop_length)
    waveform = mix_waveforms(plain[(1, 1)]["clip"], plain[(1, 3)]["clip"], 0.6)
    assert np.allclose(mixing[Pair(1, 1, 3, 0.6)]["clip"], extractor.log_mel(waveform), atol=1e-5)
    assert len(mixing[Pair(1, 1, 3, 0.6)]["clip"]) <= extractor.frames


def test_augmentation_is_drawn_for_the_mixture_by_epoch_and_ids():
    calls = []

    def augment(waveform, sampling_rate, rng):
        calls.append((len(waveform), rng.random()))
        return 2 * waveform

    mixing = StaticMixing(clips(waveform_augment=augment))
    first, again, other = (mixing[Pair(2, 0, partner, 0.5)] for partner in (3, 3, 2))
    assert len(calls) == 3
    assert {length for length, _ in calls} == {9600}, "mixtures, not their parts"
    assert calls[0] == calls[1] != calls[2]
    plain = StaticMixing(clips())[Pair(2, 0, 3, 0.5)]["clip"]
    assert np.allclose(first["clip"], 2 * plain)
    assert np.array_equal(first["clip"], again["clip"])
    assert not np.array_equal(first["clip"], other["clip"])


def test_a_batch_of_mixtures_carries_what_the_targets_need():
    extractor = tiny.feature_extractor("wav2vec2")
    mixing = StaticMixing(clips())
    items = [mixing[Pair(0, 0, 1, 0.3)], mixing[Pair(0, 1, 2, 0.3)], mixing[Pair(0, 2, 2, 1.0)]]
    batch = Collator(lambda waveforms: extract(extractor, waveforms))(items)
    assert batch["labels"].tolist() == [0, 1, 2]
    assert batch["partner_label"].tolist() == [1, 2, 2]
    assert batch["own_weight"].tolist() == pytest.approx([0.3, 0.3, 1.0])
    assert batch["recordable"].tolist() == [False, False, True]
    assert batch["recordable"].dtype == torch.bool
    assert batch["attention_mask"].sum(1).tolist() == [8000, 9600, 9600]


def test_the_recordings_are_decoded_at_the_rate_of_the_encoder():
    mixing = StaticMixing(clips(sampling_rate=8000))
    assert len(mixing[Pair(0, 0, 1, 0.5)]["clip"]) == 4000
    assert len(decode(mixing.dataset[1]["audio"], 8000)) == 4000
