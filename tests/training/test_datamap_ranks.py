"""Two processes record the dynamics that one does, each recording once."""

import os
import subprocess
import sys

import numpy as np
import pytest
from test_ranks import HERE, LAUNCH

from hf_dialects.training.dynamics import read_dynamics


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    environment = os.environ | {
        "PYTHONPATH": f"{HERE}:{HERE.parent}",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    found = {}
    for world, command in {1: [], 2: ["-m", "accelerate.commands.launch", *LAUNCH]}.items():
        found[world] = tmp_path_factory.mktemp(f"world-{world}")
        run = subprocess.run(
            [sys.executable, *command, str(HERE / "datamap_ranks_worker.py"), str(found[world])],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-3000:]
        assert (found[world] / "world").read_text() == str(world)
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
