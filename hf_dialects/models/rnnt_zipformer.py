"""Speech recognition with a Zipformer: a pruned transducer, with an attention decoder and a CTC head where wanted.

B utterances, F feature frames (100 Hz), M mel bins, T encoder frames (25 Hz), D channels of the encoder, U labels,
V tokens of the vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import ctc_loss, pad
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_zipformer import ZipformerConfig
from .decoding_zipformer import attention_search, greedy_search, modified_beam_search, padded
from .heads_zipformer import IGNORED, AttentionDecoder, Joiner, PredictionNetwork
from .layers_zipformer import precise, scaled
from .modeling_zipformer import ZipformerModel, ZipformerPreTrainedModel
from .transducer_zipformer import prune_ranges, pruned_rnnt_loss, simple_rnnt_loss, take_ranges

METHODS = ("greedy", "modified_beam_search", "attention")


@dataclass
class ZipformerRNNTOutput(ModelOutput):
    """Losses and frames. Losses are summed over the batch and divided by all its encoder frames.

    Attributes:
        loss: () the weighted sum of the others; only with labels, as they are.
        simple_loss: () transducer loss with a joiner that is a sum.
        pruned_loss: () transducer loss over the windows that the simple one finds.
        attention_loss: () of the attention decoder, where there is one.
        ctc_loss: () of the CTC head, where there is one.
        last_hidden_state: (B, T, D).
        lengths: (B,) int64, frames of each utterance.
        ctc_logits: (B, T, V), where there is a CTC head.
    """

    loss: torch.FloatTensor | None = None
    simple_loss: torch.FloatTensor | None = None
    pruned_loss: torch.FloatTensor | None = None
    attention_loss: torch.FloatTensor | None = None
    ctc_loss: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    lengths: torch.LongTensor | None = None
    ctc_logits: torch.FloatTensor | None = None


@dataclass
class ZipformerGenerateOutput(ModelOutput):
    """Token sequences.

    Attributes:
        sequences: (B, U) int64, without start, end and the transducer's blanks; padded on the right with the blank.
        lengths: (B,) int64, tokens of each.
        scores: (B,) float32, their log-probabilities as the search knows them.
    """

    sequences: torch.LongTensor | None = None
    lengths: torch.LongTensor | None = None
    scores: torch.FloatTensor | None = None


class ZipformerForRNNT(ZipformerPreTrainedModel):
    """A Zipformer with the heads of icefall's recipe, `config.ctc` and `config.attention_decoder_layers` as set."""

    accepts_loss_kwargs = False  # the trainer divides the loss by the accumulated batches

    def __init__(self, config: ZipformerConfig):
        super().__init__(config)
        self.zipformer = ZipformerModel(config)
        self.decoder = PredictionNetwork(config)
        self.joiner = Joiner(config)
        self.simple_am_proj = scaled(nn.Linear(config.hidden_size, config.vocab_size), 0.25)
        self.simple_lm_proj = scaled(nn.Linear(config.decoder_dim, config.vocab_size), 0.25)
        if config.ctc:
            self.ctc_output = nn.Sequential(
                nn.Dropout(config.dropout), nn.Linear(config.hidden_size, config.vocab_size)
            )
        if config.attention_decoder_layers:
            self.attention_decoder = AttentionDecoder(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        else:
            super()._init_weights(module)

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        prefix_ids: torch.Tensor | None = None,
        transducer_mask: torch.Tensor | None = None,
        step: int | None = None,
    ) -> ZipformerRNNTOutput:
        """Encode, and compute the losses where there are labels.

        loss = a simple + b pruned + attention_loss_scale attention + ctc_loss_scale ctc. Over the first
        `loss_warmup_steps` steps a falls from 1 to simple_loss_scale and b rises from 0.1 to 1.

        Args:
            input_features: (B, F, M).
            attention_mask: (B, F), 1 = input, 0 = padding on the right; None = no padding.
            labels: (B, U) int64 token ids other than the blank, padded on the right with -100.
            prefix_ids: (B, P) int64 token ids, such as that of a language, which the attention decoder is given before
                the labels.
            transducer_mask: (B,) bool, False for rows that only the attention decoder learns, such as translations;
                None for all True.
            step: optimiser steps so far, such as `trainer.state.global_step`; the model keeps no count, so that a
                resumed training goes on where it was. None for the final weights.

        Raises:
            ValueError: labels, prefixes or masks that do not fit the model or the batch; utterances without a frame.
        """
        frames, frame_mask = self._encode(input_features, attention_mask)
        lengths = frame_mask.sum(-1)
        ctc_logits = self.ctc_output(frames) if self.config.ctc else None
        parts, scales = {}, self.loss_scales(step)
        if labels is not None:
            target_lengths = self._checked(labels, prefix_ids, transducer_mask)
            targets = labels.masked_fill(labels == IGNORED, self.config.blank_token_id)
            parts = self._transducer_losses(frames, ctc_logits, lengths, targets, target_lengths)
            if transducer_mask is not None:
                parts = {name: losses.masked_fill(~transducer_mask, 0) for name, losses in parts.items()}
            if self.config.attention_decoder_layers:
                parts["attention"] = self.attention_decoder.losses(
                    frames, frame_mask, targets, target_lengths, prefix_ids
                )
            parts = {name: losses.sum() / lengths.sum() for name, losses in parts.items()}
        return ZipformerRNNTOutput(
            loss=sum(scales[name] * loss for name, loss in parts.items()) if parts else None,
            **{f"{name}_loss": loss for name, loss in parts.items()},
            last_hidden_state=frames,
            lengths=lengths,
            ctc_logits=ctc_logits,
        )

    @torch.no_grad()
    def generate(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        method: str = "greedy",
        num_beams: int = 4,
        prefix_ids: torch.Tensor | None = None,
        max_symbols_per_frame: int = 1,
        max_new_tokens: int | None = None,
        length_penalty: float = 1.0,
    ) -> ZipformerGenerateOutput:
        """Transcribe, or translate.

        Args:
            input_features: (B, F, M).
            attention_mask: (B, F), 1 = input, 0 = padding on the right; None = no padding.
            method: "greedy" or "modified_beam_search" with the transducer; "attention" with the attention decoder, in
                a beam, or greedy where num_beams is 1.
            num_beams: hypotheses per utterance; not for "greedy".
            prefix_ids: (B, P) int64, as in training; only for "attention".
            max_symbols_per_frame: only for "greedy".
            max_new_tokens: only for "attention"; as many as there are encoder frames when None.
            length_penalty: only for "attention", see `attention_search`.

        Raises:
            ValueError: an unknown method, one that the model has no head for, or options that do not fit it.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, found {method!r}")
        if min(num_beams, max_symbols_per_frame) < 1:
            raise ValueError(
                f"num_beams and max_symbols_per_frame must be at least 1, found {num_beams} and {max_symbols_per_frame}"
            )
        if method == "attention":
            self._check_attention_decoder("method='attention'")
        elif prefix_ids is not None:
            raise ValueError(f"prefix_ids are for method='attention', found method={method!r}")
        frames, frame_mask = self._encode(input_features, attention_mask)
        transducer = (self.decoder, self.joiner, frames, frame_mask.sum(-1), self.config.blank_token_id)
        if method == "greedy":
            found, scores = greedy_search(*transducer, max_symbols_per_frame)
        elif method == "modified_beam_search":
            found, scores = modified_beam_search(*transducer, num_beams)
        else:
            self._check_prefix(prefix_ids, len(frames))
            prompts = self.attention_decoder.prompt(len(frames), prefix_ids, frames.device)
            limit = frames.shape[1] if max_new_tokens is None else max_new_tokens
            found, scores = attention_search(
                *(self.attention_decoder.decoder, frames, frame_mask, prompts, self.config.eos_token_id, limit),
                num_beams,
                length_penalty,
            )
        sequences, lengths = padded(found, self.config.blank_token_id, frames.device)
        return ZipformerGenerateOutput(
            sequences=sequences, lengths=lengths, scores=torch.tensor(scores, device=frames.device)
        )

    def loss_scales(self, step: int | None = None) -> dict[str, float]:
        """The weights of the losses after so many steps; None for the final ones."""
        config = self.config
        done = 1.0
        if step is not None and config.loss_warmup_steps:
            done = min(1.0, step / config.loss_warmup_steps)
        return {
            "simple": 1 - done * (1 - config.simple_loss_scale),
            "pruned": 0.1 + 0.9 * done,
            "attention": config.attention_loss_scale,
            "ctc": config.ctc_loss_scale,
        }

    def _encode(
        self, input_features: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (B, T, D) and their mask (B, T)."""
        output = self.zipformer(input_features, attention_mask)
        for row in (~output.frame_mask.any(-1)).nonzero()[:1, 0].tolist():
            raise ValueError(f"utterance {row} is too short: its features make no encoder frame; leave it out")
        return output.last_hidden_state, output.frame_mask

    def _transducer_losses(self, frames, ctc_logits, lengths, targets, target_lengths) -> dict[str, torch.Tensor]:
        """All losses but that of the attention decoder, each (B,)."""
        config = self.config
        states = self.decoder(pad(targets, (1, 0), value=config.blank_token_id))  # (B, U + 1, decoder_dim)
        common = (targets, lengths, target_lengths, config.blank_token_id)
        simple, occupations = simple_rnnt_loss(
            *(self.simple_am_proj(frames), self.simple_lm_proj(states), *common),
            lm_scale=config.lm_scale,
            am_scale=config.am_scale,
            reduction="none",
            return_occupations=True,
        )
        ranges = prune_ranges(*occupations, lengths, target_lengths, config.prune_range)
        windows = take_ranges(self.joiner.decoder_proj(states), ranges)  # (B, T, R, joiner_dim)
        logits = self.joiner(self.joiner.encoder_proj(frames)[:, :, None], windows)
        losses = {"simple": simple, "pruned": pruned_rnnt_loss(logits, ranges, *common, reduction="none")}
        if ctc_logits is not None:
            log_probabilities = precise(ctc_logits).log_softmax(-1).transpose(0, 1)
            losses["ctc"] = ctc_loss(  # an utterance with too few frames for its labels does not count
                *(log_probabilities, targets, lengths, target_lengths, config.blank_token_id),
                reduction="none",
                zero_infinity=True,
            )
        return losses

    def _checked(self, labels, prefix_ids, transducer_mask) -> torch.Tensor:
        """The number of labels of each row, (B,)."""
        if labels.ndim != 2:
            raise ValueError(f"labels must be (B, U), found {tuple(labels.shape)}")
        counted = labels != IGNORED
        for row in (counted[:, 1:] & ~counted[:, :-1]).any(1).nonzero()[:1, 0].tolist():
            raise ValueError(
                f"labels must be padded with {IGNORED} on the right only, row {row} has padding before a label"
            )
        if transducer_mask is not None:
            self._check_attention_decoder("transducer_mask")
            if transducer_mask.dtype != torch.bool or tuple(transducer_mask.shape) != (len(labels),):
                raise ValueError(
                    f"transducer_mask must be ({len(labels)},) bool, found {tuple(transducer_mask.shape)} "
                    f"{transducer_mask.dtype}"
                )
        self._check_prefix(prefix_ids, len(labels))
        return counted.sum(1)

    def _check_prefix(self, prefix_ids: torch.Tensor | None, batch: int) -> None:
        if prefix_ids is None:
            return
        self._check_attention_decoder("prefix_ids")
        if prefix_ids.ndim != 2 or len(prefix_ids) != batch:
            raise ValueError(f"prefix_ids must be ({batch}, P), found {tuple(prefix_ids.shape)}")
        if prefix_ids.numel() and not 0 <= int(prefix_ids.min()) <= int(prefix_ids.max()) < self.config.vocab_size:
            raise ValueError(
                f"prefix_ids must be token ids below {self.config.vocab_size}, found {int(prefix_ids.min())} to "
                f"{int(prefix_ids.max())}"
            )

    def _check_attention_decoder(self, what: str) -> None:
        if not self.config.attention_decoder_layers:
            raise ValueError(f"{what} needs an attention decoder, and this model has none (attention_decoder_layers=0)")
