"""Validation F1 against steps: how fast settings learn."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.extras import has
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.cost import HISTORY
from hf_dialects.reproduce.grid import runs_of
from hf_dialects.reproduce.map_mix import PLAIN

VALUE = "eval_macro_f1"
SHARE = 0.95


def read_curves(cells: Sequence[Cell], n_splits: int, seeds: int, out: Path) -> pd.DataFrame:
    """What finished runs saw on validation: a row per look, with columns cell, split, seed, fold ("" without folds),
    step and macro_f1."""
    rows = []
    for run in runs_of([cell for cell in cells if not cell.preparation], n_splits, seeds, out):
        if run.state != "finished":
            continue
        for file in sorted([*run.folder.glob(HISTORY), *run.folder.glob(f"fold-*/{HISTORY}")]):
            fold = file.parent.name if file.parent != run.folder else ""
            where = {"cell": run.cell.name, "split": run.split, "seed": run.seed, "fold": fold}
            for line in json.loads(file.read_text(encoding="utf-8"))["log"]:
                if VALUE in line:
                    rows.append(where | {"step": line["step"], "macro_f1": line[VALUE]})
    return pd.DataFrame(rows, columns=["cell", "split", "seed", "fold", "step", "macro_f1"])


def convergence(curves: pd.DataFrame, level: float) -> dict[str, dict]:
    """Cell → {"best": mean over trainings of the best macro F1, "step": mean first step with at least `level`, None
    where no training reaches it, "reached": how many do, "trainings"}."""
    found = {}
    for cell, rows in curves.groupby("cell", sort=False):
        trainings = [one for _, one in rows.groupby(["split", "seed", "fold"])]
        steps = [one["step"][one["macro_f1"] >= level].min() for one in trainings]
        reached = [step for step in steps if np.isfinite(step)]
        found[cell] = {
            "best": float(np.mean([one["macro_f1"].max() for one in trainings])),
            "step": float(np.mean(reached)) if reached else None,
            "reached": len(reached),
            "trainings": len(trainings),
        }
    return found


def describe_convergence(curves: pd.DataFrame) -> tuple[str, dict]:
    """The claim of faster convergence as numbers: steps until 95 % of the mean best validation F1 of plain training.

    Returns:
        (a line for the table, {"level", "cells": of `convergence`})
    """
    if PLAIN not in set(curves["cell"]):
        return f"Curves: {PLAIN} has no finished run to compare with.", {"level": None, "cells": {}}
    of_plain = curves[curves["cell"] == PLAIN].groupby(["split", "seed", "fold"])["macro_f1"].max()
    level = SHARE * float(of_plain.mean())
    cells = convergence(curves, level)
    texts = []
    for name, one in cells.items():
        step = "never" if one["step"] is None else f"{one['step']:,.0f}"
        partly = f" ({one['reached']} of {one['trainings']} trainings)" * (0 < one["reached"] < one["trainings"])
        texts.append(f"{name} {step}{partly}")
    line = (
        f"Curves: steps until validation macro F1 is {level:.3f}, {SHARE:.0%} of the best of plain training, mean over "
        f"the trainings that reach it: {'; '.join(texts)}."
    )
    return line, {"level": level, "cells": cells}


def write_curves(cells: Sequence[Cell], n_splits: int, seeds: int, out: Path, name: str) -> str:
    """Write NAME.csv, NAME.json, and NAME.png where matplotlib is installed; returns a line for the table."""
    curves = read_curves(cells, n_splits, seeds, out)
    line, numbers = describe_convergence(curves)
    curves.to_csv(out / f"{name}.csv", index=False)
    (out / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    if has("matplotlib") and len(curves):
        from hf_dialects.reproduce.plots import draw_curves

        means = curves.groupby(["cell", "step"], sort=False)["macro_f1"].mean()
        draw_curves(out / f"{name}.png", {cell: means[cell].to_dict() for cell in dict.fromkeys(curves["cell"])})
    return line
