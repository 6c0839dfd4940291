"""Two processes record the dynamics that one does, each recording once."""

from pathlib import Path

import numpy as np
import pytest
from worlds import run_worlds

from hf_dialects.training.dynamics import read_dynamics


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = run_worlds(Path(__file__).with_name("datamap_ranks_worker.py"), tmp_path_factory)
    assert {world: (folder / "world").read_text() for world, folder in found.items()} == {1: "1", 2: "2"}
    return found


@pytest.mark.parametrize("name", ["training.parquet", "evaluation.parquet"])
def test_the_map_of_two_processes_is_that_of_one(folders, name):
    one, two = (read_dynamics(folders[world] / name) for world in (1, 2))
    assert len(one) == 2 * 37
    for column in ("id", "epoch", "gold", "mode"):
        assert one[column].equals(two[column])
    assert np.abs(one["probability"] - two["probability"]).max() < 1e-4
    clear = (one["probability"] - 0.5).abs() > 1e-4  # a tie may fall either way
    assert one["correct"][clear].equals(two["correct"][clear])
    assert one["probability"].nunique() > 37, "the epochs differ"


def test_checkpoints_of_two_processes_hold_partly_recorded_epochs(folders):
    one, two = (read_dynamics(folders[world] / "checkpoint-3" / "training.parquet") for world in (1, 2))
    assert 0 < len(one) < 37
    assert one["id"].equals(two["id"])
