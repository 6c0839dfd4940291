import dataclasses
import json
import shutil

import numpy as np
import pytest

from hf_dialects.report import tables
from hf_dialects.report.curves import LOSSES, SCORES, curves, kept_epochs
from hf_dialects.report.run_corpus import open_corpus
from hf_dialects.report.run_folder import read_runs


@pytest.fixture
def run(run_folder):
    return read_runs([run_folder])[0]


def changed(run_folder, folder, change):
    """A copy of the run whose results went through `change`."""
    shutil.copytree(run_folder, folder)
    results = json.loads((folder / "results.json").read_text())
    change(results)
    (folder / "results.json").write_text(json.dumps(results))
    return read_runs([folder])[0]


def test_the_confusion_matrix_is_ordered_by_cluster(run):
    found = tables.confusion(run, open_corpus(run))
    assert [column["label"] for column in found["columns"]] == ["hills", "peaks", "coast", "marsh"]
    assert [column["first"] for column in found["columns"]] == [False, False, True, False]
    assert [row["cluster"] for row in found["rows"]] == ["high", "high", "low", "low"]
    assert [row["training_speakers"] for row in found["rows"]] == ["2"] * 4
    counts = run.results["confusion"]["test"]
    for row in found["rows"]:
        assert row["n"] == sum(counts[row["gold"]]) == 8
        for cell in row["cells"]:
            assert cell["count"] == counts[row["gold"]][cell["predicted"]]
            assert cell["share"] == cell["count"] / 8
            assert cell["right"] == (run.labels[cell["predicted"]] == row["label"])


def test_without_clusters_labels_keep_their_order():
    assert tables.cluster_order(["b", "a", "c"], None) == [0, 1, 2]
    assert tables.cluster_order(["b", "a", "c"], {"b": "z", "a": "y", "c": "z"}) == [1, 0, 2]


def test_a_dialect_that_was_not_tested_has_an_empty_row(run_folder, tmp_path):
    def empty(results):
        results["confusion"]["test"][0] = [0, 0, 0, 0]

    found = tables.confusion(changed(run_folder, tmp_path / "run", empty), None)
    (row,) = (row for row in found["rows"] if row["label"] == "coast")
    assert row["n"] == 0
    assert [cell["share"] for cell in row["cells"]] == [None] * 4
    assert row["training_speakers"] is None


def test_every_dialect_tells_what_it_stands_on(run):
    rows = tables.per_dialect(run, open_corpus(run))
    assert [row["label"] for row in rows] == ["hills", "peaks", "coast", "marsh"]
    for row in rows:
        assert (row["support"], row["speakers"], row["few"]) == (8, 2, True)
        assert (row["training_clips"], row["training_speakers"]) == ("8", "2")
    assert {row["training_clips"] for row in tables.per_dialect(run, None)} == {None}


def test_training_numbers_of_folds_are_ranges(run):
    corpus = open_corpus(run)
    rows = corpus.training[0]
    fewer = rows.select(np.arange(4, len(rows)))  # without one speaker of coast
    two = dataclasses.replace(corpus, training=(rows, fewer))
    found = tables.training_counts(run.labels, two)
    assert found["speakers"] == {"coast": "1–2", "hills": "2", "marsh": "2", "peaks": "2"}
    assert found["clips"]["coast"] == "4–8"


def test_headline_stands_beside_baselines(run):
    found = tables.headline(run)
    assert [name for name, _ in found["rows"]] == ["model", "majority"]
    assert found["judged"] == "8 speakers, drawn within their dialect"
    assert found["notes"] == ["indicative (8 speakers, 2 in the smallest class)"]
    higher = ["accuracy", "macro F1", "weighted F1", "cluster accuracy"]
    lower = ["ECE", "NLL", "Brier", "C_avg", "EER"]
    assert found["metrics"] == [(title, False) for title in higher] + [(title, True) for title in lower]
    assert found["rows"][1][1][0].startswith(".250 [")
    assert [row["name"] for row in tables.interval_rows(run, "accuracy")] == ["model", "majority"]


def test_a_run_without_baselines_says_so(run_folder, tmp_path):
    bare = changed(run_folder, tmp_path / "run", lambda results: results["baselines"].clear())
    assert tables.headline(bare)["notes"][-1] == "This run was not compared with baselines."
    assert [row["name"] for row in tables.interval_rows(bare, "accuracy")] == ["model"]


def test_a_baseline_within_the_interval_is_a_warning_whatever_its_name(run, run_folder, tmp_path):
    assert tables.warnings(run) == []

    def shortcut(results):
        low = results["metrics"]["test"]["accuracy"]["low"]
        baseline = json.loads(json.dumps(results["baselines"]["majority"]))
        baseline["test"]["accuracy"]["value"] = low
        baseline["validation"]["accuracy"]["value"] = 1.0
        results["baselines"]["duration"] = baseline

    (found,) = tables.warnings(changed(run_folder, tmp_path / "run", shortcut))
    assert found.startswith("test: duration reaches the model's interval in accuracy")


def test_breakdown_by_duration_and_by_what_the_run_has(run, run_folder, tmp_path):
    assert tables.breakdowns(run, None) == {}
    found = tables.breakdowns(run, open_corpus(run))
    assert [(row["value"], row["n"]) for row in found["duration"]] == [("<1 s", 16), ("1-2 s", 8), ("2-4 s", 8)]

    def by(results):
        results["by"] = [{**found["duration"][0], "column": "device", "value": "phone"}, *found["duration"]]

    kept = tables.breakdowns(changed(run_folder, tmp_path / "run", by), None)
    assert list(kept) == ["duration", "device"]
    assert kept["duration"] == found["duration"]


def test_leakage_of_folds_is_the_largest_of_any(run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    for number, crossing in enumerate((0, 3)):
        fold = folder / f"fold-{number}"
        shutil.copytree(run_folder, fold)
        results = json.loads((fold / "results.json").read_text())
        results["data"]["leakage"]["speaker"] |= {"crossing": crossing, "leaks": crossing > 0}
        (fold / "results.json").write_text(json.dumps(results))
    (run,) = read_runs([folder])
    (speaker,) = (row for row in tables.leakage(run) if row["column"] == "speaker")
    assert (speaker["crossing"], speaker["leaks"]) == (3, True)
    names = [f"fold-{number} {split}" for number in (0, 1) for split in ("train", "validation", "test")]
    assert [row["name"] for row in tables.splits(run)] == names


def test_skipped_recordings_are_listed(run):
    found = tables.skipped(run)
    assert found["reasons"] == {"corrupt": 1}
    assert ([one.id for one in found["shown"]], found["more"]) == (["audio/broken"], 0)


def test_curves_out_of_the_log(run):
    assert curves(run, LOSSES) == {
        "training cross-entropy": [[(1, 1), (2, 1 / 2), (3, 1 / 3)]],
        "validation cross-entropy": [[(1, 1.2), (2, 0.6)]],
    }
    assert curves(run, SCORES) == {"validation accuracy": [[(1, 0.2), (2, 0.4)]]}
    assert kept_epochs(run) == [2]
