"""Soft targets: most of the mass on the gold dialect, the rest over the others or over its cluster alone.

Source: Rajaa et al. 2023, "Improving Spoken Language Identification with Map-Mix" (arXiv:2302.08229), section 2.3:
confidence labels, "heuristically generated based on the ratio of the relative distribution of dialects in the language
class". The released code takes fixed proportions from the similarity of classes; here they can be learnt from the
training split.

C dialects in the order of the labels; row c of a matrix (C, C) belongs to gold dialect c.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import CorpusError, RecipeError

__all__ = [
    "clusters_in_order",
    "confidence_labels",
    "read_confidence_labels",
    "smoothed_labels",
    "write_confidence_labels",
]


def confidence_labels(similarity, clusters: Sequence, true_mass: float = 0.75) -> np.ndarray:
    """`true_mass` on the gold dialect, the rest shared by its siblings in proportion to similarity.

    Siblings are the other dialects of the same cluster. Where a dialect is similar to none of them, they share evenly.
    A dialect without siblings keeps all its mass.

    Args:
        similarity: (C, C), at least 0; only what stands between siblings is used.
        clusters: (C,) cluster of each dialect.
        true_mass: in (0.5, 1], so that the gold dialect stays the likeliest.

    Returns:
        (C, C) float64, rows sum to one, nothing outside the cluster.

    Raises:
        RecipeError: similarities that are negative, not finite or not (C, C), or a true mass out of range.
    """
    clusters, similarity = np.asarray(clusters), np.asarray(similarity, dtype=np.float64)
    n = len(clusters)
    if similarity.shape != (n, n):
        raise RecipeError(f"similarity has the shape {similarity.shape}; {n} dialects need ({n}, {n})")
    if not np.isfinite(similarity).all() or (similarity < 0).any():
        raise RecipeError("similarity holds values that are negative or not finite; it must be at least 0")
    _check_true_mass(true_mass)
    siblings = (clusters[:, None] == clusters) & ~np.eye(n, dtype=bool)
    shares = np.where(siblings, similarity, 0.0)
    shares = np.where(shares.sum(1, keepdims=True) > 0, shares, siblings)
    largest = shares.max(1, keepdims=True)  # 0 without siblings
    shares = shares / np.where(largest > 0, largest, 1.0)  # products with tiny similarities would round to 0
    mass = np.where(largest > 0, true_mass, 1.0)
    return mass * np.eye(n) + (1 - mass) * shares / np.where(largest > 0, shares.sum(1, keepdims=True), 1.0)


def smoothed_labels(n_classes: int, true_mass: float = 0.75) -> np.ndarray:
    """`true_mass` on the gold dialect, the rest shared evenly by all others; (C, C) float64."""
    return confidence_labels(np.zeros((n_classes, n_classes)), np.zeros(n_classes), true_mass)


def clusters_in_order(labels: Sequence[str], clusters: Mapping[str, str] | None) -> list[str]:
    """The cluster of each dialect, in label order.

    Raises:
        CorpusError: not every dialect has one.
    """
    without = [label for label in labels if label not in (clusters or {})]
    if without:
        raise CorpusError(
            f"{len(without)} of {len(labels)} dialects have no cluster (first: {without[0]}), which mixup within and "
            "across and targets: confidence need; fill the column cluster, or take mixup: random, targets: smoothing"
        )
    return [clusters[label] for label in labels]


def write_confidence_labels(targets: np.ndarray, labels: Sequence[str], path: str | Path) -> None:
    """Write targets (C, C) as CSV: a column "dialect" with the gold ones, then one column for each dialect."""
    with disk_space(path, KEPT), Path(path).open("w", newline="", encoding="utf-8") as file:
        rows = [(label, *map(float, row)) for label, row in zip(labels, targets, strict=True)]
        csv.writer(file).writerows([("dialect", *labels), *rows])


def read_confidence_labels(path: str | Path, labels: Sequence[str], clusters: Sequence) -> np.ndarray:
    """Targets (C, C) from a table: CSV as `write_confidence_labels` writes it, or JSON {gold: {dialect: mass}}.

    Dialects may stand in any order; JSON may leave out zeros.

    Raises:
        RecipeError: no such file, other dialects, a mass that is negative or outside the cluster, a row that does not
            sum to one, or one in which the gold dialect is not the likeliest.
    """
    path = Path(path)
    if not path.is_file():
        raise RecipeError(f"there is no table of confidence labels {path}")
    try:
        table = _read_csv(path) if path.suffix.lower() == ".csv" else json.loads(path.read_text(encoding="utf-8"))
        table = {gold: {label: float(mass) for label, mass in row.items()} for gold, row in table.items()}
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise RecipeError(
            f"{path} is no table of dialects: CSV has a column dialect and one for each, JSON is "
            f"{{dialect: {{dialect: mass}}}} ({error})"
        ) from error
    named = table.keys() | {label for row in table.values() for label in row}
    if wrong := sorted(named ^ set(labels)) or sorted(set(labels) - table.keys()):
        raise RecipeError(f"{path} and the corpus differ in {len(wrong)} dialects, first: {wrong[0]}")
    targets = np.array([[table[gold].get(label, 0.0) for label in labels] for gold in labels])
    same = np.asarray(clusters)[:, None] == np.asarray(clusters)
    for gold, row, siblings in zip(labels, targets, same, strict=True):
        if not (row >= 0).all() or abs(row.sum() - 1) > 1e-6:
            raise RecipeError(
                f"the row {gold} of {path} sums to {row.sum():.6g}; masses must be at least 0 and sum to 1"
            )
        if row[~siblings].any():
            other = labels[int(np.flatnonzero(~siblings & (row > 0))[0])]
            raise RecipeError(f"the row {gold} of {path} has mass on {other}, which is in another cluster")
        if row.argmax() != list(labels).index(gold):
            raise RecipeError(f"the row {gold} of {path} has its largest mass on {labels[row.argmax()]}")
    return targets


def _read_csv(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row.pop("dialect"): row for row in csv.DictReader(file)}


def _check_true_mass(true_mass: float) -> None:
    if not 0.5 < true_mass <= 1:
        raise RecipeError(
            f"training.true_mass must lie above 0.5 and be at most 1, so that the gold dialect stays the likeliest; "
            f"found {true_mass}"
        )
