"""Naming the dialect of a long recording: windows one by one or in batches, and what the share of speech costs."""

import numpy as np
import torch
from bench_objectives import SMALL, small
from datasets import Dataset
from measure import Row, interleaved
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

from hf_dialects.data.audio import encode
from hf_dialects.inference import predict
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.models.pipeline_dialect import spans_of
from hf_dialects.models.speech_dialect import spoken_windows

SECONDS, RATE, BATCH = 60.0, 16000, 8
FEW, MANY, SHORT_S = 32, 128, 2.0  # recordings of so many seconds
FEWEST_CLASSES, MOST_CLASSES = 8, 1000


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


def bench_growth(rounds: int) -> list[Row]:
    """Prediction of a corpus of clips with more of them, and with more dialects."""
    random = np.random.default_rng(0)
    clips = [0.1 * random.standard_normal(round(SHORT_S * RATE)).astype(np.float32) for _ in range(MANY)]
    rows = {"audio": [{"bytes": encode(one, RATE, "wav"), "path": None} for one in clips]}
    corpus = Dataset.from_dict({**rows, "id": [f"clip-{number}" for number in range(MANY)]})
    ways = {}
    for name, classes, n in (
        ("few", FEWEST_CLASSES, FEW),
        ("many", FEWEST_CLASSES, MANY),
        ("classes", MOST_CLASSES, FEW),
    ):
        torch.manual_seed(0)
        config = DialectConfig(encoder_config=Wav2Vec2Config(**SMALL), num_labels=classes)
        model = DialectForAudioClassification(config).eval()
        part = corpus.select(range(n))
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
        ways[name] = lambda model=model, extractor=extractor, part=part: predict(model, extractor, part, progress=False)
    found = interleaved(ways, min(rounds, 5))
    note = f"clips of {SHORT_S:g} s, small wav2vec 2.0; {1000 * found['few'].seconds / FEW:.0f} ms a clip"
    return [
        Row(f"prediction of {MANY} clips / of {FEW}", found["many"].ratio, note, at_most=1.1 * MANY / FEW),
        Row(f"prediction with {MOST_CLASSES} dialects / with {FEWEST_CLASSES}", found["classes"].ratio, at_most=1.1),
    ]
