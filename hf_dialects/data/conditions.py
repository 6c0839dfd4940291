"""Listening conditions for evaluation: a telephone line, a room, background noise.

Draws depend on the utterance's id alone, so that a degraded test split is the same everywhere.
"""

from collections.abc import Callable

import numpy as np

from hf_dialects.data.audio import SAMPLING_RATE, decode, encode
from hf_dialects.data.randomness import generator
from hf_dialects.errors import CorpusError

__all__ = ["CONDITIONS", "degrade", "noise", "room", "telephone"]


def telephone(waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """A narrow-band line: 300–3,400 Hz at 8 kHz, 8-bit µ-law (ITU-T G.711 in its continuous form, µ = 255).

    Shapes: (S,) → (S,), float32 in [−1, 1]. Draws nothing.
    """
    from scipy.signal import butter, resample_poly, sosfiltfilt

    band = butter(4, (300, 3400), btype="bandpass", fs=sampling_rate, output="sos")
    narrow = resample_poly(sosfiltfilt(band, waveform, padtype=None), 8000, sampling_rate)
    narrow = np.clip(narrow, -1, 1)
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    quantised = np.round(compressed * 127) / 127
    expanded = np.sign(quantised) * np.expm1(np.abs(quantised) * np.log(256)) / 255
    return _like(resample_poly(expanded, sampling_rate, 8000), waveform)


def room(waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Reverberation: the direct sound and exponentially decaying noise, 60 dB down after 0.3–0.7 s (drawn).

    Direct and reverberant energy are in a ratio of −3 to 6 dB (drawn). Length and power stay as they were.

    Shapes: (S,) → (S,), float32.
    """
    from scipy.signal import fftconvolve

    decay_s, ratio_db = rng.uniform(0.3, 0.7), rng.uniform(-3, 6)
    time = np.arange(round(decay_s * sampling_rate)) / sampling_rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay_s)
    response = tail * np.sqrt(10 ** (-ratio_db / 10) / np.square(tail).sum())
    response[0] = 1
    wet = fftconvolve(waveform, response)[: len(waveform)]
    return _like(wet * _rms(waveform) / max(_rms(wet), 1e-12), waveform)


def noise(waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pink noise, 5–15 dB below the speech (drawn).

    Shapes: (S,) → (S,), float32.
    """
    spectrum = np.fft.rfft(rng.standard_normal(len(waveform)))
    frequency = np.fft.rfftfreq(len(waveform), 1 / sampling_rate)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20)), len(waveform))
    ratio_db = rng.uniform(5, 15)
    gain = _rms(waveform) / max(_rms(pink), 1e-12) * 10 ** (-ratio_db / 20)
    return _like(waveform + gain * pink, waveform)


CONDITIONS: dict[str, Callable] = {"telephone": telephone, "room": room, "noise": noise}


def degrade(dataset, condition: str):
    """The rows of a corpus as heard under a condition, with the same ids, as FLAC at 16 kHz.

    Args:
        dataset: `datasets.Dataset` in the corpus schema. Its column `condition` is replaced.
        condition: a name in `CONDITIONS`.

    Raises:
        CorpusError: unknown condition.
    """
    import pyarrow as pa
    from datasets import Audio, Dataset, Features, Value

    check_condition(condition)
    cells = []
    for id, audio in zip(list(dataset["id"]), dataset["audio"], strict=True):
        degraded = CONDITIONS[condition](decode(audio), SAMPLING_RATE, generator(0, 0, id, condition))
        cells.append({"bytes": encode(degraded, SAMPLING_RATE), "path": f"{id}.flac"})
    replaced = {"audio": Audio(sampling_rate=SAMPLING_RATE, decode=False), "condition": Value("string")}
    features = Features({**dataset.features, **replaced})
    columns = {name: list(dataset[name]) for name in features if name not in replaced}
    columns |= {"audio": cells, "condition": [condition] * len(cells)}
    return Dataset(pa.table({name: columns[name] for name in features}, schema=features.arrow_schema))


def check_condition(condition: str) -> None:
    """Raise `CorpusError` for a name that is not in `CONDITIONS`."""
    if condition not in CONDITIONS:
        raise CorpusError(f"unknown condition {condition!r}; there are {', '.join(CONDITIONS)}")


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0


def _like(degraded: np.ndarray, waveform: np.ndarray) -> np.ndarray:
    """As long as the waveform, and scaled down where it would clip."""
    degraded = degraded[: len(waveform)]
    return (degraded / max(1.0, float(np.abs(degraded).max(initial=0)))).astype(np.float32)
