"""Run by `test_mapmix_ranks.py` in one process, or in several by accelerate: the first global batch of two kinds of
mixing, eight steps of each, written to files."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from test_mapmix import QUICK, trainer

from hf_dialects.training.datamaps_callback import DatamapsCallback

KINDS = {
    "map_mix": {"mixup": "ambiguous_easy", "targets": "confidence", "batch_size": 4},
    "random": {"mixup": "random", "mixup_weight_per": "pair", "batch_size": 9},
}


def first_batch(one) -> dict[str, torch.Tensor]:
    """Loss and gradients of the first global batch."""
    network = one.model.train()
    wrapped = one.accelerator.prepare(network)
    loss = one.compute_loss(wrapped, next(iter(one.get_train_dataloader())))
    one.accelerator.backward(loss)
    value = one.accelerator.reduce(loss.detach(), reduction="mean")
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
    return {"loss": value.reshape(1)} | gradients


def main(folder: Path) -> None:
    for kind, options in KINDS.items():
        passed = first_batch(trainer(folder / "pass", **options, **QUICK))
        recorder = DatamapsCallback(folder / f"{kind}.parquet")
        one = trainer(folder / kind, callbacks=[recorder], max_steps=8, learning_rate=1e-3, **options, **QUICK)
        one.train()
        log = [line for line in one.state.log_history if "loss" in line]
        if one.is_world_process_zero():
            save_file({name: value.contiguous() for name, value in passed.items()}, folder / f"{kind}-pass.safetensors")
            parameters = {name: value.detach().contiguous() for name, value in one.model.named_parameters()}
            save_file(parameters, folder / f"{kind}-parameters.safetensors")
            content = {name: [line[name] for line in log] for name in ("loss", "encoded_examples")}
            (folder / f"{kind}.json").write_text(json.dumps(content | {"world": one.args.world_size}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
