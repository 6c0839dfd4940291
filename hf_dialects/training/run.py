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
from hf_dialects.evaluation.results import build_results, read_results, write_results
from hf_dialects.inference import Predictions, predict
from hf_dialects.models.encoder_dialect import minimum_input
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


def train_recipe(recipe: Recipe, run_dir: Path, progress: bool = True) -> dict:
    """Load the recipe's corpus, train, evaluate and write the run folder; a finished run is read back, a broken one goes on.

    Returns:
        the content of results.json.

    Raises:
        RecipeError: the folder holds a run of another recipe.
        CorpusError: the corpus cannot be split or used.
    """
    open_run(recipe, run_dir)
    if (run_dir / "results.json").is_file():
        return read_results(run_dir / "results.json")
    splits, by = three_splits(load_data(recipe.data), recipe.data, recipe.seed)
    return train_on(screen_splits(splits, by, progress), recipe, run_dir, progress)


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


def screen_splits(splits: DatasetDict, by: tuple[str, ...], progress: bool = True, minimum_s: float = 0.025) -> Screened:
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
            f"the training split holds one dialect only ({', '.join(present['train'])}); a classifier needs at least two. "
            "Is data.label the right column?"
        )
    unseen = sorted(present["test"] - present["train"])
    if unseen:
        raise CorpusError(
            f"{len(unseen)} dialects are tested but have no training recording: {', '.join(unseen[:5])}; "
            "split anew (hf-dialects split), or keep only the others with data.labels"
        )
    return Screened(DatasetDict(kept), skipped, by)


def train_on(data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True) -> dict:
    """Train and evaluate on given splits; returns the content of results.json."""
    started = time.time()
    minimum_s = _minimum_s(run_dir, recipe, data)
    del minimum_s
    if not (run_dir / "model" / "config.json").is_file():
        trainer = fit(data, recipe, run_dir, progress)
        if not trainer.is_world_process_zero():
            return {}
    predictions = predictions_of_run(data, recipe, run_dir, progress)
    results = results_of_run(data, recipe, predictions, time.time() - started, progress)
    write_skipped(_all_skipped(data, predictions), run_dir / "skipped.csv")
    write_results(results, run_dir / "results.json")
    return results
