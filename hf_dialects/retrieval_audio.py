"""What the recordings themselves say: how long they last, where speech starts and ends, and mel frames.

For controls of retrieval: an encoder that finds no more than mel frames and time warping do adds nothing, and pauses
are alike whatever is said between them.

Dimensions: N utterances, S samples, T frames of one, D channels, M mel bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.abx.dtw import LONGEST, dtw_distances
from hf_dialects.data.audio import SAMPLING_RATE, decode
from hf_dialects.errors import DialectError
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.speech_dialect import FRAME_S, speech_frames

MEL_BINS, HOP_S = 40, 0.02
NOT_ZERO = 1e-6  # digital silence less its mean is zero, which has no angle


@dataclass(frozen=True)
class Sound:
    """N utterances.

    Attributes:
        durations: (N,) float64 seconds.
        speech: (N, 2) float64 seconds, start of the first and end of the last 30 ms that are loud enough to be speech
            (`speech_frames`); all of an utterance where none are.
        mel: N arrays (T, M) float32, log-mel energies every 20 ms less the mean of each bin.
    """

    durations: np.ndarray
    speech: np.ndarray
    mel: list[np.ndarray]


def listen(cells: Sequence, progress: bool = True) -> Sound:
    """Decode N recordings, cells of the column `audio`, one after the other.

    Raises:
        AudioError: one cannot be used.
    """
    extractor = DialectFeatureExtractor(feature_size=MEL_BINS, hop_s=HOP_S)
    durations, speech, mel = [], [], []
    for cell in tqdm(cells, desc="listening", unit="clip", disable=not progress):
        waveform = decode(cell, SAMPLING_RATE)
        durations.append(len(waveform) / SAMPLING_RATE)
        speech.append(spoken_span(waveform))
        frames = extractor.log_mel(waveform)
        mel.append(frames - frames.mean(axis=0) + np.float32(NOT_ZERO))
    return Sound(np.array(durations), np.array(speech), mel)


def spoken_span(waveform: np.ndarray) -> tuple[float, float]:
    """Seconds from which on and up to which a waveform (S,) is loud enough to be speech."""
    loud = np.flatnonzero(speech_frames(waveform, SAMPLING_RATE))
    n_frames, end = int(len(waveform) / SAMPLING_RATE / FRAME_S), len(waveform) / SAMPLING_RATE
    if not len(loud):
        return 0.0, end
    # what is left after the last whole frame goes with it
    return loud[0] * FRAME_S, end if loud[-1] + 1 >= n_frames else (loud[-1] + 1) * FRAME_S


def trimmed(frames: Sequence, speech: np.ndarray, frame_rate_hz: float) -> list:
    """Frames (T, D) of N utterances without those before and after speech, at least one of each.

    The encoder has seen the pauses; only their frames are left out.
    """
    found = []
    for one, (start, end) in zip(frames, speech, strict=True):
        first = min(int(start * frame_rate_hz), len(one) - 1)
        found.append(one[first : max(first + 1, int(np.ceil(end * frame_rate_hz)))])
    return found


def negated_dtw(mel: Sequence[np.ndarray], site: np.ndarray):
    """For `all_pairs`: minus the distance of mel frames along the best path; 0 within a site, where none is needed.

    Args:
        mel: N arrays (T, M).
        site: (N,) numbers.

    Raises:
        DialectError: an utterance that is too long to be warped.
    """
    longest = max(map(len, mel))
    if longest > LONGEST:
        raise DialectError(f"an utterance lasts {longest * HOP_S:.0f} s; at most {LONGEST * HOP_S:.0f} s can be warped")

    def compute(members: np.ndarray, n_rows: int) -> np.ndarray:
        needed = np.zeros((len(members), len(members)), dtype=bool)
        needed[:n_rows] = site[members[:n_rows], None] != site[members]
        return -dtw_distances([mel[number] for number in members], "cosine", needed)[:n_rows]

    return compute
