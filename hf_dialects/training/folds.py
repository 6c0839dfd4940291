"""Cross-validation by whole groups: every recording is predicted once, by a model that never heard its speaker."""

import time
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets

from hf_dialects.data.screen import read_skipped, screen, write_skipped
from hf_dialects.data.splits import group_folds
from hf_dialects.evaluation.baselines import baseline_names, fold_baselines
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import Predictions
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import (
    Screened,
    add_breakdown,
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
    corpus = load_data(recipe.data)
    if isinstance(corpus, DatasetDict):
        corpus = concatenate_datasets(list(corpus.values()))
    by = grouping(corpus, recipe.data)
    usable, skipped = screen(corpus, progress=progress)
    folds = group_folds(
        usable, k, by=by, stratify=recipe.data.get("stratify", "dialect"), seed=recipe.data.get("split_seed", 0)
    )
    return [Screened(splits, skipped, by) for splits in folds]


def train_folds(recipe: Recipe, run_dir: Path, k: int, progress: bool = True, train=train_on) -> dict:
    """Train one model per fold and score the pooled out-of-fold predictions.

    Args:
        k: number of folds, at least 3. Fold i is tested by a model that was selected on fold i + 1 and trained on the
            others.
        train: trains on one fold's data, as `run.train_on`.

    Returns:
        the content of results.json: "test" is all recordings, each predicted by the model that did not hear its group.
    """
    started = time.time()
    open_run(recipe, run_dir)
    if (results := read_finished(run_dir)) is not None:
        return results
    folds = fold_data(recipe, k, progress)
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
            train(data, without, folder, progress)
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
    predictions.write(run_dir / "predictions" / "test.parquet")
    write_results(results, run_dir / "results.json")
    return results


def pool(
    folds: list[Screened],
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
