"""How similar dialects are, learnt from the training split, and the confidence labels that follow from it.

C dialects in the order of the labels; row c of a matrix (C, C) belongs to gold dialect c.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState

from hf_dialects.data.splits import group_folds
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.inference import Predictions
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.confidence_labels import (
    clusters_in_order,
    confidence_labels,
    read_confidence_labels,
    write_confidence_labels,
)
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.screened import Screened

__all__ = [
    "frequency_similarity",
    "learnt_confidence_labels",
    "out_of_fold_similarity",
    "similarity_from_predictions",
    "similarity_of_run",
]

SOURCES = ("uniform", "frequency", "out_of_fold")
TABLES = (".csv", ".json")
OUT_OF_FOLD = "out-of-fold"
NOT_FOR_FOLDS = ("mixup", "targets", "datamap", "regions", "train_subset", "record_dynamics")


def similarity_from_predictions(probabilities, gold) -> np.ndarray:
    """Mean probability that examples of dialect c give to each dialect.

    Args:
        probabilities: (N, C), of models that did not train on the example or its speaker.
        gold: (N,) int64.

    Returns:
        (C, C) float64; a row of zeros for a dialect without examples.
    """
    probabilities, gold = np.asarray(probabilities, dtype=np.float64), np.asarray(gold)
    n = probabilities.shape[1]
    totals = np.zeros((n, n))
    np.add.at(totals, gold, probabilities)
    return totals / np.maximum(np.bincount(gold, minlength=n), 1)[:, None]


def frequency_similarity(gold, n_classes: int) -> np.ndarray:
    """How often each dialect occurs, the same for every gold dialect; (C, C) float64."""
    return np.tile(np.bincount(gold, minlength=n_classes).astype(np.float64), (n_classes, 1))


def similarity_of_run(run_dir: str | Path, ids: Sequence[str]) -> np.ndarray:
    """`similarity_from_predictions` of the recordings `ids` in a cross-validation, which predicts each out of fold.

    Args:
        ids: of the training split. What is not among them, above all test recordings, does not count.

    Raises:
        CorpusError: the run predicts none of them.
    """
    found = Predictions.read(Path(run_dir) / "predictions" / "test.parquet")
    known = set(ids)
    rows = np.array([id in known for id in found.ids], dtype=bool)
    if not rows.any():
        raise CorpusError(f"{run_dir} has no out-of-fold prediction of the {len(known)} training recordings")
    return similarity_from_predictions(found.probabilities[rows], found.gold[rows])


def out_of_fold_similarity(data: Screened, recipe: Recipe, run_dir: Path, k: int, progress: bool = True) -> np.ndarray:
    """Similarity of dialects by cross-validation within the training split; other splits are not touched.

    Trains k models on plain targets without mixing, each for as many epochs or steps as the recipe says. A finished
    fold is not trained again.

    Args:
        run_dir: gets a folder "out-of-fold".

    Raises:
        CorpusError: a dialect has fewer speakers (or other groups) in the training split than there are folds.
    """
    from hf_dialects.training.folds import train_folds  # it trains folds by `fit`, which asks for these labels
    from hf_dialects.training.run import train_on

    def train(*arguments, **options) -> None:
        train_on(*arguments, **options)
        PartialState().wait_for_everyone()

    training = {key: value for key, value in recipe.training.items() if key not in NOT_FOR_FOLDS}
    evaluation = recipe.evaluation | {"baselines": False, "draws": 100, "by": None}
    plain = Recipe(recipe.data, recipe.model, training, evaluation, seed=recipe.seed)
    split, seed = data.splits["train"], recipe.data.get("split_seed", 0)
    try:
        folds = group_folds(split, k, by=data.by, stratify=recipe.data.get("stratify", "dialect"), seed=seed)
    except CorpusError as error:
        raise CorpusError(
            f"training.confidence_from: out_of_fold cuts the training split into folds: {error}"
        ) from error
    folder = run_dir / OUT_OF_FOLD
    train_folds(plain, folder, k, progress, train, [Screened(fold, [], data.by) for fold in folds])
    PartialState().wait_for_everyone()
    return similarity_of_run(folder, list(split["id"]))


def learnt_confidence_labels(
    arguments: DialectTrainingArguments, data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True
) -> np.ndarray:
    """The confidence labels (C, C) of a recipe, also written to RUN_DIR/confidence_labels.csv.

    Raises:
        RecipeError: an unknown `confidence_from`, or a table that does not fit.
        CorpusError: the corpus names no clusters, or cannot be cut into folds.
    """
    labels, clusters, source = data.labels, clusters_in_order(data.labels, data.clusters), arguments.confidence_from
    if Path(source).suffix.lower() in TABLES:
        targets = read_confidence_labels(source, labels, clusters)
    elif source not in SOURCES:
        raise RecipeError(
            f"training.confidence_from is {source!r}; it must be {', '.join(SOURCES)}, or a table in CSV or JSON"
        )
    else:
        similarity = np.zeros((len(labels), len(labels)))
        if source == "frequency":
            similarity = frequency_similarity(data.splits["train"]["dialect"], len(labels))
        elif source == "out_of_fold":
            similarity = out_of_fold_similarity(data, recipe, run_dir, arguments.confidence_folds, progress)
        targets = confidence_labels(similarity, clusters, arguments.true_mass)
    if PartialState().is_main_process:
        write_confidence_labels(targets, labels, run_dir / "confidence_labels.csv")
    return targets
