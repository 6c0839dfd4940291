"""What a classifier has to be better than: the most frequent class, and a linear model of the mean spectrum.

Dimensions: N utterances, C dialects, F frames, M mel bins.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.data.audio import decode
from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError


def majority(train_labels, n_classes: int, n: int) -> np.ndarray:
    """The class frequencies of the training split as probabilities of every utterance: (n, n_classes) float64.

    The predicted class is the most frequent one, of equals the first.

    Raises:
        CorpusError: a label is missing or not below `n_classes`.
    """
    labels = _checked(train_labels, n_classes)
    return np.tile(np.bincount(labels, minlength=n_classes) / len(labels), (n, 1))


def mel_statistics(
    train, evaluated: Mapping, n_classes: int | None = None, workers: int = 2, progress: bool = True
) -> dict[str, np.ndarray]:
    """Multinomial logistic regression on mean and standard deviation over time of a 40-bin log-mel spectrum.

    Voice, room and channel are in these statistics, words hardly at all: a model that is not better has not been shown
    to hear dialect. Fitted on the training split only, standardised, L2-regularised with C = 1; nothing is tuned or
    random.

    Args:
        train: training split, `datasets.Dataset` with audio that decodes and `dialect`.
        evaluated: split → dataset to classify; the training split may be among them.
        n_classes: C; None takes the classes that the `dialect` column names.
        workers: threads that decode.

    Returns:
        split → probabilities (N, C) float64 in the order of the rows; 0 for classes without training utterances.

    Raises:
        CorpusError: a training label is missing or out of range.
        AudioError: a recording cannot be decoded.
    """
    n_classes = n_classes or len(train.features["dialect"].names)
    labels = _checked(column_values(train, "dialect"), n_classes)
    others = {name: rows for name, rows in evaluated.items() if rows is not train}
    total = len(train) + sum(len(rows) for rows in others.values())
    with tqdm(total=total, desc="mel statistics", unit="clip", disable=not progress) as bar:
        of_train = _statistics(train, workers, bar)
        features = {name: _statistics(others[name], workers, bar) if name in others else of_train for name in evaluated}
    return {name: _logistic(of_train, labels, found, n_classes) for name, found in features.items()}


def _statistics(rows, workers: int, bar: tqdm) -> np.ndarray:
    """Mean and standard deviation over frames of every bin: (N, 2M) float64."""
    from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor

    extractor = DialectFeatureExtractor()

    def of_row(row: int) -> np.ndarray:
        frames = extractor.log_mel(decode(rows[row]["audio"], extractor.sampling_rate))  # (F, M)
        bar.update()
        return np.concatenate([frames.mean(0, dtype=np.float64), frames.std(0, dtype=np.float64)])

    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = list(pool.map(of_row, range(len(rows))))
    return np.reshape(found, (len(rows), 2 * extractor.feature_size))


def _logistic(train: np.ndarray, labels: np.ndarray, features: np.ndarray, n_classes: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.unique(labels)
    if len(known) == 1 or not len(features):
        return majority(labels, n_classes, len(features))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=10_000)).fit(train, labels)
    probabilities = np.zeros((len(features), n_classes))
    probabilities[:, known] = model.predict_proba(features)
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
