"""hf_dialects.evaluation.shortcuts: each by hand or by a plain loop; a planted shortcut is heard by its own only."""

import io

import numpy as np
import pytest
import soundfile
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.evaluation.baselines import BASELINES, fit_baselines
from hf_dialects.evaluation.shortcuts import (
    FEWEST_FRAMES,
    FLOOR,
    SHORTCUTS,
    Sound,
    hear,
    long_term_spectrum,
    non_speech,
)
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.speech_dialect import loud_level, speech_share

RATE = 16000
N = 40  # recordings per class and split
BURST_S = 0.24
FREQUENCIES = np.arange(257)


def noise(random, n, log_gain=0.0, rms=1.0):
    """(n,) noise whose log power spectrum follows `log_gain`, (257,) or () over 0 to 8 kHz."""
    if n == 0:
        return np.zeros(0)
    spectrum = np.fft.rfft(random.normal(size=n))
    gain = np.broadcast_to(log_gain, 257)
    place = np.linspace(0, 256, len(spectrum))
    found = np.fft.irfft(spectrum * np.exp(gain[np.rint(place).astype(int)] / 2), n)
    return rms * found / np.sqrt(np.mean(found**2))


def recording(random, bursts=4, pause_s=0.12, voice=1.0, tilt=0.0, room=0.0):
    """Bursts of loud noise, each with a spectrum of its own recording, and a pause 45 dB below after every one.

    `voice` is the deviation over recordings of the bursts' log power in 32 bands; `tilt` and `room` are log gains of
    bursts and pauses.
    """
    own = np.repeat(random.normal(0, voice, 32), 8)
    own = np.append(own, own[-1])
    loud = [noise(random, round(BURST_S * RATE), own + tilt, 0.2) for _ in range(bursts)]
    quiet = [noise(random, round(pause_s * RATE), room, 0.2 * 10 ** (-45 / 20)) for _ in range(bursts)]
    level = 10 ** random.uniform(-0.1, 0.1)
    return (level * np.concatenate([part for pair in zip(loud, quiet, strict=True) for part in pair])).astype("float32")


def corpus(waveforms, labels):
    cells = []
    for waveform in waveforms:
        buffer = io.BytesIO()
        soundfile.write(buffer, waveform, RATE, format="WAV", subtype="FLOAT")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    rows = {"id": [f"r{row}" for row in range(len(cells))], "audio": cells, "dialect": labels}
    return Dataset.from_dict(rows).cast_column("dialect", ClassLabel(names=["north", "south"]))


def accuracies(plant, **common):
    """Accuracy of every baseline where the classes differ in `plant(label, random)`, options of `recording`."""
    random = np.random.default_rng(0)
    labels = [0, 1] * N
    train, test = (
        corpus([recording(random, **{**common, **plant(label, random)}) for label in labels], labels) for _ in range(2)
    )
    found = fit_baselines(train, {"test": test}, progress=False)
    return {name: np.mean(one["test"].argmax(1) == labels) for name, one in found.items()}


def at_chance(found, names):
    return all(abs(found[name] - 0.5) < 0.15 for name in names)


def test_planted_duration_is_heard_by_duration_only():
    found = accuracies(lambda label, random: {"bursts": int(random.integers(2, 5)) + 3 * label})
    assert list(found) == list(BASELINES)
    assert found["duration"] > 0.95
    assert at_chance(found, set(BASELINES) - {"duration"}), found


def test_planted_background_is_heard_in_the_pauses_only():
    slope = np.linspace(-0.1, 0.1, 257)  # less than 1 dB: over whole recordings the voices drown it

    def plant(label, random):
        return {"room": (2 * label - 1) * slope, "pause_s": random.uniform(0.08, 0.4)}

    found = accuracies(plant, voice=3.0)
    assert found["non-speech"] > 0.9
    assert at_chance(found, set(BASELINES) - {"non-speech"}), found


def test_planted_tilt_is_heard_in_the_spectrum():
    slope = np.linspace(-1, 1, 257)
    found = accuracies(lambda label, random: {"tilt": (2 * label - 1) * slope})
    assert found["long-term spectrum"] > 0.95
    assert found["mel statistics"] > 0.95, "they hold the means too"
    assert at_chance(found, {"majority", "duration", "non-speech"}), found


