"""Recipes of Map-Mix: two stages, labels learnt out of fold, resuming, the command line and the shipped presets."""

import json

import numpy as np
import pandas as pd
import pytest
import test_stages

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.training.confidence_labels import confidence_labels, read_confidence_labels
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.dynamics import read_dynamics
from hf_dialects.training.fit import fit
from hf_dialects.training.recipe import load_recipe, make_recipe
from hf_dialects.training.run import train_on
from hf_dialects.training.similarity import out_of_fold_similarity, similarity_from_predictions
from hf_dialects.training.stages import stages_of, with_mixup

TOO_SMALL = "regions are made by quantiles"
MIXING = {"mixup": "ambiguous_easy", "targets": "confidence", "confidence_from": "frequency", "datamap": "previous"}
MAP = {"name": "map", "training": {"record_dynamics": "training"}}
CONTENT = test_stages.CONTENT | {
    "model": {key: value for key, value in test_stages.CONTENT["model"].items() if key in ("encoder", "features")}
    | {"window_s": 2.0, "stride_s": 1.0},
    "training": test_stages.CONTENT["training"] | {"logging_steps": 1},
    "stages": [MAP, {"name": "mixing", "from": "original", "training": MIXING}],
}


@pytest.fixture(scope="module")
def finished(screened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("map-mix")
    with pytest.warns(UserWarning, match=TOO_SMALL):  # four steps teach little
        return folder, train_on(screened, make_recipe(CONTENT), folder, progress=False)


def test_the_second_stage_mixes_by_the_map_of_the_first(finished, screened):
    folder, results = finished
    ids = list(screened.splits["train"]["id"])
    datamap = DataMap.from_run(folder / "stage-1-map").subset(ids)
    with pytest.warns(UserWarning, match=TOO_SMALL):
        regions = datamap.regions()
    history = json.loads((folder / "history.json").read_text())
    n_ambiguous = int((regions == "ambiguous").sum())
    encoded = [line["encoded_examples"] for line in history["log"] if "encoded_examples" in line]
    assert history["regions"] == {name: int((regions == name).sum()) for name in ("easy", "ambiguous", "hard")}
    assert 4 * n_ambiguous // 2 < encoded[-1] <= 2 * 4 * 16
    assert results["selected_on"]["stages"].keys() == {"stage-1-map", "stage-2-mixing"}
    assert "previous" in (folder / "stage-2-mixing" / "recipe.yaml").read_text(), "recipes hold no paths of the machine"
    labels = screened.labels
    clusters = [screened.clusters[label] for label in labels]
    table = read_confidence_labels(folder / "stage-2-mixing" / "confidence_labels.csv", labels, clusters)
    assert table == pytest.approx(confidence_labels(np.ones((4, 4)), clusters)), "as many clips of every dialect"


def test_killed_in_the_second_stage_and_resumed_is_the_same(screened, finished, tmp_path):
    _, expected = finished
    kill = test_stages.KillAt(3)
    kill.on_step_end = lambda args, state, control, **rest: test_stages._kill_in_second_stage(args, state, 3)
    recipe = make_recipe(CONTENT)
    with pytest.raises(test_stages.Killed), pytest.warns(UserWarning, match=TOO_SMALL):
        train_on(screened, recipe, tmp_path, progress=False, callbacks=(kill,))
    with pytest.warns(UserWarning, match=TOO_SMALL):
        results = train_on(screened, recipe, tmp_path, progress=False)
    assert {**results, "environment": None} == {**expected, "environment": None}


def test_a_run_on_a_random_subset_as_large(screened, finished, tmp_path):
    folder, _ = finished
    subset = {"train_subset": "like_ambiguous_easy", "datamap": str(folder / "stage-1-map"), "mixup": "random"}
    training = CONTENT["training"] | subset | {"record_dynamics": "training"}
    with pytest.warns(UserWarning, match=TOO_SMALL):
        fit(screened, make_recipe(CONTENT | {"stages": [], "training": training}), tmp_path, progress=False)
    counts = json.loads((folder / "history.json").read_text())["regions"]
    seen = read_dynamics(tmp_path).query("epoch == 0")["id"]
    assert len(seen) == counts["easy"] + counts["ambiguous"] < len(screened.splits["train"])


def test_out_of_fold_similarity_of_the_training_split(screened, tmp_path):
    recipe = make_recipe(CONTENT | {"stages": [], "training": CONTENT["training"] | MIXING | {"max_steps": 2}})
    similarity = out_of_fold_similarity(screened, recipe, tmp_path, 3, progress=False)
    frame = pd.read_parquet(tmp_path / "out-of-fold" / "predictions" / "test.parquet")
    assert set(frame["id"]) == set(screened.splits["train"]["id"]), "of the training split, all of it and nothing else"
    expected = similarity_from_predictions(np.stack(frame["probabilities"]), frame["gold"].to_numpy())
    assert similarity == pytest.approx(expected)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out-of-fold").rglob("model.safetensors")}
    again = out_of_fold_similarity(screened, recipe, tmp_path, 3, progress=False)
    assert np.array_equal(similarity, again)
    assert written == {path: path.stat().st_mtime_ns for path in written}, "finished folds are kept"
    with pytest.raises(CorpusError, match=r"confidence_from: out_of_fold cuts the training split .* in every class"):
        out_of_fold_similarity(screened, recipe, tmp_path, 7, progress=False)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [{"name": "mixing", "training": MIXING}],
            "stage-1-mixing takes the data map of the previous stage, but it is",
        ),
        (
            [{"name": "map"}, {"training": MIXING}],
            "its data map from stage-1-map, which records none; set training.record",
        ),
    ],
)
def test_a_map_of_the_previous_stage_needs_one(stages, message):
    with pytest.raises(RecipeError, match=message):
        stages_of(make_recipe({"stages": stages}))


