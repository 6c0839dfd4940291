import shutil

import finished
import numpy as np
import pytest

from hf_dialects.errors import CheckpointError
from hf_dialects.report.maps import clip_maps
from hf_dialects.report.run_corpus import open_corpus
from hf_dialects.report.run_folder import read_runs
from hf_dialects.report.vectors import before_and_after


def test_before_training_is_the_model_as_it_was_initialised(corpus, tmp_path, run_folder):
    """A model that is saved untrained has the same embeddings before and after, another one has not."""
    (untrained,) = read_runs([finished.run(tmp_path / "untrained", corpus, trained=False)])
    rows = open_corpus(untrained).scored.select(range(6))
    before, after = before_and_after(untrained, rows, progress=False)
    assert (before.title, after.title) == ("before training", "after training")
    assert before.ids == after.ids == list(rows["id"])
    assert np.abs(before.values - after.values).max() < 1e-5
    assert before.values.std(0).max() > 1e-2  # or the line above would say nothing
    before, after = before_and_after(read_runs([run_folder])[0], rows, progress=False)
    assert np.abs(before.values - after.values).max() > 1e-2


def test_mel_statistics_take_the_place_of_an_encoder_out_of_reach(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    path = tmp_path / "run" / "recipe.yaml"
    (run,) = read_runs([tmp_path / "run"])
    run.recipe.model["encoder"] = str(tmp_path / "gone")
    del run.recipe.model["features"]
    run.recipe.write(path)
    (run,) = read_runs([tmp_path / "run"])
    rows = open_corpus(run).scored.select(range(4))
    before, after = before_and_after(run, rows, progress=False)
    assert before.made.startswith("mean and deviation of a 40-bin log-mel spectrum: the untrained model could not be")
    assert before.values.shape == (4, 80)
    assert before.ids == after.ids


def test_maps_of_a_sample(run_folder):
    (run,) = read_runs([run_folder])
    corpus = open_corpus(run)
    before, after = clip_maps(run, corpus, most=20, progress=False)
    assert before.ids == after.ids
    assert len(set(after.ids)) == 20
    assert after.points.shape == (20, 2)
    gold = dict(zip(run.predictions.ids, run.predictions.gold, strict=True))
    assert after.properties["dialect"] == [run.labels[gold[id]] for id in after.ids]
    assert after.properties["cluster"] == [finished.CLUSTERS[name] for name in after.properties["dialect"]]
    assert all(
        id.startswith(f"audio/{speaker}-") for id, speaker in zip(after.ids, after.properties["speaker"], strict=True)
    )
    assert list(after.separation) == ["dialect", "cluster", "speaker"]
    assert clip_maps(run, corpus, most=5, progress=False) == []


def test_folds_show_the_clips_that_the_first_model_did_not_hear(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.copytree(run_folder, tmp_path / "run" / "fold-0")
    path = tmp_path / "run" / "fold-0" / "predictions" / "test.parquet"
    (run,) = read_runs([run_folder])
    part = run.predictions.frame().iloc[:12]
    part.to_parquet(path)
    (folds,) = read_runs([tmp_path / "run"])
    assert set(clip_maps(folds, open_corpus(folds), most=100, progress=False)[1].ids) == set(part["id"])


def test_without_a_model_there_are_no_maps(run_folder, corpus, tmp_path):
    (run,) = read_runs([finished.run(tmp_path / "bare", corpus, model=False)])
    with pytest.raises(CheckpointError, match="the folder holds no model"):
        before_and_after(run, open_corpus(run).scored)
