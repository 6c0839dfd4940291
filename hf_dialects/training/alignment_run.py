"""One run that trains an encoder to bring parallel utterances together: a recipe in, a run folder out."""

import json
from pathlib import Path

from hf_dialects.errors import RecipeError
from hf_dialects.training.fit import fit
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run_folder import open_run, selection
from hf_dialects.training.screened import splits_of_recipe

VALUES = ("contrastive", "recall_at_1")
OF_A_CLASSIFIER = ("objective", "cross_entropy_weight", "projection_size")  # keys of a recipe's model


def train_alignment(recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Train by `AlignmentTrainer`; writes RUN_DIR/model, an encoder without head, and RUN_DIR/history.json. A finished
    run is read back, a broken one goes on.

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
    if not (run_dir / "model" / "config.json").is_file():
        data = splits_of_recipe(recipe, progress)
        if not fit(data, recipe, run_dir, progress, callbacks):
            return {}
    chosen = selection(recipe, run_dir)
    log = json.loads((run_dir / "history.json").read_text(encoding="utf-8"))["log"]
    step = int(chosen["checkpoint"].rpartition("-")[2]) if chosen["checkpoint"] else log[-1]["step"]
    values = {name: value for line in log if line["step"] == step for name, value in line.items()}
    return chosen | {name: values[f"eval_{name}"] for name in VALUES if f"eval_{name}" in values}


def describe_aligned(found: dict) -> str:
    """What `train_alignment` returns, for people."""
    values = ", ".join(f"{name} {found[name]:.3f}" for name in VALUES if name in found)
    return (
        f"validation: {values} ({found['checkpoint']}, chosen by {found['by']}). What the encoder finds among other "
        "recordings, beside controls, says hf-dialects retrieve."
    )
