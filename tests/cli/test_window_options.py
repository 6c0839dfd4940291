"""Options of long recordings: predict, evaluate and embed."""

import json

import corpora
import pytest
import tiny

from hf_dialects.precision import has_bfloat16
from hf_dialects.saving import save_for_hub


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Folders of a tiny classifier and of a corpus."""
    folder = tmp_path_factory.mktemp("given")
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder / "model")
    for number in range(4):
        corpora.tone(folder / "corpus" / ("north", "south")[number % 2] / f"{number}.wav", seconds=1.7, seed=number)
    return folder / "model", folder / "corpus"


def test_predict_says_how_it_was_done(run, given):
    model, corpus = given
    left = run("predict", model, corpus, "--json", "--normalize", "recording", "--precision", "bfloat16")
    assert left.code == 0
    used = "bfloat16" if has_bfloat16() else "float32"
    answers = [json.loads(line) for line in left.out.splitlines()]
    assert len(answers) == 4
    assert all((answer["normalize"], answer["precision"]) == ("recording", used) for answer in answers)
    assert (used == "float32") == ("bfloat16 against float32, the first 3 windows of" not in left.err)
    left = run("predict", model, corpus, "--quiet", "--normalize", "recording", "--stride", 0.333)
    assert left.code == 1
    assert "windows start every 5328 samples, but frames every 80" in left.err


def test_evaluate_reports_the_difference(run, given, tmp_path):
    model, corpus = given
    left = run("evaluate", model, "--data", corpus, "--out", tmp_path, "--normalize", "recording", "--quiet")
    assert left.code == 0
    windows = json.loads((tmp_path / "results.json").read_text("utf-8"))["windows"]
    assert (windows["normalize"], windows["precision"]) == ("recording", "float32")
    assert windows["difference"]["recordings"] == 4
    assert windows["difference"]["normalize"]["against"] == "window"
    assert "normalize recording against window, on 4 recordings: a window's probability differs by at most" in left.out
    run("evaluate", model, "--data", corpus, "--out", tmp_path, "--quiet")
    windows = json.loads((tmp_path / "results.json").read_text("utf-8"))["windows"]
    assert windows["normalize"] == "window"
    assert "difference" not in windows


def test_embed_of_two_processes_is_complete_after_the_second(run, given, tmp_path, monkeypatch):
    model, corpus = given
    arguments = ("embed", model, "--data", corpus, "--out", tmp_path / "out", "--quiet", "--normalize", "recording")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    left = run(*arguments)
    assert left.code == 0
    assert left.out == f"process 1 of 2 has written its shards; {tmp_path / 'out'} is complete when all have\n"
    monkeypatch.setenv("RANK", "0")
    assert f"written: {tmp_path / 'out'}, 4 of 4 recordings" in run(*arguments).out
