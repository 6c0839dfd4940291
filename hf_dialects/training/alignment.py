"""Trainer that brings parallel utterances of different varieties together, frame by frame."""

from dataclasses import fields

import numpy as np
import torch
from torch.utils.data import IterableDataset

from hf_dialects.data.leakage import column_values
from hf_dialects.data.parallel_batches import ParallelBatches
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.models.feature_extraction_dialect import longest_input_s
from hf_dialects.training.alignment_loss import alignment_loss, batch_seqsim, gather_frames
from hf_dialects.training.alignment_validation import AlignmentValidation
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.trainer import DialectTrainer

__all__ = ["AlignmentTrainer"]

NOT_WITH_ALIGN = ("sampler", "sampler_options", "balance_classes", "record_dynamics")
NOT_WITH_ALIGN += ("mixup", "targets", "train_subset")


class AlignmentTrainer(DialectTrainer):
    """Trains an encoder so that SeqSim finds what was said in another variety.

    A batch holds `args.batch_size / args.align_utterances` sentences, each in up to `args.align_utterances` varieties
    (`ParallelBatches`). SeqSim of all its pairs, divided by `args.align_temperature`, are the logits of
    `alignment_loss`, whose hard negatives `args.align_hardness` weights. Several processes train on the loss of the
    global batch. Gradient accumulation compares within each batch only.

    Validation values, over whole recordings as the clips of `eval_dataset` hold them, are "contrastive", the same loss
    over fixed batches, and "recall_at_1", the mean over ordered pairs of varieties of `retrieval_benchmark`. All their
    frames are held in memory. They judge sentences that were not trained on only if the splits do not share any.

    Args:
        model: `DialectModel`, the frames of whose configured layer are trained; its pooling plays no part.
        args: `args.align` names the column of the corpus whose equal values mean the same content.
        feature_extractor: the encoder's.
        train_dataset, eval_dataset: `Clips`; the label is the variety.

    Raises:
        RecipeError: arguments that have no meaning here, or out of range; a stream; recordings longer than a clip.
        CorpusError: no such column, or too few sentences in two varieties or more.
    """

    def __init__(
        self, model, args: DialectTrainingArguments, feature_extractor, train_dataset, eval_dataset=None, **kwargs
    ):
        _check(args)
        if isinstance(train_dataset, IterableDataset):
            raise RecipeError("training.align needs a corpus on disk, but this one is a stream")
        longest_s = longest_input_s(feature_extractor)
        for clips in filter(None, (train_dataset, eval_dataset)):
            _check_durations(clips, longest_s)
        self._sentences = _column(train_dataset.dataset, args.align)
        super().__init__(model, args, feature_extractor, train_dataset, eval_dataset, **kwargs)
        model.pooling.requires_grad_(False)  # distributed training would wait for its gradient
        self.batches()  # says what is wrong with the corpus before anything is trained
        number = np.unique([str(one) for one in self._sentences], return_inverse=True)[1]
        self._sentence = torch.tensor(number, device=args.device)
        if eval_dataset is not None:
            sentences = _column(eval_dataset.dataset, args.align)
            self._validation = AlignmentValidation(sentences, eval_dataset.labels, args)

    def batches(self) -> ParallelBatches:
        """Sentences × varieties."""
        args = self.args
        share = {"seed": args.seed, "rank": args.process_index, "world_size": args.world_size}
        labels = self.train_dataset.labels
        return ParallelBatches(self._sentences, labels, args.batch_size, args.align_utterances, **share)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of the global batch."""
        row, variety = inputs["row"], inputs["labels"]
        output = model(**{name: value for name, value in inputs.items() if name not in ("row", "labels")})
        frames, mask, sentence, variety = gather_frames(
            output.last_hidden_state, output.frame_mask, self._sentence[row], variety
        )
        options = (self.args.align_temperature, self.args.align_hardness)
        loss = alignment_loss(batch_seqsim(frames, mask), sentence, variety, *options)
        self._last_loss = loss.detach()
        return (loss, output) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Frames and how many each utterance has; the batches of an evaluation have no loss of their own."""
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            output = model(**{name: value for name, value in inputs.items() if name not in ("row", "labels")})
        mask = output.frame_mask
        frames = output.last_hidden_state[:, : int(mask.sum(1).max())].float()
        return None, (frames, mask.sum(1)), inputs["labels"]

    def _contrasted(self, outputs, labels):
        return outputs

    def validation_metrics(self, prediction) -> dict[str, float]:
        """ "contrastive" and "recall_at_1"."""
        padded, lengths = prediction.predictions
        return self._validation.metrics([one[:length] for one, length in zip(padded, lengths, strict=True)])


def _check(args: DialectTrainingArguments) -> None:
    defaults = {one.name: one.default for one in fields(args)}
    for name in NOT_WITH_ALIGN:
        if getattr(args, name) != defaults[name]:
            raise RecipeError(
                f"training.{name} has no meaning with training.align, which trains an encoder without a classifier on "
                "batches of parallel sentences; remove it"
            )
    if not args.align_temperature > 0:
        raise RecipeError(f"training.align_temperature is {args.align_temperature}; expected a number above 0")
    if not args.align_hardness >= 0:
        raise RecipeError(f"training.align_hardness is {args.align_hardness}; expected a number of 0 or more")


def _check_durations(clips, longest_s: float | None) -> None:
    """Parts of parallel recordings, each cut at random, would say different words."""
    if "duration" not in clips.dataset.column_names:
        return
    limit = min(filter(None, (clips.prepare.crop_s, longest_s)), default=np.inf)
    long = [one for one in clips.dataset["duration"][:] if one is not None and one > limit]
    if long:
        raise RecipeError(
            f"{len(long)} of {len(clips)} recordings are longer than the clips of {limit:.2f} s, the longest "
            f"{max(long):.2f} s: cut, parallel ones would not say the same. Raise model.window_s (and the length that "
            "the encoder takes, such as model.encoder.max_source_positions), or leave them out"
        )


def _column(dataset, name: str | None) -> list:
    if name not in dataset.column_names:
        raise CorpusError(
            f"training.align is {name!r}, but the corpus has the columns {', '.join(dataset.column_names)}; name the "
            "one whose equal values mean the same content, whatever the variety"
        )
    return column_values(dataset, name)
