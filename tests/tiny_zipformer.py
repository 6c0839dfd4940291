"""Tiny Zipformers of six and of two stacks, and batches for them."""

from functools import cache

import torch
from torch import nn

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.modeling_zipformer import ZipformerModel

SIX = {
    "num_mel_bins": 12,
    "downsampling_factors": (1, 2, 4, 8, 4, 2),
    "num_encoder_layers": (1, 1, 2, 1, 1, 1),
    "encoder_dims": (8, 12, 16, 20, 16, 12),  # the output takes channels of three stacks
    "feedforward_dims": (8, 12, 16, 12, 8, 12),
    "num_heads": (2, 2, 2, 3, 2, 2),
    "cnn_module_kernels": (7, 7, 5, 5, 5, 7),
    "query_head_dim": 6,
    "value_head_dim": 4,
    "pos_head_dim": 3,
    "pos_dim": 8,
    "frontend_channels": (2, 3, 4),
}
TWO = {
    "num_mel_bins": 20,
    "downsampling_factors": (1, 2),
    "num_encoder_layers": (1, 1),
    "encoder_dims": (16, 24),
    "feedforward_dims": (16, 24),
    "num_heads": (2, 2),
    "cnn_module_kernels": (5, 5),
    "query_head_dim": 4,
    "value_head_dim": 4,
    "pos_dim": 8,
    "frontend_channels": (2, 4, 6),
    "pad_invariant": True,
    "attention_decoder_dim": 16,
    "attention_decoder_heads": 2,
    "attention_decoder_ffn_dim": 24,
}
CHUNKS = {"causal": True, "chunk_size": 8, "left_context_frames": 16}


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in eval mode, no parameter left at a special value."""
    torch.manual_seed(seed)
    for name, parameter in module.named_parameters():
        if name.endswith("bypass_scale"):
            nn.init.uniform_(parameter, 0.3, 0.9)
        else:
            nn.init.normal_(parameter, std=0.3 if parameter.ndim < 3 else 0.5)
    return module.eval()


@cache
def model(**options) -> ZipformerModel:
    return drawn(ZipformerModel(ZipformerConfig(**SIX | options)))


def batch(lengths, bins: int = 12, padding: float = -23.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (B, F, M), padded with `padding`, and their mask."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    features = torch.randn(*mask.shape, bins, generator=torch.Generator().manual_seed(seed))
    return features.masked_fill(~mask[..., None], padding), mask
