"""Recognition heads over the frames of a Zipformer: the transducer's two networks and the attention decoder.

B utterances or hypotheses, T encoder frames, L tokens, D channels of the encoder, V tokens of the vocabulary.

Parameters are named as in icefall's LibriSpeech recipe (`decoder`, `joiner` and `attention_decoder` of its model).
"""

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad, scaled_dot_product_attention

from .configuration_zipformer import ZipformerConfig
from .layers_zipformer import precise

IGNORED = -100  # a label that does not count
KeysAndValues = tuple[torch.Tensor, torch.Tensor]  # two (B, H, L, channels of a head)


class PredictionNetwork(nn.Module):
    """Stateless prediction network: what follows depends on the last `context_size` tokens.

    Source: Ghodsi et al. 2020, "RNN-transducer with stateless prediction network".
    """

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        self.context_size = config.context_size
        self.embedding = nn.Embedding(config.vocab_size, config.decoder_dim)
        if self.context_size > 1:
            groups = config.decoder_dim // 4
            self.conv = nn.Conv1d(config.decoder_dim, config.decoder_dim, self.context_size, groups=groups, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, L) int → (B, L, decoder_dim): output l is from tokens up to l. An id below 0 stands for no token."""
        return self._convolved(pad(self._embedded(tokens), (0, 0, self.context_size - 1, 0)))

    def step(self, context: torch.Tensor) -> torch.Tensor:
        """The last tokens (…, context_size) → (…, decoder_dim)."""
        return self._convolved(self._embedded(context.reshape(-1, self.context_size))).reshape(*context.shape[:-1], -1)

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens.clamp(min=0)).masked_fill(tokens[..., None] < 0, 0)

    def _convolved(self, values: torch.Tensor) -> torch.Tensor:
        return self.conv(values.mT).mT.relu() if self.context_size > 1 else values


class Joiner(nn.Module):
    """Logits of the next symbol from a frame and a state of the prediction network."""

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        self.encoder_proj = nn.Linear(config.hidden_size, config.joiner_dim)
        self.decoder_proj = nn.Linear(config.decoder_dim, config.joiner_dim)
        self.output_linear = nn.Linear(config.joiner_dim, config.vocab_size)

    def forward(self, frames: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Two of (…, joiner_dim) that broadcast, after `encoder_proj` and `decoder_proj` → (…, V)."""
        return self.output_linear((frames + states).tanh())


class AttentionDecoder(nn.Module):
    """The attention decoder and its loss."""

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        if config.bos_token_id is None or config.eos_token_id is None:
            raise ValueError(
                "the attention decoder needs bos_token_id and eos_token_id; set them, or attention_decoder_layers=0"
            )
        self.bos_token_id, self.eos_token_id = config.bos_token_id, config.eos_token_id
        self.label_smoothing = config.label_smoothing
        self.decoder = TransformerDecoder(config)

    def losses(
        self,
        frames: torch.Tensor,
        frame_mask: torch.Tensor,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
        prefix_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Label-smoothed cross-entropy of targets and end, summed over each utterance: (B,).

        Args:
            frames: (B, T, D).
            frame_mask: (B, T) bool, True = speech.
            targets: (B, U) int; what is beyond `target_lengths` (B,) does not count.
            prefix_ids: (B, P) int, given to the decoder before the targets and not learnt.
        """
        batch, n_targets = targets.shape
        prompt = self.prompt(batch, prefix_ids, targets.device)  # (B, 1 + P)
        positions = torch.arange(n_targets + 1, device=targets.device)
        padding = positions[:-1] >= target_lengths[:, None]
        inputs = torch.cat([prompt, targets.masked_fill(padding, self.eos_token_id)], 1)
        expected = pad(targets.masked_fill(padding, IGNORED), (0, 1), value=IGNORED)
        expected = expected.masked_fill(positions == target_lengths[:, None], self.eos_token_id)
        logits = self.decoder(inputs, self.decoder.start(frames, frame_mask))[:, prompt.shape[1] - 1 :]
        return smoothed_cross_entropy(logits, expected, self.label_smoothing)

    def prompt(self, batch: int, prefix_ids: torch.Tensor | None, device: torch.device) -> torch.Tensor:
        """What the decoder is given before the first target, (B, 1 + P): the start, the prefix."""
        start = torch.full((batch, 1), self.bos_token_id, device=device)
        return start if prefix_ids is None else torch.cat([start, prefix_ids.to(device)], 1)


def smoothed_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """Cross-entropy against 1 - label_smoothing on the target plus label_smoothing / V on every token, summed: (B,).

    Args:
        logits: (B, L, V); computed in float32 at least.
        targets: (B, L) int; -100 does not count.
    """
    return cross_entropy(
        precise(logits).mT, targets, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="none"
    ).sum(1)


@dataclass
class DecoderCache:
    """What the layers of the decoder attend to.

    Attributes:
        memory: keys and values of the frames, of each layer.
        memory_mask: (B, 1, 1, T) bool, True = speech.
        past: keys and values of the tokens so far, of each layer; none at the start.
    """

    memory: list[KeysAndValues]
    memory_mask: torch.Tensor
    past: list[KeysAndValues] = field(default_factory=list)

    @property
    def n_tokens(self) -> int:
        return self.past[0][0].shape[2] if self.past else 0

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i goes on from what was row rows[i], which is of the same utterance."""
        self.past = [(keys[rows], values[rows]) for keys, values in self.past]


class TransformerDecoder(nn.Module):
    """Pre-norm Transformer decoder with sinusoidal positions.

    Source: Vaswani et al. 2017, "Attention is all you need"; without a normalisation before the output layer.
    """

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        channels = config.attention_decoder_dim
        self.embed = nn.Embedding(config.vocab_size, channels)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TransformerDecoderLayer(config) for _ in range(config.attention_decoder_layers))
        self.output_layer = nn.Linear(channels, config.vocab_size)

    def start(self, frames: torch.Tensor, frame_mask: torch.Tensor) -> DecoderCache:
        """The cache before the first token, of frames (B, T, D) and their mask (B, T)."""
        return DecoderCache([layer.src_attn.project(frames) for layer in self.layers], frame_mask[:, None, None])

    def forward(self, tokens: torch.Tensor, cache: DecoderCache) -> torch.Tensor:
        """Logits of what follows each of the tokens (B, L), which the cache holds from now on: (B, L, V).

        After the first call L must be 1.
        """
        embedded = self.embed(tokens) * math.sqrt(self.embed.embedding_dim)
        first = cache.n_tokens
        positions = sinusoids(first, first + tokens.shape[1], self.embed.embedding_dim, tokens.device)
        values = self.dropout(embedded + positions.to(embedded.dtype))
        past = cache.past or [None] * len(self.layers)
        cache.past = []
        for layer, memory, before in zip(self.layers, cache.memory, past, strict=True):
            values, now = layer(values, memory, cache.memory_mask, before)
            cache.past.append(now)
        return self.output_layer(values)


