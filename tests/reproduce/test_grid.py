"""Grids of tiny encoders on the fixture: everything that is written, a kill that loses one run, a run that fails."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import TrainerCallback

from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError, DialectError, RecipeError
from hf_dialects.evaluation.compare import compare_runs
from hf_dialects.inference import Predictions
from hf_dialects.metrics.separation import separation
from hf_dialects.reproduce import smoke
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid import run_grid, runs_of
from hf_dialects.reproduce.grid_splits import cut_folds, has_places, note_split, split_corpus
from hf_dialects.reproduce.run_separation import embed_rows, read_numbers, read_purity
from hf_dialects.reproduce.run_table import TableOptions, cells_of, run_table, splits_of
from hf_dialects.reproduce.split_baselines import measure_baselines, read_baselines
from hf_dialects.saving import load_for_inference

OPTIONS = {"experiment": "salvi-table3", "seeds": 1, "smoke": True, "progress": False}
CHOSEN = {"objectives": ("multi_similarity",), "settings": ("auxiliary", "pretraining")}
SHARED = ("data.source=fixture", *smoke.OVERRIDES)
CELLS = ["plain", "plain-long", "multi_similarity-auxiliary", "multi_similarity-pretraining"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    path, complete = run_table(TableOptions(**OPTIONS, **CHOSEN, out=out, figures=True), tell=lambda line: None)
    assert complete
    return out, path, json.loads(path.with_suffix(".json").read_text())


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text()) | {"environment": None}


def test_every_run_is_finished_and_compared_with_its_baselines(grid):
    out, path, content = grid
    assert [cell["cell"] for cell in content["cells"]] == CELLS
    assert {run["state"] for cell in content["cells"] for run in cell["runs"]} == {"finished"}
    compared = {one["baseline"]: {row["run"] for row in one["contrasts"]} for one in content["comparisons"]}
    assert compared == {"plain": set(CELLS[1:]), "plain-long": {CELLS[3]}}
    assert content["comparisons"][0]["tests"] == 3 * 4
    assert not list(out.glob("**/checkpoints"))
    text = path.read_text()
    assert "Smoke run" in text
    assert "51.29 ± 1.36" in text


def test_contrasts_are_those_of_compare(grid):
    out, _, content = grid
    expected = compare_runs([out / "split-0" / name for name in CELLS], ["accuracy", "macro_f1", "ece"], draws=100)
    rows = {(row["run"], row["metric"]): row for row in content["comparisons"][0]["contrasts"]}
    for row in expected["contrasts"]:
        found = rows[Path(row["run"]).name, row["metric"]]
        assert (found["difference"], found["p"]) == pytest.approx((row["difference"], row["p"]))
        assert found["p_adjusted"] >= found["p"]


def test_equal_steps_and_the_control_with_those_of_both_stages(grid):
    out, _, _ = grid

    def steps(folder: str) -> int:
        log = json.loads((out / "split-0" / folder / "history.json").read_text())["log"]
        return max(line["step"] for line in log)

    staged = f"{CELLS[3]}/seed-0"
    assert steps("plain/seed-0") == steps(f"{CELLS[2]}/seed-0") == 2
    assert steps("plain-long/seed-0") == steps(f"{staged}/stage-1-pretraining") + steps(staged) == 4


def test_separation_is_of_the_embeddings_of_the_test_split(grid):
    out, _, content = grid
    rows = splits_of(TableOptions(**OPTIONS, out=out), {})[0].splits["test"]
    folder = out / "split-0" / "plain" / "seed-0"
    vectors, groups = embed_rows(*load_for_inference(folder / "model"), rows)
    expected = separation(vectors, {"dialect": groups.gold.tolist()}, list(rows["speaker"]))["dialect"]
    run = content["cells"][0]["runs"][0]
    assert (run["purity"], run["silhouette"]) == pytest.approx((expected.purity, expected.silhouette))
    assert read_purity(folder, groups.ids.tolist()).mean() == pytest.approx(expected.purity)


def test_figures_are_data_numbers_and_pictures(grid):
    out, path, _ = grid
    first = pd.read_csv(out / "figure-1.csv")
    assert set(first["panel"]) == {"original", "multi-similarity, pre-trained"}
    assert first.groupby("panel")["id"].nunique().tolist() == [64, 64]
    assert np.isfinite(first[["x", "y"]]).all(axis=None)
    second = json.loads((out / "figure-2.json").read_text())
    assert second["confusion"] == results(out / "split-0" / CELLS[2] / "seed-0")["confusion"]["test"]
    purity = second["separation"]["multi-similarity, auxiliary"][0]["purity"]
    assert f"purity {purity:.3f}" in path.read_text()
    assert "Mantel: not run, the corpus has coordinates of fewer than four dialects." in path.read_text()
    assert (out / "figure-1.png").read_bytes()[:4] == b"\x89PNG"


class Kill(TrainerCallback):
    """As if the process were killed in the second stage of the third run."""

    def on_step_end(self, args, state, control, **kwargs):
        if "stage-2" in args.output_dir and state.global_step == 1:
            raise KeyboardInterrupt


def test_a_kill_loses_at_most_one_run_and_changes_nothing(grid, tmp_path):
    whole, _, _ = grid
    options = TableOptions(**OPTIONS, out=whole, objectives=("multi_similarity",), settings=("pretraining",))
    cells, data = cells_of(options), splits_of(options, {})
    shared = (*SHARED, "evaluation.baselines=false")
    run_grid(cells, data, 1, tmp_path, shared, progress=False, part=(2, 3))
    assert [run.state for run in runs_of(cells, 1, 1, tmp_path)] == ["not run", "finished", "not run"]
    with pytest.raises(KeyboardInterrupt):
        run_grid(cells, data, 1, tmp_path, shared, progress=False, callbacks=(Kill(),))
    runs = list(runs_of(cells, 1, 1, tmp_path))
    assert [run.state for run in runs] == ["finished", "finished", "unfinished"]
    kept = [
        *(run.folder / "results.json" for run in runs[:2]),
        runs[2].folder / "stage-1-pretraining/model/config.json",
    ]
    written = [path.stat().st_mtime_ns for path in kept]
    run_grid(cells, data, 1, tmp_path, shared, progress=False)
    assert [path.stat().st_mtime_ns for path in kept] == written
    for run in runs:
        assert results(run.folder) == results(whole / run.folder.relative_to(tmp_path))


def test_a_run_that_fails_is_noted_and_tried_again(grid, tmp_path):
    out, _, _ = grid
    data = splits_of(TableOptions(**OPTIONS, out=out), {})
    cells = [
        Cell("gone", {}, "salvi_plain", (f"model.encoder={tmp_path / 'encoder'}",)),
        Cell("missing", {}, "salvi_plain", missing="give it"),
    ]
    run_grid(cells, data, 1, tmp_path, SHARED, progress=False)
    (run,) = runs_of(cells, 1, 1, tmp_path)
    assert run.state == "failed"
    (tmp_path / "encoder").symlink_to(out / "encoders" / "xlsr-53")
    run_grid(cells, data, 1, tmp_path, SHARED, progress=False)
    assert run.state == "finished"


def test_a_folder_of_other_settings_or_recordings_is_refused(grid):
    out, _, _ = grid
    options = TableOptions(**OPTIONS, **CHOSEN, out=out)
    cells, data = cells_of(options), splits_of(options, {})
    with pytest.raises(RecipeError, match=r"plain/seed-0 holds a run of another recipe \(different: model\)"):
        run_grid(cells, data, 1, out, (*SHARED, "evaluation.baselines=false", "model.pooling=max"), progress=False)
    with pytest.raises(CorpusError, match="holds runs on other recordings"):
        note_split(split_corpus(load_fixture(), {}, progress=False)[0], out / "split-0")


def test_splits_are_the_corpus_own_or_drawn_by_place():
    corpus = load_fixture()
    (own,) = split_corpus(corpus, {}, progress=False)
    assert {name: len(rows) for name, rows in own.splits.items()} == {name: len(rows) for name, rows in corpus.items()}
    thirds = {"split_by": ["speaker"], "split_sizes": [1 / 3] * 3}
    drawn = split_corpus(corpus, thirds, 3, progress=False)
    tested = [frozenset(one.splits["test"]["speaker"]) for one in drawn]
    assert len(set(tested)) > 1
    whole = join_splits(corpus)
    assert not has_places(whole)
    places = [f"{dialect}-{speaker}" for dialect, speaker in zip(whole["dialect"], whole["speaker"], strict=True)]
    whole = whole.add_column("site", places)
    assert has_places(whole)
    for one in split_corpus(whole, {}, 2, progress=False):
        assert one.by == ("site",)
        assert all(len(set(rows["dialect"])) == 4 for rows in one.splits.values())


def test_folds_train_every_stage_and_predict_every_recording_once(tmp_path):
    one = {"objectives": ("supcon",), "settings": ("pretraining",)}
    options = TableOptions(**OPTIONS, **one, folds=3, out=tmp_path)
    path, complete = run_table(options, tell=lambda line: None)
    assert complete
    (folds,) = splits_of(options, {"source": "fixture"})
    speakers = [set(fold.splits["test"]["speaker"]) for fold in folds]
    assert not speakers[0] & speakers[1]
    run = tmp_path / "split-0" / "supcon-pretraining" / "seed-0"
    assert (run / "fold-2" / "stage-1-pretraining" / "model" / "config.json").is_file()
    assert not list(run.rglob("checkpoints"))
    corpus = join_splits(load_fixture())
    assert sorted(Predictions.read(run / "predictions" / "test.parquet").ids) == sorted(corpus["id"])
    numbers = read_numbers(run)
    assert numbers["n"] == len(corpus)
    assert numbers["purity"] == pytest.approx(read_purity(run, list(corpus["id"])).mean())
    content = json.loads(path.with_suffix(".json").read_text())
    assert {row["run"] for row in content["comparisons"][0]["contrasts"]} == {"plain-long", "supcon-pretraining"}
    kept = [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.safetensors"))]
    run_table(options, tell=lambda line: None)
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.safetensors"))] == kept


def test_baselines_of_folds_are_over_all_recordings(tmp_path):
    (folds,) = cut_folds(load_fixture(), {}, 3, progress=False)
    measure_baselines(folds, ("majority",), tmp_path, progress=False)
    gold = [label for fold in folds for label in fold.splits["test"]["dialect"]]
    right = sum(
        list(fold.splits["test"]["dialect"]).count(np.bincount(fold.splits["train"]["dialect"]).argmax())
        for fold in folds
    )
    assert read_baselines(tmp_path)["majority"]["accuracy"] == pytest.approx(right / len(gold))


def test_folds_have_no_figures(tmp_path):
    with pytest.raises(DialectError, match="--figures show one test split"):
        run_table(TableOptions(**OPTIONS, folds=3, figures=True, out=tmp_path), tell=lambda line: None)
