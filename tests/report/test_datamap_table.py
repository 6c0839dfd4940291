"""What the tables of a data map say, and what they say is missing."""

import json
import shutil
import sys

import mapped
import pandas as pd
import pytest

from hf_dialects.errors import CheckpointError, RecipeError
from hf_dialects.report.datamap_table import MEMORISED, NO_FOLDS, read_table
from hf_dialects.training.dynamics import write_dynamics


@pytest.fixture(scope="module")
def folded(corpus, tmp_path_factory):
    return mapped.folded_run(tmp_path_factory.mktemp("runs") / "folded", corpus)


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    return mapped.mapped_run(tmp_path_factory.mktemp("runs") / "plain", corpus)


def test_out_of_fold_both_rankings_start_with_what_is_wrong(folded):
    table = read_table(folded)
    assert table.notes == []
    assert len(table.map.ids) == 96
    for order in table.orders.values():
        assert set(table.map.ids[order[:2]]) == set(mapped.WRONG)
        assert sorted(order) == list(range(96))
    assert set(table.map.ids[table.confident.flagged]) == set(mapped.WRONG)
    frame = table.frame().set_index("id")
    wrong = frame.loc[mapped.WRONG[0]]
    assert (wrong["dialect"], wrong["suggested"], wrong["region"]) == ("coast", "hills", "hard")
    assert wrong["map_score"] == 1 - wrong["confidence"] > 0.9
    assert (frame["dialect"] != frame["suggested"]).all()


def test_equal_scores_are_ordered_by_variability_then_id(tmp_path):
    run = mapped.large_run(tmp_path / "run", 20)
    curves = {"b": (0.5, 0.5), "a": (0.4, 0.6), "c": (0.5, 0.5), "d": (0.1, 0.1)}
    rows = [(id, epoch, 0, p, True, "training") for id, curve in curves.items() for epoch, p in enumerate(curve)]
    write_dynamics(mapped.frame(rows), run / "dynamics.parquet")
    table = read_table(run)
    assert table.map.ids[table.orders["map"]].tolist() == ["d", "b", "c", "a"]


def test_without_folds_it_says_what_is_missing(plain):
    table = read_table(plain)
    assert table.notes == [MEMORISED, NO_FOLDS]
    assert table.confident is None
    assert list(table.orders) == ["map"]
    assert set(table.suggested) == {-1}
    assert "confident_learning" not in table.frame()


def test_counts_add_up(folded):
    table = read_table(folded)
    found = json.loads(json.dumps(table.to_dict()))
    assert sum(found["regions"].values()) == 96
    assert {name: sum(counts.values()) for name, counts in found["per_dialect"].items()} == dict.fromkeys(
        ("coast", "hills", "marsh", "peaks"), 24
    )
    assert found["epochs"] == mapped.EPOCHS
    assert found["flagged"] == 2
    assert found["suspects"]["map"][:2] == table.map.ids[table.orders["map"][:2]].tolist()
    assert pd.DataFrame(found["recordings"])["region"].value_counts().to_dict() == found["regions"]


def test_a_rule_that_was_given_up_is_named(plain, tmp_path):
    assert read_table(plain, by="quantiles").by == "quantiles"
    shutil.copytree(plain, tmp_path / "easy")
    frame = pd.read_parquet(tmp_path / "easy" / "dynamics.parquet").assign(probability=0.9)
    write_dynamics(frame, tmp_path / "easy" / "dynamics.parquet")
    table = read_table(tmp_path / "easy")
    assert table.by == "quantiles"
    assert table.notes[0].startswith("The thresholds of the data map leave a region too small (32 easy, 0 ambiguous")
    assert table.notes[0].endswith("quantiles instead.")


def test_first_epochs_can_be_left_out(folded):
    whole, late = read_table(folded), read_table(folded, warm_up=3)
    assert set(whole.map.epochs) == {5}
    assert set(late.map.epochs) == {2}
    with pytest.raises(RecipeError, match="warm_up is 5, but the dynamics hold 5 epochs"):
        read_table(folded, warm_up=5)


def test_recordings_without_prediction_leave_confident_learning_out(folded, plain, tmp_path):
    shutil.copytree(folded, tmp_path / "run")
    shutil.copy(plain / "predictions" / "test.parquet", tmp_path / "run" / "predictions")
    table = read_table(tmp_path / "run")
    assert table.notes == ["Confident learning is left out: 64 recordings of the map have no out-of-fold prediction."]


def test_without_the_library_its_extra_is_named(folded, monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    table = read_table(folded)
    assert table.confident is None
    assert table.notes[0].endswith("cleanlab is not installed; run: pip install 'hf-dialects[label-errors]'.")
    assert set(table.suggested) <= {0, 1, 2, 3}, "what the models of the folds suggest needs no library"


def test_dynamics_of_another_run_are_refused(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "run")
    frame = pd.read_parquet(tmp_path / "run" / "dynamics.parquet")
    write_dynamics(frame.assign(gold=frame["gold"] + 3), tmp_path / "run" / "dynamics.parquet")
    with pytest.raises(CheckpointError, match="dynamics of label 6 but names 4 dialects: they are of two runs"):
        read_table(tmp_path / "run")


def test_labels_come_from_results_or_from_the_model(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "stage")
    (tmp_path / "stage" / "results.json").unlink()
    assert read_table(tmp_path / "stage").labels == ["coast", "hills", "marsh", "peaks"]
    shutil.rmtree(tmp_path / "stage" / "model")
    with pytest.raises(CheckpointError, match=r"has neither results.json nor model/config.json"):
        read_table(tmp_path / "stage")
    with pytest.raises(CheckpointError, match="recorded no training dynamics"):
        read_table(tmp_path)
