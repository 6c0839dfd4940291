"""A grid of Map-Mix with tiny encoders on the fixture: shared maps, costs, what waits, a kill that loses one run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from transformers import TrainerCallback

from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import DialectError
from hf_dialects.inference import Predictions
from hf_dialects.metrics import cluster_accuracy
from hf_dialects.reproduce.cost import cost_of, training_cost
from hf_dialects.reproduce.grid import failure, run_grid, runs_of
from hf_dialects.reproduce.grid_splits import cut_folds
from hf_dialects.reproduce.map_mix import map_mix_cells
from hf_dialects.reproduce.map_mix_figures import errors_inside
from hf_dialects.reproduce.map_mix_steps import equal_steps
from hf_dialects.reproduce.run_table import TableOptions, cells_of, run_table, shared_of, splits_of
from hf_dialects.reproduce.unit import located
from hf_dialects.training.dynamics import read_dynamics
from hf_dialects.training.recipe import Recipe

ROWS = ("plain", "random", "map_mix")
OPTIONS = {"experiment": "map-mix-table1", "seeds": 1, "smoke": True, "progress": False}
SETTINGS = ["labels", *ROWS]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    out = tmp_path_factory.mktemp("map-mix")
    path, complete = run_table(TableOptions(**OPTIONS, rows=ROWS, out=out, figures=True), tell=lambda line: None)
    assert complete
    return out, path, json.loads(path.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def inputs(grid):
    """Cells, splits and overrides of the same grid."""
    options = TableOptions(**OPTIONS, rows=ROWS, out=grid[0])
    cells, shared = cells_of(options), (*shared_of(options), "evaluation.baselines=false")
    data = splits_of(options, {"source": "fixture"})
    return cells, data, (*shared, *equal_steps(cells[1].resolved(0, shared).training, data[0]))


def folder(out: Path, cell: str) -> Path:
    return out / "split-0" / cell / "seed-0"


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text()) | {"environment": None}


def test_the_table_has_rows_for_settings_and_none_for_what_prepares_them(grid):
    _, path, content = grid
    assert [cell["cell"] for cell in content["cells"]] == list(ROWS)
    assert [cell["cell"] for cell in content["preparations"]] == ["labels"]
    compared = {one["baseline"]: {row["run"] for row in one["contrasts"]} for one in content["comparisons"]}
    assert compared == {"plain": {"random", "map_mix"}, "random": {"map_mix"}}
    assert [one["tests"] for one in content["comparisons"]] == [8, 4]
    text = path.read_text()
    assert "| map_mix | Map-Mix | ambiguous_easy | confidence |" in text
    assert "| 0.677 | 0.658 | 0.958 | 0.067 | 1 of 1 |" in text
    assert "purity" not in text.replace("figure-3", "").split("| cell | model |")[1]


def test_metrics_are_those_of_results(grid):
    out, _, content = grid
    run = content["cells"][2]["runs"][0]
    found = results(folder(out, "map_mix"))["metrics"]["test"]
    for name in ("accuracy", "weighted_f1", "cluster_accuracy", "ece"):
        assert run[name] == found[name]["value"]
    assert not (folder(out, "map_mix") / "separation.json").exists()


def test_cluster_accuracy_is_compared_recording_by_recording(grid, inputs):
    out, _, content = grid
    _, data, _ = inputs
    codes = np.array([data[0].clusters[label] == "english" for label in data[0].labels]).astype(int)
    values = []
    for name in ("plain", "map_mix"):
        found = Predictions.read(folder(out, name) / "predictions" / "test.parquet")
        values.append(float(cluster_accuracy(found.gold, found.probabilities.argmax(1), codes)))
    rows = {(row["run"], row["metric"]): row for row in content["comparisons"][0]["contrasts"]}
    row = rows["map_mix", "cluster_accuracy"]
    assert (row["baseline_value"], row["value"]) == pytest.approx(values)
    assert row["difference"] == pytest.approx(values[1] - values[0])


def test_the_map_is_that_of_the_plain_run(grid):
    out, _, _ = grid
    training = yaml.safe_load((folder(out, "map_mix") / "recipe.yaml").read_text())["training"]
    assert training["datamap"] == "../../plain/seed-0/dynamics.parquet"
    recorded = read_dynamics(folder(out, "map_mix") / training["datamap"])
    assert recorded.groupby("id").size().tolist() == [3] * 96  # epochs of three steps
    labels = (folder(out, "labels") / "confidence_labels.csv").read_text()
    assert (folder(out, "map_mix") / "confidence_labels.csv").read_text() == labels
    assert sorted(path.name for path in out.rglob("dynamics.parquet")) == ["dynamics.parquet"]


def test_equal_steps_and_what_they_cost(grid, inputs):
    out, _, content = grid
    found = {cell["cell"]: cell["runs"][0] for cell in content["cells"]}
    assert {name: run["steps"] for name, run in found.items()} == dict.fromkeys(ROWS, 9)
    assert found["plain"]["encoded_examples"] == found["random"]["encoded_examples"] == 3 * 96
    own = training_cost(folder(out, "map_mix"))["encoded_examples"]
    labels = 3 * 3 * 32  # three folds of one voice each, three epochs
    assert 9 * 32 < own <= 9 * 2 * 32
    assert found["map_mix"]["encoded_examples"] == own + 3 * 96 + labels
    (run,) = (one for one in runs_of(inputs[0], 1, 1, out) if one.cell.name == "labels")
    assert cost_of(run)["encoded_examples"] == 96 + labels


def test_figures_are_data_numbers_and_pictures(grid):
    out, path, _ = grid
    text = path.read_text()
    first = pd.read_csv(out / "figure-1.csv")
    assert len(first) == 96
    assert set(first["region"]) == {"easy", "ambiguous", "hard"}
    shown = json.loads((out / "figure-1.json").read_text())
    counts = first.groupby(["dialect", "region"]).size()
    assert counts[shown["dialect"], "ambiguous"] == counts[:, "ambiguous"].max()
    assert f"figure-1: data map of {shown['dialect']}" in text
    for name, of, values in (("figure-3", "cluster", 2), ("figure-4", "dialect", 4)):
        points = pd.read_csv(out / f"{name}.csv")
        assert (points["id"].nunique(), points[of].nunique()) == (64, values)
        assert np.isfinite(points[["x", "y"]]).all(axis=None)
    fifth = json.loads((out / "figure-5.json").read_text())
    assert fifth["clusters"] == sorted(fifth["clusters"])
    assert np.trace(fifth["confusion"]) == np.trace(results(folder(out, "map_mix"))["confusion"]["test"])
    curves = pd.read_csv(out / "map-mix-table1-curves.csv")
    assert set(curves["cell"]) == set(ROWS)
    assert sorted(set(curves["step"])) == [3, 6, 9]
    pictures = ["figure-1", "figure-3", "figure-4", "figure-5", "map-mix-table1-curves"]
    assert all((out / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in pictures)


def test_errors_inside_clusters_by_hand():
    """Dialects a, b | c: of 10 errors 6 stay inside; a and b have 1 sibling of 2, c none."""
    counts = np.array([[5, 4, 1], [2, 5, 1], [1, 1, 5]])
    assert errors_inside(counts, np.array([0, 0, 1])) == pytest.approx((0.6, (5 + 3) / 2 / 10))
    assert errors_inside(np.eye(3), np.array([0, 0, 1])) == (None, None)


class Kill(TrainerCallback):
    """As if the process were killed in the middle of Map-Mix."""

    def on_step_end(self, args, state, control, **kwargs):
        if "map_mix" in args.output_dir and state.global_step == 4:
            raise KeyboardInterrupt


def test_a_run_waits_for_its_map_and_a_kill_loses_at_most_one(grid, inputs, tmp_path):
    whole, _, _ = grid
    cells, data, shared = inputs

    def states() -> list[str]:
        return [run.state for run in runs_of(cells, 1, 1, tmp_path)]

    run_grid(cells, data, 1, tmp_path, shared, progress=False, part=(4, 4))
    assert states() == ["not run", "not run", "not run", "waiting"]
    *_, run = runs_of(cells, 1, 1, tmp_path)
    assert failure(run) == "for plain and labels"
    for name in ("labels", "plain", "random"):
        shutil.copytree(whole / "split-0" / name, tmp_path / "split-0" / name)
    kept = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.safetensors"))]
    with pytest.raises(KeyboardInterrupt):
        run_grid(cells, data, 1, tmp_path, shared, progress=False, callbacks=(Kill(),))
    assert states() == ["finished", "finished", "finished", "unfinished"]
    run_grid(cells, data, 1, tmp_path, shared, progress=False)
    assert states() == ["finished"] * 4
    assert results(run.folder) == results(folder(whole, "map_mix"))
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("split-0/[lpr]*/**/*.safetensors"))] == kept


def test_what_waits_for_a_failed_run_says_so(inputs, tmp_path):
    cells, _, _ = inputs
    *_, run = runs_of(cells, 1, 1, tmp_path)
    path = run.inputs["plain"]
    path.mkdir(parents=True)
    (path / "failed.json").write_text('{"message": "the loss is nan"}')
    assert run.state == "waiting"
    assert failure(run) == "for plain and labels; plain failed"


def test_paths_into_other_runs_lead_there_from_anywhere(tmp_path):
    run = tmp_path / "split-0" / "map_mix" / "seed-1"
    training = {"datamap": "../../plain/seed-1/dynamics.parquet", "confidence_from": "uniform", "batch_size": 8}
    recipe = Recipe(training=training)
    file = tmp_path / "split-0" / "plain" / "seed-1" / "dynamics.parquet"
    assert located(recipe, run).training == training | {"datamap": str(file)}
    assert located(recipe, run, "fold-1").training["datamap"] == str(file.parent / "fold-1" / file.name)
    assert recipe.training == training


def test_folds_have_a_map_each(inputs, tmp_path):
    corpus = join_splits(load_fixture())
    corpus = corpus.select([row for row, sentence in enumerate(corpus["sentence_id"]) if sentence in ("s00", "s01")])
    (folds,) = cut_folds(corpus, {}, 3, progress=False)
    cells = [cell for cell in inputs[0] if cell.name == "plain"]
    cells += map_mix_cells("map-mix-table2", chosen=("ambiguous_easy",))[1:]
    shared = (*inputs[2], "training.max_steps=3")
    run_grid(cells, [folds], 1, tmp_path, shared, progress=False)
    assert [run.state for run in runs_of(cells, 1, 1, tmp_path)] == ["finished"] * 2
    for index, fold in enumerate(folds):
        recorded = read_dynamics(folder(tmp_path, "plain") / f"fold-{index}" / "dynamics.parquet")
        assert set(recorded["id"]) == set(fold.splits["train"]["id"])
    *_, run = runs_of(cells, 1, 1, tmp_path)
    own = sum(training_cost(run.folder / f"fold-{index}")["encoded_examples"] for index in range(3))
    map_of_folds = 3 * sum(len(fold.splits["train"]) for fold in folds)  # one step is an epoch
    assert cost_of(run) == {"steps": 3, "encoded_examples": own + map_of_folds}
    tested = Predictions.read(run.folder / "predictions" / "test.parquet").ids
    assert sorted(tested) == sorted(corpus["id"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ("supcon",)}, "--objectives is not for map-mix-table1; it is for salvi-table2, salvi-table3"),
        ({"preset": "thesis"}, "--preset is 'thesis'; it must be paper or released"),
        ({"folds": 3, "hours": 5.0}, "--hours draws subsets for training"),
        (
            {"experiment": "salvi-table3", "rows": ("plain",)},
            "--rows is not for salvi-table3; it is for map-mix-table1",
        ),
    ],
)
def test_options_that_do_not_fit(options, message, tmp_path):
    with pytest.raises(DialectError, match=message):
        run_table(TableOptions(**OPTIONS | options, out=tmp_path), tell=lambda line: None)
