"""Dialect models: any speech encoder → frames → pooling → head, with an optional contrastive objective.

B utterances, T frames, D channels of a frame, P size of the pooled embedding, C dialects.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import AutoFeatureExtractor, PreTrainedModel
from transformers.utils import ModelOutput

from .centring_dialect import FrameCentring, filled, settings_of
from .configuration_dialect import DialectConfig
from .encoder_dialect import (
    after_blocks,
    blocks,
    build_encoder,
    encoder_in,
    frame_mask,
    front,
    hidden_states,
    input_name,
    load_pretrained,
    output_size,
)
from .feature_extraction_dialect import extract
from .objectives_dialect import build_objective
from .pooling_dialect import build_pooling
from .ranks_dialect import gather_with_gradient, global_mean


@dataclass
class DialectModelOutput(ModelOutput):
    """Frames and their pooled embedding.

    Attributes:
        last_hidden_state: (B, T, D), frames of the configured layer.
        frame_mask: (B, T) bool, True = speech, False = padding.
        embeddings: (B, P), pooled frames.
    """

    last_hidden_state: torch.FloatTensor | None = None
    frame_mask: torch.BoolTensor | None = None
    embeddings: torch.FloatTensor | None = None


@dataclass
class DialectOutput(ModelOutput):
    """What the classifier returns.

    Attributes:
        loss: (), weighted sum of the two below; with labels only. In distributed training the value of the global batch
            is the mean of this over the processes.
        logits: (B, C), of mixed vectors where rows are mixed.
        embeddings: (B, P), pooled frames, never mixed.
        cross_entropy_loss: ().
        contrastive_loss: (), where an objective is configured.
        clean_logits: (B, C), where rows are mixed: the head in eval mode on the unmixed vectors, no gradient.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    embeddings: torch.FloatTensor | None = None
    cross_entropy_loss: torch.FloatTensor | None = None
    contrastive_loss: torch.FloatTensor | None = None
    clean_logits: torch.FloatTensor | None = None


