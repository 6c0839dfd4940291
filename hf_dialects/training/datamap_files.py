"""Training dynamics in the files of the data-map community (github.com/allenai/cartography)."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import CorpusError

FOLDER, METRICS = "training_dynamics", "td_metrics.jsonl"
EPOCH_FILE = re.compile(r"dynamics_epoch_(\d+)\.jsonl?")
NEVER_LEARNT = 1000  # forgetfulness of what was never predicted right
LEAST = 1e-30  # JSON has no logarithm of zero


def write_jsonl(dynamics: pd.DataFrame, folder: str | Path, n_classes: int | None = None) -> None:
    """Write FOLDER/training_dynamics/dynamics_epoch_{e}.jsonl, e from 0 without gaps, and FOLDER/td_metrics.jsonl.

    Args:
        dynamics: as `read_dynamics` returns them.
        n_classes: number of logits; None = up to the largest gold class, two at least.

    Raises:
        CorpusError: a gold class beyond them.
    """
    folder = Path(folder)
    largest = int(dynamics["gold"].max())
    n_classes = n_classes or max(2, largest + 1)
    if largest >= n_classes:
        raise CorpusError(f"the dynamics have the gold class {largest}, but {n_classes} labels were given")
    with disk_space(folder, KEPT):
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for number, (_, rows) in enumerate(dynamics.sort_values(["epoch", "id"]).groupby("epoch")):
            values = logits(rows, n_classes).tolist()
            lines = (
                {"guid": guid, f"logits_epoch_{number}": row, "gold": int(gold)}
                for guid, row, gold in zip(rows["id"], values, rows["gold"], strict=True)
            )
            _write(folder / FOLDER / f"dynamics_epoch_{number}.jsonl", lines)
        _write(folder / METRICS, metrics(dynamics).to_dict("records"))


def logits(dynamics: pd.DataFrame, n_classes: int) -> np.ndarray:
    """(N, C) float64 whose softmax gives the gold class its probability and whose largest is the gold class exactly
    where it was: then the others share the rest evenly, else one of them has it all."""
    probability, gold = (dynamics[name].to_numpy() for name in ("probability", "gold"))
    rows = np.arange(len(gold))
    own = np.log(np.clip(probability.astype(np.float64), LEAST, 1))
    rest = np.log(np.clip(1 - np.exp(own), LEAST, 1))
    correct = dynamics["correct"].to_numpy()
    # a tie in float32 goes the way that was recorded
    even = np.minimum(rest - np.log(n_classes - 1), np.nextafter(own, -np.inf))
    found = np.where(correct, even, np.log(LEAST))[:, None].repeat(n_classes, 1)
    other = (gold + 1) % n_classes
    found[rows, other] = np.where(correct, even, np.maximum(rest, np.nextafter(own, np.inf)))
    found[rows, gold] = own
    return found


def metrics(dynamics: pd.DataFrame) -> pd.DataFrame:
    """One row per recording with the columns of td_metrics.jsonl.

    `correctness` counts epochs here. `forgetfulness` (Toneva et al. 2019, arXiv:1812.05159) counts epochs that got
    wrong what the epoch before got right, 1000 for what was never right; `threshold_closeness` is µ (1 - µ).
    """
    frame = dynamics.sort_values(["id", "epoch"])
    correct = frame["correct"].to_numpy()
    follows = frame["id"].to_numpy() == np.roll(frame["id"].to_numpy(), 1)
    follows[0] = False
    frame = frame.assign(
        probability=frame["probability"].astype(np.float64), forgotten=follows & np.roll(correct, 1) & ~correct
    )
    grouped = frame.groupby("id", sort=True)
    confidence = grouped["probability"].mean()
    count = grouped["correct"].sum().astype(int)
    table = pd.DataFrame(
        {
            "guid": confidence.index,
            "index": range(len(confidence)),
            "threshold_closeness": (confidence * (1 - confidence)).to_numpy(),
            "confidence": confidence.to_numpy(),
            "variability": grouped["probability"].std(ddof=0).to_numpy(),
            "correctness": count.to_numpy(),
        }
    )
    forgotten = grouped["forgotten"].sum().astype(int)
    return table.assign(forgetfulness=forgotten.where(count > 0, NEVER_LEARNT).to_numpy())


def read_jsonl(folder: str | Path, mode: str) -> pd.DataFrame:
    """Dynamics, as `read_dynamics` returns them, of FOLDER/training_dynamics/dynamics_epoch_{e}.jsonl (or .json).

    Args:
        folder: that folder, or training_dynamics itself.
        mode: how the logits were recorded, which the files do not say.

    Raises:
        CorpusError: there are none, or a line is damaged.
    """
    folder = Path(folder)
    inner = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    files = {path: match for path in sorted(inner.glob("*")) if (match := EPOCH_FILE.fullmatch(path.name))}
    rows = [row for path, match in files.items() for row in _rows(path, int(match[1]))]
    if not rows:
        raise CorpusError(f"{inner} holds no training dynamics; files dynamics_epoch_0.jsonl, … are expected")
    frame = pd.DataFrame(rows, columns=["id", "epoch", "gold", "probability", "correct"])
    again = frame.duplicated(["epoch", "id"])
    if again.any():
        row = frame[again].iloc[0]
        raise CorpusError(f"{inner} holds {row['id']} twice in epoch {row['epoch']}")
    return frame.assign(mode=mode)


def _rows(path: Path, epoch: int):
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                values = np.array(record[f"logits_epoch_{epoch}"], dtype=np.float64)
                guid, gold = str(record["guid"]), int(record["gold"])
            except (ValueError, KeyError, TypeError) as error:
                raise CorpusError(
                    f'{path}, line {number} is not {{"guid", "logits_epoch_{epoch}", "gold"}}: '
                    f"{type(error).__name__} {error}"
                ) from error
            if values.ndim != 1 or not 0 <= gold < len(values) or not np.isfinite(values).all():
                raise CorpusError(f"{path}, line {number}: the gold class {gold} does not fit its logits {values}")
            yield guid, epoch, gold, softmax(values)[gold], int(values.argmax()) == gold


def _write(path: Path, lines) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
