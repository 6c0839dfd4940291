"""Checkpoints of icefall, read as weights and plain values: no code that a file names is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hf_dialects.errors import CheckpointError

Weights = Mapping[str, torch.Tensor]
WRAPPER = "module."  # before every name where a model was saved inside DistributedDataParallel
EXPECTED = "epoch-*.pt, checkpoint-*.pt, pretrained.pt or a state dict of icefall's recipe zipformer/ is expected"


@dataclass(frozen=True)
class IcefallCheckpoint:
    """What a file holds.

    Attributes:
        path: of the file.
        weights: of the model after the last batch.
        average: float64, their mean over all batches of the training; None where the file has none.
        settings: the rest, such as options and counters of the training.
    """

    path: Path
    weights: Weights
    average: Weights | None = None
    settings: dict = field(default_factory=dict)


class Ignored:
    """Stands for an object of any class that is neither a tensor nor a plain value: a path, the state of a sampler."""

    def __new__(cls, *_):
        return super().__new__(cls)

    def __setstate__(self, _):
        pass


def read_checkpoint(path: str | Path) -> IcefallCheckpoint:
    """Read a file that icefall's training or export wrote, or a bare state dict, also of safetensors.

    Tensors stay in the file until they are used, as long as they are of the type that is asked for.

    Raises:
        CheckpointError: there is no such file, it is cut short, or it holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is no file: {EXPECTED}")
    content = _safetensors(path) if path.suffix == ".safetensors" else _unpickled(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__}: {EXPECTED}")
    if "model" not in content:
        return IcefallCheckpoint(path, _state_dict(content, path))
    settings = {name: value for name, value in content.items() if name not in ("model", "model_avg")}
    average = content.get("model_avg")
    return IcefallCheckpoint(
        path,
        _state_dict(content["model"], path),
        None if average is None else _state_dict(average, path),
        settings,
    )


def averaged(last: IcefallCheckpoint, first: IcefallCheckpoint | None = None) -> dict[str, torch.Tensor]:
    """Mean of the weights over the training, or over what came after an earlier checkpoint of it: float32.

    icefall's running means m after n batches give that of the last ones: (n m - n₀ m₀) / (n - n₀), computed in float64.

    Raises:
        CheckpointError: a checkpoint has no running mean or no count of batches, or they are not of one training.
    """
    for checkpoint in (last, first):
        if checkpoint is not None and checkpoint.average is None:
            raise CheckpointError(f"{checkpoint.path} has no averaged weights (model_avg): leave the average out")
    if first is None:
        return {name: mean.float() for name, mean in last.average.items()}
    n_first, n_last = (checkpoint.settings.get("batch_idx_train") for checkpoint in (first, last))
    if not (isinstance(n_first, int) and isinstance(n_last, int) and 0 <= n_first < n_last):
        raise CheckpointError(
            f"{first.path} was saved after {n_first} batches, {last.path} after {n_last}: the mean is taken from the "
            "first to the second, which must be later in the same training"
        )
    found = {}
    for name, mean in last.average.items():
        before = first.average.get(name)
        if before is None or before.shape != mean.shape:
            raise CheckpointError(f"{first.path} and {last.path} are of different models: {name} differs")
        found[name] = ((n_last * mean.double() - n_first * before.double()) / (n_last - n_first)).float()
    return found


def _safetensors(path: Path) -> Weights:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read ({error}): it is cut short or no safetensors file") from error


def _unpickled(path: Path) -> object:
    try:
        classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(Ignored, name) for name in classes]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises what its reader and unpickler meet
        raise CheckpointError(
            f"{path} cannot be read as weights ({_reason(error)}): it is cut short, was not written by torch.save, is "
            f"a TorchScript archive, or names code, which is never run. {EXPECTED}"
        ) from error


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _state_dict(content: object, path: Path) -> Weights:
    if not isinstance(content, Mapping) or not content:
        found = "nothing" if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(f"{path} holds {found} where names and tensors should be: {EXPECTED}")
    others = [
        str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))
    ]
    if others:
        raise CheckpointError(
            f"{path} is no state dict: {len(others)} of {len(content)} entries are no tensors, the first: "
            f"{', '.join(others[:3])}. {EXPECTED}"
        )
    if all(name.startswith(WRAPPER) for name in content):
        return {name.removeprefix(WRAPPER): tensor for name, tensor in content.items()}
    return content
