"""Accuracy, macro F1 and weighted F1 as one `evaluate` module."""

import datasets
import evaluate

from hf_dialects.metrics.classification import accuracy, macro_f1, weighted_f1

DESCRIPTION = """
How often the predicted dialect is the right one: accuracy, and F1 over the dialects that occur in the references, each
counting the same (macro) or by its number of references (weighted).
"""

INPUTS = """
Args:
    predictions: (N,) int, the predicted classes.
    references: (N,) int, the gold classes.
    n_classes: number of classes; None takes the largest number found.

Returns:
    {"accuracy", "macro_f1", "weighted_f1"}: float in [0, 1]

Raises:
    DialectError: a class number is negative or not below n_classes.

Example:
    >>> DialectClassification().compute(predictions=[0, 1, 1, 0], references=[0, 1, 0, 0])["accuracy"]
    0.75
"""


class DialectClassification(evaluate.Metric):
    """`accuracy`, `macro_f1` and `weighted_f1` of `hf_dialects.metrics`."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions, references, n_classes=None):
        return {
            "accuracy": accuracy(references, predictions, n_classes=n_classes),
            "macro_f1": macro_f1(references, predictions, n_classes=n_classes),
            "weighted_f1": weighted_f1(references, predictions, n_classes=n_classes),
        }
