"""Mixing in two processes equals one: loss, gradients, parameters, dynamics, and what is encoded."""

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from test_ranks import largest_difference
from worlds import run_worlds

from hf_dialects.training.dynamics import read_dynamics

KINDS = ("map_mix", "random")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return run_worlds(Path(__file__).with_name("mapmix_ranks_worker.py"), tmp_path_factory)


def log(folder: Path, kind: str) -> dict:
    return json.loads((folder / f"{kind}.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_of_one_global_batch(folders, kind):
    """The second kind has slices of four and five."""
    one, two = (folders[world] / f"{kind}-pass.safetensors" for world in (1, 2))
    assert [log(folders[world], kind)["world"] for world in (1, 2)] == [1, 2]
    assert max(value.abs().max().item() for name, value in load_file(one).items() if name != "loss") > 0.01
    assert largest_difference(one, two) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_logged_losses_after_eight_steps(folders, kind):
    assert largest_difference(*(folders[world] / f"{kind}-parameters.safetensors" for world in (1, 2))) < 1e-4
    one, two = (log(folders[world], kind)["loss"] for world in (1, 2))
    assert len(one) == 8
    assert one == pytest.approx(two, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_encoded_examples_count_all_processes(folders, kind):
    one, two = (log(folders[world], kind)["encoded_examples"] for world in (1, 2))
    if kind == "random":  # 21 examples in batches of 7, and one more for each of two slices
        assert one == [7 * step for step in range(1, 9)]
        assert two == [9 * step for step in range(1, 9)]
    else:
        assert all(own <= other for own, other in zip(one, two, strict=True)), "a partner of both slices counts twice"
        assert two[-1] <= 2 * 28, "7 ambiguous examples four times, each with one partner"


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_dynamics(folders, kind):
    one, two = (read_dynamics(folders[world] / f"{kind}.parquet") for world in (1, 2))
    pd.testing.assert_frame_equal(one, two, atol=1e-4)
