"""Two processes equal one with the same global batches: loss, gradients, parameters, logged values."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

HERE = Path(__file__).parent
LAUNCH = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
LAUNCH += ["--dynamo_backend", "no", "--main_process_port", "0"]


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
            [sys.executable, *command, str(HERE / "ranks_worker.py"), str(found[world])],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr[-3000:]
        assert json.loads((found[world] / "losses.json").read_text())["world"] == world
    return found


def largest_difference(one: Path, other: Path) -> float:
    one, other = load_file(one), load_file(other)
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_loss_and_gradients_of_one_global_batch(folders):
    """Class weights, contrastive term, soft targets, mixing, and slices of unequal size."""
    assert largest_difference(*(folders[world] / "pass.safetensors" for world in (1, 2))) < 1e-5


def test_parameters_after_twenty_steps(folders):
    assert largest_difference(*(folders[world] / "parameters.safetensors" for world in (1, 2))) < 1e-4


def test_logged_losses_are_those_of_the_global_batch(folders):
    one, two = (json.loads((folders[world] / "losses.json").read_text())["losses"] for world in (1, 2))
    assert one == pytest.approx(two, abs=1e-4)
    assert len(one) == 4


def test_validation_value_after_contrastive_pretraining(folders):
    """The classifier is not trained, and one batch holds nothing to contrast: every process has a gradient anyway."""
    one, two = (json.loads((folders[world] / "losses.json").read_text())["eval_contrastive"] for world in (1, 2))
    assert one == pytest.approx(two, abs=1e-4)
