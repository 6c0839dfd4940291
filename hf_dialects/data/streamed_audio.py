"""Recordings of any length, block by block: memory follows the block, not the recording.

Dimensions: S samples.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from hf_dialects.data.audio import (
    BLOCK,
    FILTER_REACH,
    LOUDEST,
    MP3_SLACK,
    SAMPLING_RATE,
    _opened,
    _ratio,
    resample,
)
from hf_dialects.data.containers import UNKNOWN_LENGTH, stream_damage
from hf_dialects.errors import AudioError


def stream(cell, sampling_rate: int = SAMPLING_RATE, block: int = BLOCK) -> Iterator[np.ndarray]:
    """The samples that `data.audio.decode` gives, in blocks (S_i,) float32: bit-equal at the file's own rate, resampled
    within rounding (2e-7).

    Args:
        cell: see `decode`.
        sampling_rate: wanted, in Hz.
        block: samples of the file read at once, over all channels.

    Raises:
        AudioError: as `decode` does, but when the reading gets there: blocks before a damaged place have been given.
    """
    with _opened(cell) as (sound, file, name):
        found = 0

        def mono() -> Iterator[np.ndarray]:
            nonlocal found
            for one in _mono(sound, max(1, block // sound.channels)):
                found += len(one)
                _check(one, name)
                yield one

        given = 0
        for part in _resampled(mono(), sound.samplerate, sampling_rate):
            given += len(part)
            yield part
        slack = MP3_SLACK if sound.format == "MP3" else 0
        if sound.frames != UNKNOWN_LENGTH and found + slack < sound.frames:
            counted = f"{found} of {sound.frames} samples can be read"
            raise AudioError(f"{name} breaks off: {counted}; fetch it again or leave it out", "corrupt")
        if why := stream_damage(sound, file):
            raise AudioError(f"{name} {why}", "corrupt")
        if not given:
            raise AudioError(f"{name} holds no samples; record it again or leave it out", "empty")


def _mono(sound, block: int) -> Iterator[np.ndarray]:
    """Mean of the channels, to the stated end and no further: what follows it is no audio."""
    left = sound.frames
    while len(read := sound.read(min(left, block), dtype="float32", always_2d=True)):
        with np.errstate(over="ignore", invalid="ignore"):  # such samples are refused afterwards
            yield read[:, 0] if sound.channels == 1 else read.mean(1)
        left -= len(read)


def _check(samples: np.ndarray, name: str) -> None:
    if not np.isfinite(samples).all():
        what = "samples that are infinite or not numbers; export it again or leave it out"
        raise AudioError(f"{name} holds {what}", "not finite")
    if (loudest := float(np.abs(samples).max())) > LOUDEST:
        raise AudioError(f"{name} is corrupt: a sample is {loudest:.3g}; full scale is 1, leave it out", "corrupt")


def _resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """`resample` of all blocks as one waveform: every part is resampled with what the filter reaches on both sides."""
    up, down = _ratio(from_rate, to_rate)
    if up == down:
        yield from blocks
        return
    # cuts at multiples of `down`, where a sample of the output falls on one of the input
    reach = -(-(FILTER_REACH * max(up, down) // up + 1) // down) * down
    held, first, done = np.empty(0, np.float32), 0, 0  # samples from `first` on; what lies before `done` was given
    for one in blocks:
        held = np.concatenate([held, one])
        end = (first + len(held) - reach) // down * down
        if end > done:
            part = resample(held, from_rate, to_rate)
            yield part[(done - first) * up // down : (end - first) * up // down]
            done, keep = end, max(first, end - reach)
            held, first = held[keep - first :], keep
    if len(held):
        yield resample(held, from_rate, to_rate)[(done - first) * up // down :]
