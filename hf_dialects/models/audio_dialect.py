"""Waveforms from whatever a user hands over. `data.audio.decode` for places where the package is not installed."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from .containers_dialect import UNKNOWN_LENGTH, header_damage, stream_damage

RATES = (1000, 768_000)  # Hz; a header that says otherwise is damaged
LARGEST_FACTOR = 16_000  # of a ratio of rates
LOUDEST = 2.0**31  # integers written as floats reach this
BLOCK = 2**20  # samples read at once, over all channels: memory follows the samples found, not the header
MP3_SLACK = 1152  # samples, one frame; encoder delay and padding


def load_audio(audio, sampling_rate: int) -> np.ndarray:
    """A mono waveform (S,) float32 at `sampling_rate` Hz from a path, bytes, array or dict.

    Raises:
        ValueError: what was given cannot be read, breaks off, is empty or holds NaN or infinite samples.
        ImportError: soundfile, which reads files, is not installed.
    """
    rate, name = sampling_rate, "the waveform"
    if isinstance(audio, dict):
        rate = audio.get("sampling_rate", sampling_rate)
        audio = next((audio[key] for key in ("array", "raw", "bytes", "path") if audio.get(key) is not None), None)
    if audio is None:
        raise ValueError(
            'no audio found: give a path, bytes, an array, or a dict with "array", "raw", "bytes" or "path"'
        )
    if hasattr(audio, "__fspath__") or isinstance(audio, (str, bytes)):
        name = f"{len(audio)} bytes of audio" if isinstance(audio, bytes) else str(audio)
        waveform, rate = _read(audio, name)
    else:
        waveform = np.asarray(audio, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(
            f"{name} has shape {waveform.shape}: one channel (S,) is expected; take the mean of the channels"
        )
    if not waveform.size:
        raise ValueError(f"{name} holds no samples: record it again")
    if why := _odd_rate(rate):
        raise ValueError(f"{name} {why}")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} holds NaN or infinite samples: export it again")
    if (loudest := float(np.abs(waveform).max())) > LOUDEST:
        raise ValueError(f"{name} holds a sample of {loudest:.3g}, full scale is 1: export it again")
    return np.ascontiguousarray(_resampled(waveform, rate, sampling_rate), dtype=np.float32)


def _read(audio, name: str) -> tuple[np.ndarray, int]:
    """Mean of the channels (S,), and the rate in Hz, of a file or of the bytes of one."""
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("reading audio files needs soundfile; run: pip install soundfile") from error

    class Stream(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False  # a seek after each block would hide where a stream breaks off

    if not isinstance(audio, bytes) and not Path(audio).is_file():
        raise ValueError(f"{name} cannot be read as audio: there is no such file, correct the path")
    try:
        with io.BytesIO(audio) if isinstance(audio, bytes) else open(audio, "rb") as file:
            # only the content says what it is: from a name that ends in .raw soundfile would conclude otherwise
            data = file if not name.lower().endswith(".raw") else io.BytesIO(file.read())
            with Stream(data) as sound:
                rate = sound.samplerate
                why = _odd_rate(rate) or header_damage(sound, data)
                blocks = [] if why else list(_blocks(sound))
                why = why or _shortfall(sound, sum(map(len, blocks))) or stream_damage(sound, data)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        why = getattr(error, "error_string", str(error)).rstrip(".")
        raise ValueError(
            f"{name} cannot be read as audio ({why}); WAV, FLAC, Ogg Vorbis, Opus or MP3 is expected: convert it, or "
            "fetch it again"
        ) from error
    if why:
        raise ValueError(f"{name} {why}")
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32), rate


def _odd_rate(rate: int) -> str | None:
    low, high = RATES
    return None if low <= rate <= high else f"has a sampling rate of {rate} Hz; {low} to {high} Hz are expected"


def _blocks(sound) -> Iterator[np.ndarray]:
    """Mean of the channels (S,) float32, to the stated end and no further: what follows it is no audio."""
    left = sound.frames
    while len(block := sound.read(min(left, max(1, BLOCK // sound.channels)), dtype="float32", always_2d=True)):
        with np.errstate(over="ignore", invalid="ignore"):  # such samples are refused below
            yield block.mean(1)
        left -= len(block)


def _shortfall(sound, n_samples: int) -> str | None:
    slack = MP3_SLACK if sound.format == "MP3" else 0
    if sound.frames == UNKNOWN_LENGTH or n_samples + slack >= sound.frames:
        return None
    return f"breaks off: {n_samples} of {sound.frames} samples can be read; fetch it again or leave it out"


def _resampled(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    if from_rate == to_rate:
        return waveform
    try:
        import soxr
    except ImportError as error:
        raise ImportError(
            f"audio at {from_rate} Hz must be resampled to {to_rate} Hz; run: pip install soxr"
        ) from error
    up, down = Fraction(to_rate, int(from_rate)).limit_denominator(LARGEST_FACTOR).as_integer_ratio()
    length = -(-len(waveform) * up // down)
    # soxr rounds the length; with silence behind it no sample is lost
    return soxr.resample(np.pad(waveform, (0, -(-down // up))), down, up, quality="HQ")[:length]
