"""Small finished runs with training dynamics, for tests of data maps: recordings are real, dynamics are drawn."""

import json
from pathlib import Path

import finished
import numpy as np
import pandas as pd

from hf_dialects.data.load import load_corpus
from hf_dialects.data.split_folder import join_splits
from hf_dialects.training.dynamics import write_dynamics

EPOCHS = 5
WRONG = ("audio/train-0-0-1", "audio/test-2-1-3")  # whose labels the models of the folds do not believe


def mapped_run(folder: Path, corpus: Path) -> Path:
    """A run with a data map of its 32 training recordings."""
    finished.run(folder, corpus)
    train = load_corpus(corpus)["train"]
    rows = [row for row, id in enumerate(train["id"]) if id != "audio/broken"]
    add_dynamics(folder, train.select(rows), "training")
    return folder


def folded_run(folder: Path, corpus: Path) -> Path:
    """A run by folds with an out-of-fold map of all 96 recordings, whose answers are right but for `WRONG`."""
    finished.run(folder, corpus)
    for number in range(3):
        (folder / f"fold-{number}").mkdir()
    whole = join_splits(load_corpus(corpus))
    whole = whole.select([row for row, id in enumerate(whole["id"]) if id != "audio/broken"])
    found = finished.answers(whole, 4, skill=4.0, seed=1)
    for id in WRONG:
        row = found.ids.index(id)
        found.probabilities[row] = np.full(4, 0.01)
        found.probabilities[row, (found.gold[row] + 1) % 4] = 0.97
    found.write(folder / "predictions" / "test.parquet")
    add_dynamics(folder, whole, "out_of_fold", wrong=WRONG)
    return folder


def add_dynamics(folder: Path, rows, mode: str, wrong: tuple[str, ...] = ()) -> None:
    """Rising, falling and swinging gold probabilities; those of `wrong` stay low."""
    ids, gold = list(rows["id"]), list(rows["dialect"])
    draw = np.random.default_rng(7)
    kind = draw.integers(3, size=len(ids))
    table = []
    for number, (id, label) in enumerate(zip(ids, gold, strict=True)):
        for epoch in range(EPOCHS):
            level = (0.9, 0.5 + 0.4 * (-1) ** epoch, 0.25)[kind[number]] if id not in wrong else 0.03
            probability = float(np.clip(level + 0.02 * draw.normal(), 0, 1))
            table.append((id, epoch, label, probability, probability > 0.5, mode))
    write_dynamics(frame(table), folder / "dynamics.parquet")


def large_run(folder: Path, n: int, n_classes: int = 14) -> Path:
    """A run folder with nothing but a data map of n recordings and the names of the dialects."""
    draw = np.random.default_rng(0)
    level, swing = draw.beta(1, 0.6, size=n), draw.uniform(0, 0.4, size=n)
    parts = []
    for epoch in range(EPOCHS):
        probability = np.clip(level + swing * draw.normal(size=n), 0, 1)
        columns = {"id": [f"clip-{number:06d}" for number in range(n)], "epoch": epoch}
        columns |= {"gold": np.arange(n) % n_classes, "probability": probability, "correct": probability > 0.5}
        parts.append(pd.DataFrame(columns | {"mode": "training"}))
    write_dynamics(pd.concat(parts), folder / "dynamics.parquet")
    (folder / "model").mkdir()
    names = {str(number): f"dialect {number}" for number in range(n_classes)}
    (folder / "model" / "config.json").write_text(json.dumps({"id2label": names}), encoding="utf-8")
    return folder


def frame(rows) -> pd.DataFrame:
    """Dynamics from (id, epoch, gold, probability, correct, mode)."""
    return pd.DataFrame(rows, columns=["id", "epoch", "gold", "probability", "correct", "mode"])
