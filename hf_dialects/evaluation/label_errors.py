"""Rankings of recordings by how doubtful their labels are, and what inspecting them in that order finds.

Dimensions: N recordings, C dialects. Every score is higher for a more doubtful label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.errors import CorpusError
from hf_dialects.extras import require

BUDGETS = (0.01, 0.05, 0.1, 0.2)  # shares of the recordings that somebody listens to
SMALLEST = 1e-7  # probability; those of float32 softmax may be 0


def map_score(confidence: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: 1 − confidence, the mean probability that a model gave to other labels over its epochs.

    Label errors gather where confidence is lowest (Swayamdipta et al. 2020, "Dataset cartography", section 5). A model
    that memorises its training labels raises their confidence: out-of-fold probabilities do not hide them.
    """
    return 1 - np.asarray(confidence, dtype=np.float64)


def loss_score(probability: np.ndarray) -> np.ndarray:
    """(N,) cross-entropy in nats of the probability (N,) that one epoch gave to the label."""
    return -np.log(np.maximum(np.asarray(probability, dtype=np.float64), SMALLEST))


def random_score(ids: Sequence[str], seed: int = 0) -> np.ndarray:
    """(N,) uniform in [0, 1), by seed and id: what looking at recordings in no order finds."""
    return np.array([generator(seed, 0, id, "label errors").random() for id in ids])


@dataclass(frozen=True)
class ConfidentLearning:
    """What confident learning says of every label.

    Attributes:
        score: (N,) in [0, 1], half of 1 + the highest probability of another dialect − that of the label.
        flagged: (N,) bool, whether the label counts as wrong: as many as the estimated noise, by pairs of dialects.
    """

    score: np.ndarray
    flagged: np.ndarray

    @property
    def ranking(self) -> np.ndarray:
        """(N,) score plus one for what is flagged, so that this comes first."""
        return self.score + self.flagged


def confident_learning(gold: np.ndarray, probabilities: np.ndarray) -> ConfidentLearning:
    """Confident learning (Northcutt et al. 2021, JAIR 70, 1373), pruned by noise rate, by the library cleanlab.

    Args:
        gold: (N,) labels.
        probabilities: (N, C) of models that were not trained on the recording, nor on its speaker.

    Raises:
        MissingExtra: cleanlab is not installed.
        CorpusError: shapes that do not fit, a label that is none of the C, fewer than two dialects.
    """
    gold, probabilities = np.asarray(gold, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or len(gold) != len(probabilities):
        raise CorpusError(
            f"confident learning takes N labels and probabilities (N, C), found {len(gold)} labels and probabilities "
            f"of shape {probabilities.shape}"
        )
    n_classes = probabilities.shape[1]
    if outside := int(((gold < 0) | (gold >= n_classes)).sum()):
        raise CorpusError(f"{outside} of {len(gold)} labels are not among the {n_classes} dialects; leave them out")
    if len(np.unique(gold)) < 2:
        raise CorpusError("confident learning compares dialects; all labels are of one")
    require("cleanlab", extra="label-errors")
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    flagged = find_label_issues(gold, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)
    quality = get_label_quality_scores(gold, probabilities, method="normalized_margin")
    return ConfidentLearning(1 - quality, np.asarray(flagged, dtype=bool))


def most_probable_other(gold: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) int64: the dialect with the highest probability beside the label, the first of equals."""
    others = np.array(probabilities, dtype=np.float64)
    others[np.arange(len(others)), gold] = -np.inf
    return others.argmax(axis=1)


@dataclass(frozen=True)
class Inspection:
    """What is found by listening to recordings from the most doubtful one on.

    Attributes:
        n, n_wrong: recordings, and wrong labels among them.
        average_precision: area under precision over recall, as a sum over the steps of recall.
        auc: probability that a wrong label scores higher than a right one; 0.5 by chance.
        precision: budget → share of wrong labels among the recordings inspected.
        recall: budget → share of the wrong labels that was found.
    """

    n: int
    n_wrong: int
    average_precision: float
    auc: float
    precision: dict[float, float]
    recall: dict[float, float]


def inspection_curve(scores: np.ndarray, wrong: np.ndarray, budgets: Sequence[float] = BUDGETS) -> Inspection:
    """Judge a ranking against what is known to be wrong. Of equal scores every order counts alike: numbers are means.

    Args:
        scores: (N,) higher for what is inspected earlier.
        wrong: (N,) bool.
        budgets: shares of N in (0, 1]; at least one recording is inspected.

    Raises:
        CorpusError: no label is wrong, all are, or a score is not a number.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, wrong = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=bool)
    n, n_wrong = len(scores), int(wrong.sum())
    if not 0 < n_wrong < n:
        raise CorpusError(f"{n_wrong} of {n} labels are wrong; a ranking is judged where some are wrong and some right")
    if not np.isfinite(scores).all():
        raise CorpusError(f"{int((~np.isfinite(scores)).sum())} of {n} scores are no finite numbers; leave them out")
    sizes = {budget: min(n, max(1, round(budget * n))) for budget in budgets}
    found = {budget: _found(scores, wrong, size) for budget, size in sizes.items()}
    return Inspection(
        n=n,
        n_wrong=n_wrong,
        average_precision=float(average_precision_score(wrong, scores)),
        auc=float(roc_auc_score(wrong, scores)),
        precision={budget: found[budget] / sizes[budget] for budget in budgets},
        recall={budget: found[budget] / n_wrong for budget in budgets},
    )


def _found(scores: np.ndarray, wrong: np.ndarray, size: int) -> float:
    """Wrong labels among the `size` highest scores; those at the edge count by their share of wrong labels."""
    edge = np.sort(scores)[len(scores) - size]
    above, at_edge = scores > edge, scores == edge
    return float(wrong[above].sum() + (size - above.sum()) * wrong[at_edge].mean())