def test_planted_comb_is_too_fine_for_mel_bins():
    comb = np.where(FREQUENCIES > 128, np.where(FREQUENCIES // 4 % 2, 0.5, -0.5), 0.0)  # ±2 dB, every 125 Hz
    found = accuracies(lambda label, random: {"tilt": (2 * label - 1) * comb})
    assert found["long-term spectrum"] > 0.95
    assert at_chance(found, set(BASELINES) - {"long-term spectrum"}), found


def test_planted_trimming_is_heard_by_what_has_no_pauses():
    found = accuracies(lambda label, random: {"pause_s": 0.0 if label else 0.12, "bursts": 3 + label})
    assert found["non-speech"] == 1.0
    assert at_chance(found, {"majority"})


def test_duration_by_hand():
    vector = hear(np.zeros(RATE * 5 // 2, dtype=np.float32), ["duration"])["duration"]
    assert vector.tolist() == [np.log(2.5), np.log(2.5) ** 2]


def test_shapes_and_names():
    found = hear(recording(np.random.default_rng(0)), SHORTCUTS)
    assert {name: vector.shape for name, vector in found.items()} == {
        "mel statistics": (80,),
        "duration": (2,),
        "non-speech": (81,),
        "long-term spectrum": (257,),
    }
    assert all(vector.dtype == np.float64 and np.isfinite(vector).all() for vector in found.values())


def test_non_speech_equals_a_plain_loop():
    waveform = recording(np.random.default_rng(3), bursts=5)[:-70]  # the last samples fill no frame of 30 ms
    frames, loud, kept = DialectFeatureExtractor().log_mel(waveform), loud_level(waveform, RATE), []
    for number, frame in enumerate(frames):
        start, end = number * 320, number * 320 + 512
        blocks = [waveform[at : at + 480] for at in range(start // 480 * 480, end, 480)]
        if all(len(block) == 480 and speech_share(block, RATE, loud) == 0 for block in blocks):
            kept.append(frame.astype(float))
    assert FEWEST_FRAMES <= len(kept) < len(frames) / 3
    expected = [*np.mean(kept, axis=0), *np.std(kept, axis=0, ddof=1), 0.0]
    np.testing.assert_allclose(non_speech(Sound(waveform)), expected, rtol=1e-12)


def test_not_a_sample_of_speech_leaks_into_the_pauses():
    first = recording(np.random.default_rng(1))
    loud = np.repeat(np.abs(first[: len(first) // 480 * 480].reshape(-1, 480)).max(1) > 0.01, 480)
    other = first.copy()
    other[: len(loud)][loud] *= -np.random.default_rng(2).uniform(0.7, 1.3, loud.sum()).astype(np.float32)
    assert np.abs(Sound(first).log_mel - Sound(other).log_mel).max() > 0.5, "the speech differs"
    np.testing.assert_array_equal(non_speech(Sound(first)), non_speech(Sound(other)))


@pytest.mark.parametrize("n_samples", [1, 100, 479, 513, 4000])
def test_recordings_without_pauses_have_no_statistics_but_say_so(n_samples):
    waveform = (0.1 * np.random.default_rng(0).normal(size=n_samples)).astype(np.float32)
    vector = non_speech(Sound(waveform))
    assert np.isnan(vector[:-1]).all()
    assert vector[-1] == 1.0


def test_dead_air_is_all_pause():
    vector = non_speech(Sound(np.zeros(RATE, dtype=np.float32)))
    assert vector[:40] == pytest.approx(np.log(1e-6), abs=1e-4)
    assert vector[40:].tolist() == [0.0] * 41


def test_recordings_without_pauses_get_one_answer_whatever_is_said():
    random = np.random.default_rng(5)
    paused = [recording(random, room=(2 * (row % 2) - 1) * np.linspace(-1, 1, 257)) for row in range(12)]
    train = corpus(paused, [0, 1, 1] * 4)
    full = corpus([recording(random, pause_s=0.0, voice=v) for v in (0.1, 3.0)] + paused[:1], [0, 1, 0])
    found = fit_baselines(train, {"full": full}, ("non-speech",), progress=False)["non-speech"]["full"]
    assert found[0].tolist() == found[1].tolist() != found[2].tolist()
    assert found[0].argmax() == 1, "with nothing to go by, the more frequent class"


def test_a_corpus_without_any_pause_gives_class_frequencies():
    random = np.random.default_rng(6)
    rows = corpus([recording(random, pause_s=0.0) for _ in range(8)], [0, 1, 1, 1] * 2)
    found = fit_baselines(rows, {"train": rows}, ("non-speech",), progress=False)["non-speech"]["train"]
    assert found == pytest.approx(np.tile([0.25, 0.75], (8, 1)), abs=1e-4)


def test_long_term_spectrum_equals_a_plain_loop():
    waveform = recording(np.random.default_rng(4))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    starts = range(0, len(waveform) - 511, 320)
    logs = [np.log(np.abs(np.fft.rfft(waveform[at : at + 512] * window)) ** 2 + FLOOR) for at in starts]
    np.testing.assert_allclose(long_term_spectrum(Sound(waveform)), np.mean(logs, axis=0), atol=1e-3)


def test_long_term_spectrum_finds_a_tone_and_keeps_the_level():
    waveform = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.float32)
    spectrum = long_term_spectrum(Sound(waveform))
    assert spectrum.argmax() == 1000 / 31.25
    louder = long_term_spectrum(Sound(2 * waveform))
    assert louder[32] - spectrum[32] == pytest.approx(np.log(4), abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_every_length_has_every_vector(n_samples, seed):
    waveform = np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)
    found = hear(waveform, SHORTCUTS)
    vectors = [found["mel statistics"], found["duration"], found["long-term spectrum"], found["non-speech"][-1:]]
    assert all(np.isfinite(vector).all() for vector in vectors)


def test_answers_depend_on_neither_threads_nor_the_choice_of_names():
    random = np.random.default_rng(7)
    rows = corpus([recording(random) for _ in range(10)], [0, 1] * 5)
    together = fit_baselines(rows, {"train": rows}, workers=4, progress=False)
    for name in BASELINES:
        alone = fit_baselines(rows, {"train": rows}, (name,), workers=1, progress=False)
        np.testing.assert_array_equal(alone[name]["train"], together[name]["train"])
