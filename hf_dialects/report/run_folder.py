"""What a run left on disk, read for its report."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hf_dialects.data.screen import Skipped, read_skipped
from hf_dialects.errors import CheckpointError
from hf_dialects.evaluation.results import read_results
from hf_dialects.inference import Predictions
from hf_dialects.training.recipe import Recipe, make_recipe

FOLDS, SEEDS = "fold-*", "seed-*"
FIRST = ("test", "validation")  # the split a report is about is the first of these that was scored


@dataclass(frozen=True)
class RunFolder:
    """A finished run, or what `hf-dialects evaluate` wrote.

    Attributes:
        folder: where it lies.
        name: for people, different for every run of a report.
        results: content of results.json.
        split: the one that the report is about.
        predictions: of that split.
        recipe: None for what `evaluate` wrote.
        history: name of the fold, or "" → content of its history.json.
        skipped: recordings that were left out.
        clusters: dialect → cluster, where the model says so.
        folds: folders of the folds of a cross-validation, in order.
    """

    folder: Path
    name: str
    results: dict
    split: str
    predictions: Predictions
    recipe: Recipe | None = None
    history: dict[str, dict] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    clusters: dict[str, str] | None = None
    folds: tuple[Path, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Names of the dialects in label order."""
        return self.results["labels"]

    @property
    def model_folder(self) -> Path | None:
        """Folder of the run's model, for folds that of the first; None where there is none."""
        folder = (self.folds[0] if self.folds else self.folder) / "model"
        return folder if (folder / "config.json").is_file() else None


def read_runs(folders: Sequence[Path]) -> list[RunFolder]:
    """The runs of a report.

    Raises:
        CheckpointError: as `named_folders`, or one that is no finished run.
    """
    return [read_run(folder, name) for folder, name in named_folders(folders)]


def named_folders(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Run folders, and names that tell them apart; a folder that holds seed-0, seed-1 … stands for these.

    Raises:
        CheckpointError: no folder, or one given twice.
    """
    found = [run for folder in folders for run in _expanded(Path(folder))]
    if not found:
        raise CheckpointError("no run folder was given; name one that hf-dialects train or evaluate wrote")
    twice = [folder for folder, n in Counter(folder.resolve() for folder in found).items() if n > 1]
    if twice:
        raise CheckpointError(f"the run folder {twice[0].name!r} is given twice; a report shows every run once")
    return list(zip(found, _names(found), strict=True))


def read_run(folder: Path, name: str) -> RunFolder:
    """One run.

    Raises:
        CheckpointError: results.json, the predictions of the split, or the labels in them are missing or do not fit.
    """
    results = read_results(folder)
    split = min(results["metrics"], key=lambda one: FIRST.index(one) if one in FIRST else len(FIRST))
    path = folder / "predictions" / f"{split}.parquet"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no predictions/{split}.parquet, which a report needs; evaluate the run again"
        )
    predictions = Predictions.read(path)
    if predictions.probabilities.shape[1] != len(results["labels"]):
        raise CheckpointError(
            f"{path} has probabilities of {predictions.probabilities.shape[1]} dialects, results.json names "
            f"{len(results['labels'])}: they are of different runs"
        )
    recipe = folder / "recipe.yaml"
    folds = tuple(sorted(folder.glob(FOLDS), key=lambda one: (len(one.name), one.name)))
    histories = {one.name if one != folder else "": one / "history.json" for one in (folder, *folds)}
    skipped = folder / "skipped.csv"
    return RunFolder(
        folder=folder,
        name=name,
        results=results,
        split=split,
        predictions=predictions,
        recipe=make_recipe(yaml.safe_load(recipe.read_text("utf-8")), recipe.name) if recipe.is_file() else None,
        history={one: json.loads(path.read_text("utf-8")) for one, path in histories.items() if path.is_file()},
        skipped=read_skipped(skipped) if skipped.is_file() else [],
        clusters=_clusters((folds[0] if folds else folder) / "model" / "config.json", results["labels"]),
        folds=folds,
    )


def _expanded(folder: Path) -> list[Path]:
    """The folder itself, or seed-0, seed-1 … within it where it is no finished run."""
    seeds = sorted(folder.glob(SEEDS), key=lambda one: (len(one.name), one.name))
    return [folder] if (folder / "results.json").is_file() or not seeds else seeds


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of their paths, as many as tell all apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = next(n for n in range(1, 100) if len({one[-n:] for one in parts}) == len(parts))
    return ["/".join(one[-depth:]) for one in parts]


def _clusters(config: Path, labels: Sequence[str]) -> dict[str, str] | None:
    found = json.loads(config.read_text("utf-8")).get("clusters") if config.is_file() else None
    return found if found and all(label in found for label in labels) else None
