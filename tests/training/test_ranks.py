"""Two processes equal one with the same global batches: loss, gradients, parameters, logged values."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from worlds import run_worlds


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = run_worlds(Path(__file__).with_name("ranks_worker.py"), tmp_path_factory)
    for world, folder in found.items():
        assert json.loads((folder / "losses.json").read_text())["world"] == world
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
