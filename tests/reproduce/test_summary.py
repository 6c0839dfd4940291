"""Spread over seeds and splits, and the table as text."""

import csv
import io
import math

import numpy as np
import pytest

from hf_dialects.reproduce.summary import METRICS, spread, weighted_mean
from hf_dialects.reproduce.tables import markdown, runs_csv


def run(split, seed, value=None, **more):
    state = "finished" if value is not None else "not run"
    values = {} if value is None else dict.fromkeys(METRICS, value)
    return {"split": split, "seed": seed, "state": state, "message": None, **values, **more}


def test_spread_over_seeds_is_within_splits():
    """Splits that differ much and seeds that differ little, and the other way round."""
    found = spread([run(0, 0, 0.1), run(0, 1, 0.3), run(1, 0, 0.7), run(1, 1, 0.7)], "accuracy")
    assert found["mean"] == pytest.approx(0.45)
    assert found["sd_seeds"] == pytest.approx(math.sqrt((0.02 + 0) / 2))
    assert found["sd_splits"] == pytest.approx(np.std([0.2, 0.7], ddof=1))
    assert found["runs"] == 4
    one = spread([run(0, 0, 0.5), run(0, 1)], "accuracy")
    assert one == {"mean": 0.5, "sd_seeds": None, "sd_splits": None, "runs": 1}
    assert spread([run(0, 0)], "accuracy") is None


def test_weighted_mean():
    assert weighted_mean(np.zeros(2), np.array([0.0, 1.0]), np.array([1.0, 3.0])) == 0.75


def content(splits=1):
    def cell(name, runs, missing=None, published=None):
        summary = {metric: spread(runs, metric) for metric in METRICS}
        columns = {"objective": name, "Ctrl-PT": "no"}
        return {"cell": name, "columns": columns, "missing": missing, "published": published or {}} | {
            "runs": runs,
            "summary": summary,
        }

    contrast = {"run": "b", "metric": "macro_f1", "difference": 0.03, "low": -0.01, "high": 0.07, "p": 0.12}
    contrast |= {"p_adjusted": 0.24, "smallest_detectable": None, "warning": "indicative (4 speakers)"}
    return {
        "table": "salvi-table3",
        "seeds": 2,
        "splits": splits,
        "cells": [
            cell("a", [run(0, 0, 0.5), run(0, 1, 0.6)], published={"accuracy": [60.18, 0.55], "macro_f1": "below 20"}),
            cell("b", [run(0, 0, 0.25), run(0, 1, message="the loss is nan") | {"state": "failed"}]),
            cell("c", [], missing="give --ita-xlsr53"),
        ],
        "baselines": [{"majority": {"accuracy": 0.25, "macro_f1": 0.1}}] * splits,
        "comparisons": [{"split": 0, "baseline": "a", "tests": 2, "contrasts": [contrast]}],
    }


def test_the_table_shows_what_is_finished_and_says_what_is_not():
    lines = markdown(content(), ["A note."]).splitlines()
    assert lines[:3] == ["# salvi-table3", "", "A note."]
    rows = {}
    for line in lines:
        rows.setdefault(line.split(" | ")[0].strip("| "), line)
    assert "| 55.00 ± 7.07 | 55.00 ± 7.07 | 0.550 ± 0.071 |" in rows["a"]
    assert rows["a"].endswith("| 60.18 ± 0.55 | below 20 | 2 of 2 |")
    assert "25.00 ± ?" in rows["b"]
    assert rows["b"].endswith("| – | – | 1 of 2 |")
    assert rows["c"].endswith("| not run |")
    assert rows["majority (baseline)"].startswith("| majority (baseline) | – | 25.00 | 10.00 | –")
    assert "- c: not run: give --ita-xlsr53" in lines
    assert "- b, split 0, seed 1: failed: the loss is nan" in lines
    assert any("+0.030 | -0.010 to +0.070 | 0.120 | 0.240 | unknown" in line for line in lines)
    assert "Mind: indicative (4 speakers)." in lines
    widths = {
        line.count(" | ") for line in lines if line.startswith("| ") and "p |" not in line and "0.030" not in line
    }
    assert len(widths) == 1


def test_spread_over_splits_stands_apart():
    text = markdown(content(splits=2))
    assert "After a semicolon: sd of the means of the splits." in text
    assert "55.00 ± 7.07; ?" in text
    assert "Against a, split 0:" in text


def test_a_row_per_run():
    rows = list(csv.DictReader(io.StringIO(runs_csv(content()))))
    assert [(row["cell"], row["seed"], row["state"], row["accuracy"]) for row in rows] == [
        ("a", "0", "finished", "0.5"),
        ("a", "1", "finished", "0.6"),
        ("b", "0", "finished", "0.25"),
        ("b", "1", "failed", ""),
    ]