def test_sources_of_confidence_are_named(screened, tmp_path):
    training = CONTENT["training"] | {"targets": "confidence", "confidence_from": "guess"}
    with pytest.raises(
        RecipeError, match="confidence_from is 'guess'; it must be uniform, frequency, out_of_fold, or a"
    ):
        train_on(screened, make_recipe(CONTENT | {"stages": [], "training": training}), tmp_path, progress=False)


def test_mixup_named_on_the_command_line():
    plain = load_recipe("small", ["data.source=recordings"])
    mixed = with_mixup(plain, "random", "smoothing")
    assert mixed.training == plain.training | {"mixup": "random", "targets": "smoothing"}
    assert with_mixup(plain) == plain
    first, second = stages_of(with_mixup(plain, "map_mix"))
    assert first.recipe.training == plain.training | {"record_dynamics": "training"}
    expected = {"mixup": "ambiguous_easy", "targets": "confidence", "confidence_from": "out_of_fold"}
    assert second.recipe.training == plain.training | expected | {"datamap": "previous"}
    assert (second.start, second.recipe.model["encoder"]) == ("original", plain.model["encoder"])
    assert second.recipe.model["label_smoothing"] == 0
    chosen = with_mixup(load_recipe("small", ["training.confidence_from=uniform"]), "map_mix")
    assert stages_of(chosen)[1].recipe.training["confidence_from"] == "uniform"
    with pytest.raises(RecipeError, match="map_mix makes two stages, but the recipe has stages of its own"):
        with_mixup(load_recipe("salvi_both"), "map_mix")


def test_the_command_line_makes_the_recipe(run, monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr("hf_dialects.training.run.train_recipe", lambda recipe, *rest, **more: trained.append(recipe))
    options = ("--data", "recordings", "--quiet", "--out", tmp_path)
    assert run("train", *options, "--mixup", "within", "--targets", "smoothing").code == 0
    assert run("train", *options, "--encoder", "some/encoder", "--mixup", "map_mix").code == 0
    within, map_mix = trained
    assert (within.training["mixup"], within.training["targets"]) == ("within", "smoothing")
    assert [stage.recipe.model["encoder"] for stage in stages_of(map_mix)] == ["some/encoder"] * 2
    assert stages_of(map_mix)[1].recipe.training["mixup"] == "ambiguous_easy"
    left = run("train", *options, "--mixup", "random", "--frozen")
    assert left.code == 1
    assert "--mixup and --targets do not go with --frozen" in left.err


def test_presets_differ_in_head_and_windows_only():
    paper, released = load_recipe("map_mix_paper"), load_recipe("map_mix_released")
    assert (paper.training, paper.stages) == (released.training, released.stages)
    differing = {
        key: (paper.model[key], released.model[key]) for key in paper.model if paper.model[key] != released.model[key]
    }
    assert differing == {"classifier_hidden": (None, 512), "window_s": (8.0, 6.0), "tail": ("keep", "drop")}
    for name in ("map_mix", "map_mix_paper", "map_mix_released"):
        first, second = stages_of(load_recipe(name))
        assert first.recipe.training["record_dynamics"] == "training"
        assert second.recipe.training | MIXING | {"confidence_from": "out_of_fold"} == second.recipe.training
        assert second.start == "original"
