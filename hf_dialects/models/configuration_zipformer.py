"""Configuration of the Zipformer: a speech encoder of stacks at different frame rates, and its recognition heads."""

from transformers import PreTrainedConfig

PER_STACK = (
    "downsampling_factors",
    "num_encoder_layers",
    "encoder_dims",
    "feedforward_dims",
    "num_heads",
    "cnn_module_kernels",
)
PRESETS = {
    "small": {
        "num_encoder_layers": (2, 2, 2, 2, 2, 2),
        "encoder_dims": (192, 256, 256, 256, 256, 256),
        "feedforward_dims": (512, 768, 768, 768, 768, 768),
    },
    "medium": {
        "num_encoder_layers": (2, 2, 3, 4, 3, 2),
        "encoder_dims": (192, 256, 384, 512, 384, 256),
        "feedforward_dims": (512, 768, 1024, 1536, 1024, 768),
    },
    "large": {},
    "yubao": {"vocab_size": 3818},
}


class ZipformerConfig(PreTrainedConfig):
    """Sizes of a Zipformer; the defaults are icefall's large, non-causal model.

    Source: Yao et al. 2023, "Zipformer: a faster and better encoder for automatic speech recognition"
    (arXiv:2310.11230); names and defaults follow icefall's LibriSpeech recipe.

    Frames leave the front-end at half the rate of the features, 50 Hz; stack i works at that rate divided by
    `downsampling_factors[i]`, and `output_downsampling_factor` divides it once more at the end.

    Args:
        num_mel_bins: bins of a feature frame.
        downsampling_factors: of each stack.
        num_encoder_layers: layers of each stack.
        encoder_dims: channels of each stack, multiples of 4.
        feedforward_dims: width of the middle one of a layer's three feed-forward modules; the first has 3/4, the last
            5/4 of it. Multiples of 4.
        num_heads: attention heads of each stack.
        cnn_module_kernels: frames that the convolutions of each stack see; odd.
        query_head_dim: channels of a query or key, per head.
        value_head_dim: channels of a value, per head.
        pos_head_dim: channels of a position query, per head.
        pos_dim: channels of the table of relative positions; even.
        frontend_channels: channels of the three convolutions of the front-end.
        output_downsampling_factor: frames of the last stack that become one frame of the output.
        causal: whether convolutions and attention see no frame beyond the current chunk.
        chunk_size: frames of a chunk at 50 Hz, divisible by every factor; -1 makes the utterance one chunk.
        left_context_frames: frames at 50 Hz before its own chunk that a frame attends to, at least one chunk; -1 for
            all.
        pad_invariant: whether an utterance's frames are the same in any padded batch. False is the behaviour that
            published checkpoints were trained with: the last frames of an utterance differ a little.
        dropout: of the front-end and of the feed-forward modules, shared over time.
        position_dropout: of the table of relative positions.
        layer_skip_rate: chance that an utterance bypasses a layer in training, times the square root of the stack's
            factor.
        vocab_size: tokens, the blank among them.
        blank_token_id: id of the blank.
        bos_token_id: starts the input of the attention decoder.
        eos_token_id: ends its target.
        decoder_dim: channels of the prediction network.
        joiner_dim: channels of the joiner.
        context_size: tokens that the prediction network sees.
        attention_decoder_layers: layers of the attention decoder; 0 for none.
        attention_decoder_dim: its channels.
        attention_decoder_heads: its heads.
        attention_decoder_ffn_dim: width of its feed-forward modules.
        label_smoothing: in [0, 1), of the attention decoder's loss.
        ctc: whether there is a CTC head.
        prune_range: tokens per frame for which the pruned transducer loss is computed.
        lm_scale: share of the prediction network alone in the simple transducer loss.
        am_scale: share of the encoder alone in the simple transducer loss.
        simple_loss_scale: final weight of the simple transducer loss.
        attention_loss_scale: weight of the attention decoder's loss.
        ctc_loss_scale: weight of the CTC loss.
        loss_warmup_steps: training steps until simple and pruned loss have their final weights.

    Raises:
        ValueError: sizes that do not go together; the message says which.
    """

    model_type = "zipformer"
    keys_to_ignore_at_inference = ["simple_loss", "pruned_loss", "attention_loss", "ctc_loss"]  # noqa: RUF012

    num_mel_bins: int = 80
    downsampling_factors: tuple[int, ...] | list[int] = (1, 2, 4, 8, 4, 2)
    num_encoder_layers: tuple[int, ...] | list[int] = (2, 2, 4, 5, 4, 2)
    encoder_dims: tuple[int, ...] | list[int] = (192, 256, 512, 768, 512, 256)
    feedforward_dims: tuple[int, ...] | list[int] = (512, 768, 1536, 2048, 1536, 768)
    num_heads: tuple[int, ...] | list[int] = (4, 4, 4, 8, 4, 4)
    cnn_module_kernels: tuple[int, ...] | list[int] = (31, 31, 15, 15, 15, 31)
    query_head_dim: int = 32
    value_head_dim: int = 12
    pos_head_dim: int = 4
    pos_dim: int = 48
    frontend_channels: tuple[int, ...] | list[int] = (8, 32, 128)
    output_downsampling_factor: int = 2
    causal: bool = False
    chunk_size: int = -1
    left_context_frames: int = -1
    pad_invariant: bool = False
    dropout: float | int = 0.1
    position_dropout: float | int = 0.15
    layer_skip_rate: float | int = 0.035

    vocab_size: int = 500
    blank_token_id: int = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 1
    decoder_dim: int = 512
    joiner_dim: int = 512
    context_size: int = 2
    attention_decoder_layers: int = 6
    attention_decoder_dim: int = 512
    attention_decoder_heads: int = 8
    attention_decoder_ffn_dim: int = 2048
    label_smoothing: float | int = 0.1
    ctc: bool = False
    prune_range: int = 5
    lm_scale: float | int = 0.25
    am_scale: float | int = 0.0
    simple_loss_scale: float | int = 0.5
    attention_loss_scale: float | int = 0.8
    ctc_loss_scale: float | int = 0.2
    loss_warmup_steps: int = 2000

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        for name in (*PER_STACK, "frontend_channels"):
            setattr(self, name, tuple(getattr(self, name)))  # lists where the file is JSON
        self._check_stacks()
        self._check_front()
        self._check_chunks()
        self._check_rates()
        self._check_heads()

    @classmethod
    def preset(cls, name: str, **overrides) -> "ZipformerConfig":
        """A published size: "small", "medium" or "large" as in icefall's LibriSpeech recipe, or "yubao".

        "yubao" is the large model with 3,818 tokens and a six-layer attention decoder: the standard recipe that comes
        nearest (1,569 parameters fewer) to the 186,806,275 of the Yubao paper's model, whose exact vocabulary is
        unpublished.

        Args:
            name: of the preset.
            overrides: fields that differ from it.

        Raises:
            ValueError: an unknown name.
        """
        if name not in PRESETS:
            raise ValueError(f"preset is {name!r}; it must be one of: {', '.join(PRESETS)}")
        return cls(**PRESETS[name] | overrides)

    @property
    def hidden_size(self) -> int:
        """Channels of the output: those of the widest stack."""
        return max(self.encoder_dims)

    @property
    def num_hidden_layers(self) -> int:
        """Stacks, each of several layers."""
        return len(self.encoder_dims)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Channels of each hidden state: of the input of the first stack, of what each stack returns."""
        return (self.encoder_dims[0], *self.encoder_dims)

    def _check_stacks(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in PER_STACK}
        if len(set(lengths.values())) != 1 or not self.encoder_dims:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"these fields need one number per stack, found {found}")
        for name in PER_STACK:
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be positive, found {list(getattr(self, name))}")
        for name in ("encoder_dims", "feedforward_dims"):  # modules of three quarters of it
            if any(size % 4 for size in getattr(self, name)):
                raise ValueError(f"{name} must be multiples of 4, found {list(getattr(self, name))}")
        if any(size % 2 == 0 for size in self.cnn_module_kernels):
            raise ValueError(f"cnn_module_kernels must be odd, found {list(self.cnn_module_kernels)}")
        if self.pos_dim < 2 or self.pos_dim % 2:
            raise ValueError(f"pos_dim must be even (pairs of cosine and sine), found {self.pos_dim}")

    def _check_front(self) -> None:
        if self.num_mel_bins < 7:
            raise ValueError(
                f"num_mel_bins must be at least 7, found {self.num_mel_bins}: two unpadded convolutions of stride 2"
            )
        if len(self.frontend_channels) != 3:
            raise ValueError(f"frontend_channels needs 3 numbers, found {list(self.frontend_channels)}")
        if self.output_downsampling_factor < 1:
            raise ValueError(f"output_downsampling_factor must be positive, found {self.output_downsampling_factor}")

    def _check_chunks(self) -> None:
        if self.chunk_size == -1:
            return
        if not self.causal:
            raise ValueError(f"chunk_size is {self.chunk_size}, but only a causal model has chunks: set causal=True")
        if self.chunk_size < 1 or any(self.chunk_size % factor for factor in self.downsampling_factors):
            raise ValueError(
                f"chunk_size must be -1 or divisible by every one of downsampling_factors "
                f"{list(self.downsampling_factors)}, found {self.chunk_size}"
            )
        if self.left_context_frames < -1:
            raise ValueError(f"left_context_frames must be -1 (all) or at least 0, found {self.left_context_frames}")

    def _check_rates(self) -> None:
        for name in ("dropout", "position_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), found {getattr(self, name)}")
        longest = max(self.downsampling_factors)
        if not 0 <= self.layer_skip_rate * longest**0.5 < 1:
            raise ValueError(
                f"layer_skip_rate is {self.layer_skip_rate}; times the square root of the largest factor ({longest}) "
                "it must lie in [0, 1)"
            )

    def _check_heads(self) -> None:
        if not 0 <= self.blank_token_id < self.vocab_size:
            raise ValueError(
                f"blank_token_id is {self.blank_token_id}, but vocab_size {self.vocab_size} has tokens 0 to "
                f"{self.vocab_size - 1}"
            )
        if self.attention_decoder_layers and self.attention_decoder_dim % self.attention_decoder_heads:
            raise ValueError(
                f"attention_decoder_dim ({self.attention_decoder_dim}) must be a multiple of attention_decoder_heads "
                f"({self.attention_decoder_heads})"
            )
