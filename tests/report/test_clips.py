from base64 import b64decode

import numpy as np
import pytest

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.report.clips import HEADER, entropy, most_uncertain, place, sounds_of, worst_errors

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
IDS = ["e", "d", "c", "b", "a"]


def test_worst_errors_are_the_most_confident_wrong_ones():
    gold = np.array([1, 0, 1, 0, -1])
    assert worst_errors(PROBABILITIES, gold, IDS, 5).tolist() == [
        2,
        0,
        1,
    ]  # of equals by id; the unlabelled is no error
    assert worst_errors(PROBABILITIES, gold, IDS, 2).tolist() == [2, 0]
    assert worst_errors(PROBABILITIES, PROBABILITIES.argmax(1), IDS, 5).tolist() == []


def test_most_uncertain_have_the_highest_entropy():
    assert most_uncertain(PROBABILITIES, IDS, 3).tolist() == [4, 3, 1]
    assert entropy(np.array([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]])) == pytest.approx([np.log(2), 0, 0.32508], abs=1e-5)


def test_opus_can_be_heard_and_what_cannot_be_read_is_left_out(corpus):
    rows = load_corpus(corpus, split="train")
    broken = list(rows["id"]).index("audio/broken")
    found = sounds_of(rows, [0, 3, broken], longest_s=1.0)
    assert sorted(found) == [0, 3]
    original, heard = decode(rows[0]["audio"]), decode(found[0].file)
    assert len(heard) == pytest.approx(len(original), abs=200)
    assert np.abs(np.fft.rfft(heard, 16000)).argmax() == pytest.approx(150, abs=2)  # the tone's pitch
    assert len(decode(found[3].file)) == pytest.approx(16000, abs=400)  # cut at one second
    assert {position: sound.key for position, sound in sounds_of(rows, [0, 3], 1.0).items()} == {
        position: sound.key for position, sound in found.items()
    }
    assert found[0].key != found[3].key


def test_sound_is_embedded_up_to_the_limit_and_lies_beside_the_page_above(tmp_path):
    sounds = {"aa": b"one", "bb": b"two"}
    page = tmp_path / "my report #1.html"
    embedded = place(sounds, page)
    assert {name: b64decode(source.removeprefix(HEADER)) for name, source in embedded.items()} == sounds
    assert list(tmp_path.iterdir()) == []
    assert place(sounds, page, limit=sum(map(len, embedded.values()))) == embedded
    beside = place(sounds, page, limit=10)
    assert set(beside) == set(sounds)
    for name, source in beside.items():
        assert source == f"my%20report%20%231_audio/{name}.opus"
        assert (tmp_path / "my report #1_audio" / f"{name}.opus").read_bytes() == sounds[name]
