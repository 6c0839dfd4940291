"""Configuration of a dialect classifier: any speech encoder, a pooling, a head and a contrastive objective."""

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_ecapa_dialect import EcapaConfig
from .configuration_zipformer import ZipformerConfig

POOLINGS = ("mean", "max", "attention", "statistics", "attentive_statistics", "ecapa")
# AutoConfig knows them only where this package is installed
OWN_ENCODERS = {config.model_type: config for config in (EcapaConfig, ZipformerConfig)}
OBJECTIVES = ("supcon", "triplet", "multi_similarity")
TAILS = ("keep", "drop")


class DialectConfig(PreTrainedConfig):
    """What a dialect model is made of.

    Args:
        encoder_config: configuration (object or dict) of any audio encoder of transformers, or an `EcapaConfig`, or a
            `ZipformerConfig`.
        pooling: how frames (B, T, D) become one vector per utterance: "mean", "max", "attention", "statistics",
            "attentive_statistics" or "ecapa".
        pooling_options: its sizes, see `pooling_dialect.build_pooling`.
        layer: which hidden state is pooled. 0 is the input of the first block, n the output of block n; negative
            counts from
            the last; "weighted" learns a softmax-weighted sum of all. The last is taken after the encoder's final norm.
        classifier_hidden: width of the head's hidden layer (ReLU); None for a linear head.
        classifier_dropout: dropout before the head, in [0, 1).
        projection_size: width of a two-layer projection that the contrastive objective sees; None for the embedding
            itself.
        objective: contrastive objective, "supcon", "triplet" or "multi_similarity"; None for cross-entropy alone.
        objective_options: its constants, see `objectives_dialect.build_objective`.
        cross_entropy_weight: weight of the classification loss.
        contrastive_weight: weight of the contrastive loss.
        label_smoothing: in [0, 1); share of the target mass spread over all classes. Hard labels only: soft targets are
            taken as given. In training mode only.
        class_weights: one weight per class, rescaled to mean 1; None for equal weights.
        clusters: dialect name to name of its group of related dialects.
        window_s: window length in seconds when a recording is classified.
        stride_s: distance in seconds between the starts of two windows.
        tail: "keep" a last, shorter window, or "drop" it.
        temperature: what the logits of a window are divided by where calibrated probabilities are asked for, before
            the mean over windows; 1 leaves them as they are. `forward` never applies it.
        frame_statistics: of what set, and of which layers, the model holds statistics that `encode` centres frames
            with; filled by `set_frame_statistics`.

    Raises:
        ValueError: unknown pooling, objective or tail, a layer outside the encoder, weights that do not fit the
            labels, or a temperature that is not positive; the message lists what is valid.
    """

    model_type = "dialect"
    sub_configs_defaults = {"encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="wav2vec2")}  # noqa: RUF012
    keys_to_ignore_at_inference = ["embeddings", "cross_entropy_loss", "contrastive_loss", "clean_logits"]  # noqa: RUF012

    encoder_config: dict | PreTrainedConfig | None = None
    pooling: str = "mean"
    pooling_options: dict | None = None
    layer: int | str = -1
    classifier_hidden: int | None = None
    classifier_dropout: float = 0.0
    projection_size: int | None = None
    objective: str | None = None
    objective_options: dict | None = None
    cross_entropy_weight: float | int = 1.0
    contrastive_weight: float | int = 1.0
    label_smoothing: float = 0.0
    class_weights: list[float] | None = None
    clusters: dict[str, str] | None = None
    window_s: float | int | None = 8.0
    stride_s: float | int = 3.0
    tail: str = "keep"
    temperature: float | int = 1.0
    frame_statistics: dict | None = None

    def __post_init__(self, **kwargs):
        if isinstance(self.encoder_config, dict) and self.encoder_config.get("model_type") in OWN_ENCODERS:
            self.encoder_config = OWN_ENCODERS[self.encoder_config["model_type"]].from_dict(self.encoder_config)
        super().__post_init__(**kwargs)
        if self.label2id is None and self.id2label is not None:
            self.label2id = {name: index for index, name in self.id2label.items()}
        _one_of("pooling", self.pooling, POOLINGS)
        _one_of("tail", self.tail, TAILS)
        if self.objective is not None:
            _one_of("objective", self.objective, OBJECTIVES)
        check_temperature(self.temperature)
        layers = self.encoder_config.num_hidden_layers
        if self.layer != "weighted" and not (isinstance(self.layer, int) and -layers - 1 <= self.layer <= layers):
            raise ValueError(
                f"layer is {self.layer!r}, but the {self.encoder_config.model_type} encoder has {layers} blocks: "
                f'take 0 (input of the first block) to {layers}, -1 (last) to {-layers - 1}, or "weighted"'
            )
        if self.layer_index != layers:
            self._check_lower_layer()
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must lie in [0, 1), found {self.label_smoothing}")
        if self.window_s is not None and not 0 < self.stride_s <= self.window_s:
            raise ValueError(
                f"stride_s must be above 0 and at most window_s, found stride_s={self.stride_s}, "
                f"window_s={self.window_s}: "
                "a longer stride would leave speech unheard"
            )
        if self.class_weights is not None and (
            len(self.class_weights) != self.num_labels or min(self.class_weights) <= 0
        ):
            raise ValueError(
                f"class_weights needs {self.num_labels} positive numbers, one per label, "
                f"found {list(self.class_weights)}"
            )

    def _check_lower_layer(self) -> None:
        encoder = self.encoder_config
        channels = set(getattr(encoder, "hidden_sizes", ())) or {getattr(encoder, "channels", encoder.hidden_size)}
        if channels != {encoder.hidden_size}:
            raise ValueError(
                f"layer is {self.layer!r}, but the {encoder.model_type} encoder has "
                f"{', '.join(map(str, sorted(channels)))} channels in its blocks and {encoder.hidden_size} in its "
                "frames: take the last layer (-1), or an encoder with as many in both"
            )
        if self.layer == "weighted" and getattr(encoder, "output_downsampling_factor", 1) > 1:
            raise ValueError(
                f"layer is 'weighted', but the last frames of the {encoder.model_type} encoder come at a lower rate "
                "than those of its blocks: take the last layer (-1), or an encoder with output_downsampling_factor=1"
            )

    @property
    def layer_index(self) -> int | None:
        """`layer` as 0 … number of blocks; None when all layers are summed."""
        if self.layer == "weighted":
            return None
        return self.layer if self.layer >= 0 else self.encoder_config.num_hidden_layers + 1 + self.layer

    def index_of(self, layer: int | None) -> int | None:
        """`layer` as 0 … number of blocks, `layer_index` for None.

        Raises:
            ValueError: the encoder has no such layer.
        """
        n_layers = self.encoder_config.num_hidden_layers
        if layer is not None and not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(
                f"layer is {layer}, the encoder has {n_layers} blocks: take 0 to {n_layers}, or -1 to {-n_layers - 1}"
            )
        return self.layer_index if layer is None else layer % (n_layers + 1)


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless `temperature` is a positive, finite number."""
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a positive number, found {temperature}; 1 changes nothing")


def _one_of(name: str, found, valid: tuple[str, ...]) -> None:
    if found not in valid:
        raise ValueError(f"{name} is {found!r}; it must be one of: {', '.join(valid)}")
