"""Cross-validation by whole groups: every recording is predicted once, by a model that never heard its speaker."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict, concatenate_datasets

from hf_dialects.data.corrections import apply_corrections, check_corrections, read_corrections
from hf_dialects.data.screen import read_skipped, screen, write_skipped
from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.splits import group_folds
from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.baselines import baseline_names, fold_baselines
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import Predictions
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.dynamics import DYNAMICS, OUT_OF_FOLD, read_dynamics, write_dynamics
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import (
    Screened,
    add_breakdown,
    add_corrections,
    bootstrap_options,
    cluster_of_each,
    device,
    open_run,
    read_finished,
    train_on,
)
from hf_dialects.training.splits_of_run import grouping, load_data


def fold_data(recipe: Recipe, k: int, progress: bool = True) -> list[Screened]:
    """The corpus of a recipe, all its splits together, screened once and cut into k folds by group."""
    return fold_corpus(load_data(recipe.data), recipe.data, k, progress)


def fold_corpus(corpus: Dataset | DatasetDict, section: dict, k: int, progress: bool = True) -> list[Screened]:
    """As `fold_data`, of a corpus that is loaded already.

    Corrections of labels change the training part of every fold, never its other parts.

    Args:
        section: `data` of a recipe.
    """
    corpus = join_splits(corpus)
    by = grouping(corpus, section)
    usable, skipped = screen(corpus, progress=progress)
    folds = group_folds(
        usable, k, by=by, stratify=section.get("stratify", "dialect"), seed=section.get("split_seed", 0)
    )
    if not section.get("corrections"):
        return [Screened(splits, skipped, by) for splits in folds]
    corrections = read_corrections(section["corrections"])
    check_corrections(corrections, [corpus])
    unusable = {one.id for one in skipped}
    corrected, applied = apply_corrections(usable, [one for one in corrections if one.id not in unusable])
    if progress:
        print(f"{applied}, each in the training part of the folds only")
    return [Screened(with_training(splits, corrected), skipped, by, applied) for splits in folds]


def with_training(splits: DatasetDict, corrected: Dataset) -> DatasetDict:
    """The splits of a fold with the corrected rows of its training part; the recordings themselves are not copied."""
    place = {id: row for row, id in enumerate(corrected["id"])}
    rows = [place[id] for id in splits["train"]["id"] if id in place]
    return DatasetDict(splits | {"train": corrected.select(rows)})


def train_folds(
    recipe: Recipe,
    run_dir: Path,
    k: int,
    progress: bool = True,
    train=train_on,
    folds: Sequence[Screened] | None = None,
) -> dict:
    """Train one model per fold and score the pooled out-of-fold predictions.

    With `training.record_dynamics: out_of_fold` every fold also records, after every epoch, how probable the gold
    dialects of its test recordings are, and the run's dynamics.parquet holds each recording once per epoch, seen by a
    model that never heard its group. It is for looking at: nothing is chosen by it. Lists of label errors meant
    for correction take this mode, because a model that memorises its training set gives wrong labels a high
    probability, too.

    Args:
        k: number of folds, at least 3. Fold i is tested by a model that was selected on fold i + 1 and trained on the
            others.
        train: trains on one fold's data, as `run.train_on`.
        folds: what `fold_data` gave for this corpus, where several runs share it.

    Returns:
        the content of results.json: "test" is all recordings, each predicted by the model that did not hear its group.
    """
    started = time.time()
    if recipe.training.get("push_to_hub"):
        raise RecipeError(
            "training.push_to_hub shares one model, and a cross-validation trains one per fold: remove it, or train "
            "without --folds"
        )
    open_run(recipe, run_dir)
    if (results := read_finished(run_dir)) is not None:
        return results
    folds = folds or fold_data(recipe, k, progress)
    out_of_fold = recipe.training.get("record_dynamics") == OUT_OF_FOLD
    pooled, skipped = [], []
    for index, data in enumerate(folds):
        if progress:
            print(
                f"fold {index + 1} of {k}: {len(data.splits['train'])} recordings to train, "
                f"{len(data.splits['test'])} to test"
            )
        folder = run_dir / f"fold-{index}"
        open_run(recipe, folder)
        if read_finished(folder) is None:
            without = Recipe(
                **recipe.to_dict() | {"evaluation": recipe.evaluation | {"baselines": False, "draws": 100, "by": None}}
            )
            options = {}
            if out_of_fold:
                without.training["record_dynamics"] = None  # of what is trained on
                options["callbacks"] = (DatamapsCallback(folder / DYNAMICS, OUT_OF_FOLD, data.splits["test"]),)
            train(data, without, folder, progress, **options)
        found = Predictions.read(folder / "predictions" / "test.parquet")
        pooled.append(found)
        skipped += read_skipped(folder / "skipped.csv")
    skipped = sorted(set(skipped), key=lambda one: one.id)
    predictions = Predictions.joined(pooled)
    names = baseline_names(recipe.evaluation.get("baselines"))
    baselines = fold_baselines([data.splits for data in folds], names, progress=progress)
    rows = concatenate_datasets([data.splits["test"] for data in folds])
    results = pool(folds, predictions, rows, baselines, recipe, skipped, started)
    write_skipped(skipped, run_dir / "skipped.csv")
    add_breakdown(results, predictions, rows, folds[0], recipe)
    add_corrections(results, folds[0])
    predictions.write(run_dir / "predictions" / "test.parquet")
    if out_of_fold:
        recorded = [read_dynamics(run_dir / f"fold-{index}") for index in range(len(folds))]
        write_dynamics(pd.concat(recorded), run_dir / DYNAMICS)
    write_results(results, run_dir / "results.json")
    return results


def pool(
    folds: Sequence[Screened],
    predictions: Predictions,
    rows: Dataset,
    baselines: dict[str, np.ndarray],
    recipe: Recipe,
    skipped: list,
    started: float,
) -> dict:
    """results.json of the pooled predictions."""
    return build_results(
        {"test": predictions},
        {"test": rows},
        folds[0].labels,
        cluster_of_each(folds[0].splits),
        {name: {"test": probabilities} for name, probabilities in baselines.items()},
        seed=recipe.seed,
        selected_on={
            "split": "validation",
            "by": "cross_entropy",
            "folds": len(folds),
            "grouped_by": list(folds[0].by),
        },
        skipped=skipped,
        environment=environment(device(), time.time() - started),
        **bootstrap_options(recipe),
    )
