"""Whether probabilities mean what they say: calibration error, log likelihood, Brier score.

Shapes: probabilities (N, C) float, rows summing to one; labels (N,) int; weights (N,) float or None for ones. Every
function raises `DialectError` for NaN or values that are no probabilities, labels out of range, different lengths and
empty arrays.
"""

import numpy as np
from scipy import sparse

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_probabilities, as_weights, labelled_probabilities
from hf_dialects.metrics.totals import Totals, additive, mean_totals, ratio


@additive
def expected_calibration_error(probabilities, labels, bins: int = 10) -> Totals:
    """Mean distance between confidence and accuracy over equal-width bins of the top probability, by weight.

    Source: Guo et al. 2017 (arXiv:1706.04599), eq. 3; bin m holds confidences in ((m - 1) / bins, m / bins].
    On a finite sample the value lies above that of the population, most where the model is well calibrated, and no
    bootstrap interval undoes that: read it beside `ece_bias_floor`.
    """
    probabilities, labels = labelled_probabilities(probabilities, labels)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return Totals(
        _binned(confidence, bins, confidence - correct),
        lambda totals: ratio(np.abs(totals[..., :-1]).sum(-1), totals[..., -1]),
        labels,
    )


@additive
def negative_log_likelihood(probabilities, labels) -> Totals:
    """Mean of -log p(label), in nats, by weight; probabilities below 2.2e-16 count as 2.2e-16."""
    probabilities, labels = labelled_probabilities(probabilities, labels)
    gold = probabilities[np.arange(len(labels)), labels]
    return mean_totals(-np.log(np.clip(gold, np.finfo(np.float64).eps, 1.0)), labels)


@additive
def brier_score(probabilities, labels) -> Totals:
    """Mean squared distance of the probabilities from the one-hot label, summed over classes, by weight: 0 to 2.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    probabilities, labels = labelled_probabilities(probabilities, labels)
    one_hot = labels[:, None] == np.arange(probabilities.shape[1])
    return mean_totals(np.square(probabilities - one_hot).sum(axis=1), labels)


def reliability_table(probabilities, labels, bins: int = 10, weights=None) -> dict[str, np.ndarray]:
    """The reliability diagram as numbers: for each bin of the top probability, (bins,) float64 each,

    low, high: its edges; weight: of the rows in it; confidence, accuracy: their means, NaN in an empty bin.
    """
    probabilities, labels = labelled_probabilities(probabilities, labels)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    row_weights = as_weights(weights, len(labels))
    weight, confidences, hits = (row_weights @ _binned(confidence, bins, x) for x in (1.0, confidence, correct))
    edges = np.linspace(0, 1, bins + 1)
    return {
        "low": edges[:-1],
        "high": edges[1:],
        "weight": weight[:-1],
        "confidence": ratio(confidences, weight)[:-1],
        "accuracy": ratio(hits, weight)[:-1],
    }


def ece_bias_floor(probabilities, bins: int = 10, n: int = 200, seed: int = 0) -> float:
    """Mean expected calibration error of a perfectly calibrated model that gives the same probabilities.

    Labels are drawn `n` times from the probabilities, independently for each row; an error near this value is what a
    sample of this size shows without any miscalibration.
    """
    confidence = as_probabilities(probabilities).max(axis=1)
    # The top class is right with a probability equal to its confidence: drawing that event is drawing the label.
    correct = np.random.default_rng(seed).random((n, len(confidence))) < confidence
    in_bin = _binned(confidence, bins, 1.0)[:, :-1]
    gaps = confidence @ in_bin - correct.astype(np.float64) @ in_bin  # (n, bins)
    return float(np.abs(gaps).sum(axis=1).mean() / len(confidence))


def _binned(confidence: np.ndarray, bins: int, values) -> sparse.csr_array:
    """(N, bins + 1): the row's value in the column of its bin, and a one in the last column."""
    if bins < 1:
        raise DialectError(f"bins is {bins}; expected 1 or more")
    n = len(confidence)
    column = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    data = np.stack([np.broadcast_to(values, n), np.ones(n)], axis=1).ravel()
    columns = np.stack([column, np.full(n, bins)], axis=1).ravel()
    return sparse.csr_array((data, columns, np.arange(0, 2 * n + 1, 2)), shape=(n, bins + 1))
