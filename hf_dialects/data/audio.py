"""Waveforms from recordings of any format, rate and number of channels, through soundfile alone.

Dimensions: S samples.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from hf_dialects.data.containers import UNKNOWN_LENGTH, header_damage, stream_damage
from hf_dialects.errors import AudioError

__all__ = ["SAMPLING_RATE", "clipped_share", "decode", "duration_s", "encode", "is_silent", "resample"]

SAMPLING_RATE = 16000  # Hz
RATES = (1000, 768_000)  # Hz; a header that says otherwise is damaged
LARGEST_FACTOR = 16_000  # of a ratio of rates
LOUDEST = 2.0**31  # integers written as floats reach this; beyond it the variance of a recording may overflow
BLOCK = 2**20  # samples read at once, over all channels: memory follows the samples found, not the header
FILTER_REACH = 100  # samples of the lower rate on each side; beyond it soxr's filter is below a float32's resolution
MP3_SLACK = 1152  # samples, one frame; encoder delay and padding
ENCODINGS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz


def decode(cell, sampling_rate: int = SAMPLING_RATE, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """Samples of a recording, mixed down to one channel (mean) and resampled.

    A cut equals the same cut out of the whole waveform, where it is resampled within rounding (2e-7). Only it and what
    the resampling filter reaches are decoded, but for MP3 and for FLAC of unstated length, in which libsndfile lands
    beside the place: they are read from the start.

    Args:
        cell: {"bytes", "path"} (`datasets.Audio(decode=False)`; bytes come first), a path, or the bytes of a file in
            WAV, FLAC, Ogg Vorbis, Opus, MP3 or another format of libsndfile. The content counts, not the file's suffix.
        sampling_rate: wanted, in Hz.
        start_s: start of the cut in seconds.
        end_s: its end, None or beyond the end = the end.

    Returns:
        (S,) float32, at least one sample, all finite; within [-1, 1] but for float formats and codec overshoot.

    Raises:
        AudioError: with `reason` "missing", "empty" (no sample, or none after `start_s`), "not finite" or "corrupt"
            (no audio, cut short, absurd rate).
        ValueError: negative `start_s`, or `end_s` not after it.
    """
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise ValueError(f"start_s must be at least 0 and end_s after it, got {start_s} and {end_s}")
    with opened(cell) as (sound, file, name):
        up, down = rate_ratio(sound.samplerate, sampling_rate)
        reach = FILTER_REACH * max(up, down) // up + 1 if up != down else 0
        start = round(start_s * sampling_rate)
        # a multiple of `down`, where a sample of the output falls on one of the input
        first = max(0, start * down // up - reach) // down * down
        last = sound.frames
        if end_s is not None:
            last = min(last, -(-round(end_s * sampling_rate) * down // up) + reach)
        waveform = _read(sound, first, last) if first < last else np.empty(0, np.float32)
        check_length(sound, name, len(waveform), first, last)
        if first == 0 and last == sound.frames and (why := stream_damage(sound, file)):
            raise AudioError(f"{name} {why}", "corrupt")
        rate, frames = sound.samplerate, sound.frames
    check_samples(waveform, name)
    stop = None if end_s is None else round(end_s * sampling_rate) - first * up // down
    waveform = resample(waveform, rate, sampling_rate)[start - first * up // down : stop]
    if waveform.size == 0:
        where = f" after {start_s} s, it lasts {frames / rate:.3f} s" if start_s and frames else ""
        raise AudioError(f"{name} holds no samples{where}; record it again or leave it out", "empty")
    return waveform


def duration_s(cell) -> float:
    """Seconds that a recording lasts, from its header; decoded only where the header states no length.

    Raises:
        AudioError: missing, empty or corrupt, as far as the header shows.
    """
    with opened(cell) as (sound, _, _):
        frames = len(_read(sound, 0, UNKNOWN_LENGTH)) if sound.frames == UNKNOWN_LENGTH else sound.frames
        return frames / sound.samplerate


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Waveform (S,) at another rate: ceil(S · to_rate / from_rate) samples, float32.

    The ratio is exact where the rates have a large common divisor, as all usual ones do, else within 50 millionths.

    By soxr in its quality HQ, linear phase. With N = half the lower rate: within 0.01 dB up to 0.9 N, -3 dB at 0.95 N,
    at least 130 dB down from N on (`benchmarks/bench_decoding.py` holds it against other libraries).
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if from_rate == to_rate or not waveform.size:
        return waveform
    import soxr

    up, down = rate_ratio(from_rate, to_rate)
    length = -(-len(waveform) * up // down)
    # soxr rounds the length; with silence behind it no sample is lost
    return soxr.resample(np.pad(waveform, (0, -(-down // up))), down, up, quality="HQ")[:length]


def encode(waveform: np.ndarray, sampling_rate: int, format: str = "flac") -> bytes:
    """A mono file in memory.

    Args:
        waveform: (S,) finite, S ≥ 1; what lies outside [-1, 1] is clipped.
        sampling_rate: Hz; for Opus 8000, 12000, 16000, 24000 or 48000.
        format: "flac" or "wav" (both 16 bits, exact for samples that came from 16 bits), or "opus" (in Ogg, lossy).

    Raises:
        ValueError: other shape, rate or format, no sample, or one that is not finite.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if format not in ENCODINGS:
        raise ValueError(f"format must be one of {', '.join(ENCODINGS)}, got {format!r}")
    if waveform.ndim != 1 or not waveform.size or not np.isfinite(waveform).all():
        raise ValueError(f"waveform must be (S,) with at least one sample, all finite; got shape {waveform.shape}")
    if format == "opus" and sampling_rate not in OPUS_RATES:
        raise ValueError(f"Opus knows the rates {OPUS_RATES} Hz, got {sampling_rate}; resample first")
    container, subtype = ENCODINGS[format]
    if subtype == "PCM_16":  # libsndfile scales by 32767, which changes samples that came from 16 bits
        waveform = np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)
    file = BytesIO()
    soundfile.write(file, waveform, sampling_rate, format=container, subtype=subtype)
    return file.getvalue()


