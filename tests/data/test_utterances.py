"""Utterances as features and tokens: speeds, translations, draws, batches by seconds."""

import numpy as np
import pytest
import spelt
import torch

from hf_dialects.data.samplers import Buckets
from hf_dialects.data.spec_augment import SpecAugment
from hf_dialects.data.tokens import character_tokens, decode_tokens, language_id
from hf_dialects.data.utterances import UtteranceCollator, Utterances, at_speed
from hf_dialects.errors import CorpusError, RecipeError

TOKENS = character_tokens(["abc xyz"], languages=("spoken", "en"))


def utterances(dataset=None, **options) -> Utterances:
    options = {"training": True, "seed": 3} | options
    return Utterances(dataset or spelt.corpus(), TOKENS, spelt.extractor().filter_bank, **options)


def translated():
    """Two of four utterances have a translation, one of them no transcript."""
    return spelt.corpus(
        ("ab", "b", "c", "a"),
        translation=["xy z", None, "z", ""],
        translation_language=["en", None, "en", None],
    ).map(lambda row: {"text": None if row["id"] == "u2" else row["text"]})


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1, 1.37])
def test_lengths_and_pitch_at_a_speed(speed):
    wave = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    found = at_speed(wave, speed)
    assert len(found) == -(-16000 * 100 // round(100 * speed))
    peak = np.abs(np.fft.rfft(found)).argmax() * 16000 / len(found)
    assert peak == pytest.approx(1000 * speed, abs=2)


def test_an_epoch_holds_every_utterance_at_every_speed():
    found = utterances(speeds=(0.8, 1.0, 1.25))
    assert len(found) == 24
    frames = [len(found[row]["clip"]) for row in (0, 8, 16)]
    seconds = spelt.corpus()["duration"][0]
    assert frames == [round(100 * seconds / speed) for speed in (0.8, 1, 1.25)]
    assert [found[row]["row"] for row in (0, 8, 23)] == [0, 0, 7]
    assert found.lengths == pytest.approx([s / v for v in (0.8, 1, 1.25) for s in spelt.corpus()["duration"]])
    assert len(utterances(speeds=(0.8, 1.0), training=False)) == 8


def test_labels_are_the_text():
    found = utterances()
    assert [decode_tokens(TOKENS, found[row]["labels"]) for row in range(8)] == list(spelt.TEXTS)
    assert "prefix" not in found[0]


def test_translations_are_examples_of_their_own():
    found = utterances(translated())
    items = [found[index] for index in range(len(found))]
    texts = [decode_tokens(TOKENS, item["labels"]) for item in items]
    assert [(item["row"], item["transcribed"]) for item in items] == [
        *((0, True), (1, True), (3, True)),
        *((0, False), (2, False)),
    ]
    assert texts == ["ab", "b", "a", "xy z", "z"]
    spoken, english = language_id(TOKENS, "spoken"), language_id(TOKENS, "en")
    assert [item["prefix"] for item in items] == [[spoken]] * 3 + [[english]] * 2
    batch = UtteranceCollator()([items[0], items[4]])
    assert batch["prefix_ids"].tolist() == [[spoken], [english]]
    assert batch["transducer_mask"].tolist() == [True, False]


def test_draws_depend_on_epoch_id_and_speed_alone():
    augment = SpecAugment(frequency_mask_width=10, probability=1.0)
    first, second = utterances(spec_augment=augment), utterances(spec_augment=augment, cache_bytes=0)
    keys = [(epoch, index) for epoch in (0, 1) for index in (5, 2)]
    clips = {key: first[key]["clip"] for key in keys}
    assert all(np.array_equal(clips[key], second[key]["clip"]) for key in reversed(keys))
    assert not np.array_equal(clips[0, 5], clips[1, 5])
    shuffled = utterances(spelt.corpus().select([5, 0]), spec_augment=augment)
    assert np.array_equal(shuffled[1, 0]["clip"], clips[1, 5])
    plain = utterances(spec_augment=augment, training=False)
    assert np.array_equal(plain[1, 5]["clip"], plain[0, 5]["clip"])


def test_padding():
    found = utterances()
    batch = UtteranceCollator()([found[0], found[3]])  # "ab", "abc a"
    long, short = len(found[3]["clip"]), len(found[0]["clip"])
    assert batch["input_features"].shape == (2, long, 20)
    assert batch["attention_mask"].sum(1).tolist() == [short, long]
    assert torch.allclose(batch["input_features"][0, short:], torch.tensor(np.log(1e-10), dtype=torch.float32))
    assert batch["labels"].tolist()[0] == [*found[0]["labels"], -100, -100, -100]
    assert "prefix_ids" not in batch


def test_batches_by_seconds_are_the_same_for_any_number_of_processes():
    lengths = utterances(speeds=(0.9, 1.0, 1.1)).lengths
    options = {"batch_size": 1000, "seed": 1, "max_seconds": 4.0}
    whole = Buckets(lengths, **options)
    parts = [Buckets(lengths, rank=rank, world_size=2, **options) for rank in (0, 1)]
    for epoch in (0, 1):
        batches = whole.global_batches(epoch)
        assert sorted(index for batch in batches for index in batch) == list(range(24))
        assert all(len(batch) * max(lengths[i] for i in batch) <= 4.0 for batch in batches)
        for one in parts:
            one.set_epoch(epoch)
        joined = [[index for _, index in [*a, *b]] for a, b in zip(*parts, strict=True)]
        assert joined == batches
    assert whole.global_batches(0) != whole.global_batches(1)


def test_what_is_refused():
    rows = spelt.corpus()
    with pytest.raises(CorpusError, match="need the duration of every recording"):
        utterances(rows.remove_columns("duration"))
    with pytest.raises(CorpusError, match="none of the 8 recordings has a text"):
        utterances(rows.map(lambda row: {"text": ""}))
    with pytest.raises(CorpusError, match="need the column translation_language"):
        utterances(translated().remove_columns("translation_language"))
    with pytest.raises(RecipeError, match="no token for the language 'en'"):
        Utterances(translated(), character_tokens(["a"], ("spoken",)), spelt.extractor().filter_bank)
    with pytest.raises(RecipeError, match=r"speeds must be between 0\.5 and 2, got 3"):
        utterances(speeds=(1.0, 3.0))
