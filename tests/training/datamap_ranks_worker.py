"""Run by `test_datamap_ranks.py` in one process, or in several by accelerate: both modes record two epochs."""

import sys
from pathlib import Path

import tiny
from accelerate import Accelerator
from test_trainer import clips

from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.trainer import DialectTrainer


def main(folder: Path) -> None:
    Accelerator(cpu=True)
    arguments = DialectTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=2,
        batch_size=8,
        per_device_eval_batch_size=5,
        seed=3,
        use_cpu=True,
        disable_tqdm=True,
        logging_steps=2,
        eval_strategy="no",
        save_strategy="steps",
        save_steps=3,
        save_total_limit=None,
        load_best_model_at_end=False,
    )
    recorders = [DatamapsCallback(folder / f"{mode}.parquet", mode) for mode in ("training", "evaluation")]
    model = tiny.model("whisper", seed=3)  # without dropout, which would make processes differ
    trainer = DialectTrainer(model, arguments, tiny.feature_extractor("whisper"), clips(37), callbacks=recorders)
    trainer.train()
    (folder / "world").write_text(str(arguments.world_size))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
