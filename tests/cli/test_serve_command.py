import importlib
import signal

import finished
import gradio
import pytest
import tiny

from hf_dialects.space import app


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture
def launched(monkeypatch):
    """(page, options) of every launch, none of which goes up; the tests of Spaces launch the same page."""
    launched = []
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    monkeypatch.setenv(app.FOLDER, "")
    monkeypatch.setattr(gradio.Blocks, "launch", lambda page, **options: launched.append((page, options)))
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda page: None)
    yield launched
    signal.signal(signal.SIGTERM, before)


def test_it_listens_where_it_was_told_and_shares_nothing(run, run_folder, launched):
    left = run("serve", run_folder, "--port", "8123", "--no-browser", "--longest", "5")
    assert (left.code, left.err) == (0, "")
    page, options = launched[0]
    assert (options["server_name"], options["server_port"], options["inbrowser"]) == ("127.0.0.1", 8123, False)
    assert {options[name] for name in ("share", "run_history", "ssr_mode")} == {False}
    assert (page.title, page.analytics_enabled) == ("one", False)
    said = " ".join(str(block.value) for block in page.blocks.values() if hasattr(block, "value"))
    for expected in ("of up to 5 minutes", "Which of 4 varieties", "coast", "must not be used to decide on residence"):
        assert expected in said


def test_its_answers_are_those_of_the_run(run, run_folder, launched, tmp_path):
    import soundfile

    from hf_dialects.models.pipeline_dialect import DialectPipeline
    from hf_dialects.saving import load_for_inference

    run("serve", run_folder, "--min-speech", "0")
    page, options = launched[0]
    assert options["inbrowser"]
    soundfile.write(tmp_path / "one.wav", tiny.waveform(3.0), tiny.RATE)
    model, feature_extractor = load_for_inference(run_folder)
    expected = DialectPipeline(model=model, feature_extractor=feature_extractor)(str(tmp_path / "one.wav"))
    cleared, shown = next(iter(page.fns.values())).fn(str(tmp_path / "one.wav"))
    assert cleared is None
    for one in expected:
        assert f'{one["label"]}</th><td class="number">{one["score"]:.1%}</td>' in shown
    assert not (tmp_path / "one.wav").exists()


def test_what_is_missing_is_one_message(run, launched, monkeypatch, tmp_path):
    left = run("serve", tmp_path / "nowhere")
    assert left.code == 1
    assert left.err.startswith(f"error: {tmp_path / 'nowhere'} does not exist: give a run folder")
    monkeypatch.setattr(importlib.import_module("hf_dialects.extras"), "has", lambda module: False)
    left = run("serve", tmp_path)
    expected = "error: gradio is not installed; run: pip install 'hf-dialects[space]'\n"
    assert (left.code, left.err, launched) == (1, expected, [])
