"""A running mean of the weights, kept while a model is trained."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from hf_dialects.disk import whole_file
from hf_dialects.errors import CheckpointError

__all__ = ["AVERAGED_WEIGHTS", "AveragedWeights", "load_averaged", "read_averaged"]

AVERAGED_WEIGHTS = "averaged_weights.safetensors"


class AveragedWeights(TrainerCallback):
    """Mean of the weights after every `every` steps since the start, in float64 on the CPU of the first process.

    Checkpoints of `DialectTrainer` hold it in `averaged_weights.safetensors`; a resumed run goes on with it. The mean
    over the steps between two checkpoints, which leaves out the start, is `read_averaged(last, first)`.

    Attributes:
        mean: name → tensor, parameters and floating buffers; the initial weights before the first update.
        updates: how many weights it is the mean of.
    """

    def __init__(self, every: int = 200):
        self.every, self.updates = every, 0
        self.mean: dict[str, torch.Tensor] = {}
        self._resumed = False

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:
        if self._resumed or not state.is_world_process_zero:
            self._resumed = False
            return
        self.updates, self.mean = 0, {name: _copy(value) for name, value in _averageable(model).items()}

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step % self.every or not state.is_world_process_zero:
            return
        self.updates += 1
        for name, value in _averageable(model).items():
            self.mean[name].lerp_(_copy(value), 1 / self.updates)

    def save(self, folder: str | Path, state) -> None:
        """Put the mean into a checkpoint."""
        if state.is_world_process_zero:
            with whole_file(Path(folder) / AVERAGED_WEIGHTS) as file:
                save_file(self.mean, file, metadata={"updates": str(self.updates)})

    def resume(self, folder: str | Path) -> None:
        """Go on from what a checkpoint holds.

        Raises:
            CheckpointError: it holds no mean.
        """
        self.mean, self.updates = _read(folder)
        self._resumed = True


def read_averaged(folder: str | Path, since: str | Path | None = None) -> dict[str, torch.Tensor]:
    """Mean of the weights up to a checkpoint: name → float64 tensor.

    Args:
        since: an earlier checkpoint of the same run, up to which weights do not count.

    Raises:
        CheckpointError: no mean in a checkpoint, or none was added between the two.
    """
    mean, updates = _read(folder)
    if since is None:
        return mean
    earlier, left_out = _read(since)
    if updates <= left_out:
        raise CheckpointError(
            f"{folder} holds a mean of {updates} weights and {since} one of {left_out}; name a later checkpoint first"
        )
    weight = updates / (updates - left_out)
    return {name: weight * value - (weight - 1) * earlier[name] for name, value in mean.items()}


@torch.no_grad()
def load_averaged(model: nn.Module, mean: dict[str, torch.Tensor]) -> None:
    """Give a model the weights of `read_averaged`.

    Raises:
        CheckpointError: the names are not those of the model.
    """
    values = _averageable(model)
    if other := sorted(values.keys() ^ mean.keys()):
        raise CheckpointError(
            f"the averaged weights are of another model: {len(other)} names differ, such as {other[0]!r}"
        )
    for name, value in values.items():
        value.copy_(mean[name])


def _averageable(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and floating buffers; what two modules share comes once."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach() for name, value in named if value.is_floating_point()}


def _copy(value: torch.Tensor) -> torch.Tensor:
    return value.to("cpu", torch.float64, copy=True).contiguous()


def _read(folder: str | Path) -> tuple[dict[str, torch.Tensor], int]:
    path = Path(folder) / AVERAGED_WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no {AVERAGED_WEIGHTS}: it was trained without training.average_weights_every. Resume "
            "without it, or train from the start"
        )
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["updates"])  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): the file is truncated or corrupt; copy it again"
        ) from error
