"""Expected calibration error, negative log likelihood and Brier score as one `evaluate` module."""

import datasets
import evaluate

from hf_dialects.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood

DESCRIPTION = """
Whether probabilities mean what they say: expected calibration error of the top class (equal-width bins), negative log
likelihood in nats, and Brier score summed over classes.
"""

CITATION = """
@inproceedings{guo2017calibration,
  title = {On Calibration of Modern Neural Networks},
  author = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
  booktitle = {International Conference on Machine Learning},
  year = {2017}
}
"""

INPUTS = """
Args:
    predictions: (N, C) float, probabilities of the classes.
    references: (N,) int, the gold classes.
    bins: number of bins of the calibration error.

Returns:
    {"ece", "nll", "brier"}: float

Raises:
    DialectError: rows that are no probabilities, or a class number that is not below C.

Example:
    >>> Calibration().compute(predictions=[[0.75, 0.25], [0.5, 0.5]], references=[0, 1])["brier"]
    0.3125
"""


class Calibration(evaluate.Metric):
    """`expected_calibration_error`, `negative_log_likelihood` and `brier_score` of `hf_dialects.metrics`."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions, references, bins=10):
        return {
            "ece": expected_calibration_error(predictions, references, bins=bins),
            "nll": negative_log_likelihood(predictions, references),
            "brier": brier_score(predictions, references),
        }
