"""Baselines of a split, fitted once for all runs on it."""

import json
from collections.abc import Sequence
from pathlib import Path

from hf_dialects.evaluation.baselines import fit_baselines
from hf_dialects.metrics import accuracy, macro_f1
from hf_dialects.training.screened import Screened

FILE = "baselines.json"


def measure_baselines(data: Screened, names: Sequence[str], folder: Path, progress: bool = True) -> None:
    """Write baselines.json, unless it is there: name → accuracy and macro F1 on the test split."""
    if not names or (folder / FILE).is_file():
        return
    test = data.splits["test"]
    gold, n_classes = list(test["dialect"]), len(data.labels)
    found = {}
    for name, per_split in fit_baselines(data.splits["train"], {"test": test}, names, progress=progress).items():
        predicted = per_split["test"].argmax(1)
        found[name] = {
            "accuracy": float(accuracy(gold, predicted)),
            "macro_f1": float(macro_f1(gold, predicted, n_classes=n_classes)),
        }
    (folder / FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read_baselines(folder: Path) -> dict[str, dict[str, float]]:
    """What `measure_baselines` wrote; empty where it did not."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
