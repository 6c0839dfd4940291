"""What a classifier has to be better than: the most frequent class, and linear models of shortcuts.

Dimensions: N utterances, C dialects, D features.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.data.audio import decode
from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.evaluation.groups import positions_of

BASELINES = ("majority", "mel statistics", "duration", "non-speech", "long-term spectrum")

Features = dict[str, np.ndarray]  # of a baseline: (N, D) float64


def baseline_names(wanted: bool | Iterable[str] | None = True) -> tuple[str, ...]:
    """Baselines by what a recipe says: all for true (or nothing said), none for false, else those listed.

    Returns:
        names in the order of `BASELINES`, each once.

    Raises:
        RecipeError: neither true, false nor a list, or an unknown name.
    """
    if wanted is None or isinstance(wanted, bool):
        return BASELINES if wanted is not False else ()
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise RecipeError(f"evaluation.baselines is {wanted!r}; give true, false or a list of: {', '.join(BASELINES)}")
    wanted = list(wanted)
    unknown = [repr(name) for name in wanted if name not in BASELINES]
    if unknown:
        raise RecipeError(f"evaluation.baselines names {', '.join(unknown)}; valid are: {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in wanted)


def majority(train_labels, n_classes: int, n: int) -> np.ndarray:
    """The class frequencies of the training split as probabilities of every utterance: (n, n_classes) float64.

    The predicted class is the most frequent one, of equals the first.

    Raises:
        CorpusError: a label is missing or not below `n_classes`.
    """
    labels = _checked(train_labels, n_classes)
    return np.tile(np.bincount(labels, minlength=n_classes) / len(labels), (n, 1))


def fit_baselines(
    train,
    evaluated: Mapping,
    names: Sequence[str] = BASELINES,
    n_classes: int | None = None,
    workers: int = 2,
    progress: bool = True,
) -> dict[str, dict[str, np.ndarray]]:
    """Baselines fitted on the training split, on other splits of the same corpus.

    All but "majority" are multinomial logistic regressions on the feature sets of `shortcuts`: standardised,
    L2-regularised with C = 1; nothing is tuned or random. A model that is not better than one of them has not been
    shown to hear dialect. Every recording is decoded once for all of them.

    Args:
        train: training split, `datasets.Dataset` with audio that decodes and `dialect`.
        evaluated: split → dataset to classify; the training split may be among them.
        names: of `BASELINES`.
        n_classes: C; None takes the classes that the `dialect` column names.
        workers: threads that decode.

    Returns:
        baseline → split → probabilities (N, C) float64 in the order of the rows; 0 for classes without training
        utterances.

    Raises:
        CorpusError: a training label is missing or out of range.
        AudioError: a recording cannot be decoded.
    """
    if not names:
        return {}
    n_classes = n_classes or len(train.features["dialect"].names)
    labels = _checked(column_values(train, "dialect"), n_classes)
    parts = [train, *(rows for rows in evaluated.values() if rows is not train)]
    heard = iter(_heard(parts, names, workers, progress))
    of_train = next(heard)
    features = {split: of_train if rows is train else next(heard) for split, rows in evaluated.items()}
    return {
        name: {
            split: _probabilities(name, of_train, labels, features[split], len(rows), n_classes)
            for split, rows in evaluated.items()
        }
        for name in names
    }


def fold_baselines(
    folds: Sequence[Mapping], names: Sequence[str] = BASELINES, workers: int = 2, progress: bool = True
) -> dict[str, np.ndarray]:
    """Baselines of a cross-validation, each fold's fitted on its training split; recordings are decoded once for all.

    Args:
        folds: with "train" and "test"; every training recording is tested in some fold, ids are unique.
        names, workers: see `fit_baselines`.

    Returns:
        baseline → probabilities (N, C) float64 of the test splits, one fold after the other.

    Raises:
        CorpusError, AudioError: see `fit_baselines`.
    """
    if not names:
        return {}
    n_classes = len(folds[0]["train"].features["dialect"].names)
    tested = [fold["test"] for fold in folds]
    ids = {"id": [id for rows in tested for id in rows["id"]]}
    parts = _heard(tested, names, workers, progress)
    everything = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found = {name: [] for name in names}
    for fold, features in zip(folds, parts, strict=True):
        train = positions_of(ids, fold["train"]["id"])
        labels = _checked(column_values(fold["train"], "dialect"), n_classes)
        of_train = {name: values[train] for name, values in everything.items()}
        for name in names:
            found[name].append(_probabilities(name, of_train, labels, features, len(fold["test"]), n_classes))
    return {name: np.concatenate(probabilities) for name, probabilities in found.items()}


def _heard(parts: Sequence, names: Sequence[str], workers: int, progress: bool) -> list[Features]:
    """Features of every dataset, from one decoding pass; empty where no baseline listens."""
    from hf_dialects.evaluation.shortcuts import SAMPLING_RATE, hear

    names = [name for name in names if name != "majority"]
    if not names:
        return [{} for _ in parts]
    found = []
    with (
        ThreadPoolExecutor(max(1, workers)) as pool,
        tqdm(total=sum(map(len, parts)), desc="baselines", unit="clip", disable=not progress) as bar,
    ):
        for rows in parts:

            def of_row(row: int, rows=rows) -> Features:
                vectors = hear(decode(rows[row]["audio"], SAMPLING_RATE), names)
                bar.update()
                return vectors

            vectors = list(pool.map(of_row, range(len(rows))))
            found.append({name: np.array([one[name] for one in vectors]) for name in names})
    return found


def _probabilities(
    name: str, of_train: Features, labels: np.ndarray, features: Features, n: int, n_classes: int
) -> np.ndarray:
    """One baseline on n utterances, (n, C)."""
    if name == "majority" or n == 0 or len(np.unique(labels)) == 1:
        return majority(labels, n_classes, n)
    return _logistic(of_train[name], labels, features[name], n_classes)


def _logistic(train: np.ndarray, labels: np.ndarray, features: np.ndarray, n_classes: int) -> np.ndarray:
    """Features that are NaN take their mean in training: they speak for no class."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(C=1.0, max_iter=10_000)
    )
    probabilities = np.zeros((len(features), n_classes))
    probabilities[:, np.unique(labels)] = model.fit(train, labels).predict_proba(features)
    return probabilities


def _checked(labels, n_classes: int) -> np.ndarray:
    labels = list(labels)
    wrong = [row for row, label in enumerate(labels) if label is None or not 0 <= label < n_classes]
    if wrong or not labels:
        found = (
            f"{len(wrong)} training labels are missing or not below {n_classes}, first in row {wrong[0]}"
            if wrong
            else ""
        )
        raise CorpusError(found or "the training split holds no utterances; a baseline needs some to be fitted on")
    return np.array(labels, dtype=np.int64)
