"""Trainer for speech recognition, and for speech translation beside it."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_dialects.data.tokens import decode_tokens
from hf_dialects.data.utterances import UtteranceCollator, Utterances
from hf_dialects.errors import RecipeError
from hf_dialects.metrics.error_rates import character_error_rate, word_error_rate
from hf_dialects.models.decoding_zipformer import greedy_search, padded
from hf_dialects.training.asr_arguments import AsrTrainingArguments
from hf_dialects.training.averaged_weights import AVERAGED_WEIGHTS
from hf_dialects.training.regularisers import build_regularisers
from hf_dialects.training.trainer import DialectTrainer

__all__ = ["BEFORE_AVERAGE", "AsrTrainer", "KeepMean"]

LOSSES = ("simple_loss", "pruned_loss", "attention_loss", "ctc_loss")
NOT_TRANSCRIBED = -1  # in the place of a row
BEFORE_AVERAGE = "before_average"


class AsrTrainer(DialectTrainer):
    """Trains a `ZipformerForRNNT`.

    Batches hold up to `args.batch_seconds` of utterances of similar length, drawn from (seed, epoch); every process
    takes its slice and divides its losses by its own frames, so that the gradient of several processes is near that of
    one, not equal. The weights of the losses follow the steps of the optimiser, see `ZipformerForRNNT.loss_scales`.
    Translations train the attention decoder alone, after the token of their language.

    Validation values: "loss" with its final weights, and of a greedy search with the transducer "cer" and "wer", the
    errors in characters (without spaces) and in words per character and word of the transcripts. Translations count in
    the loss only.

    Args:
        model: `ZipformerForRNNT`.
        args: `AsrTrainingArguments`.
        feature_extractor: `ZipformerFeatureExtractor`.
        tokenizer: see `data.tokens`; as many tokens as the model has.
        train_dataset, eval_dataset: `Utterances`.

    Raises:
        RecipeError: a vocabulary of another size than the model's, or translations without an attention decoder.
    """

    def __init__(
        self,
        model,
        args: AsrTrainingArguments,
        feature_extractor,
        tokenizer,
        train_dataset: Utterances,
        eval_dataset: Utterances | None = None,
        **kwargs,
    ):
        config = model.config
        if config.vocab_size != len(tokenizer):
            raise RecipeError(f"the model has {config.vocab_size} tokens, the vocabulary {len(tokenizer)}")
        if train_dataset.translates and not config.attention_decoder_layers:
            raise RecipeError(
                "translations train the attention decoder, and this model has none: set model.attention_decoder_layers"
            )
        super().__init__(model, args, feature_extractor, train_dataset, eval_dataset, **kwargs)
        self.data_collator = UtteranceCollator(feature_extractor.padding_value)
        self.tokenizer = tokenizer
        self._regularisers = None
        if args.regularisers is not None:
            seconds = args.batch_seconds * args.gradient_accumulation_steps
            self._regularisers = build_regularisers(model, args.regularisers, args.seed, seconds)

    def train(self, *args, **kwargs):
        """As `DialectTrainer`; activations are regularised until it ends."""
        with self._regularisers or nullcontext():
            return super().train(*args, **kwargs)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The weighted sum of the losses, whose parts go to the log."""
        inputs = {name: value for name, value in inputs.items() if name != "row"}
        if self._regularisers is not None:
            self._regularisers.step = self.state.global_step
        outputs = model(**inputs, step=self.state.global_step if model.training else None)
        if model.training:
            self._last_loss = outputs.loss.detach()
            for name in LOSSES:
                if (part := getattr(outputs, name)) is not None:
                    self._parts[name] = self._parts.get(name, 0.0) + part.detach()
                    self._part_counts[name] = self._part_counts.get(name, 0) + 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    @torch.no_grad()
    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """The loss, the tokens that a greedy search finds (B, U), padded with -100, and the rows (B,), -1 for a
        translation."""
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        network = self.accelerator.unwrap_model(model)
        blank = network.config.blank_token_id
        found, _ = greedy_search(network.decoder, network.joiner, outputs.last_hidden_state, outputs.lengths, blank)
        tokens, _ = padded([[*one, -100] for one in found], -100, loss.device)  # at least one column
        rows = inputs["row"]
        if "transducer_mask" in inputs:
            rows = rows.masked_fill(~inputs["transducer_mask"], NOT_TRANSCRIBED)
        return loss.detach(), tokens, rows

    def _contrasted(self, outputs, labels):
        return outputs

    def validation_metrics(self, prediction) -> dict[str, float]:
        """ "cer" and "wer"; empty where validation holds translations only."""
        pairs = [
            (self.eval_dataset.texts[row], decode_tokens(self.tokenizer, tokens))
            for row, tokens in zip(prediction.label_ids, prediction.predictions, strict=True)
            if row != NOT_TRANSCRIBED
        ]
        if not pairs:
            return {}
        references, hypotheses = zip(*pairs, strict=True)
        return {
            "cer": character_error_rate(references, hypotheses),
            "wer": word_error_rate(references, hypotheses),
        }


class KeepMean(TrainerCallback):
    """Keeps the mean of the weights in the first checkpoint after a share of the training, for the mean since then.

    Args:
        since: share of all steps.
        folder: where `before_average/` is written.
    """

    def __init__(self, since: float, folder: str | Path):
        self.since, self.kept = since, Path(folder) / BEFORE_AVERAGE

    def on_save(self, args, state, control, **kwargs) -> None:
        every, step = args.average_weights_every, state.global_step
        late = step >= self.since * state.max_steps and step // every < state.max_steps // every  # more are to come
        if late and state.is_world_process_zero and not self.kept.exists():
            source = Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}", AVERAGED_WEIGHTS)
            unfinished = self.kept.with_name(f".{BEFORE_AVERAGE}")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            shutil.copyfile(source, unfinished / AVERAGED_WEIGHTS)
            unfinished.replace(self.kept)
