"""Run by `test_ranks.py` in one process, or in several by accelerate: one pass, twenty steps of the trainer and two of
contrastive pre-training, written to files."""

import json
import sys
from pathlib import Path

import tiny
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from test_trainer import clips

from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.fit import freeze
from hf_dialects.training.trainer import DialectTrainer

OPTIONS = {"class_weights": [1.0, 2.0, 3.0], "objective": "supcon", "projection_size": 8, "contrastive_weight": 0.7}


def one_pass(accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """Loss and gradients of a global batch of 9 with mixing and soft targets; ranks take 4 and 5."""
    model = tiny.model("whisper", **OPTIONS).train()
    assert not any(one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)), (
        "dropout would make ranks differ"
    )
    rank, world = accelerator.process_index, accelerator.num_processes
    mine = slice(rank * 9 // world, (rank + 1) * 9 // world)
    waveforms = [tiny.waveform(0.4 + 0.1 * row, row) for row in range(9)]
    batch = extract(tiny.feature_extractor("whisper"), waveforms[mine])
    soft = torch.nn.functional.one_hot(torch.arange(9) % 3, 3) * 0.7 + 0.1
    rows = torch.arange(9)[mine]
    # every row is mixed with the one before it; rows 0 and 4, which may have none on their rank, are partners only
    index = torch.where((rows == 0) | (rows == 4), -1, rows - 1 - mine.start)
    wrapped = accelerator.prepare(model)
    output = wrapped(**batch, labels=soft[mine], mixup_index=index, mixup_weight=torch.full((len(index),), 0.6))
    accelerator.backward(output.loss)
    value = accelerator.reduce(output.loss.detach(), reduction="mean")
    gradients = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return {"loss": value.reshape(1)} | gradients


def twenty_steps(folder: Path) -> tuple[dict[str, torch.Tensor], list]:
    arguments = DialectTrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=20,
        batch_size=8,
        sampler="balanced",
        seed=3,
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=5,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    model = tiny.model("whisper", seed=3, **OPTIONS)
    trainer = DialectTrainer(model, arguments, tiny.feature_extractor("whisper"), clips(37))
    trainer.train()
    return dict(model.named_parameters()), [line["loss"] for line in trainer.state.log_history if "loss" in line]


def pretraining(folder: Path) -> dict[str, float]:
    """Two steps without a classification loss, the second without a contrastive one either; the validation values."""
    arguments = DialectTrainingArguments(
        output_dir=str(folder / "pretraining"),
        max_steps=2,
        batch_size=8,
        sampler="balanced",
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
        load_best_model_at_end=False,
        metric_for_best_model="contrastive",
    )
    model = tiny.model("whisper", objective="supcon", projection_size=8, cross_entropy_weight=0)
    freeze(model, arguments)
    train = clips(16)
    train.labels[:] = [0] * 14 + [1, 1]  # the second batch holds one dialect
    trainer = DialectTrainer(model, arguments, tiny.feature_extractor("whisper"), train, clips(15, training=False))
    trainer.train()
    return {name: value for name, value in trainer.evaluate().items() if name == "eval_contrastive"}


def main(folder: Path) -> None:
    accelerator = Accelerator(cpu=True)
    passed = one_pass(accelerator)
    parameters, losses = twenty_steps(folder)
    values = pretraining(folder)
    if accelerator.is_main_process:
        save_file({name: one.detach().contiguous() for name, one in passed.items()}, folder / "pass.safetensors")
        save_file(
            {name: one.detach().contiguous() for name, one in parameters.items()}, folder / "parameters.safetensors"
        )
        (folder / "losses.json").write_text(json.dumps({"world": accelerator.num_processes, "losses": losses} | values))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
