"""Recordings that spell their transcripts: a tone for every letter. Shared by tests of speech recognition."""

import numpy as np
from datasets import Dataset
from tiny_zipformer import TWO

from hf_dialects.data.audio import SAMPLING_RATE, encode
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT

TEXTS = ("ab", "ba c", "cab", "abc a", "cc", "b", "aca", "bb a")
MODEL = TWO | {
    "decoder_dim": 32,
    "joiner_dim": 32,
    "prune_range": 3,
    "loss_warmup_steps": 20,
    "attention_decoder_layers": 1,
}


def waveform(text: str) -> np.ndarray:
    """0.12 s of a tone for each letter, of silence for a space, and 0.12 s of silence at the end."""
    time = np.arange(round(0.12 * SAMPLING_RATE)) / SAMPLING_RATE
    tones = {"a": 400, "b": 1200, "c": 3000, " ": 0}
    tone = [0.3 * np.sin(2 * np.pi * tones[letter] * time) for letter in f"{text} "]
    return np.concatenate(tone).astype(np.float32)


def corpus(texts=TEXTS, **columns) -> Dataset:
    """Utterances of two speakers in two dialects, and further columns."""
    waves = [waveform(text) for text in texts]
    return Dataset.from_dict(
        {
            "id": [f"u{row}" for row in range(len(texts))],
            "audio": [{"bytes": encode(wave, SAMPLING_RATE, "wav"), "path": None} for wave in waves],
            "dialect": ["north" if row % 2 else "south" for row in range(len(texts))],
            "speaker": [f"s{row % 2}" for row in range(len(texts))],
            "text": list(texts),
            "duration": [len(wave) / SAMPLING_RATE for wave in waves],
            **columns,
        }
    )


def extractor() -> ZipformerFeatureExtractor:
    return ZipformerFeatureExtractor(MODEL["num_mel_bins"])


def model(tokenizer, seed: int = 0, **options) -> ZipformerForRNNT:
    import torch

    torch.manual_seed(seed)
    ids = {"blank_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "vocab_size": len(tokenizer)}
    return ZipformerForRNNT(ZipformerConfig(**MODEL | ids | options))
