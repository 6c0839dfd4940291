"""Training dynamics as a table: how probable the gold dialect of every recording was, epoch by epoch."""

from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.disk import whole_file
from hf_dialects.errors import CheckpointError

DYNAMICS = "dynamics.parquet"
TRAINING, EVALUATION, OUT_OF_FOLD = MODES = ("training", "evaluation", "out_of_fold")
TYPES = {"id": "str", "epoch": "int32", "gold": "int32", "probability": "float32", "correct": bool, "mode": "str"}


def read_dynamics(path: str | Path) -> pd.DataFrame:
    """The dynamics of a run.

    Args:
        path: the file, or the folder of a run that recorded them.

    Returns:
        one row per recording and epoch it was seen in, sorted by (epoch, id): "id", "epoch" (int32, from 0), "gold"
        (int32 class), "probability" (float32, of the gold class), "correct" (bool, whether it is the likeliest) and
        "mode" ("training", "evaluation" or "out_of_fold").

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    path = Path(path)
    file = path / DYNAMICS if path.is_dir() else path
    if not file.is_file():
        stages = sorted(found.parent.name for found in path.glob(f"*/{DYNAMICS}")) if path.is_dir() else []
        advice = f"name its folder {', '.join(stages)}" if stages else "train with training.record_dynamics=training"
        raise CheckpointError(f"{file} does not exist: the run recorded no training dynamics; {advice}")
    try:
        frame = pd.read_parquet(file)
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise CheckpointError(f"{file} cannot be read ({error}); record it anew") from error
    return check_dynamics(frame, str(file))


def write_dynamics(frame: pd.DataFrame, path: str | Path) -> None:
    """Write what `read_dynamics` reads. The file is whole or not there, also where the process is killed."""
    with whole_file(path) as unfinished:
        check_dynamics(frame, str(path)).to_parquet(unfinished, index=False)


def check_dynamics(frame: pd.DataFrame, where: str = "the table") -> pd.DataFrame:
    """The columns of `read_dynamics` in their types and order.

    Raises:
        CheckpointError: a column is missing, a probability is none, or a recording is there twice in an epoch.
    """
    if missing := [name for name in TYPES if name not in frame.columns]:
        raise CheckpointError(
            f"{where} has no column {', '.join(missing)}; training dynamics have {', '.join(TYPES)}. Record it anew"
        )
    for name in TYPES:
        if frame[name].isna().any():
            raise CheckpointError(f"{where} has rows without {name}; record it anew")
    try:
        frame = frame[list(TYPES)].astype(TYPES)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where} holds values of another type ({error}); record it anew") from error
    frame = frame.reset_index(drop=True)
    if not _ascends(frame):
        frame = frame.sort_values(["epoch", "id"], ignore_index=True)
        again = frame.duplicated(["epoch", "id"])
        if again.any():
            row = frame[again].iloc[0]
            raise CheckpointError(f"{where} holds {row['id']} twice in epoch {row['epoch']}; record it anew")
    wrong = ~frame["probability"].between(0, 1 + 1e-6).to_numpy()
    if wrong.any():
        row = frame.iloc[int(np.flatnonzero(wrong)[0])]
        raise CheckpointError(
            f"{where} gives {row['id']} in epoch {row['epoch']} the probability {row['probability']}; "
            "it must be between 0 and 1"
        )
    if unknown := sorted(set(frame["mode"].unique()) - set(MODES)):
        raise CheckpointError(f"{where} has the mode {unknown[0]!r}; it must be {', '.join(MODES)}")
    return frame


def _ascends(frame: pd.DataFrame) -> bool:
    """Whether every row comes after the one before; millions of names are compared faster than sorted."""
    epoch, id = frame["epoch"].to_numpy(), frame["id"].array
    later, same = epoch[1:] > epoch[:-1], epoch[1:] == epoch[:-1]
    return bool((later | (same & np.asarray(id[1:] > id[:-1], dtype=bool))).all())
