"""Listening conditions against tones and clicks whose answer is known."""

import numpy as np
import pytest

from hf_dialects.data.audio import decode
from hf_dialects.data.conditions import CONDITIONS, degrade, noise, room, telephone
from hf_dialects.data.randomness import generator
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError

RATE = 16000


def tone(hertz, seconds=1.0, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def level_db(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-12)


@pytest.mark.parametrize("hertz", [500, 1000, 2500])
def test_telephone_keeps_the_voice_band(hertz):
    assert level_db(telephone(tone(hertz), RATE)) == pytest.approx(level_db(tone(hertz)), abs=0.5)


@pytest.mark.parametrize("hertz", [60, 120, 4500, 7000])
def test_telephone_removes_what_is_outside(hertz):
    assert level_db(telephone(tone(hertz), RATE)) < level_db(tone(hertz)) - 25


def test_telephone_companding_has_the_noise_of_eight_bits():
    """µ-law of 8 bits gives about 38 dB of signal to quantisation noise at any level, 24 dB less than 12 bits would."""
    for amplitude in (0.5, 0.05):
        clean = tone(1000, amplitude=amplitude)
        inner = slice(1000, -1000)
        error = telephone(clean, RATE)[inner] - clean[inner]
        assert 25 < level_db(clean) - level_db(error) < 45


def test_room_smears_a_click_and_keeps_power_and_length():
    click = np.zeros(RATE, dtype=np.float32)
    click[100] = 0.5
    wet = room(click, RATE, generator(0, 0, "a", "room"))
    assert wet.shape == click.shape
    assert wet.dtype == np.float32
    assert level_db(wet) == pytest.approx(level_db(click), abs=0.01)
    assert np.abs(wet[:100]).max() < 1e-6, "sound before its cause"
    assert np.argmax(np.abs(wet)) == 100
    early, late = np.square(wet[101:1700]).sum(), np.square(wet[4900:6500]).sum()
    # 60 dB in 0.3 to 0.7 s: at least 25 dB in the 0.3 s between the two stretches
    assert late < early * 10**-2.5


def test_noise_has_the_drawn_ratio_and_is_pink():
    speech = tone(1000, 4.0, 0.2)
    for id in range(5):
        added = noise(speech, RATE, generator(0, 0, id, "noise")) - speech
        assert 5 - 0.01 <= level_db(speech) - level_db(added) <= 15 + 0.01
    power = np.square(np.abs(np.fft.rfft(added)))  # bins of 0.25 Hz
    octaves = [power[4 * low : 8 * low].sum() for low in (200, 400, 800, 1600, 3200)]
    assert max(octaves) / min(octaves) < 1.3, "pink noise has the same power in every octave"


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("length", [1, 2, 400])
def test_short_and_silent_waveforms_stay_finite(condition, length):
    silence = np.zeros(length, dtype=np.float32)
    degraded = CONDITIONS[condition](silence, RATE, generator(0, 0, "x", condition))
    assert degraded.shape == silence.shape
    assert np.isfinite(degraded).all()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_nothing_clips(condition):
    loud = tone(700, amplitude=1.0)
    assert np.abs(CONDITIONS[condition](loud, RATE, generator(0, 0, "x", condition))).max() <= 1


@pytest.mark.parametrize("condition", CONDITIONS)
def test_degrade_changes_audio_and_condition_only_and_depends_on_the_id_alone(condition):
    test = load_fixture()["test"].select(range(6))
    degraded = degrade(test, condition)
    assert degraded.features == test.features
    for name in set(test.column_names) - {"audio", "condition"}:
        assert list(degraded[name]) == list(test[name])
    assert set(degraded["condition"]) == {condition}
    for before, after in zip(test["audio"], degraded["audio"], strict=True):
        assert decode(before).shape == decode(after).shape
        assert not np.allclose(decode(before), decode(after), atol=1e-3)
    reversed_rows = degrade(test.select(range(5, -1, -1)), condition)
    assert [cell["bytes"] for cell in reversed_rows["audio"]][::-1] == [cell["bytes"] for cell in degraded["audio"]]


def test_unknown_condition_is_named_with_the_known_ones():
    with pytest.raises(CorpusError, match="unknown condition 'car'; there are telephone, room, noise"):
        degrade(load_fixture()["test"], "car")