class TransformerDecoderLayer(nn.Module):
    """Attention to the tokens so far, to the frames, and a feed-forward module: (B, L, channels) → the same."""

    def __init__(self, config: ZipformerConfig):
        super().__init__()
        channels, heads = config.attention_decoder_dim, config.attention_decoder_heads
        self.norm_self_attn = nn.LayerNorm(channels)
        self.self_attn = MultiHeadAttention(channels, channels, heads)
        self.norm_src_attn = nn.LayerNorm(channels)
        self.src_attn = MultiHeadAttention(channels, config.hidden_size, heads)
        self.norm_ff = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, config.attention_decoder_ffn_dim),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.attention_decoder_ffn_dim, channels),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, values: torch.Tensor, memory: KeysAndValues, memory_mask: torch.Tensor, past: KeysAndValues | None
    ) -> tuple[torch.Tensor, KeysAndValues]:
        """The new values, and keys and values of all tokens so far."""
        normed = self.norm_self_attn(values)
        now = self.self_attn.project(normed)
        if past is not None:
            now = tuple(torch.cat(pair, 2) for pair in zip(past, now, strict=True))
        values = values + self.dropout(self.self_attn(normed, now, is_causal=past is None))
        values = values + self.dropout(self.src_attn(self.norm_src_attn(values), memory, memory_mask))
        return values + self.dropout(self.feed_forward(self.norm_ff(values))), now


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention of H heads."""

    def __init__(self, channels: int, source_channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(channels, channels)
        self.linear_k = nn.Linear(source_channels, channels)
        self.linear_v = nn.Linear(source_channels, channels)
        self.out_proj = nn.Linear(channels, channels)

    def project(self, source: torch.Tensor) -> KeysAndValues:
        """Keys and values of (B, L, source_channels)."""
        return self._split(self.linear_k(source)), self._split(self.linear_v(source))

    def forward(
        self, values: torch.Tensor, source: KeysAndValues, mask: torch.Tensor | None = None, is_causal: bool = False
    ) -> torch.Tensor:
        """(B, L, channels) → the same; mask (B, 1, 1, L of the source) bool, True = attended to."""
        found = scaled_dot_product_attention(self._split(self.linear_q(values)), *source, mask, is_causal=is_causal)
        return self.out_proj(found.transpose(1, 2).flatten(2))

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, H, L, channels of a head)


def sinusoids(first: int, end: int, channels: int, device: torch.device | None = None) -> torch.Tensor:
    """Positions first … end - 1: (end - first, channels) float32, sines in even channels and cosines in odd ones."""
    frequencies = torch.exp(torch.arange(0, channels, 2, device=device) * (-math.log(10000.0) / channels))
    angles = torch.arange(first, end, device=device)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
