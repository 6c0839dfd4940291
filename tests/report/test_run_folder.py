import json
import shutil

import finished
import pytest

from hf_dialects.errors import CheckpointError
from hf_dialects.report.run_folder import read_runs


def test_a_run_is_read(run_folder):
    (run,) = read_runs([run_folder])
    assert (run.name, run.split, run.folds) == ("plain", "test", ())
    assert run.labels == ["coast", "hills", "marsh", "peaks"]
    assert run.clusters == finished.CLUSTERS
    assert run.recipe.model == finished.MODEL
    assert [one.id for one in run.skipped] == ["audio/broken"]
    assert run.history[""]["best"] == "checkpoint-2"
    assert run.model_folder == run_folder / "model"


def test_seeds_stand_for_their_folder_and_names_tell_runs_apart(run_folder, tmp_path):
    for name in ("a/seed-0", "a/seed-10", "a/seed-2", "b/seed-0"):
        shutil.copytree(run_folder, tmp_path / name)
    assert [run.name for run in read_runs([tmp_path / "a"])] == ["seed-0", "seed-2", "seed-10"]
    runs = read_runs([tmp_path / "a" / "seed-0", tmp_path / "b"])
    assert [run.name for run in runs] == ["a/seed-0", "b/seed-0"]
    with pytest.raises(CheckpointError, match="'seed-0' is given twice"):
        read_runs([tmp_path / "a", tmp_path / "a" / "seed-0"])


def test_what_evaluate_wrote_is_read_too(run_folder, tmp_path):
    shutil.copytree(run_folder / "predictions", tmp_path / "predictions")
    shutil.copy(run_folder / "results.json", tmp_path)
    (run,) = read_runs([tmp_path])
    assert (run.recipe, run.clusters, run.model_folder, run.history, run.skipped) == (None, None, None, {}, [])


def test_the_split_is_test_else_validation_else_the_one_there_is(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    path = tmp_path / "run" / "results.json"
    results = json.loads(path.read_text())
    results["metrics"] = {"validation": results["metrics"]["validation"], "all": {}}
    path.write_text(json.dumps(results))
    assert read_runs([tmp_path / "run"])[0].split == "validation"


def test_what_is_no_finished_run_is_refused(run_folder, tmp_path):
    with pytest.raises(CheckpointError, match="no run folder was given"):
        read_runs([])
    with pytest.raises(CheckpointError, match="has not been evaluated"):
        read_runs([tmp_path])
    shutil.copy(run_folder / "results.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"has no predictions/test\.parquet"):
        read_runs([tmp_path])
    shutil.copytree(run_folder / "predictions", tmp_path / "predictions")
    results = json.loads((tmp_path / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps(results | {"labels": results["labels"][:2]}))
    with pytest.raises(CheckpointError, match=r"has probabilities of 4 dialects, results\.json names 2"):
        read_runs([tmp_path])
