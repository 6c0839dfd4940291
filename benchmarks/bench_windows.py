"""Naming the dialect of a long recording: windows one by one or in batches, and what the share of speech costs."""

import numpy as np
import torch
from bench_objectives import small
from datasets import Dataset
from measure import Row, interleaved

from hf_dialects.data.audio import encode
from hf_dialects.inference import predict
from hf_dialects.models.pipeline_dialect import spans_of
from hf_dialects.models.speech_dialect import spoken_windows

SECONDS, RATE, BATCH = 60.0, 16000, 8


def bench_windows(rounds: int) -> list[Row]:
    """A minute in windows of 8 s every 3 s with the small encoder."""
    torch.manual_seed(0)
    model, extractor = small(None)
    waveform = (0.1 * np.random.default_rng(0).standard_normal(round(SECONDS * RATE))).astype(np.float32)
    cell = {"bytes": encode(waveform, RATE, "wav"), "path": None}
    corpus = Dataset.from_dict({"audio": [cell], "id": ["minute"]})
    spans = spans_of(len(waveform), extractor, model.config, model.config.window_s)
    found = interleaved(
        {
            "one by one": lambda: predict(model, extractor, corpus, batch_size=1, progress=False),
            "batches": lambda: predict(model, extractor, corpus, batch_size=BATCH, progress=False),
            "speech": lambda: spoken_windows(waveform, spans, RATE),
        },
        rounds,
    )
    single = f"{SECONDS / found['one by one'].seconds:.0f} s of audio per processor second one by one"
    return [
        Row(f"prediction of a minute: windows {BATCH} at a time / one by one", found["batches"].ratio, single),
        Row(
            f"share of speech of its {len(spans)} windows / prediction one by one",
            found["speech"].ratio,
            f"{1000 * found['speech'].seconds:.1f} ms",
            at_most=0.02,
        ),
    ]
