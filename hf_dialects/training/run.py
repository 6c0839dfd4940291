"""One training run: splits in, run folder out. Every step that is already in the folder is taken from there."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from datasets import DatasetDict
from transformers import set_seed
from transformers.trainer_utils import get_last_checkpoint

from hf_dialects.data.augment import WaveformAugment
from hf_dialects.data.clips import Clips
from hf_dialects.data.screen import Skipped, screen, write_skipped
from hf_dialects.data.spectral_augment import SpectralAugment
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.evaluation.baselines import majority, mel_statistics
from hf_dialects.evaluation.breakdown import breakdown
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, read_results, write_results
from hf_dialects.inference import Predictions, predict
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.saving import load_for_inference, save_for_hub
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.build import build_model
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.splits_of_run import load_data, three_splits
from hf_dialects.training.trainer import DialectTrainer

SCORED = ("validation", "test")


@dataclass
class Screened:
    """Splits without the recordings that cannot be used.

    Attributes:
        splits: train, validation, test, with durations.
        skipped: what was left out.
        by: columns that do not cross the splits.
    """

    splits: DatasetDict
    skipped: list[Skipped]
    by: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """Names of the dialects in label order."""
        return self.splits["train"].features["dialect"].names

    @property
    def clusters(self) -> dict[str, str] | None:
        """Dialect → cluster, where the corpus says so."""
        return cluster_of_each(self.splits)


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
    if (results := read_finished(run_dir)) is not None:
        return results
    return train_on(splits_of_recipe(recipe, progress), recipe, run_dir, progress, callbacks)


def splits_of_recipe(recipe: Recipe, progress: bool = True) -> Screened:
    """The corpus of a recipe, split and screened."""
    return screen_splits(*three_splits(load_data(recipe.data), recipe.data), progress)


def read_finished(run_dir: Path) -> dict | None:
    """results.json of a finished run."""
    return read_results(run_dir) if (run_dir / "results.json").is_file() else None


def open_run(recipe: Recipe, run_dir: Path) -> None:
    """Make the run folder, or make sure that it belongs to this recipe."""
    kept = run_dir / "recipe.yaml"
    if kept.is_file():
        found = yaml.safe_load(kept.read_text(encoding="utf-8"))
        if found != recipe.to_dict():
            changed = sorted(key for key in recipe.to_dict() if found.get(key) != recipe.to_dict()[key])
            raise RecipeError(
                f"{run_dir} holds a run of another recipe (different: {', '.join(changed)}); "
                "give the old recipe to resume it, or another --out for a new run"
            )
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    recipe.write(kept)


def screen_splits(
    splits: DatasetDict, by: tuple[str, ...], progress: bool = True, minimum_s: float = 0.035
) -> Screened:
    """Leave out recordings that cannot be used, and check what is left.

    Raises:
        CorpusError: fewer than two dialects to learn, or a dialect that is tested but never trained.
    """
    kept, skipped = {}, []
    for name, split in splits.items():
        kept[name], out = screen(split, minimum_s=minimum_s, progress=progress, name=f"{name} recordings")
        skipped += out
    names = kept["train"].features["dialect"].names
    present = {name: {names[label] for label in split["dialect"]} for name, split in kept.items()}
    if len(present["train"]) < 2:
        raise CorpusError(
            f"the training split holds one dialect only ({', '.join(present['train'])}); "
            "a classifier needs at least two. "
            "Is data.label the right column?"
        )
    unseen = sorted(present["test"] - present["train"])
    if unseen:
        raise CorpusError(
            f"{len(unseen)} dialects are tested but have no training recording: {', '.join(unseen[:5])}; "
            "split anew (hf-dialects split), or keep only the others with data.labels"
        )
    return Screened(DatasetDict(kept), skipped, by)


def train_on(data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Train and evaluate on given splits.

    Returns:
        the content of results.json; empty on other processes than the first.
    """
    started = time.time()
    if not (run_dir / "model" / "config.json").is_file() and not fit(data, recipe, run_dir, progress, callbacks):
        return {}
    model, extractor = load_for_inference(run_dir / "model")
    options = {
        key: recipe.evaluation[key] for key in ("batch_size", "min_speech", "workers") if key in recipe.evaluation
    }
    predictions = {
        name: predict(model, extractor, data.splits[name], progress=progress, name=f"predicting {name}", **options)
        for name in SCORED
    }
    return finish(
        data, recipe, run_dir, predictions, started, progress, selected={"checkpoint": selected_checkpoint(run_dir)}
    )


