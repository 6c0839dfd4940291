"""How fast settings learn and what they cost, from histories written by hand."""

import json

import pandas as pd
import pytest

from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.cost import training_cost
from hf_dialects.reproduce.map_mix_curves import convergence, describe_convergence, read_curves, write_curves


def history(folder, values, every=10, **more):
    """A finished run with these validation values."""
    folder.mkdir(parents=True)
    log = [{"step": every * (number + 1), "eval_macro_f1": value} for number, value in enumerate(values)]
    log += [{"step": step, "loss": 1.0, "encoded_examples": count} for step, count in more.get("encoded", ())]
    (folder / "history.json").write_text(json.dumps({"log": log}))
    (folder / "results.json").write_text(json.dumps({"schema": 1, "data": {"splits": {"train": {"n": 20}}}}))
    (folder / "recipe.yaml").write_text("training: {batch_size: 8}\n")


@pytest.fixture
def cells(tmp_path):
    history(tmp_path / "split-0/plain/seed-0", [0.2, 0.6, 1.0])
    history(tmp_path / "split-0/plain/seed-1", [0.2, 0.4, 0.6])
    history(tmp_path / "split-0/map_mix/seed-0", [0.5, 0.8, 0.7])
    history(tmp_path / "split-0/map_mix/seed-1", [0.1, 0.2, 0.3])
    return [Cell(name, {}, "demo", separation=False) for name in ("plain", "map_mix", "static")]


def test_steps_until_most_of_the_best_of_plain_training(cells, tmp_path):
    """The level is 95 % of (1.0 + 0.6) / 2."""
    line, found = describe_convergence(read_curves(cells, 1, 2, tmp_path))
    assert found["level"] == pytest.approx(0.76)
    assert found["cells"]["plain"] == {"best": pytest.approx(0.8), "step": 30, "reached": 1, "trainings": 2}
    assert found["cells"]["map_mix"] == {"best": pytest.approx(0.55), "step": 20, "reached": 1, "trainings": 2}
    assert "plain 30 (1 of 2 trainings); map_mix 20 (1 of 2 trainings)" in line
    assert "static" not in found["cells"]
    assert convergence(read_curves(cells, 1, 2, tmp_path), 2.0)["plain"]["step"] is None


def test_curves_on_disk_have_a_row_per_look(cells, tmp_path):
    history(tmp_path / "split-0/static/seed-0/fold-1", [0.3])
    (tmp_path / "split-0/static/seed-0/results.json").write_text("{}")
    write_curves(cells, 1, 2, tmp_path, "curves")
    rows = pd.read_csv(tmp_path / "curves.csv", keep_default_na=False)
    assert len(rows) == 4 * 3 + 1
    (row,) = rows[rows["cell"] == "static"].to_dict("records")
    assert row == {"cell": "static", "split": 0, "seed": 0, "fold": "fold-1", "step": 10, "macro_f1": 0.3}
    assert (tmp_path / "curves.png").is_file()


def test_without_plain_training_nothing_is_claimed(cells, tmp_path):
    line, found = describe_convergence(read_curves(cells[1:], 1, 2, tmp_path))
    assert line == "Curves: plain has no finished run to compare with."
    assert found["level"] is None


def test_encoded_examples_by_hand(tmp_path):
    """20 examples in batches of 8: three steps an epoch, the last with 4. What mixes counts for itself."""
    history(tmp_path / "whole", [0.1], every=6)
    assert training_cost(tmp_path / "whole") == {"steps": 6, "encoded_examples": 40}
    history(tmp_path / "part", [0.1], every=8)
    assert training_cost(tmp_path / "part") == {"steps": 8, "encoded_examples": 40 + 16}
    history(tmp_path / "mixed", [0.1], every=8, encoded=[(4, 60), (6, 90)])
    assert training_cost(tmp_path / "mixed") == {"steps": 8, "encoded_examples": 120}