def is_silent(waveform: np.ndarray, threshold: float = 1e-4) -> bool:
    """Whether the waveform (S,) never swings further than `threshold` (full scale = 1) around a constant."""
    return waveform.size == 0 or float(np.ptp(waveform)) / 2 < threshold


def clipped_share(waveform: np.ndarray, level: float = 0.999) -> float:
    """Share of the samples (S,) whose magnitude reaches `level` (full scale = 1); 0 for none."""
    return float((np.abs(waveform) >= level).mean()) if waveform.size else 0.0


class _Stream(soundfile.SoundFile):
    """Reads block after block without the seek that soundfile puts after each: it fails at the end of a FLAC stream
    that is cut short or states no length, and hides which of the two it is."""

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(cell) -> Iterator[tuple[_Stream, BinaryIO, str]]:
    """The recording, the file under it and its name for messages; all that goes wrong becomes an `AudioError`."""
    data, path = _parts(cell)
    name = str(path) if path is not None else f"<{len(data)} bytes>"
    if data is None and not Path(path).is_file():
        raise AudioError(f"{name} is missing: there is no such file; correct its path or leave it out", "missing")
    try:
        if data is None and Path(path).suffix.lower() == ".raw":
            data = Path(path).read_bytes()  # from the name soundfile would conclude that there is no header
        with BytesIO(data) if data is not None else open(path, "rb") as file:
            start = file.read(40)
            file.seek(0)
            if not start:
                raise AudioError(f"{name} is empty: it holds no bytes; fetch it again or leave it out", "empty")
            if start.startswith(b"version https://git-lfs"):
                raise AudioError(f"{name} is a Git LFS pointer, not the recording; run: git lfs pull", "corrupt")
            with _Stream(file) as sound:
                low, high = RATES
                if not low <= sound.samplerate <= high:
                    why = f"its header says {sound.samplerate} Hz; expected {low} to {high} Hz"
                    raise AudioError(f"{name} is corrupt: {why}, fetch it again or leave it out", "corrupt")
                if why := header_damage(sound, file):
                    raise AudioError(f"{name} {why}", "corrupt")
                yield sound, file, name
    except AudioError:
        raise
    except OSError as error:
        message = f"{name} cannot be opened: {error.strerror}; make it readable or leave it out"
        raise AudioError(message, "missing") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        why = getattr(error, "error_string", str(error)).strip().rstrip(".")
        expected = "WAV, FLAC, Ogg Vorbis, Opus or MP3 is expected, fetch it again or leave it out"
        raise AudioError(f"{name} is corrupt or no audio file: {why}; {expected}", "corrupt") from error


