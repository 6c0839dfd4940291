"""How often the predicted class is the right one: accuracy, F1, cluster accuracy, confusion.

Shapes: gold and predicted (N,) int class numbers, weights (N,) float or None for ones. Every function raises
`DialectError` for empty arrays, different lengths, class numbers out of range and negative, NaN or all-zero weights.
"""

import numpy as np
from scipy import sparse

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_labels, as_weights, check_same_length
from hf_dialects.metrics.totals import Totals, additive, mean_totals, ratio


@additive
def accuracy(gold, predicted, *, n_classes: int | None = None) -> Totals:
    """Share of rows, by weight, whose predicted class is the gold one."""
    gold, predicted, _ = _labels(gold, predicted, n_classes)
    return mean_totals(gold == predicted, gold)


@additive
def cluster_accuracy(gold, predicted, clusters) -> Totals:
    """Share of rows, by weight, whose predicted class lies in the cluster of the gold one.

    clusters: (C,) int, the cluster of each class.
    """
    clusters = as_labels("clusters", clusters)
    gold, predicted, _ = _labels(gold, predicted, len(clusters))
    return mean_totals(clusters[gold] == clusters[predicted], gold)


@additive
def macro_f1(gold, predicted, *, n_classes: int | None = None) -> Totals:
    """Mean F1 of the classes that occur in `gold`, each counting the same.

    F1 of a class = 2·hits / (gold rows + predicted rows), by weight. The list of classes is fixed by the rows of
    `gold`, whatever their weights: a class that keeps no gold weight, as can happen in a bootstrap draw, counts 0 if
    it is predicted falsely and is left out of the mean if it is not predicted either. Classes that occur only in
    `predicted` have no F1 of their own; they show as misses of the others. scikit-learn: labels=unique(gold),
    zero_division=nan.
    """
    return _f1_totals(gold, predicted, n_classes, lambda gold_weight, listed: np.where(listed, 1.0, 0.0))


@additive
def weighted_f1(gold, predicted, *, n_classes: int | None = None) -> Totals:
    """Mean F1 of the classes, each counting by its gold weight (see `macro_f1`)."""
    return _f1_totals(gold, predicted, n_classes, lambda gold_weight, listed: gold_weight)


def confusion_matrix(gold, predicted, weights=None, n_classes: int | None = None) -> np.ndarray:
    """Weight (C, C) float64 of the rows of each gold class (first axis) and predicted class (second axis)."""
    gold, predicted, n_classes = _labels(gold, predicted, n_classes)
    cells = np.bincount(gold * n_classes + predicted, as_weights(weights, len(gold)), minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def per_class(gold, predicted, weights=None, n_classes: int | None = None) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support (gold weight) of each class, (C,) float64 each.

    NaN where undefined: precision of a class never predicted, recall of one without gold weight, F1 where both lack.
    """
    return _scores(confusion_matrix(gold, predicted, weights, n_classes))


def _labels(gold, predicted, n_classes: int | None) -> tuple[np.ndarray, np.ndarray, int]:
    if n_classes is not None and n_classes < 1:
        raise DialectError(f"n_classes is {n_classes}; expected the number of classes, 1 or more")
    gold, predicted = as_labels("gold", gold, n_classes), as_labels("predicted", predicted, n_classes)
    check_same_length(gold=gold, predicted=predicted)
    return gold, predicted, n_classes or int(max(gold.max(), predicted.max())) + 1


def _f1_totals(gold, predicted, n_classes: int | None, class_weight) -> Totals:
    gold, predicted, n_classes = _labels(gold, predicted, n_classes)
    n = len(gold)
    cells = gold * n_classes + predicted
    rows = sparse.csr_array((np.ones(n), cells, np.arange(n + 1)), shape=(n, n_classes**2))
    listed = np.isin(np.arange(n_classes), gold)

    def formula(totals: np.ndarray) -> np.ndarray:
        scores = _scores(totals.reshape(*totals.shape[:-1], n_classes, n_classes))
        weight = np.where(np.isnan(scores["f1"]), 0.0, class_weight(scores["support"], listed))  # (..., C)
        return ratio((weight * np.nan_to_num(scores["f1"])).sum(-1), weight.sum(-1))

    return Totals(rows, formula, gold)


def _scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """`per_class` of confusion matrices (..., C, C)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)  # (..., C)
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, support + predicted),
        "support": support,
    }
