"""A running mean of the weights: exact, saved with checkpoints, resumed, and read between two of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_trainer import trainer
from torch import nn

from hf_dialects.errors import CheckpointError
from hf_dialects.training.averaged_weights import (
    AVERAGED_WEIGHTS,
    AveragedWeights,
    load_averaged,
    read_averaged,
)

EVERY_STEP = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "no", "load_best_model_at_end": False}
EVERY_STEP |= {"save_total_limit": None}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Checkpoints after each of six steps; the mean is taken after every second one."""
    folder = tmp_path_factory.mktemp("run")
    trainer(folder, average_weights_every=2, learning_rate=0.01, **EVERY_STEP).train()
    return folder


def checkpoint(run: Path, step: int) -> Path:
    return run / f"checkpoint-{step}"


def mean_of(run: Path, *steps: int) -> dict[str, torch.Tensor]:
    weights = [load_file(checkpoint(run, step) / "model.safetensors") for step in steps]
    return {name: torch.stack([one[name].double() for one in weights]).mean(0) for name in weights[0]}


def check_same(found: dict, expected: dict, **tolerance) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name].double(), **tolerance)


def test_it_is_the_mean_of_the_weights_at_those_steps(run):
    check_same(read_averaged(checkpoint(run, 6)), mean_of(run, 2, 4, 6), rtol=1e-12, atol=1e-14)
    check_same(read_averaged(checkpoint(run, 5)), mean_of(run, 2, 4), rtol=1e-12, atol=1e-14)
    changed = mean_of(run, 2, 4, 6)
    assert any(not torch.equal(changed[name], value) for name, value in mean_of(run, 2, 4).items())


def test_before_the_first_update_it_is_where_the_training_began(run, tmp_path):
    first = trainer(tmp_path, average_weights_every=2)
    expected = {name: value for name, value in first.model.state_dict().items() if value.is_floating_point()}
    check_same(read_averaged(checkpoint(run, 1)), expected, rtol=0, atol=0)


def test_between_two_checkpoints(run):
    found = read_averaged(checkpoint(run, 6), since=checkpoint(run, 3))
    check_same(found, mean_of(run, 4, 6), rtol=1e-10, atol=1e-12)
    with pytest.raises(
        CheckpointError, match=r"checkpoint-4 holds a mean of 2 weights and .*-5 one of 2; name a later"
    ):
        read_averaged(checkpoint(run, 4), since=checkpoint(run, 5))


@pytest.mark.parametrize("step", [1, 3, 4])
def test_resuming_equals_not_stopping(run, tmp_path, step):
    again = trainer(tmp_path, average_weights_every=2, learning_rate=0.01, **EVERY_STEP)
    again.train(resume_from_checkpoint=str(checkpoint(run, step)))
    for name in ("model.safetensors", AVERAGED_WEIGHTS):
        check_same(load_file(tmp_path / "checkpoint-6" / name), load_file(run / "checkpoint-6" / name), rtol=0, atol=0)


def test_a_second_training_starts_a_new_mean(tmp_path):
    one = trainer(tmp_path, epochs=1, average_weights_every=1, **(EVERY_STEP | {"save_strategy": "no"}))
    one.train()
    one.train()
    (callback,) = [found for found in one.callback_handler.callbacks if isinstance(found, AveragedWeights)]
    assert callback.updates == 3


def test_a_model_takes_the_mean(run, tmp_path):
    one, mean = trainer(tmp_path).model, read_averaged(checkpoint(run, 6))
    load_averaged(one, mean)
    name, weight = next(iter(one.named_parameters()))
    torch.testing.assert_close(weight.detach(), mean[name].float())
    with pytest.raises(CheckpointError, match=r"averaged weights are of another model: .* names differ, such as '"):
        load_averaged(nn.Linear(2, 2), mean)


def test_shared_weights_and_buffers():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    state = type("State", (), {"is_world_process_zero": True, "global_step": 1})()
    callback = AveragedWeights(every=1)
    callback.on_train_begin(None, state, None, model=model)
    model(torch.randn(4, 3))
    callback.on_step_end(None, state, None, model=model)
    assert set(callback.mean) == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    torch.testing.assert_close(callback.mean["1.running_mean"].float(), model[1].running_mean)


def test_a_checkpoint_without_a_mean_and_a_broken_one(run, tmp_path):
    plain = trainer(tmp_path / "plain", epochs=1, **(EVERY_STEP | {"save_steps": 3}))
    plain.train()
    one = trainer(tmp_path / "again", average_weights_every=2, **EVERY_STEP)
    message = f"holds no {AVERAGED_WEIGHTS}: it was trained without training.average_weights_every"
    with pytest.raises(CheckpointError, match=message):
        one.train(resume_from_checkpoint=str(tmp_path / "plain" / "checkpoint-3"))
    (tmp_path / AVERAGED_WEIGHTS).write_bytes((checkpoint(run, 6) / AVERAGED_WEIGHTS).read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="the file is truncated or corrupt; copy it again"):
        read_averaged(tmp_path)
