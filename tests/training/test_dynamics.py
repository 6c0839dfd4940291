"""Training dynamics on disk: written whole, read sorted, and what is damaged is told."""

import numpy as np
import pandas as pd
import pytest

from hf_dialects.errors import CheckpointError
from hf_dialects.training.dynamics import check_dynamics, read_dynamics, write_dynamics


def table(**changes) -> pd.DataFrame:
    columns = {"id": ["b", "a", "a"], "epoch": [0, 1, 0], "gold": [1, 0, 0], "probability": [0.25, 0.5, 1.0]}
    return pd.DataFrame(columns | {"correct": [False, True, True], "mode": "training"} | changes)


def test_a_table_is_written_whole_and_read_sorted(tmp_path):
    write_dynamics(table(), tmp_path / "run" / "dynamics.parquet")
    for path in (tmp_path / "run", tmp_path / "run" / "dynamics.parquet"):
        found = read_dynamics(path)
        assert list(zip(found["id"], found["epoch"], strict=True)) == [("a", 0), ("b", 0), ("a", 1)]
        assert found["probability"].tolist() == [1.0, 0.25, 0.5]
        assert found.dtypes.astype(str).tolist()[1:5] == ["int32", "int32", "float32", "bool"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["dynamics.parquet"]


def test_no_dynamics(tmp_path):
    with pytest.raises(CheckpointError, match=r"recorded no training dynamics; train with training.record_dynamics="):
        read_dynamics(tmp_path)
    write_dynamics(table(), tmp_path / "stage-1-plain" / "dynamics.parquet")
    with pytest.raises(CheckpointError, match=r"name its folder stage-1-plain"):
        read_dynamics(tmp_path)


def test_damaged_dynamics(tmp_path):
    path = tmp_path / "dynamics.parquet"
    write_dynamics(table(), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r"dynamics.parquet cannot be read .*record it anew"):
        read_dynamics(path)
    table().drop(columns=["gold", "mode"]).to_parquet(path)
    with pytest.raises(CheckpointError, match=r"has no column gold, mode; training dynamics have id, epoch"):
        read_dynamics(path)
    for changes, message in (
        ({"probability": [0.5, 1.5, 0.0]}, r"gives a in epoch 1 the probability 1.5; it must be between 0 and 1"),
        ({"probability": [0.5, np.nan, 0.0]}, r"has rows without probability"),
        ({"probability": ["x", "y", "z"]}, r"values of another type"),
        ({"epoch": [0, 0, 0]}, r"holds a twice in epoch 0"),
        ({"mode": "guessed"}, r"has the mode 'guessed'; it must be training, evaluation, out_of_fold"),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_dynamics(table(**changes))
