"""Recordings of any length, block by block: memory follows the block, not the recording.

Dimensions: S samples.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from hf_dialects.data.audio import (
    BLOCK,
    FILTER_REACH,
    SAMPLING_RATE,
    check_length,
    check_samples,
    mono_blocks,
    opened,
    rate_ratio,
    resample,
)
from hf_dialects.data.containers import stream_damage
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
    with opened(cell) as (sound, file, name):
        found = 0

        def mono() -> Iterator[np.ndarray]:
            nonlocal found
            for one in mono_blocks(sound, sound.frames, block):
                found += len(one)
                check_samples(one, name)
                yield one

        given = 0
        for part in _resampled(mono(), sound.samplerate, sampling_rate):
            given += len(part)
            yield part
        check_length(sound, name, found, 0, sound.frames)
        if why := stream_damage(sound, file):
            raise AudioError(f"{name} {why}", "corrupt")
        if not given:
            raise AudioError(f"{name} holds no samples; record it again or leave it out", "empty")


def _resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """`resample` of all blocks as one waveform: every part is resampled with what the filter reaches on both sides."""
    up, down = rate_ratio(from_rate, to_rate)
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
