"""What gives a dialect away without a word being understood: room and voice, length, pauses, channel.

Each feature set is one vector per recording, for a linear model. S samples, F frames of 32 ms every 20 ms, M = 40 mel
bins, B = 257 frequencies.
"""

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft

from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.speech_dialect import FRAME_S, speech_frames

FEWEST_FRAMES = 5  # fewer say nothing about a deviation over time
FLOOR = 1e-6  # of the power, as for the mel bins: about 20 dB above the noise of 16-bit samples

_EXTRACTOR = DialectFeatureExtractor()
SAMPLING_RATE = _EXTRACTOR.sampling_rate


class Sound:
    """A recording and what several feature sets need of it.

    Args:
        waveform: (S,) float32 in [-1, 1] at 16 kHz.
    """

    def __init__(self, waveform: np.ndarray):
        self.waveform = waveform

    @cached_property
    def log_mel(self) -> np.ndarray:
        """(F, M) float32"""
        return _EXTRACTOR.log_mel(self.waveform)


def mel_statistics(sound: Sound) -> np.ndarray:
    """Mean and standard deviation over time of every log-mel bin: (2M,) float64.

    Voice, room and channel are in it, words hardly at all.
    """
    return _statistics(sound.log_mel)


def duration(sound: Sound) -> np.ndarray:
    """Logarithm of the duration in seconds, and its square, so that a class may lie between two others: (2,)."""
    log = np.log(len(sound.waveform) / SAMPLING_RATE)
    return np.array([log, log**2])


def non_speech(sound: Sound) -> np.ndarray:
    """`mel_statistics` of the frames without speech, and whether there are none: (2M + 1,) float64.

    A frame is without speech when no part of it lies in a 30 ms frame that is loud enough to be speech (see
    `speech_dialect.speech_frames`), so that no word leaks in. A recording with fewer than five such frames has NaN for
    the statistics, to be filled with the mean of the training recordings, and 1 in the last place: that a corpus was
    trimmed, or is noisy throughout, for some dialects only is a shortcut too.
    """
    frames = sound.log_mel[_without_speech(sound)]
    if len(frames) < FEWEST_FRAMES:
        return np.append(np.full(2 * sound.log_mel.shape[1], np.nan), 1.0)
    return np.append(_statistics(frames, lost=1), 0.0)  # else the deviation of few frames tells how many there are


def long_term_spectrum(sound: Sound) -> np.ndarray:
    """Mean over time of the log power at each frequency, every 31.25 Hz: (B,) float64.

    Finer than the mel bins where codecs, filters and hum differ. The overall level is kept, because loudness can give
    a dialect away as well.
    """
    power = np.square(np.abs(rfft(_windows(sound.waveform) * _HANN, _EXTRACTOR.n_fft)))  # (F, B)
    return np.log(power + FLOOR).mean(0, dtype=np.float64)


SHORTCUTS: dict[str, Callable[[Sound], np.ndarray]] = {
    "mel statistics": mel_statistics,
    "duration": duration,
    "non-speech": non_speech,
    "long-term spectrum": long_term_spectrum,
}


def hear(waveform: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Feature vectors of one recording, (S,) float32 at 16 kHz, by name; see `SHORTCUTS`."""
    sound = Sound(waveform)
    return {name: SHORTCUTS[name](sound) for name in names}


def _statistics(frames: np.ndarray, lost: int = 0) -> np.ndarray:
    """Mean and deviation over frames; `lost` degrees of freedom are taken off the divisor of the latter."""
    return np.concatenate([frames.mean(0, dtype=np.float64), frames.std(0, dtype=np.float64, ddof=lost)])


def _without_speech(sound: Sound) -> np.ndarray:
    """(F,) bool; samples after the last whole frame of the energy rule count as speech."""
    loud = np.repeat(speech_frames(sound.waveform, SAMPLING_RATE), round(FRAME_S * SAMPLING_RATE))
    spoken = np.ones(len(sound.waveform), dtype=bool)
    spoken[: len(loud)] = loud[: len(spoken)]
    return ~_windows(spoken, fill=True).any(1)


def _windows(samples: np.ndarray, fill=0) -> np.ndarray:
    """The analysis windows of `log_mel`, (F, window); what is shorter than one is completed with `fill`."""
    missing = max(0, _EXTRACTOR.window_length - len(samples))
    padded = np.pad(samples, (0, missing), constant_values=fill)
    return sliding_window_view(padded, _EXTRACTOR.window_length)[:: _EXTRACTOR.hop_length]


_HANN = np.hanning(_EXTRACTOR.window_length + 1)[:-1].astype(np.float32)  # periodic, as in `log_mel`