def fit(data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> bool:
    """Train, resuming from the last checkpoint in the folder; writes model/ and history.json.

    Returns:
        whether this is the process that goes on with the evaluation.
    """
    arguments = training_arguments(recipe, run_dir, progress)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    set_seed(recipe.seed)
    weights = class_weights(data) if arguments.balance_classes else None
    model, extractor = build_model(recipe.model, data.labels, data.clusters, weights)
    if arguments.freeze_feature_encoder or arguments.freeze_layers is not None:
        model.freeze_feature_encoder() if arguments.freeze_layers is None else model.freeze_encoder(
            arguments.freeze_layers
        )
    trainer = DialectTrainer(
        model=model,
        args=arguments,
        feature_extractor=extractor,
        train_dataset=clips(data.splits["train"], extractor, model.config, arguments, training=True),
        eval_dataset=clips(data.splits["validation"], extractor, model.config, arguments, training=False),
        callbacks=list(callbacks),
    )
    trainer.train(
        resume_from_checkpoint=get_last_checkpoint(arguments.output_dir)
        if Path(arguments.output_dir).is_dir()
        else None
    )
    if not trainer.is_world_process_zero():
        return False
    history = {"best": trainer.state.best_model_checkpoint and Path(trainer.state.best_model_checkpoint).name}
    history |= {"best_value": trainer.state.best_metric, "log": trainer.state.log_history}
    (run_dir / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    save_for_hub(trainer.accelerator.unwrap_model(trainer.model), extractor, run_dir / "model")
    return True


def training_arguments(recipe: Recipe, run_dir: Path, progress: bool) -> DialectTrainingArguments:
    """The recipe's `training` section.

    Raises:
        RecipeError: a value that does not fit its key.
    """
    given = {
        "output_dir": str(run_dir / "checkpoints"),
        "seed": recipe.seed,
        "disable_tqdm": not progress,
    } | recipe.training
    given = {
        key: "no" if value is False and key.endswith("_strategy") else value for key, value in given.items()
    }  # YAML's no
    try:
        return DialectTrainingArguments(**given)
    except RecipeError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the training section does not fit: {error}") from error


def clips(split, extractor, config, arguments: DialectTrainingArguments, training: bool) -> Clips:
    """A split as the encoder wants it: waveforms, or log-mel features for an encoder from scratch."""
    own = isinstance(extractor, DialectFeatureExtractor)
    options = {}
    if own:
        options = {"analyse": extractor.log_mel, "hop": extractor.hop_length, "window": extractor.window_length}
        options |= {"longest_frames": extractor.frames}
    if arguments.waveform_augment:
        options["waveform_augment"] = WaveformAugment.from_recipe(arguments.waveform_augment)
    if arguments.spectral_augment:
        if not own:
            raise RecipeError(
                "training.spectral_augment works on log-mel features, which this encoder does not take; "
                "use training.waveform_augment, or the encoder's own masks through "
                "model.encoder_overrides.mask_time_prob"
            )
        options["spectral_augment"] = SpectralAugment.from_recipe(arguments.spectral_augment)
    crop_s = arguments.crop_s or config.window_s
    return Clips(split, extractor.sampling_rate, crop_s=crop_s, training=training, seed=arguments.seed, **options)


def class_weights(data: Screened) -> list[float]:
    """Inverse frequency in training, mean 1; a class without training examples weighs as much as the rarest."""
    counts = np.bincount(data.splits["train"]["dialect"], minlength=len(data.labels))
    weights = 1 / np.maximum(counts, counts[counts > 0].min())
    return (weights / weights.mean()).tolist()


def selected_checkpoint(run_dir: Path) -> str | None:
    """Name of the checkpoint that validation chose."""
    return json.loads((run_dir / "history.json").read_text(encoding="utf-8"))["best"]


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
    baselines = baselines_of(data, predictions, progress) if recipe.evaluation.get("baselines", True) else {}
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
    write_results(results, run_dir / "results.json")
    return results


def add_breakdown(results: dict, predictions: Predictions, rows, data: Screened, recipe: Recipe) -> None:
    """Results by the columns that the recipe names, under "by"."""
    if columns := recipe.evaluation.get("by"):
        columns = [columns] if isinstance(columns, str) else columns
        results["by"] = breakdown(predictions, rows, by=columns, labels=data.labels, clusters=data.clusters)


def baselines_of(
    data: Screened, predictions: dict[str, Predictions], progress: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Majority class and mel-statistics logistic regression on the splits that were predicted."""
    train, scored = data.splits["train"], {name: data.splits[name] for name in predictions}
    common = {name: majority(train["dialect"], len(data.labels), len(split)) for name, split in scored.items()}
    return {"majority": common, "mel statistics": mel_statistics(train, scored, progress=progress)}


def cluster_of_each(splits: DatasetDict) -> dict[str, str] | None:
    """Dialect → cluster over all splits.

    Raises:
        CorpusError: a dialect that belongs to two clusters.
    """
    found: dict[str, str] = {}
    for split in splits.values():
        if "cluster" not in split.column_names:
            return None
        dialects, clusters = split.features["dialect"], split.features["cluster"]
        for dialect, cluster in set(zip(split["dialect"], split["cluster"], strict=True)):
            if cluster is None or cluster < 0:
                continue
            name, group = dialects.int2str(dialect), clusters.int2str(cluster)
            if found.setdefault(name, group) != group:
                raise CorpusError(
                    f"dialect {name!r} is in two clusters, {found[name]!r} and {group!r}; every dialect has one"
                )
    return found if found and len(found) == len(splits["train"].features["dialect"].names) else None


def bootstrap_options(recipe: Recipe) -> dict:
    """Options of the intervals that the recipe sets."""
    return {"draws": recipe.evaluation["draws"]} if "draws" in recipe.evaluation else {}


def device() -> str:
    """What models run on here."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
