"""One training run: splits in, run folder out. Every step that is already in the folder is taken from there."""

import time
from dataclasses import asdict
from pathlib import Path

import torch

from hf_dialects.data.screen import write_skipped
from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.baselines import baseline_names, fit_baselines
from hf_dialects.evaluation.breakdown import breakdown
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.evaluation.temperature import calibrate
from hf_dialects.inference import Predictions, predict
from hf_dialects.saving import load_for_inference, set_temperature
from hf_dialects.training.fit import fit
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run_folder import open_run, read_finished, selection
from hf_dialects.training.screened import Screened, cluster_of_each, screen_splits, splits_of_recipe
from hf_dialects.training.sharing import push_finished
from hf_dialects.training.stages import stage_selections, stages_of, train_stages

__all__ = [
    "Screened",
    "cluster_of_each",
    "open_run",
    "read_finished",
    "screen_splits",
    "splits_of_recipe",
    "train_on",
    "train_recipe",
]

SCORED = ("validation", "test")


def train_recipe(recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Load the recipe's corpus, train, evaluate and write the run folder; a finished run is read back, a broken one
    goes on.

    Args:
        callbacks: transformers' TrainerCallback objects, told of every step.

    Returns:
        the content of results.json.

    Raises:
        RecipeError: the folder holds a run of another recipe.
        CorpusError: the corpus cannot be split or used.
    """
    open_run(recipe, run_dir)
    if (results := read_finished(run_dir)) is None:
        results = train_on(splits_of_recipe(recipe, progress), recipe, run_dir, progress, callbacks)
    push_finished(recipe, run_dir)
    return results


def train_on(data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Train and evaluate on given splits.

    Returns:
        the content of results.json; empty on other processes than the first.
    """
    started = time.time()
    if any(part.training.get("align") for part in (recipe, *(stage.recipe for stage in stages_of(recipe)))):
        raise RecipeError(
            "training.align trains an encoder without a classifier, which cannot be a stage, a fold or evaluated on "
            "dialects: train it alone (hf-dialects train), then start from it with model.encoder=RUN_DIR/model"
        )
    if not (run_dir / "model" / "config.json").is_file():
        train = train_stages if recipe.stages else fit
        if not train(data, recipe, run_dir, progress, callbacks):
            return {}
    final, selected = recipe, {}
    if recipe.stages:
        final, selected = stages_of(recipe)[-1].recipe, {"stages": stage_selections(recipe, run_dir)}
    model, extractor = load_for_inference(run_dir / "model")
    if torch.cuda.is_available() and not final.training.get("use_cpu"):
        model.to("cuda")
    options = {key: final.evaluation[key] for key in ("batch_size", "min_speech", "workers") if key in final.evaluation}
    options["window_logits"] = bool(final.evaluation.get("temperature"))
    predictions = {
        name: predict(model, extractor, data.splits[name], progress=progress, name=f"predicting {name}", **options)
        for name in SCORED
    }
    selected |= selection(final, run_dir)
    return finish(data, final, run_dir, predictions, started, progress, selected=selected)


def finish(
    data: Screened,
    recipe: Recipe,
    run_dir: Path,
    predictions: dict[str, Predictions],
    started: float,
    progress: bool,
    selected: dict,
):
    """Write predictions, skipped.csv and results.json of a run; returns the content of the last."""
    for name, found in predictions.items():
        found.write(run_dir / "predictions" / f"{name}.parquet")
    skipped = [*data.skipped, *(one for found in predictions.values() for one in found.skipped)]
    write_skipped(skipped, run_dir / "skipped.csv")
    baselines = fit_baselines(
        data.splits["train"],
        {name: data.splits[name] for name in predictions},
        baseline_names(recipe.evaluation.get("baselines")),
        progress=progress,
    )
    results = build_results(
        predictions,
        data.splits,
        data.labels,
        data.clusters,
        baselines,
        seed=recipe.seed,
        selected_on={"split": "validation", "by": "cross_entropy"} | selected,
        skipped=skipped,
        environment=environment(device(), time.time() - started),
        **bootstrap_options(recipe),
    )
    add_breakdown(results, predictions["test"], data.splits["test"], data, recipe)
    add_corrections(results, data)
    if recipe.evaluation.get("temperature"):
        add_calibration(results, predictions, data, recipe, run_dir)
    write_results(results, run_dir / "results.json")
    return results


def add_breakdown(results: dict, predictions: Predictions, rows, data: Screened, recipe: Recipe) -> None:
    """Results by the columns that the recipe names, under "by"."""
    if columns := recipe.evaluation.get("by"):
        columns = [columns] if isinstance(columns, str) else columns
        results["by"] = breakdown(predictions, rows, by=columns, labels=data.labels, clusters=data.clusters)


def add_corrections(results: dict, data: Screened) -> None:
    """How many corrections of labels were applied to the training recordings, under "data"."""
    if data.corrections is not None:
        results["data"]["corrections"] = asdict(data.corrections)


def add_calibration(
    results: dict, predictions: dict[str, Predictions], data: Screened, recipe: Recipe, run_dir: Path
) -> None:
    """A temperature fitted on validation, written into the saved model and under "calibration"."""
    found = calibrate(predictions, data.splits, data.labels, **bootstrap_options(recipe))
    set_temperature(run_dir / "model", found["temperature"])
    results["calibration"] = found
    results["selected_on"]["temperature"] = found["temperature"]


def bootstrap_options(recipe: Recipe) -> dict:
    """Options of the intervals that the recipe sets."""
    return {"draws": recipe.evaluation["draws"]} if "draws" in recipe.evaluation else {}


def device() -> str:
    """What models run on here."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
