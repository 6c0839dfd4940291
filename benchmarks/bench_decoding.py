"""Recordings from files to samples: how close to soundfile itself, and which library resamples."""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from datasets import Audio, Dataset
from measure import Row, interleaved
from scipy.signal import resample_poly

from hf_dialects.data.audio import decode, encode, resample

CLIPS, SECONDS, RATE = 64, 8.0, 16000
HIGH = 44100  # Hz, of a field recorder
WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hf_dialects (soxr HQ)": lambda waveform: resample(waveform, HIGH, RATE),
    "soxr MQ": lambda waveform: soxr.resample(waveform, HIGH, RATE, quality="MQ"),
    "torchaudio": lambda waveform: torchaudio.functional.resample(torch.from_numpy(waveform), HIGH, RATE).numpy(),
    "scipy resample_poly": lambda waveform: resample_poly(waveform, 160, 441),
}


def bench_decoding(rounds: int) -> list[Row]:
    """FLAC and WAV of 16 kHz through a saved dataset, against soundfile on the same bytes."""
    return [row for format in ("flac", "wav") for row in _decoding(format, rounds)]


def bench_resampling(rounds: int) -> list[Row]:
    """44.1 to 16 kHz; the note tells what the filter lets through."""
    waveform = _waveform(HIGH, 0)
    found = interleaved({name: lambda way=way: way(waveform) for name, way in WAYS.items()}, rounds)
    reference = next(iter(WAYS))
    return [
        Row(
            f"44.1 to 16 kHz: {name} / {reference}",
            found[name].ratio,
            f"{SECONDS / 3600 / found[name].seconds:.2f} h per processor second; ripple {_ripple_db(way):.3f} dB to "
            f"7.2 kHz, {_leak_db(way, 8000):.0f} dB from 8 kHz and {_leak_db(way, 9600):.0f} dB from 9.6 kHz on",
        )
        for name, way in WAYS.items()
    ]


def _decoding(format: str, rounds: int) -> Iterator[Row]:
    files = [encode(_waveform(RATE, seed), RATE, format) for seed in range(CLIPS)]
    with tempfile.TemporaryDirectory() as folder:
        rows = {"audio": [{"bytes": file, "path": None} for file in files]}
        Dataset.from_dict(rows).cast_column("audio", Audio(RATE, decode=False)).save_to_disk(Path(folder, "corpus"))
        corpus = Dataset.load_from_disk(Path(folder, "corpus"))
        ways = {
            "soundfile": lambda: [soundfile.read(io.BytesIO(file), dtype="float32") for file in files],
            "decode": lambda: [decode(corpus[row]["audio"]) for row in range(CLIPS)],
        }
        found = interleaved(ways, rounds)
    hours = CLIPS * SECONDS / 3600
    note = f"{hours / found['decode'].seconds:.2f} h per processor second; soundfile alone "
    note += f"{hours / found['soundfile'].seconds:.2f}"
    name = f"throughput of a saved dataset decoded / soundfile alone, {format.upper()} of {SECONDS:g} s"
    yield Row(name, 1 / found["decode"].ratio, note, at_least=0.9)


def _waveform(rate: int, seed: int) -> np.ndarray:
    """Noise with the spectrum and the pauses of speech, roughly: what FLAC's effort depends on."""
    random = np.random.default_rng(seed)
    noise = np.cumsum(random.standard_normal(round(SECONDS * rate)))
    noise -= np.convolve(noise, np.ones(200) / 200, "same")
    syllables = np.abs(np.sin(np.pi * 2 * np.arange(len(noise)) / rate))
    return (0.3 * syllables * noise / np.abs(noise).max()).astype(np.float32)


def _gain_db(way: Callable, frequency: float) -> float:
    tone = np.sin(2 * np.pi * frequency * np.arange(2 * HIGH) / HIGH).astype(np.float32)
    return 20 * np.log10(way(tone)[RATE // 2 : -RATE // 2].std() * np.sqrt(2) + 1e-12)


def _ripple_db(way: Callable) -> float:
    """Largest deviation from 0 dB up to 0.9 of half the rate."""
    return max(abs(_gain_db(way, frequency)) for frequency in np.linspace(100, 7200, 25))


def _leak_db(way: Callable, start: float) -> float:
    """Loudest alias of tones from `start` Hz to 20 kHz."""
    return max(_gain_db(way, frequency) for frequency in np.linspace(start, 20000, 25))
