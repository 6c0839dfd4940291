"""Leaving out windows without speech: which ones, that a silent file says so, and that corpus and pipeline agree."""

import json

import numpy as np
import pytest
import tiny
from datasets import Dataset

from hf_dialects.data.audio import encode
from hf_dialects.inference import predict
from hf_dialects.models.pipeline_dialect import NO_SPEECH, DialectPipeline
from hf_dialects.models.speech_dialect import speech_share, spoken_windows

RATE = tiny.RATE
SILENT = [{"score": None, "label": "no speech"}]


@pytest.fixture(scope="module")
def pipe():
    """Windows of 1 s every 0.5 s."""
    return DialectPipeline(model=tiny.model("wav2vec2"), feature_extractor=tiny.feature_extractor("wav2vec2"))


@pytest.fixture(scope="module")
def interview():
    """Two seconds of sound, then six of hardly audible hiss."""
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(6 * RATE)
    return np.concatenate([tiny.waveform(2.0), hiss]).astype(np.float32)


def silence(seconds=2.0):
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def test_windows_count_by_their_share_of_the_loud_frames(interview):
    spans = [(start, start + RATE) for start in range(0, 7 * RATE, RATE // 2)]
    everything = spoken_windows(interview, spans, RATE)
    assert [(start, end) for start, end, _ in everything] == spans
    shares = [share for _, _, share in everything]
    assert shares[:3] == [1.0, 1.0, 1.0]  # 0 to 2 s
    assert shares[3] == pytest.approx(0.5, abs=0.05)  # 1.5 to 2.5 s
    assert set(shares[4:]) == {0.0}
    assert spoken_windows(interview, spans, RATE, 0.4) == everything[:4]
    assert spoken_windows(interview, spans, RATE, 0.6) == everything[:3]
    assert spoken_windows(silence(8.0), spans, RATE, 0.01) == []


def test_a_quiet_window_is_judged_by_the_loud_frames_of_its_recording():
    loud = 0.3 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    quiet = 0.01 * loud  # 40 dB below
    recording = np.concatenate([loud, quiet])
    assert speech_share(quiet, RATE) == 1.0, "alone it is loud enough"
    assert [share for *_, share in spoken_windows(recording, [(0, RATE), (RATE, 2 * RATE)], RATE)] == [1.0, 0.0]


def test_silent_windows_are_left_out_of_the_mean(pipe, interview):
    everything, spoken = (pipe(interview, windows=True, top_k=None, min_speech=share) for share in (0.0, 0.6))
    assert len(everything["windows"]) == 15
    assert [(one["start_s"], one["end_s"]) for one in spoken["windows"]] == [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0)]
    assert spoken["windows"] == everything["windows"][:3]
    for answer, n in ((everything, 15), (spoken, 3)):
        windows = everything["windows"][:n]
        mean = {name: np.mean([one["scores"][name] for one in windows]) for name in tiny.LABELS}
        assert {one["label"]: one["score"] for one in answer["labels"]} == pytest.approx(mean, abs=1e-6)
    ours, theirs = ({one["label"]: one["score"] for one in answer["labels"]} for answer in (spoken, everything))
    assert abs(ours["north"] - theirs["north"]) > 1e-4, "equal answers would prove nothing"


def test_every_window_tells_its_share_of_speech(pipe, interview):
    answer = pipe(interview, windows=True)
    spans = [(start, start + RATE) for start in range(0, 7 * RATE + 1, RATE // 2)]
    expected = [share for *_, share in spoken_windows(interview, spans, RATE)]
    assert [one["speech_share"] for one in answer["windows"]] == expected


def test_a_file_of_silence_says_no_speech(pipe):
    assert NO_SPEECH == "no speech"
    assert pipe(silence(), min_speech=0.1) == SILENT
    assert json.loads(json.dumps(pipe(silence(), min_speech=0.1))) == SILENT
    assert pipe(silence(), min_speech=0.1, windows=True, top_k=1) == {"labels": SILENT, "windows": []}
    unasked = pipe(silence(), windows=True)
    assert {one["speech_share"] for one in unasked["windows"]} == {0.0}
    assert sum(one["score"] for one in unasked["labels"]) == pytest.approx(1)


def test_a_silent_file_keeps_its_place_among_others(pipe, interview):
    files = [tiny.waveform(1.7, 3), silence(), interview, silence(0.3), tiny.waveform(0.4, 4)]
    options = {"min_speech": 0.3, "windows": True}
    single = [pipe(file, **options) for file in files]
    for batch_size in (1, 3):
        batched = pipe(files, batch_size=batch_size, **options)
        assert [one["labels"] == SILENT for one in batched] == [False, True, False, True, False]
        for one, other in zip(single, batched, strict=True):
            assert len(one["windows"]) == len(other["windows"])
            if one["labels"] != SILENT:
                ours, theirs = ({row["label"]: row["score"] for row in answer["labels"]} for answer in (one, other))
                assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("min_speech", [0.0, 0.3, 0.6])
def test_prediction_over_a_corpus_follows_the_same_rule(pipe, interview, min_speech):
    files = [encode(one, RATE) for one in (interview, silence(), tiny.waveform(1.3, 5))]
    corpus = Dataset.from_dict({"audio": [{"bytes": one, "path": None} for one in files], "id": ["a", "b", "c"]})
    found = predict(pipe.model, pipe.feature_extractor, corpus, min_speech=min_speech, progress=False)
    answers = {id: pipe(file, windows=True, min_speech=min_speech) for id, file in zip("abc", files, strict=True)}
    silent = [id for id, answer in answers.items() if answer["labels"] == SILENT]
    assert silent == ["b"] * (min_speech > 0)
    assert [(one.id, one.reason) for one in found.skipped] == [(id, "no speech") for id in silent]
    for id, probabilities, n_windows in zip(found.ids, found.probabilities, found.windows, strict=True):
        scores = {one["label"]: one["score"] for one in answers[id]["labels"]}
        assert scores == pytest.approx(dict(zip(tiny.LABELS, probabilities, strict=True)), abs=1e-5)
        assert len(answers[id]["windows"]) == n_windows


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_its_range_is_an_error(pipe, share):
    with pytest.raises(ValueError, match=f"min_speech is {share}; it must be a share of speech between 0 and 1"):
        pipe(tiny.waveform(1.0), min_speech=share)
