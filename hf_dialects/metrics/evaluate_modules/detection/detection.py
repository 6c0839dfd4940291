"""Average detection cost and equal error rates as one `evaluate` module."""

import datasets
import evaluate

from hf_dialects.metrics.detection import BETAS, c_avg, mean_equal_error_rate, pooled_equal_error_rate

DESCRIPTION = """
Each class as a detector of its own: the average detection cost C_avg of the NIST language recognition evaluations (mean
of the costs at beta 1 and 9), and the equal error rate, as the mean over classes and of all trials together.
"""

CITATION = """
@inproceedings{sadjadi2018lre17,
  title = {The 2017 {NIST} Language Recognition Evaluation},
  author = {Sadjadi, Seyed Omid and Kheyrkhah, Timothee and Tong, Audrey and Greenberg, Craig S. and others},
  booktitle = {Odyssey: The Speaker and Language Recognition Workshop},
  pages = {82--89},
  year = {2018}
}
"""

INPUTS = """
Args:
    predictions: (N, C) float, probabilities of the classes.
    references: (N,) int, the gold classes.
    beta, form, clusters: see `hf_dialects.metrics.c_avg`.

Returns:
    {"c_avg", "eer", "pooled_eer"}: float; "eer" is the mean over classes.

Raises:
    DialectError: rows that are no probabilities, a class number that is not below C, or all rows of one class.

Example:
    >>> Detection().compute(predictions=[[0.75, 0.25], [0.25, 0.75]], references=[0, 1])["eer"]
    0.0
"""


class Detection(evaluate.Metric):
    """`c_avg`, `mean_equal_error_rate` and `pooled_equal_error_rate` of `hf_dialects.metrics`."""

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

    def _compute(self, predictions, references, beta=BETAS, form="threshold", clusters=None):
        return {
            "c_avg": c_avg(predictions, references, beta=beta, form=form, clusters=clusters),
            "eer": mean_equal_error_rate(predictions, references),
            "pooled_eer": pooled_equal_error_rate(predictions, references),
        }
