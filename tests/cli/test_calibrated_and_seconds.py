"""hf-dialects predict --calibrated and evaluate --by duration --seconds."""

import json

import corpora
import pytest
import tiny

from hf_dialects.evaluation.results import read_results
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference, save_for_hub, set_temperature


@pytest.fixture
def model(tmp_path):
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), tmp_path / "model")
    return tmp_path / "model"


def test_calibrated_answers_are_those_of_the_pipeline(run, model, tmp_path):
    file = corpora.tone(tmp_path / "a.wav", seconds=1.6)
    left = run("predict", model, file, "--json", "--calibrated")
    assert (left.code, left.err) == (
        0,
        "note: the model's temperature is 1: it was not calibrated, or needed nothing\n",
    )
    set_temperature(model, 0.25)
    plain, calibrated = (run("predict", model, file, "--json", *more) for more in ((), ("--calibrated",)))
    assert plain.out == left.out
    assert calibrated.err == ""
    network, feature_extractor = load_for_inference(model)
    expected = DialectPipeline(model=network, feature_extractor=feature_extractor)(file, top_k=3, calibrated=True)
    found = json.loads(calibrated.out)["labels"]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected])
    assert found != json.loads(plain.out)["labels"]


def test_results_by_bands_of_duration(run, model, tmp_path):
    for number in range(9):
        label, seconds = tiny.LABELS[number % 3], (0.4, 0.8, 1.2)[number // 3]
        corpora.tone(tmp_path / "corpus" / label / f"{number}.wav", seconds=seconds, seed=number)
    command = (
        "evaluate",
        model,
        "--data",
        tmp_path / "corpus",
        "--out",
        tmp_path / "out",
        "--quiet",
        "--by",
        "duration",
    )
    left = run(*command, "--seconds", "0.5,1")
    assert left.code == 0
    results = read_results(tmp_path / "out")
    assert [(row["value"], row["n"]) for row in results["by"]] == [("<0.5 s", 3), ("0.5-1 s", 3), (">=1 s", 3)]
    assert {"weighted_f1", "c_avg", "eer"} <= set(results["by"][0])
    assert {"c_avg", "eer"} <= set(results["metrics"]["all"])
    assert "calibration" not in results
    assert "C_avg" in left.out
    set_temperature(model, 0.5)
    assert "temperature 0.500, the model's own" in run(*command).out
    assert set(read_results(tmp_path / "out")["calibration"]["splits"]) == {"all"}
    assert "expected rising seconds above 0" in run(*command, "--seconds", "3,1").err
    assert "--seconds takes numbers" in run(*command, "--seconds", "long").err
