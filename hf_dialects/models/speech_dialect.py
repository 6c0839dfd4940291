"""How much of a window is speech, by energy alone."""

import numpy as np

FRAME_S = 0.03
QUIETEST_DB = -55.0  # relative to full scale
RANGE_DB = 35.0  # below the loud frames of the same recording


def speech_frames(waveform: np.ndarray, sampling_rate: int, loud_db: float | None = None) -> np.ndarray:
    """Which 30 ms frames are loud enough to be speech: (S // 480,) bool at 16 kHz, at least one frame.

    A frame counts when its level is above -55 dB of full scale and at most 35 dB below the recording's loud frames
    (their 95th percentile). This tells speech from pauses and dead air, not from music or steady noise. Frames follow
    one another without overlap; what is left after the last whole one is not judged.

    Args:
        waveform: (S,) float32 in [-1, 1].
        sampling_rate: Hz.
        loud_db: level of the whole recording's loud frames when `waveform` is one window of it, see `loud_level`.
    """
    levels = frame_levels(waveform, sampling_rate)
    loud = loud_level(waveform, sampling_rate) if loud_db is None else loud_db
    return levels > max(QUIETEST_DB, loud - RANGE_DB)


def speech_share(waveform: np.ndarray, sampling_rate: int, loud_db: float | None = None) -> float:
    """Share of `speech_frames` in [0, 1]."""
    return float(speech_frames(waveform, sampling_rate, loud_db).mean())


def spoken_windows(
    waveform: np.ndarray, spans: list[tuple[int, int]], sampling_rate: int, min_speech: float = 0.0
) -> list[tuple[int, int, float]]:
    """Windows in which enough is said, with their share of speech.

    Args:
        waveform: (S,) float32 in [-1, 1], a whole recording.
        spans: (start, end) of its windows in samples, end excluded.
        sampling_rate: Hz.
        min_speech: smallest share of speech of a window that counts, in [0, 1]; 0 keeps all.

    Returns:
        (start, end, share) of the windows that count, in order; the share is relative to the loud frames of the whole
        recording, see `speech_share`. Empty where nobody speaks.

    Raises:
        ValueError: `min_speech` is no share.
    """
    if not 0 <= min_speech <= 1:
        raise ValueError(f"min_speech is {min_speech}; it must be a share of speech between 0 and 1, such as 0.3")
    loud = loud_level(waveform, sampling_rate)
    shares = [speech_share(waveform[start:end], sampling_rate, loud) for start, end in spans]
    return [(start, end, share) for (start, end), share in zip(spans, shares, strict=True) if share >= min_speech]


def loud_level(waveform: np.ndarray, sampling_rate: int) -> float:
    """95th percentile of the frames' levels, in dB of full scale."""
    return float(np.percentile(frame_levels(waveform, sampling_rate), 95))


def frame_levels(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """dB of full scale of every 30 ms of a waveform (S,), at least one: (n,) float64."""
    length = max(1, round(FRAME_S * sampling_rate))
    n_frames = max(1, len(waveform) // length)
    frames = np.resize(waveform, n_frames * length) if len(waveform) < length else waveform[: n_frames * length]
    power = np.square(frames.reshape(n_frames, length), dtype=np.float64).mean(1)
    return 10 * np.log10(power + 1e-12)
