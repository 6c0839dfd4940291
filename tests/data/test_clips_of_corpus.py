"""Clips and batches: draws depend on (seed, epoch, id) alone."""

import numpy as np
import pytest
import tiny
import torch
from test_screen import cell, corpus

from hf_dialects.data.augment import WaveformAugment
from hf_dialects.data.clips import Clips
from hf_dialects.data.collate import Collator
from hf_dialects.models.feature_extraction_dialect import extract


@pytest.fixture(scope="module")
def found():
    return corpus(**{f"clip-{i}": cell(tiny.waveform(0.6 + 0.1 * i, i)) for i in range(4)})


def test_draws_depend_on_seed_epoch_and_id_not_on_order(found):
    augment = WaveformAugment.from_recipe({"noise": {"probability": 1.0, "snr_db": [10, 20]}})
    clips = Clips(found, crop_s=0.5, training=True, seed=3, waveform_augment=augment)
    first = [clips[(1, i)]["clip"] for i in range(4)]
    again = [clips[(1, i)]["clip"] for i in (3, 2, 1, 0)][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    reordered = Clips(found.select([2, 0, 1, 3]), crop_s=0.5, training=True, seed=3, waveform_augment=augment)
    assert np.array_equal(reordered[(1, 0)]["clip"], first[2])
    assert not np.array_equal(clips[(2, 3)]["clip"], first[3])
    assert not np.array_equal(Clips(found, crop_s=0.5, training=True, seed=4)[(1, 3)]["clip"], first[3])


def test_validation_is_neither_cropped_at_random_nor_augmented(found):
    augment = WaveformAugment.from_recipe({"noise": {"probability": 1.0}})
    clips = Clips(found, crop_s=0.5, training=False, waveform_augment=augment)
    assert np.array_equal(clips[(0, 2)]["clip"], clips[(5, 2)]["clip"])
    assert len(clips[2]["clip"]) == 8000


def test_plain_clips_are_those_of_validation_and_analyse_nothing_again(found):
    analysed = []

    def analyse(waveform):
        analysed.append(len(waveform))
        return np.stack([waveform[::160]] * 2, 1)

    options = {"analyse": analyse, "hop": 160, "window": 160, "crop_s": 0.5}
    clips = Clips(found, training=True, spectral_augment=lambda features, rng: -features, **options)
    drawn = [clips[(1, i)]["clip"] for i in range(4)]
    plain = [one["clip"] for one in map(clips.plain().__getitem__, range(4))]
    assert len(analysed) == 4
    expected = Clips(found, training=False, **options)
    assert all(np.array_equal(one, expected[i]["clip"]) for i, one in enumerate(plain))
    assert not any(np.array_equal(one, other) for one, other in zip(plain, drawn, strict=True))
    assert np.array_equal(clips[(1, 3)]["clip"], drawn[3])


def test_lengths_for_buckets_are_those_of_the_crops(found):
    with_durations = found.add_column("duration", [0.6, 0.7, 0.8, 0.9])
    assert Clips(with_durations, crop_s=0.75).lengths == [0.6, 0.7, 0.75, 0.75]
    assert Clips(found).lengths is None


def test_batches_carry_mask_labels_and_rows(found):
    extractor = tiny.feature_extractor("wav2vec2")
    clips = Clips(found)
    batch = Collator(lambda waveforms: extract(extractor, waveforms))([clips[2], clips[0]])
    assert batch["input_values"].shape == (2, 12800)
    assert batch["attention_mask"].sum(1).tolist() == [12800, 9600]
    assert batch["row"].tolist() == [2, 0]
    assert batch["labels"].dtype == torch.int64
