"""Baselines of a split, fitted once for all runs on it."""

import json
from collections.abc import Sequence
from pathlib import Path

from hf_dialects.evaluation.baselines import fit_baselines, fold_baselines
from hf_dialects.evaluation.scores import cluster_codes
from hf_dialects.metrics import accuracy, cluster_accuracy, expected_calibration_error, macro_f1, weighted_f1
from hf_dialects.reproduce.unit import Unit, clusters_of
from hf_dialects.training.screened import Screened

FILE = "baselines.json"


def measure_baselines(data: Unit, names: Sequence[str], folder: Path, progress: bool = True) -> None:
    """Write baselines.json, unless it is there: name → metric → value on the test split, or over all folds."""
    if not names or (folder / FILE).is_file():
        return
    folds = [data] if isinstance(data, Screened) else data
    gold = [label for fold in folds for label in fold.splits["test"]["dialect"]]
    n_classes, codes = len(folds[0].labels), cluster_codes(folds[0].labels, clusters_of(data))
    if isinstance(data, Screened):
        fitted = fit_baselines(data.splits["train"], {"test": data.splits["test"]}, names, progress=progress)
        probabilities = {name: per_split["test"] for name, per_split in fitted.items()}
    else:
        probabilities = fold_baselines([fold.splits for fold in folds], names, progress=progress)
    found = {}
    for name, rows in probabilities.items():
        predicted = rows.argmax(1)
        values = {
            "accuracy": accuracy(gold, predicted),
            "macro_f1": macro_f1(gold, predicted, n_classes=n_classes),
            "weighted_f1": weighted_f1(gold, predicted, n_classes=n_classes),
            "ece": expected_calibration_error(rows, gold),
        }
        if codes is not None:
            values["cluster_accuracy"] = cluster_accuracy(gold, predicted, codes)
        found[name] = {metric: float(value) for metric, value in values.items()}
    (folder / FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read_baselines(folder: Path) -> dict[str, dict[str, float]]:
    """What `measure_baselines` wrote; empty where it did not."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