class DialectPreTrainedModel(PreTrainedModel):
    """Loading, saving, freezing and encoding, shared by both models."""

    config_class = DialectConfig
    base_model_prefix = "dialect"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the loss is a mean over the batch; the Trainer divides it by the accumulation steps
    _supports_sdpa = True
    _supports_flash_attn = True
    _keep_in_fp32_modules_strict = ["centring"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, DialectModel) and module.layer_weights is not None:
            nn.init.zeros_(module.layer_weights)

    @classmethod
    def from_encoder_pretrained(
        cls, name_or_path: str, encoder_options: dict | None = None, **config
    ) -> "DialectPreTrainedModel":
        """A new model around a pretrained encoder; its weights are taken bit-equal, pooling and head are new.

        Of a dialect model the pooling is taken too, unless `config` names another.

        Args:
            name_or_path: Hub id or folder of an encoder, of a model with another head (CTC …), or of a dialect model.
            encoder_options: passed to `AutoModel.from_pretrained` (revision, token, dtype …).
            config: fields of `DialectConfig`. `encoder_overrides`, a dict, changes fields of the encoder's own
                configuration;
                layerdrop is switched off unless named there, because skipped blocks have no gradient and stop
                distributed training.

        Raises:
            ValueError: the checkpoint lacks encoder weights, or a field of the configuration is not valid.
        """
        source = load_pretrained(name_or_path, **(encoder_options or {}))
        encoder, pooling = encoder_in(source), {}
        if source.config.model_type == DialectConfig.model_type:
            pooling = {name: getattr(source.config, name) for name in ("pooling", "pooling_options")}
            if config.get("pooling", pooling["pooling"]) == pooling["pooling"]:
                config = pooling | config
        overrides = {"layerdrop": 0.0, "encoder_layerdrop": 0.0} | (config.pop("encoder_overrides", None) or {})
        for name, value in overrides.items():
            if hasattr(encoder.config, name):
                setattr(encoder.config, name, value)
            elif "layerdrop" not in name:
                raise ValueError(
                    f"encoder_overrides names {name!r}, which the {encoder.config.model_type} configuration lacks"
                )
        model = cls(cls.config_class(encoder_config=encoder.config, **config))
        own = model.base_model.encoder.state_dict()  # overrides may add or remove the vector of masked frames
        own |= {name: tensor for name, tensor in encoder.state_dict().items() if name in own}
        model.base_model.encoder.load_state_dict(own)
        if pooling and all(getattr(model.config, name) == value for name, value in pooling.items()):
            model.base_model.pooling.load_state_dict(source.pooling.state_dict())
        return model.to(encoder.dtype).eval()

    def freeze_feature_encoder(self) -> None:
        """Stop training the encoder's convolutional (or projecting) front."""
        for module in front(self.base_model.encoder):
            if hasattr(module, "_freeze_parameters"):
                module._freeze_parameters()
            module.requires_grad_(False)

    def freeze_encoder(self, n_layers: int | None = None) -> None:
        """Stop training the front and the first `n_layers` blocks, or the whole encoder.

        Raises:
            ValueError: the encoder has fewer blocks.
        """
        stack = blocks(self.base_model.encoder)
        if n_layers is None:
            self.base_model.encoder.requires_grad_(False)
        elif not 0 <= n_layers <= len(stack):
            raise ValueError(f"n_layers is {n_layers}, the encoder has {len(stack)} blocks")
        else:
            stack[:n_layers].requires_grad_(False)
        self.freeze_feature_encoder()

    @torch.inference_mode()
    def encode(
        self, audio, feature_extractor=None, layer: int | None = None, frames: bool = False, centred: bool = False
    ):
        """Embeddings of waveforms, one pass each.

        Args:
            audio: (S,) float32, or a list of such, at the feature extractor's rate.
            feature_extractor: the one saved beside the model when None.
            layer: hidden state to take; the configured one when None.
            frames: return frames instead of pooled embeddings.
            centred: centre or whiten the frames with the model's statistics of that layer, see `set_frame_statistics`.

        Returns:
            (B, P) float32, or with `frames` a list of (T_i, D) float32 without padding; without the leading B for a
            single waveform.

        Raises:
            ValueError: a layer that the encoder lacks, or without statistics where `centred` asks for them.
        """
        centring = self.base_model.centring
        if centred and (centring is None or not frames):
            raise ValueError("centred is for frames, of a model with statistics: call set_frame_statistics first")
        if feature_extractor is None:
            feature_extractor = AutoFeatureExtractor.from_pretrained(self.config._name_or_path)
        single = not isinstance(audio, (list, tuple))
        was_training = self.training
        self.eval()
        results = []
        for waveform in [audio] if single else audio:
            inputs = extract(feature_extractor, [np.asarray(waveform, dtype=np.float32)]).to(self.device)
            output = self.base_model(**inputs, layer=layer)
            taken = output.last_hidden_state[0][output.frame_mask[0]] if frames else output.embeddings[0]
            taken = taken.float().cpu()
            results.append((centring(taken, self.config.index_of(layer)) if centred else taken).numpy())
        self.train(was_training)
        if single:
            return results[0]
        return results if frames else np.stack(results)

    def set_frame_statistics(self, statistics) -> None:
        """Hold statistics with which `encode` centres or whitens frames; they are saved with the model.

        Args:
            statistics: layer → what has `source` (name of the set), `mean` (D,) and `whitening` (D, D) or None, such
                as `hf_dialects.retrieval.FrameStatistics`; None takes them away.

        Raises:
            ValueError: a layer that the encoder lacks; statistics of several sets.
        """
        given = statistics and {self.config.index_of(layer): one for layer, one in statistics.items()}
        self.config.frame_statistics = given if given is None else settings_of(given)
        self.base_model.centring = given if given is None else filled(given).to(self.device)


