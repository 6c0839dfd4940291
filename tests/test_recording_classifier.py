"""Single recordings of any length against the pipeline, and what is told about settings."""

import pytest
import soundfile
import tiny

from hf_dialects import recordings
from hf_dialects.errors import AudioError, DialectError
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.recording_classifier import RecordingClassifier


@pytest.fixture(scope="module")
def given():
    return tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")


@pytest.fixture
def path(tmp_path):
    waveform = tiny.waveform(3.3)
    waveform[16000:32000] = 0
    soundfile.write(tmp_path / "a.wav", waveform, tiny.RATE)
    return tmp_path / "a.wav"


@pytest.mark.parametrize("whole_s", [600.0, 1.0])
@pytest.mark.parametrize("min_speech", [0.0, 0.6])
def test_answers_are_those_of_the_pipeline_held_or_streamed(given, path, monkeypatch, whole_s, min_speech):
    monkeypatch.setattr(recordings, "WHOLE_S", whole_s)
    pipeline = DialectPipeline(model=given[0], feature_extractor=given[1])
    expected = pipeline(path, windows=True, min_speech=min_speech, top_k=None)
    found = RecordingClassifier(*given, min_speech=min_speech, batch_size=3)(path, top_k=None)
    assert [one["label"] for one in found["labels"]] == [one["label"] for one in expected["labels"]]
    assert [one["score"] for one in found["labels"]] == pytest.approx(
        [one["score"] for one in expected["labels"]], abs=1e-6
    )
    assert len(found["windows"]) == len(expected["windows"]) == (6 if min_speech == 0 else 3)
    for one, other in zip(found["windows"], expected["windows"], strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)
        assert {name: one[name] for name in ("start_s", "end_s", "speech_share")} == {
            name: other[name] for name in ("start_s", "end_s", "speech_share")
        }


def test_precision_is_held_against_float32(given, path):
    classify = RecordingClassifier(*given, precision="bfloat16", normalize="recording")
    logit, probability, windows = classify.precision_difference(path)
    if classify.precision == "float32":  # no such instructions here
        assert (logit, probability) == (0, 0)
    else:
        assert 0 < probability < 0.05
        assert 0 < logit < 0.2
    assert windows == 6


def test_without_bfloat16_instructions_float32_is_used_and_told(given, path, monkeypatch):
    monkeypatch.setattr("hf_dialects.precision.has_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="no bfloat16 instructions: float32 is used instead"):
        classify = RecordingClassifier(*given, precision="bfloat16")
    assert classify.precision == "float32"
    assert classify(path) == RecordingClassifier(*given)(path)
    with pytest.raises(ValueError, match="precision is 'int8'; it must be one of: float32, bfloat16"):
        RecordingClassifier(*given, precision="int8")


def test_what_cannot_be_used_is_told(given, tmp_path):
    soundfile.write(tmp_path / "short.wav", tiny.waveform(0.01), tiny.RATE)
    with pytest.raises(AudioError, match=r"lasts 0\.010 s, the encoder needs at least 0\.035 s"):
        RecordingClassifier(*given)(tmp_path / "short.wav")
    with pytest.raises(DialectError, match="windows start every 1608 samples"):
        RecordingClassifier(*given, stride_s=0.1005, normalize="recording")
