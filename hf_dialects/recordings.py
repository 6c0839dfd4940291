"""Recordings of any length: what a first pass tells of them, and their windows one after the other.

S samples, W windows.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hf_dialects.data.audio import decode, duration_s
from hf_dialects.data.streamed_audio import stream
from hf_dialects.models.speech_dialect import FRAME_S, QUIETEST_DB, RANGE_DB, frame_levels

WHOLE_S = 600.0  # recordings up to here are decoded once and held, 38 MB; longer ones are read twice
BLOCK_S = 30.0  # of what is held, given at once


@dataclass(frozen=True)
class Survey:
    """What one pass over the samples of a recording tells.

    Attributes:
        n_samples: how many there are.
        mean, variance: of the samples, summed in float64.
        levels: (n,) float64, dB of full scale of every 30 ms; 1 MB for an hour.
    """

    n_samples: int
    mean: float
    variance: float
    levels: np.ndarray

    @cached_property
    def loud_db(self) -> float:
        """95th percentile of the levels, as `speech_dialect.loud_level` has it."""
        return float(np.percentile(self.levels, 95))

    @property
    def speech_share(self) -> float:
        """Share of the 30 ms frames that are loud enough to be speech, as `speech_dialect.speech_share` has it."""
        return float((self.levels > max(QUIETEST_DB, self.loud_db - RANGE_DB)).mean())

    def normalized(self, samples: np.ndarray) -> np.ndarray:
        """Samples (S,) float32 of the recording with its mean taken away and divided by its deviation.

        The formula is that of `Wav2Vec2FeatureExtractor`, over the recording instead of what it is given.
        """
        return (samples - np.float32(self.mean)) / np.float32(np.sqrt(self.variance + 1e-7))


def survey(blocks: Iterable[np.ndarray], sampling_rate: int) -> Survey:
    """One pass over a recording, whose blocks (S_i,) float32 may be of any length.

    Means and sums of squares of the blocks are merged by the formula of Chan, Golub and LeVeque (1979).
    """
    length = max(1, round(FRAME_S * sampling_rate))
    count, mean, squares, levels, held = 0, 0.0, 0.0, [], np.empty(0, np.float32)
    for block in blocks:
        if not (n := len(block)):
            continue
        own = float(block.mean(dtype=np.float64))
        deviations = np.subtract(block, own, dtype=np.float64)
        squares += float(deviations @ deviations) + (own - mean) ** 2 * count * n / (count + n)
        mean += (own - mean) * n / (count + n)
        count += n
        held = np.concatenate([held, block])
        if whole := len(held) // length * length:
            levels.append(frame_levels(held[:whole], sampling_rate))
            held = held[whole:]
    if not levels and count:
        levels.append(frame_levels(held, sampling_rate))
    return Survey(count, mean, squares / max(1, count), np.concatenate(levels) if levels else np.empty(0))


class Recording:
    """A recording that is held, or read again for every pass over it.

    Args:
        blocks: gives its samples, blocks (S_i,) float32, from the start on every call.
        sampling_rate: Hz.
    """

    def __init__(self, blocks: Callable[[], Iterable[np.ndarray]], sampling_rate: int):
        self.blocks, self.sampling_rate = blocks, sampling_rate
        self.survey = survey(blocks(), sampling_rate)

    @classmethod
    def of(cls, waveform: np.ndarray, sampling_rate: int) -> "Recording":
        """A waveform (S,) float32 in memory."""
        step = round(BLOCK_S * sampling_rate)
        return cls(lambda: (waveform[at : at + step] for at in range(0, len(waveform), step)), sampling_rate)

    @classmethod
    def read(cls, cell, sampling_rate: int) -> "Recording":
        """What `data.audio.decode` takes, held where it is short, else in memory that does not grow with it.

        Raises:
            AudioError: as `decode` does; all damage is found here, before the first window.
        """
        found = waveform_or_recording(cell, sampling_rate)
        return found if isinstance(found, Recording) else cls.of(found, sampling_rate)

    def __len__(self) -> int:
        return self.survey.n_samples

    def normalized_blocks(self, feature_extractor) -> Iterator[np.ndarray]:
        """Its samples as an extractor of samples gives them for the whole recording, blocks (S_i,) float32."""
        normalized = getattr(feature_extractor, "do_normalize", False)
        return (self.survey.normalized(block) if normalized else block for block in self.blocks())


def waveform_or_recording(cell, sampling_rate: int) -> np.ndarray | Recording:
    """What `decode` gives of a recording up to `WHOLE_S`; a longer one to be read in blocks.

    Raises:
        AudioError: as `decode` does.
    """
    if duration_s(cell) <= WHOLE_S:
        return decode(cell, sampling_rate)
    return Recording(lambda: stream(cell, sampling_rate), sampling_rate)


def slices(blocks: Iterable[torch.Tensor], spans: Iterable[tuple[int, int]]) -> Iterator[torch.Tensor]:
    """The pieces [start, end) of a stream of blocks (n_i, …), their starts rising.

    Memory holds one piece and one block.
    """
    blocks = iter(blocks)
    held: list[torch.Tensor] = []
    first = end_held = 0
    for start, end in spans:
        while end_held < end and (block := next(blocks, None)) is not None:
            held.append(block)
            end_held += len(block)
            while held and first + len(held[0]) <= start:
                first += len(held.pop(0))
        while held and first + len(held[0]) <= start:
            first += len(held.pop(0))
        joined = held[0] if len(held) == 1 else torch.cat(held)
        yield joined[start - first : end - first]
