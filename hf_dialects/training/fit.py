"""One training: splits and a recipe in, `model/`, `history.json` and `checkpoints/` out."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, set_seed

from hf_dialects.data.augment import WaveformAugment
from hf_dialects.data.clips import Clips
from hf_dialects.data.spectral_augment import SpectralAugment
from hf_dialects.disk import disk_space
from hf_dialects.errors import RecipeError
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.saving import save_for_hub
from hf_dialects.training.alignment import AlignmentTrainer
from hf_dialects.training.arguments import DialectTrainingArguments, arguments_of
from hf_dialects.training.build import build_model
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.dynamics import DYNAMICS, OUT_OF_FOLD
from hf_dialects.training.mapmix import MapMixTrainer, like_ambiguous_easy, load_map, mixes
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.screened import Screened
from hf_dialects.training.similarity import learnt_confidence_labels
from hf_dialects.training.trainer import DialectTrainer

CHECKPOINT, STATE = "checkpoint-", "trainer_state.json"
CONTRASTIVE = "contrastive"


def fit(
    data: Screened,
    recipe: Recipe,
    run_dir: Path,
    progress: bool = True,
    callbacks: tuple = (),
    prepare: Callable[[PreTrainedModel], None] | None = None,
) -> bool:
    """Train, resuming from the last checkpoint in the folder; writes model/ and history.json, and dynamics.parquet
    where the recipe records training dynamics.

    Args:
        prepare: changes the new model before it is trained.

    Returns:
        whether this is the process that goes on with the evaluation.
    """
    arguments = training_arguments(recipe, run_dir, progress)
    recorders = recorders_of(arguments, run_dir)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if recipe.model.get("cross_entropy_weight", 1) == 0 and recipe.model.get("objective") is None:
        raise RecipeError("model.cross_entropy_weight is 0 and no model.objective is set, so there is nothing to learn")
    split, kind, options = data.splits["train"], DialectTrainer, {}
    if arguments.train_subset:
        split = split.select(like_ambiguous_easy(load_map(arguments), list(split["id"]), arguments))
    if arguments.align:
        kind = AlignmentTrainer
    elif mixes(arguments):
        kind = MapMixTrainer
        if arguments.targets == "confidence":
            options["confidence"] = learnt_confidence_labels(arguments, data, recipe, run_dir, progress)
    set_seed(recipe.seed)
    weights = class_weights(data) if arguments.balance_classes else None
    model, extractor = build_model(recipe.model, data.labels, data.clusters, weights)
    if prepare is not None:
        prepare(model)
    if arguments.align:
        model = model.base_model  # there is no classifier to train
    freeze(model, arguments)
    trainer = kind(
        model=model,
        args=arguments,
        feature_extractor=extractor,
        train_dataset=clips(split, extractor, model.config, arguments, training=True),
        eval_dataset=clips(data.splits["validation"], extractor, model.config, arguments, training=False),
        callbacks=[*callbacks, *recorders],
        **options,
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(Path(arguments.output_dir)))
    if trainer.is_world_process_zero():
        history = {"best": trainer.state.best_model_checkpoint and Path(trainer.state.best_model_checkpoint).name}
        history |= {"best_value": trainer.state.best_metric, "log": trainer.state.log_history}
        if counts := getattr(trainer, "region_counts", None):
            history["regions"] = counts
        with disk_space(run_dir / "history.json", "the checkpoints stay"):
            (run_dir / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
        save_for_hub(trainer.accelerator.unwrap_model(trainer.model), extractor, run_dir / "model")
    trainer.accelerator.wait_for_everyone()
    return trainer.is_world_process_zero()


def recorders_of(arguments: DialectTrainingArguments, run_dir: Path) -> list[DatamapsCallback]:
    """What records training dynamics, if anything does.

    Raises:
        RecipeError: a mode that does not exist, or is not for a single training.
    """
    mode = arguments.record_dynamics
    if mode == OUT_OF_FOLD:
        raise RecipeError(
            "training.record_dynamics is out_of_fold, which records each fold of a cross-validation: set it in the "
            "training section of the recipe, not of a stage, and train with --folds; or take training or evaluation"
        )
    return [DatamapsCallback(run_dir / DYNAMICS, mode)] if mode else []


def freeze(model, arguments: DialectTrainingArguments) -> None:
    """Stop training what the arguments name, and a classifier whose loss does not count: nothing but weight decay
    would move it, and distributed training would wait for its gradient."""
    if arguments.freeze_layers is not None:
        model.freeze_encoder(arguments.freeze_layers)
    elif arguments.freeze_feature_encoder:
        model.freeze_feature_encoder()
    if model.config.cross_entropy_weight == 0:
        model.classifier.requires_grad_(False)


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that was written to its end; the trainer's state is the last file of one."""
    whole = [path.parent for path in folder.glob(f"{CHECKPOINT}*/{STATE}") if path.read_text("utf-8").endswith("}\n")]
    whole.sort(key=lambda path: int(path.name.removeprefix(CHECKPOINT)))
    return str(whole[-1]) if whole else None


def training_arguments(recipe: Recipe, run_dir: Path, progress: bool) -> DialectTrainingArguments:
    """The recipe's `training` section.

    Raises:
        RecipeError: a value that does not fit its key.
    """
    given = {
        "output_dir": str(run_dir / "checkpoints"),
        "seed": recipe.seed,
        "disable_tqdm": not progress,
        "metric_for_best_model": selecting_metric(recipe),
    } | recipe.training
    if recipe.model.get("cross_entropy_weight", 1) == 0:  # there is no other validation value
        given |= {"metric_for_best_model": CONTRASTIVE, "greater_is_better": False}
    return arguments_of(DialectTrainingArguments, given)


def selecting_metric(recipe: Recipe) -> str:
    """The validation value that selects the checkpoint: the cross-entropy part, unless there is none."""
    if recipe.model.get("cross_entropy_weight", 1) == 0:
        return CONTRASTIVE
    default = CONTRASTIVE if recipe.training.get("align") else "cross_entropy"
    return recipe.training.get("metric_for_best_model") or default


def clips(split, extractor, config, arguments: DialectTrainingArguments, training: bool) -> Clips:
    """A split as the encoder wants it: waveforms, or log-mel features for an encoder from scratch."""
    own = isinstance(extractor, DialectFeatureExtractor)
    options = {}
    if own:
        options = {"analyse": extractor.log_mel, "hop": extractor.hop_length, "window": extractor.window_length}
        options |= {"longest_frames": extractor.frames}
    if arguments.waveform_augment:
        options["waveform_augment"] = WaveformAugment.from_recipe(arguments.waveform_augment)
    if arguments.spectral_augment:
        if not own:
            raise RecipeError(
                "training.spectral_augment works on log-mel features, which this encoder does not take; "
                "use training.waveform_augment, or the encoder's own masks through "
                "model.encoder_overrides.mask_time_prob"
            )
        options["spectral_augment"] = SpectralAugment.from_recipe(arguments.spectral_augment)
    crop_s = arguments.crop_s or config.window_s
    return Clips(
        split, sampling_rate=extractor.sampling_rate, crop_s=crop_s, training=training, seed=arguments.seed, **options
    )


def class_weights(data: Screened) -> list[float]:
    """Inverse frequency in training, mean 1; a class without training examples weighs as much as the rarest."""
    counts = np.bincount(data.splits["train"]["dialect"], minlength=len(data.labels))
    weights = 1 / np.maximum(counts, counts[counts > 0].min())
    return (weights / weights.mean()).tolist()