class DialectModel(DialectPreTrainedModel):
    """A speech encoder and a pooling that no padding changes."""

    base_model_prefix = "dialect"

    def __init__(self, config: DialectConfig):
        super().__init__(config)
        self.encoder = build_encoder(config.encoder_config)
        self.main_input_name = input_name(config.encoder_config)
        size = output_size(config.encoder_config)
        self.pooling = build_pooling(config.pooling, size, **(config.pooling_options or {}))
        self.embedding_size = self.pooling.output_size(size)
        n_layers = config.encoder_config.num_hidden_layers
        self.layer_weights = nn.Parameter(torch.zeros(n_layers + 1)) if config.layer == "weighted" else None
        self.centring = FrameCentring(config.frame_statistics) if config.frame_statistics else None
        self.post_init()
        self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Blocks above the pooled layer take no gradient; distributed training would wait for it."""
        index = self.config.layer_index
        if index is not None and index < self.config.encoder_config.num_hidden_layers:
            for module in [*blocks(self.encoder)[index:], *after_blocks(self.encoder)]:
                module.requires_grad_(False)
        if not getattr(self.encoder.config, "apply_spec_augment", True):
            for name, parameter in self.encoder.named_parameters():
                if name == "masked_spec_embed":
                    parameter.requires_grad_(False)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        layer: int | None = None,
        **kwargs,
    ) -> DialectModelOutput:
        """Encode and pool.

        Args:
            input_values: (B, S) samples, for encoders of samples.
            input_features: (B, F, M), or Whisper's (B, M, F), for encoders of spectral features.
            attention_mask: (B, S) or (B, F), 1 = input, 0 = padding.
            layer: pool this hidden state instead of the configured one.

        Raises:
            ValueError: the input the encoder takes was not given.
        """
        config = self.config
        inputs = {"input_values": input_values, "input_features": input_features}[self.main_input_name]
        if inputs is None:
            raise ValueError(
                f"the {config.encoder_config.model_type} encoder takes {self.main_input_name}, which was not given"
            )
        given = {self.main_input_name: inputs.to(self.dtype)}
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        n_layers = config.encoder_config.num_hidden_layers
        index = config.index_of(layer)
        states = hidden_states(self.encoder, given, all_layers=index != n_layers)
        if index is None:
            weights = self.layer_weights.softmax(0).to(states[0].dtype)
            frames = sum(weight * state for weight, state in zip(weights, states, strict=True))
        else:
            frames = states[-1] if index == n_layers else states[index]
        mask = frame_mask(self.encoder, attention_mask, frames)
        return DialectModelOutput(last_hidden_state=frames, frame_mask=mask, embeddings=self.pooling(frames, mask))


class DialectForAudioClassification(DialectPreTrainedModel):
    """Names the dialect of an utterance."""

    def __init__(self, config: DialectConfig):
        super().__init__(config)
        self.dialect = DialectModel(config)
        self.main_input_name = self.dialect.main_input_name
        size = self.dialect.embedding_size
        self.classifier = _head(size, config.classifier_hidden, config.num_labels, config.classifier_dropout)
        self.projection = None
        if config.objective is not None and config.projection_size:
            self.projection = _head(size, size, config.projection_size, 0.0)
        self.post_init()
        self.dialect._freeze_unused()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        mixup_index: torch.Tensor | None = None,
        mixup_weight: torch.Tensor | None = None,
        contrastive: bool = True,
        **kwargs,
    ) -> DialectOutput:
        """Classify, and with labels compute the losses.

        Args:
            input_values: (B, S) samples, for encoders of samples.
            input_features: (B, F, M), or Whisper's (B, M, F), for encoders of spectral features.
            attention_mask: (B, S) or (B, F), 1 = input, 0 = padding.
            labels: (B,) int64 gold dialects, or (B, C) soft targets that sum to one.
            mixup_index: (B,) int64, the partner of every row within this batch; -1 = the row is only a partner:
                unmixed and outside the classification loss.
            mixup_weight: () or (B,), the weight of the row itself; its partner's is 1 - weight.
            contrastive: whether this batch enters the contrastive objective, which takes the likeliest class of soft
                targets.

        Raises:
            ValueError: a label outside the classes, or labels of a wrong shape.
        """
        output = self.dialect(input_values, input_features, attention_mask)
        embeddings = output.embeddings
        targets = None if labels is None else self._targets(labels)
        clean_logits = None
        vectors, counted = embeddings, None
        if mixup_index is not None:
            if mixup_weight is None:
                raise ValueError("mixup_index was given without mixup_weight, the weight of the row itself")
            clean_logits = self._clean_logits(embeddings)
            counted = mixup_index >= 0
            partner = torch.where(counted, mixup_index, torch.arange(len(mixup_index), device=mixup_index.device))
            weight = torch.where(counted, mixup_weight.to(embeddings.dtype).expand(len(partner)), 1.0)[
                :, None
            ]  # (B, 1)
            vectors = weight * embeddings + (1 - weight) * embeddings[partner]
            targets = targets if targets is None else weight.float() * targets + (1 - weight.float()) * targets[partner]
        logits = self.classifier(vectors)
        result = DialectOutput(logits=logits, embeddings=embeddings, clean_logits=clean_logits)
        if targets is not None:
            result.cross_entropy_loss = self._cross_entropy(logits, targets, counted)
            result.loss = self.config.cross_entropy_weight * result.cross_entropy_loss
            if self.config.objective is not None and contrastive:
                hard = labels if labels.ndim == 1 else labels.argmax(-1)
                result.contrastive_loss = self._contrastive(embeddings, hard)
                result.loss = result.loss + self.config.contrastive_weight * result.contrastive_loss
            elif self.projection is not None and self.training:
                # distributed training waits for the gradient of every parameter
                result.loss = result.loss + 0 * self.projection(embeddings).sum()
        return result

    def _targets(self, labels: torch.Tensor) -> torch.Tensor:
        """(B,) or (B, C) → (B, C) float32."""
        n_classes = self.config.num_labels
        if labels.ndim == 2 and labels.shape[1] == n_classes:
            return labels.float()
        if labels.ndim != 1 or labels.is_floating_point():
            raise ValueError(
                f"labels must be (B,) integers or (B, {n_classes}) soft targets, "
                f"found {tuple(labels.shape)} {labels.dtype}"
            )
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
            raise ValueError(
                f"labels run from {int(labels.min())} to {int(labels.max())}, but the model has {n_classes} classes "
                f"(0 to {n_classes - 1}): {', '.join(map(str, self.config.id2label.values()))}"
            )
        targets = nn.functional.one_hot(labels, n_classes).float()
        smoothing = self.config.label_smoothing if self.training else 0.0
        return targets * (1 - smoothing) + smoothing / n_classes

    def _cross_entropy(self, logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
        """Mean over the counted rows of -Σ_c w_c t_c log p_c, w scaled to mean 1; over the global batch in training."""
        losses = -targets * logits.float().log_softmax(-1)  # (B, C)
        if self.config.class_weights is not None:
            weights = torch.tensor(self.config.class_weights, device=losses.device)
            losses = losses * (weights / weights.mean())
        counted = torch.ones_like(losses[:, 0]) if counted is None else counted.float()
        if self.training:
            return global_mean(losses.sum(-1), counted)
        return (losses.sum(-1) * counted).sum() / counted.sum().clamp(min=1)

    def _contrastive(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        vectors = embeddings if self.projection is None else self.projection(embeddings)
        if self.training:
            vectors, labels = gather_with_gradient(vectors, labels)
        return build_objective(self.config.objective, **(self.config.objective_options or {}))(vectors, labels)

    @torch.no_grad()
    def _clean_logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        was_training = self.classifier.training
        self.classifier.eval()
        logits = self.classifier(embeddings)
        self.classifier.train(was_training)
        return logits


def _head(size: int, hidden: int | None, outputs: int, dropout: float) -> nn.Module:
    layers = [nn.Dropout(dropout)] if dropout else []
    layers += [nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, outputs)] if hidden else [nn.Linear(size, outputs)]
    return nn.Sequential(*layers)
