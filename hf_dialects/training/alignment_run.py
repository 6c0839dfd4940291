"""One run that trains an encoder to bring parallel utterances together: a recipe in, a run folder out."""

import json
import time
from pathlib import Path

from hf_dialects.data.screen import count_reasons
from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import SCHEMA, data_facts, write_results
from hf_dialects.training.fit import fit
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import device
from hf_dialects.training.run_folder import open_run, selection
from hf_dialects.training.screened import Screened, splits_of_recipe
from hf_dialects.training.sharing import push_finished

VALUES = ("contrastive", "recall_at_1")
OF_A_CLASSIFIER = ("objective", "cross_entropy_weight", "projection_size")  # keys of a recipe's model


def train_alignment(recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Train by `AlignmentTrainer`; writes RUN_DIR/model, an encoder without head, RUN_DIR/history.json and, with the
    values on validation, RUN_DIR/results.json. A finished run is read back, a broken one goes on.

    Args:
        recipe: with `training.align`.
        callbacks: transformers' TrainerCallback objects, told of every step.

    Returns:
        {"checkpoint", "by", "contrastive", "recall_at_1"}: the checkpoint that validation chose, by which value, and
        its values; empty on other processes than the first.

    Raises:
        RecipeError: stages, or options of a classifier; the folder holds a run of another recipe.
        CorpusError: the corpus cannot be split or used.
    """
    if recipe.stages:
        raise RecipeError("training.align trains an encoder in one stage; remove stages")
    for name in OF_A_CLASSIFIER:
        if name in recipe.model:
            raise RecipeError(f"model.{name} is of a classifier, which training.align does not train; remove it")
    open_run(recipe, run_dir)
    started, done = time.time(), run_dir / "results.json"
    data = None if done.is_file() else splits_of_recipe(recipe, progress)
    trained = (run_dir / "model" / "config.json").is_file()
    if not trained and not fit(data, recipe, run_dir, progress, callbacks):
        return {}
    found = _found(recipe, run_dir)
    if data is not None:
        write_results(_results(recipe, data, found, environment(device(), time.time() - started)), done)
    push_finished(recipe, run_dir)
    return found


def _found(recipe: Recipe, run_dir: Path) -> dict:
    chosen = selection(recipe, run_dir)
    log = json.loads((run_dir / "history.json").read_text(encoding="utf-8"))["log"]
    step = int(chosen["checkpoint"].rpartition("-")[2]) if chosen["checkpoint"] else log[-1]["step"]
    values = {name: value for line in log if line["step"] == step for name, value in line.items()}
    return chosen | {name: values[f"eval_{name}"] for name in VALUES if f"eval_{name}" in values}


def _results(recipe: Recipe, data: Screened, found: dict, origin: dict) -> dict:
    """What results.json holds: as of a classifier, but without what only a classifier has."""
    n = len(data.splits["validation"])
    values = {name: {"value": found[name], "low": None, "high": None, "n": n} for name in VALUES if name in found}
    nothing = {"baselines": {}, "per_dialect": {}, "confusion": {}}
    return nothing | {
        "schema": SCHEMA,
        "task": "alignment",
        "metrics": {"validation": values},
        "labels": data.labels,
        "seed": recipe.seed,
        "selected_on": {"split": "validation", "by": found["by"], "checkpoint": found["checkpoint"]},
        "data": data_facts(data.splits, data.labels) | {"split_by": list(data.by)},
        "skipped": count_reasons(data.skipped),
        "environment": origin,
    }


def describe_aligned(found: dict) -> str:
    """What `train_alignment` returns, for people."""
    values = ", ".join(f"{name} {found[name]:.3f}" for name in VALUES if name in found)
    return (
        f"validation: {values} ({found['checkpoint']}, chosen by {found['by']}). What the encoder finds among other "
        "recordings, beside controls, says hf-dialects retrieve."
    )
