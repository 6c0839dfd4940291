"""Cluster accuracy as an `evaluate` module."""

import datasets
import evaluate

from hf_dialects.errors import DialectError
from hf_dialects.metrics import classification

DESCRIPTION = """
How often the predicted dialect lies in the cluster of the right one, so that confusing neighbours costs nothing.
"""

INPUTS = """
Args:
    predictions: (N,) int, the predicted classes.
    references: (N,) int, the gold classes.
    clusters: (C,) int, the cluster of each class; once for all when the module is made, or here.

Returns:
    {"cluster_accuracy"}: float in [0, 1]

Raises:
    DialectError: no clusters were given, or a class number is not below C.

Example:
    >>> ClusterAccuracy(clusters=[0, 0, 1]).compute(predictions=[1, 0, 2], references=[0, 2, 2])["cluster_accuracy"]
    0.6666666666666666
"""


class ClusterAccuracy(evaluate.Metric):
    """`cluster_accuracy` of `hf_dialects.metrics`.

    Args:
        clusters: (C,) int, the cluster of each class. `evaluate.load` passes it on; `evaluate.combine` needs it here,
            because what is given to `compute` there goes to all modules.
    """

    def __init__(self, *args, clusters=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.clusters = clusters

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions, references, clusters=None):
        clusters = self.clusters if clusters is None else clusters
        if clusters is None:
            raise DialectError(
                "cluster_accuracy was given no clusters; give the cluster of each class, such as clusters=[0, 0, 1] "
                "for three classes, when loading the module or to compute"
            )
        return {"cluster_accuracy": classification.cluster_accuracy(references, predictions, clusters)}
