"""Trainer for dialect models: cross-entropy, a contrastive objective, or both by weight."""

import math
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from torch.utils.data import DataLoader, IterableDataset
from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_dialects.data.collate import Collator
from hf_dialects.data.samplers import GlobalBatches, build_sampler
from hf_dialects.disk import disk_space
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.metrics.classification import accuracy, macro_f1
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, extract
from hf_dialects.models.ranks_dialect import gather_with_gradient
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.averaged_weights import AveragedWeights
from hf_dialects.training.contrastive_validation import contrastive_loss
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.dynamics import TRAINING
from hf_dialects.training.eden import build_eden
from hf_dialects.training.finite import FiniteCheck, advice
from hf_dialects.training.optimisers import build_scaled_adam
from hf_dialects.training.sharing import check_push, push_trained

PARTS = ("cross_entropy_loss", "contrastive_loss")


class EpochLoader(DataLoader):
    """A data loader over global batches that tells its batch sampler the epoch."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


class Progress(TrainerCallback):
    """One bar over all steps that shows the last loss and the last validation values."""

    def __init__(self):
        self.bar, self.shown = None, {}

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step")

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        names = {"loss": "loss", "eval_cross_entropy": "validation loss", "eval_accuracy": "validation accuracy"}
        names["eval_contrastive"] = "validation contrastive loss"
        self.shown |= {names[name]: f"{value:.3f}" for name, value in (logs or {}).items() if name in names}
        if self.bar is not None:
            self.bar.set_postfix(self.shown)

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()


class DialectTrainer(Trainer):
    """transformers' Trainer over `Clips`.

    Batches are drawn from (seed, epoch) as global batches and every process takes its slice, so one and several
    processes see
    the same ones, and a resumed run skips by index without decoding. Gradient accumulation averages the losses of its
    batches: equal to one large batch for cross-entropy, but a contrastive objective compares within each batch only.

    Args:
        model: `DialectForAudioClassification`.
        args: `DialectTrainingArguments`.
        feature_extractor: the encoder's.
        train_dataset: `Clips`, or `StreamedClips` with `max_steps` in the arguments.
        eval_dataset: `Clips`.
    """

    def __init__(
        self, model, args: DialectTrainingArguments, feature_extractor, train_dataset, eval_dataset=None, **kwargs
    ):
        own = isinstance(feature_extractor, DialectFeatureExtractor)
        batch = feature_extractor.batch if own else lambda clips: extract(feature_extractor, clips)
        callbacks = list(kwargs.pop("callbacks", None) or [])
        if args.patience is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=args.patience))
        if args.average_weights_every is not None:
            callbacks.append(AveragedWeights(args.average_weights_every))
        super().__init__(
            model=model,
            args=args,
            data_collator=Collator(batch),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=feature_extractor,
            compute_metrics=self.validation_metrics,
            preprocess_logits_for_metrics=self._contrasted,
            callbacks=callbacks,
            **kwargs,
        )
        self.remove_callback(PrinterCallback)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(Progress())
        self._parts: dict[str, torch.Tensor] = {}
        self._part_counts: dict[str, int] = {}
        self._not_contrasted = 0
        self._finite = FiniteCheck(args)
        self._last_loss: torch.Tensor | None = None
        self._steps_per_epoch: int | None = None

    def train(self, *args, **kwargs):
        """As transformers' Trainer; with `push_to_hub` the finished model is pushed."""
        output = super().train(*args, **kwargs)
        if self.args.push_to_hub:
            self.push_to_hub()
        return output

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """The repository is made when there is something to push; now only what would stop that is told."""
        check_push(self.args)

    def push_to_hub(self, commit_message=None, blocking=True, token=None, revision=None, private=None, **kwargs):
        """Push the model as `hf-dialects push` does: checked, with remote code and a card, never training state.

        Args:
            token: None takes `args.hub_token`, or that of `hf auth login`.
            private: None takes `args.hub_private_repo`.
            commit_message, blocking, revision: of transformers, not used.

        Returns:
            `hub.Pushed`; None on other processes than the first.
        """
        public = None if private is None else not private
        pushed = push_trained(self, getattr(self, "tokenizer", None), public, token)
        self.accelerator.wait_for_everyone()
        return pushed

    def get_train_dataloader(self) -> DataLoader:
        """Samplers and streams yield this process's share already; accelerate must not share it out again."""
        args = self.args
        if isinstance(self.train_dataset, IterableDataset):
            return DataLoader(
                self.train_dataset,
                batch_size=args.per_device_train_batch_size,
                collate_fn=self.data_collator,
                num_workers=args.dataloader_num_workers,
            )
        return EpochLoader(
            self.train_dataset,
            batch_sampler=self.batches(),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
        )

    def batches(self) -> GlobalBatches:
        """This process's share of the batches of a corpus on disk."""
        args = self.args
        return build_sampler(
            args.sampler,
            labels=self.train_dataset.labels,
            lengths=self.train_dataset.lengths,
            batch_size=args.batch_size,
            seed=args.seed,
            rank=args.process_index,
            world_size=args.world_size,
            **(args.sampler_options or {}),
        )

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """AdamW by transformers, or ScaledAdam."""
        if self.optimizer is None and self.args.optimiser == "scaled_adam":
            options = self.args.optimiser_options or {}
            self.optimizer = build_scaled_adam(model or self.model, self.args.learning_rate, options)
        return super().create_optimizer(model)

    def set_initial_training_values(self, args, dataloader) -> tuple:
        values = super().set_initial_training_values(args, dataloader)
        self._steps_per_epoch = values[1]
        return values

    def create_scheduler(self, num_training_steps: int, optimizer=None) -> torch.optim.lr_scheduler.LRScheduler:
        """Eden where the arguments have it, else what transformers has by the name of `lr_scheduler_type`."""
        if self.lr_scheduler is None and self.args.eden is not None:
            self.lr_scheduler = build_eden(optimizer or self.optimizer, self.args.eden, self._steps_per_epoch)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_grad_norm(self, model, grad_norm=None):
        """Ends a run whose gradient is no longer finite before its weights are."""
        norm = super()._get_grad_norm(model, grad_norm)
        self._finite.step(norm, self._last_loss, model, self.state.global_step + 1)
        return norm

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Adds the parts of the loss to the log, and the probabilities of the gold dialects to training dynamics.

        Beside the model's inputs a batch holds `row` (B,) int64, the positions of its examples in the dataset, and may
        hold `recordable` (B,) bool, False where the input itself is a mixture of recordings.
        """
        row, recordable = inputs["row"], inputs.get("recordable")
        inputs = {name: value for name, value in inputs.items() if name not in ("row", "recordable")}
        if not model.training:  # the batches of an evaluation are not made for contrast: see `validation_metrics`
            inputs["contrastive"] = False
        if model.training and self.args.sampler == "balanced" and not self._can_contrast(inputs["labels"]):
            self._not_contrasted += 1
            inputs["contrastive"] = False
        outputs = model(**inputs)
        if model.training:
            self._last_loss = outputs.loss.detach()
            logits = outputs.logits if outputs.clean_logits is None else outputs.clean_logits
            for recorder in self._recorders():
                if recorder.mode == TRAINING:
                    recorder.record(row, logits, recordable)
            for name in PARTS:
                if (part := getattr(outputs, name, None)) is not None:
                    self._parts[name] = self._parts.get(name, 0.0) + part.detach()
                    self._part_counts[name] = self._part_counts.get(name, 0) + 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _can_contrast(self, labels: torch.Tensor) -> bool:
        """Whether the global batch holds two dialects with two examples each; balanced batches do until the data run
        out."""
        _, labels = gather_with_gradient(labels[:, None].float(), labels)
        return int((labels.unique(return_counts=True)[1] >= 2).sum()) >= 2

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """With an objective the embeddings are kept beside the logits."""
        if ignore_keys is None and self.model.config.objective is not None:
            ignore_keys = [key for key in self.model.config.keys_to_ignore_at_inference if key != "embeddings"]
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)

    @torch.no_grad()
    def _contrasted(self, outputs, labels):
        """(B, C) logits, and where there is an objective (B, P) what it compares."""
        if not isinstance(outputs, tuple):
            return outputs
        if self.model.config.objective is None:
            return outputs[0]
        logits, vectors = outputs[:2]
        if (projection := self.model.projection) is not None:
            vectors = projection(vectors.to(next(projection.parameters()).dtype))
        return logits, vectors

    def validation_metrics(self, prediction) -> dict[str, float]:
        """Values of the classifier, where its loss counts, and "contrastive", the objective over fixed batches.

        Raises:
            CorpusError: the contrastive value selects, but the validation split has none.
        """
        config = self.model.config
        logits, vectors = prediction.predictions, None
        if isinstance(logits, tuple):
            logits, vectors = logits
        found = classification_metrics(logits, prediction.label_ids) if config.cross_entropy_weight else {}
        if vectors is not None:
            options = (self.args.batch_size, config.objective, config.objective_options)
            if (value := contrastive_loss(vectors, prediction.label_ids, *options)) is not None:
                found["contrastive"] = value
            elif self.args.metric_for_best_model == "contrastive":
                raise CorpusError(
                    "the validation split has no batch of two dialects with two recordings each, so no contrastive "
                    "loss can select the checkpoint; give it more recordings"
                )
        return found

    def _recorders(self) -> list[DatamapsCallback]:
        return [one for one in self.callback_handler.callbacks if isinstance(one, DatamapsCallback)]

    def _kept_in_checkpoints(self) -> list[DatamapsCallback | AveragedWeights]:
        kinds = (DatamapsCallback, AveragedWeights)
        return [one for one in self.callback_handler.callbacks if isinstance(one, kinds)]

    def _save_checkpoint(self, model, trial):
        """Training dynamics and averaged weights go first: a checkpoint is whole when its last file, the state, is
        there.

        Says so where the disk is full.
        """
        folder = Path(self._get_output_dir(trial), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")
        with disk_space(self.args.output_dir, "training goes on from the last checkpoint that is whole"):
            for one in self._kept_in_checkpoints():
                one.save(folder, self.state)
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        for one in self._kept_in_checkpoints():
            one.resume(resume_from_checkpoint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Mean of every part since the last log line; ends a run whose loss is no longer finite."""
        if "loss" in logs:
            for name, total in self._parts.items():
                mean = (total / self._part_counts[name]).reshape(1)
                logs[name] = self.accelerator.gather(mean).mean().item()
            self._parts, self._part_counts = {}, {}
            if self._not_contrasted:
                logs["batches_without_contrastive"], self._not_contrasted = self._not_contrasted, 0
            if not math.isfinite(logs["loss"]):
                raise DialectError(
                    f"the training loss is {logs['loss']} at step {self.state.global_step}: {advice(self.args)}"
                )
        super().log(logs, start_time)


def classification_metrics(logits: np.ndarray, gold: np.ndarray) -> dict[str, float]:
    """Validation values of a classifier: cross-entropy (unweighted, unsmoothed), accuracy, macro F1.

    Args:
        logits: (N, C).
        gold: (N,) int.
    """
    log_probability = log_softmax(logits.astype(np.float64), axis=1)
    predicted = logits.argmax(1)
    return {
        "cross_entropy": float(-log_probability[np.arange(len(gold)), gold].mean()),
        "accuracy": accuracy(gold, predicted),
        "macro_f1": macro_f1(gold, predicted, n_classes=logits.shape[1]),
    }
