"""What the page answers, without a browser."""

import ast
import re
import sys
from pathlib import Path

import finished
import numpy as np
import pytest
import soundfile
import tiny

from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference
from hf_dialects.space import app


@pytest.fixture(scope="module")
def classify(run_dir):
    model, feature_extractor = load_for_inference(run_dir)
    return DialectPipeline(model=model, feature_extractor=feature_extractor)


@pytest.fixture(scope="module")
def names(classify):
    return {label: label for label in classify.model.config.id2label.values()}


@pytest.fixture
def given(folder, tmp_path, monkeypatch):
    """Copy a recording to where uploads lie, each in a folder of its own."""
    monkeypatch.setenv(app.FOLDER, str(tmp_path))

    def given(name):
        (tmp_path / "hash").mkdir()
        path = tmp_path / "hash" / name
        path.write_bytes((folder / name).read_bytes())
        return path

    return given


def test_numbers_are_those_of_the_pipeline(classify, folder):
    path = folder / "paused.wav"
    found = app.listen(classify, path)
    expected = classify(str(path), top_k=None, windows=True, min_speech=app.MIN_SPEECH, calibrated=True)
    assert (found["labels"], found["windows"]) == (expected["labels"], expected["windows"])
    assert (found["calibrated"], found["seconds"], found["stride_s"]) == (True, 9.5, 1.0)
    assert found["labels"] != classify(str(path), top_k=None)
    assert len(found["labels"]) == len(finished.CLUSTERS)


def test_an_answer_shows_them(classify, folder, names):
    found = app.listen(classify, folder / "paused.wav")
    shown = app.show(found, names)
    assert f"<strong>{found['labels'][0]['label']}</strong>, {found['labels'][0]['score']:.1%}" in shown
    for one in found["labels"]:
        assert f'<th scope="row">{one["label"]}</th><td class="number">{one["score"]:.1%}</td>' in shown
    assert "calibrated on held-out recordings" in shown
    assert f"All {len(found['windows'])} windows as a table" in shown
    assert shown.count("<tr><td>0:0") == len(found["windows"])
    assert "no speech; 0:03.5 to 0:06.5" in shown, "windows from 3 s to 6 s hold none"
    assert "0:09.5</span></div>" in shown


def test_it_is_told_where_nothing_was_calibrated(classify, folder, names, monkeypatch):
    monkeypatch.setattr(classify.model.config, "temperature", 1.0)
    assert "as the model gives them, not calibrated" in app.show(app.listen(classify, folder / "paused.wav"), names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("silent.wav", "<strong>No speech</strong>: no window of the recording holds enough speech"),
        ("cut.wav", "<strong>This recording cannot be used</strong>: cut.wav"),
        ("text.mp3", "text.mp3 cannot be read as audio"),
        ("empty.wav", "empty.wav cannot be read as audio"),
    ],
)
def test_what_cannot_be_used_is_told_and_deleted(classify, names, given, tmp_path, name, expected):
    path = given(name)
    shown = app.respond(classify, names, str(path))
    assert expected in shown
    assert str(tmp_path) not in shown
    assert list(tmp_path.iterdir()) == []


def test_an_answered_recording_is_deleted(classify, names, given, tmp_path):
    path = given("paused.wav")
    assert "Most probably" in app.respond(classify, names, str(path))
    assert list(tmp_path.iterdir()) == []
    assert "it is not here any more" in app.respond(classify, names, str(path))
    assert "record or upload one first" in app.respond(classify, names, None)


def test_a_recording_is_deleted_when_the_model_fails(names, given, tmp_path):
    def fails(*_, **__):
        raise RuntimeError("no memory")

    fails.model = type("Model", (), {"config": type("Config", (), {"model_type": "whisper"})})
    with pytest.raises(RuntimeError, match="no memory"):
        app.respond(fails, names, str(given("paused.wav")))
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_uploads_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv(app.FOLDER, str(tmp_path / "elsewhere"))
    for name in ("one.wav", "other.wav"):
        (tmp_path / name).write_bytes(b"")
    app.forget(tmp_path / "one.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["other.wav"]


def test_long_recordings_are_refused_before_they_are_read(classify, names, tmp_path):
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(61 * 8000, np.float32), 8000)
    with pytest.raises(ValueError, match=r"long.flac lasts 1:01.0, at most 1 minutes are taken here: cut out a part"):
        app.listen(classify, path, longest_min=1)
    assert "No speech" in app.respond(classify, names, str(path), longest_min=2)


def test_stretches_cover_the_recording():
    def window(start, end, north):
        return {"start_s": start, "end_s": end, "speech_share": 1.0, "scores": {"north": north, "south": 1 - north}}

    windows = [window(0, 4, 0.9), window(2, 6, 0.7), window(4, 8, 0.2), window(10, 13, 0.6)]
    assert app.stretches(windows, 13.0, 2.0) == [
        (0.0, 5.0, "north", pytest.approx(0.8)),
        (5.0, 7.0, "south", 0.8),
        (7.0, 11.0, None, 0.0),
        (11.0, 13.0, "north", 0.6),
    ]
    side_by_side = [window(0, 4, 0.9), window(8, 9.95, 0.7)]
    assert [one[:3] for one in app.stretches(side_by_side, 10.0)] == [
        (0.0, 4.0, "north"),
        (4.0, 8.0, None),
        (8.0, 10.0, "north"),
    ]
    assert app.stretches([window(0, 7, 0.5)], 7.0) == [(0.0, 7.0, "north", 0.5)]
    assert app.stretches([], 7.0) == [(0.0, 7.0, None, 0.0)]


def test_names_are_text():
    found = {
        "labels": [{"label": "a", "score": 1.0}],
        "windows": [{"start_s": 0.0, "end_s": 1.0, "speech_share": 1.0, "scores": {"a": 1.0}}],
        "calibrated": False,
        "seconds": 1.0,
        "stride_s": None,
    }
    hostile = finished.HOSTILE + '"'
    assert "<script" not in app.show(found, {"a": hostile})
    assert not re.search(r'(title|aria-label)="[^"]*alert\(1\)</script', app.show(found, {"a": hostile}))
    assert "<script" not in app.message("x", hostile)


def test_times_are_rounded_once():
    assert [app.clock(seconds) for seconds in (0, 0.04, 59.96, 3661.5)] == ["0:00.0", "0:00.0", "1:00.0", "61:01.5"]


def test_lengths(tmp_path, folder):
    soundfile.write(tmp_path / "a.ogg", tiny.waveform(1.5), tiny.RATE)
    assert app.length_s(tmp_path / "a.ogg") == 1.5
    assert app.length_s(folder / "text.mp3") is None


def test_the_app_imports_nothing_that_a_space_has_not():
    tree = ast.parse(Path(app.__file__).read_text("utf-8"))
    used = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    used |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in used} - sys.stdlib_module_names == {"gradio", "soundfile", "transformers"}
