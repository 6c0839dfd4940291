"""What predictions are worth: every metric with its interval, every dialect with its support.

Dimensions: N utterances, C dialects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.groups import Groups, find_groups, positions_of
from hf_dialects.metrics import (
    accuracy,
    bootstrap_interval,
    brier_score,
    c_avg,
    cluster_accuracy,
    confusion_matrix,
    ece_bias_floor,
    expected_calibration_error,
    macro_f1,
    mean_equal_error_rate,
    negative_log_likelihood,
    per_class,
    weighted_f1,
)

if TYPE_CHECKING:
    from hf_dialects.inference import Predictions

DRAWS = 2000  # of the bootstrap


def score(
    predictions: Predictions,
    rows,
    labels: Sequence[str],
    clusters: Mapping[str, str] | None = None,
    groups: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict]:
    """Every metric of one split with its 95 % interval over speakers, or what takes their place.

    Groups nested in classes (every speaker has one dialect) are drawn within their class; groups that share classes are
    drawn together; where voices read the same sentences both are drawn, see `groups.find_groups`. Utterances without a
    gold label are left out.

    Args:
        predictions: of a model, or of a baseline on the same utterances.
        rows: the corpus they were made on, `datasets.Dataset`; matched by `id`.
        labels: C names of the dialects.
        clusters: dialect → cluster; with at least two clusters `cluster_accuracy` is reported.
        groups: column to resample by, where it is not the one that would be found.
        draws: of the bootstrap.
        seed: of the draws; keep it over runs that are compared.

    Returns:
        Metric name → {"value", "low", "high", "n", "groups", "warning", "group_unit", "strata", "crossed"} for
        accuracy, macro_f1, weighted_f1, cluster_accuracy, ece, nll, brier, c_avg (thresholds at β 1 and 9, mean of the
        two) and eer (mean over dialects). "ece" also has "floor": what a perfectly calibrated model with these
        probabilities shows on so few utterances.

    Raises:
        CorpusError: no gold label at all, ids that are not in `rows`, a dialect without cluster.
    """
    labelled = _labelled(predictions)
    probabilities, gold = predictions.probabilities[labelled], predictions.gold[labelled]
    found = find_groups(rows, [predictions.ids[row] for row in labelled], gold, groups)
    return intervals(probabilities, gold, found, labels, clusters, draws=draws, seed=seed)


def intervals(
    probabilities: np.ndarray,
    gold: np.ndarray,
    groups: Groups,
    labels: Sequence[str],
    clusters: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict]:
    """`score` for probabilities (N, C) and gold (N,) whose groups are known; `names` picks metrics."""
    predicted, n_classes = probabilities.argmax(axis=1), len(labels)
    metrics = {
        "accuracy": (accuracy, gold, predicted),
        "macro_f1": (partial(macro_f1, n_classes=n_classes), gold, predicted),
        "weighted_f1": (partial(weighted_f1, n_classes=n_classes), gold, predicted),
        "ece": (expected_calibration_error, probabilities, gold),
        "nll": (negative_log_likelihood, probabilities, gold),
        "brier": (brier_score, probabilities, gold),
        "eer": (mean_equal_error_rate, probabilities, gold),
    }
    if n_classes > 1:
        metrics["c_avg"] = (c_avg, probabilities, gold)
    codes = cluster_codes(labels, clusters)
    if codes is not None:
        metrics["cluster_accuracy"] = (partial(cluster_accuracy, clusters=codes), gold, predicted)
    scores = {}
    for name, (metric, *arrays) in metrics.items():
        if names is not None and name not in names:
            continue
        interval = bootstrap_interval(
            metric,
            *arrays,
            groups=groups.values,
            strata=gold,
            crossed=groups.crossed,
            n=draws,
            seed=seed,
            unit=f"{groups.unit}s",
        )
        warning = "; ".join(filter(None, [interval.warning, groups.warning])) or None
        scores[name] = {**interval.to_dict(), "warning": warning, **groups.to_dict()}
    if "ece" in scores:
        scores["ece"]["floor"] = ece_bias_floor(probabilities)
    return scores


def cluster_codes(labels: Sequence[str], clusters: Mapping[str, str] | None) -> np.ndarray | None:
    """(C,) int, the cluster of each dialect; None where there are fewer than two clusters.

    Raises:
        CorpusError: a dialect without cluster.
    """
    if not clusters:
        return None
    without = [label for label in labels if label not in clusters]
    if without:
        shown = ", ".join(repr(label) for label in without[:5])
        raise CorpusError(f"no cluster is given for {len(without)} of {len(labels)} dialects: {shown}")
    names, codes = np.unique([clusters[label] for label in labels], return_inverse=True)
    return codes if len(names) > 1 else None


def per_cluster(
    predictions: Predictions,
    rows,
    labels: Sequence[str],
    clusters: Mapping[str, str] | None,
    groups: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict]:
    """How every cluster of dialects fares: the utterances whose gold dialect lies in it, whatever was predicted.

    Args:
        groups, draws, seed: see `score`.

    Returns:
        Cluster → {"n", "dialects": those with utterances, "accuracy" (of the dialect), "weighted_f1"}, the last two
        with intervals as in `score`; clusters without utterances are left out. Empty with fewer than two clusters.
    """
    if cluster_codes(labels, clusters) is None:
        return {}
    labelled = _labelled(predictions)
    probabilities, gold = predictions.probabilities[labelled], predictions.gold[labelled]
    found = find_groups(rows, [predictions.ids[row] for row in labelled], gold, groups)
    names = np.array([clusters[label] for label in labels])
    table = {}
    for cluster in sorted(set(names[gold])):
        members = np.flatnonzero(names[gold] == cluster)
        metrics = ("accuracy", "weighted_f1")
        parts = probabilities[members], gold[members], found.part(members)
        scores = intervals(*parts, labels, names=metrics, draws=draws, seed=seed)
        table[str(cluster)] = {"n": len(members), "dialects": len(np.unique(gold[members])), **scores}
    return table


def per_dialect(predictions: Predictions, rows, labels: Sequence[str]) -> dict[str, dict]:
    """How every dialect fares, and on how many speakers that stands.

    Returns:
        Dialect → {"precision", "recall", "f1", "support", "speakers"}; None for what is undefined (precision of a
        dialect that is never predicted), and for "speakers" where the corpus does not name them.
    """
    labelled = _labelled(predictions)
    gold, predicted = predictions.gold[labelled], predictions.probabilities[labelled].argmax(axis=1)
    scores = per_class(gold, predicted, n_classes=len(labels))
    speakers: list[set] | None = None
    if "speaker" in rows.column_names and any(names := column_values(rows, "speaker")):
        speakers = [set() for _ in labels]
        for row, dialect in zip(positions_of(rows, [predictions.ids[i] for i in labelled]), gold, strict=True):
            speakers[dialect].add(names[row])
    return {
        label: {
            **{name: _or_none(scores[name][c]) for name in ("precision", "recall", "f1")},
            "support": int(scores["support"][c]),
            "speakers": None if speakers is None else len(speakers[c] - {None}),
        }
        for c, label in enumerate(labels)
    }


def confusion(predictions: Predictions, labels: Sequence[str]) -> list[list[int]]:
    """Utterances of each gold dialect (rows) and predicted dialect (columns), in the order of `labels`."""
    labelled = _labelled(predictions)
    predicted = predictions.probabilities[labelled].argmax(axis=1)
    return confusion_matrix(predictions.gold[labelled], predicted, n_classes=len(labels)).astype(int).tolist()


def _labelled(predictions: Predictions) -> np.ndarray:
    labelled = np.flatnonzero(predictions.gold >= 0)
    if not len(labelled):
        raise CorpusError(f"none of the {len(predictions.ids)} utterances has a gold label; there is nothing to score")
    return labelled


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
