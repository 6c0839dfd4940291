"""Tiny randomly initialised encoders of seven kinds, their feature extractors and waveforms, shared by tests."""

import numpy as np
import torch
from transformers import (
    HubertConfig,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
)

from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_ecapa_dialect import EcapaConfig
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification

RATE = 16000
LABELS = ("north", "south", "west")
SIZE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "layerdrop": 0.0}
FRONT = {
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",  # no leak between an utterance and its padding
    "do_stable_layer_norm": True,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "num_mel_bins": 20,
    "max_source_positions": 50,  # 100 feature frames
}
ECAPA = {"num_mel_bins": 20, "channels": 32, "hidden_size": 32, "res2net_scale": 4, "squeeze_size": 8}
ZIPFORMER = {
    "num_mel_bins": 20,
    "downsampling_factors": (1, 2, 4),
    "num_encoder_layers": (1, 2, 1),
    "encoder_dims": (32, 32, 32),  # as wide everywhere, and no last downsampling: every layer can be taken
    "output_downsampling_factor": 1,
    "feedforward_dims": (32, 48, 32),
    "num_heads": (2, 2, 2),
    "cnn_module_kernels": (7, 5, 5),
    "query_head_dim": 8,
    "value_head_dim": 8,
    "pos_dim": 16,
    "frontend_channels": (4, 8, 16),
    "pad_invariant": True,
}
ENCODERS = {
    "wav2vec2": lambda: Wav2Vec2Config(**SIZE, **FRONT),
    "hubert": lambda: HubertConfig(**SIZE, **FRONT),
    "wavlm": lambda: WavLMConfig(**SIZE, **FRONT),
    "wav2vec2-bert": lambda: Wav2Vec2BertConfig(**SIZE, feature_projection_input_dim=160, conv_depthwise_kernel_size=5),
    "whisper": lambda: WhisperConfig(**WHISPER),
    "ecapa": lambda: EcapaConfig(**ECAPA),
    "zipformer": lambda: ZipformerConfig(**ZIPFORMER),
}


def feature_extractor(encoder: str):
    """The extractor that fits `encoder`; Whisper's takes 2 s at most."""
    if encoder == "wav2vec2-bert":
        return SeamlessM4TFeatureExtractor()
    if encoder == "whisper":
        return DialectFeatureExtractor(feature_size=20, bins_first=True, frames=100)
    if encoder == "ecapa":
        return DialectFeatureExtractor(feature_size=20)
    if encoder == "zipformer":
        return ZipformerFeatureExtractor(feature_size=20)
    return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)


def model(encoder: str, seed: int = 0, **options) -> DialectForAudioClassification:
    """A classifier of three dialects in eval mode, weights drawn from `seed`; windows of 1 s every 0.5 s."""
    torch.manual_seed(seed)
    options = {"id2label": dict(enumerate(LABELS)), "window_s": 1.0, "stride_s": 0.5} | options
    return DialectForAudioClassification(DialectConfig(encoder_config=ENCODERS[encoder](), **options)).eval()


def waveform(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise with a slowly changing level, (S,) float32."""
    n_samples = round(seconds * RATE)
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    return (0.1 * noise * (1.2 + np.sin(np.arange(n_samples) / 3000))).astype(np.float32)