def _parts(cell) -> tuple[bytes | None, str | Path | None]:
    """Bytes and path of a cell; one of them is given."""
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return bytes(cell), None
    if isinstance(cell, (str, Path)):
        return None, cell
    if isinstance(cell, dict) and cell.keys() >= {"bytes", "path"}:
        if cell["bytes"] is None and not cell["path"]:
            raise AudioError("the example holds neither bytes nor a path of a recording", "missing")
        return cell["bytes"], cell["path"] or None
    if cell is None:
        raise AudioError("the example holds no recording", "missing")
    raise TypeError(
        f"a recording is a path, bytes or {{'bytes', 'path'}}, got {type(cell).__name__}; for a decoded column: "
        "dataset.cast_column('audio', datasets.Audio(decode=False))"
    )


def _read(sound: _Stream, first: int, last: int) -> np.ndarray:
    """Frames [first, last), or as far as there are any, mixed down: (frames,) float32."""
    if first and (sound.format == "MP3" or sound.frames == UNKNOWN_LENGTH):
        return _read(sound, 0, last)[first:]
    if first:
        sound.seek(first)
    blocks = list(mono_blocks(sound, last - first))
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def mono_blocks(sound: _Stream, n_frames: int, block: int = BLOCK) -> Iterator[np.ndarray]:
    """So many frames from where the recording stands, or as far as there are any, mixed down: (n,) float32.

    Args:
        block: samples read at once, over all channels.
    """
    left, most = n_frames, max(1, block // sound.channels)
    while left > 0 and len(read := sound.read(min(left, most), dtype="float32", always_2d=True)):
        with np.errstate(over="ignore", invalid="ignore"):  # such samples are refused afterwards
            yield read[:, 0] if sound.channels == 1 else read.mean(1)
        left -= len(read)


def check_length(sound: _Stream, name: str, n_read: int, first: int, last: int) -> None:
    """Refuse a recording of whose frames [first, last) fewer could be read than its header promises."""
    slack = MP3_SLACK if sound.format == "MP3" else 0
    if last != UNKNOWN_LENGTH and n_read + slack < last - first:
        found = f"{first + n_read} of {sound.frames} samples can be read"
        raise AudioError(f"{name} breaks off: {found}; fetch it again or leave it out", "corrupt")


def check_samples(waveform: np.ndarray, name: str) -> None:
    """Refuse samples (S,) that are not finite, or far beyond full scale."""
    loudest = max(-float(waveform.min()), float(waveform.max())) if waveform.size else 0.0  # NaN if any sample is
    if not math.isfinite(loudest):
        bad = int((~np.isfinite(waveform)).sum())
        raise AudioError(
            f"{name} holds {bad} samples that are infinite or not numbers; export it again or leave it out",
            "not finite",
        )
    if loudest > LOUDEST:
        raise AudioError(f"{name} is corrupt: a sample is {loudest:.3g}; full scale is 1, leave it out", "corrupt")


def rate_ratio(from_rate: int, to_rate: int) -> tuple[int, int]:
    """Reduced (up, down); of odd rates the nearest with a small enough `down`, as good as the clock of a recorder."""
    return Fraction(to_rate, from_rate).limit_denominator(LARGEST_FACTOR).as_integer_ratio()
