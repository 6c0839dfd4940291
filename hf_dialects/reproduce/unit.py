"""What a row of a table is judged on, split by split: three parts of a corpus, or folds that test every recording."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from datasets import Dataset

from hf_dialects.reproduce.run_separation import NUMBERS, ROWS, measure, read_numbers
from hf_dialects.training.folds import train_folds
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import train_on
from hf_dialects.training.screened import Screened, cluster_of_each

Unit = Screened | Sequence[Screened]
FROM_RUNS = ("datamap", "confidence_from")  # keys of `training` that may name a file of another run


def parts_of(unit: Unit) -> dict[str, Dataset]:
    """Name → recordings: train, validation and test, or what each fold tests."""
    if isinstance(unit, Screened):
        return dict(unit.splits)
    return {f"fold-{index}": fold.splits["test"] for index, fold in enumerate(unit)}


def grouped_by(unit: Unit) -> tuple[str, ...]:
    """Columns that do not cross the parts."""
    return unit.by if isinstance(unit, Screened) else unit[0].by


def clusters_of(unit: Unit) -> dict[str, str] | None:
    """Dialect → cluster, where the corpus says so."""
    return cluster_of_each((unit if isinstance(unit, Screened) else unit[0]).splits)


def train_unit(unit: Unit, recipe: Recipe, folder: Path, callbacks: tuple = (), separation: bool = True) -> bool:
    """Train, evaluate and measure one run.

    Args:
        separation: whether its embeddings are measured, too.

    Returns:
        whether this is the process that wrote its results.
    """
    if isinstance(unit, Screened):
        if not train_on(unit, located(recipe, folder), folder, progress=False, callbacks=callbacks):
            return False
        if separation:
            measure(folder / "model", unit.splits["test"], folder)
        return True

    def train(data: Screened, own: Recipe, part: Path, progress: bool, **options) -> dict:
        return train_on(data, located(own, folder, part.name), part, progress, **{"callbacks": callbacks} | options)

    train_folds(recipe, folder, len(unit), progress=False, train=train, folds=unit)
    if separation:
        parts = [folder / f"fold-{index}" for index in range(len(unit))]
        for part, fold in zip(parts, unit, strict=True):
            if read_numbers(part) is None:
                measure(part / "model", fold.splits["test"], part)
        join_folds(parts, folder)
    return True


def located(recipe: Recipe, folder: Path, part: str = "") -> Recipe:
    """A recipe whose paths into other runs, "../../plain/seed-0/dynamics.parquet", lead there from anywhere.

    Args:
        folder: of the run that the paths are relative to.
        part: "fold-1": the file of this fold of the other run.
    """
    training = dict(recipe.training)
    for key in FROM_RUNS:
        if str(training.get(key)).startswith("../"):
            file = Path(os.path.normpath(folder / training[key]))
            training[key] = str(file.parent / part / file.name)
    return replace(recipe, training=training)


def join_folds(parts: Sequence[Path], folder: Path) -> None:
    """Separation of a run of folds: every recording among those of its own fold, since the models' spaces differ;
    silhouette and chance are means weighted by recordings."""
    rows = pd.concat([pd.read_parquet(part / ROWS) for part in parts], ignore_index=True)
    rows.to_parquet(folder / ROWS, index=False)
    numbers = [read_numbers(part) for part in parts]
    joined = {name: _weighted_mean(numbers, name) for name in ("purity", "silhouette", "chance")}
    text = json.dumps(joined | {"n": sum(one["n"] for one in numbers), "unit": numbers[0]["unit"], "folds": len(parts)})
    (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")


def _weighted_mean(numbers: Sequence[dict], name: str) -> float | None:
    """Over the folds that have it."""
    known = [one for one in numbers if one[name] is not None]
    return sum(one[name] * one["n"] for one in known) / sum(one["n"] for one in known) if known else None
