"""Training-time augmentation of waveforms: speed, reverberation, noise, telephone band."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from hf_dialects.errors import RecipeError

__all__ = ["Noise", "Reverb", "Speed", "Telephone", "WaveformAugment"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


@dataclass(frozen=True)
class Noise:
    """Added noise at a random signal-to-noise ratio over the whole waveform.

    Args:
        probability: share of waveforms it happens to.
        snr_db: range of the ratio, in dB.
        colors: of the synthetic noise, drawn evenly: "white" (flat spectrum), "pink" (power ∝ 1/f).
        folder: take pieces of the recordings in this folder (and those below) instead.
    """

    probability: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    colors: tuple[str, ...] = ("white", "pink")
    folder: str | None = None

    def __post_init__(self):
        check_probability("noise", self.probability)
        object.__setattr__(self, "snr_db", check_range("noise.snr_db", self.snr_db))
        colors = (self.colors,) if isinstance(self.colors, str) else tuple(self.colors)
        if not colors or set(colors) - {"white", "pink"}:
            raise RecipeError(f"noise.colors must be of white, pink, got {self.colors!r}")
        object.__setattr__(self, "colors", colors)
        files = ()
        if self.folder is not None:
            files = tuple(sorted(p for p in Path(self.folder).rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES))
            if not files:
                raise RecipeError(f"noise.folder {str(self.folder)!r} holds no {', '.join(AUDIO_SUFFIXES)} file")
        object.__setattr__(self, "files", files)

    def __call__(self, waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        snr = rng.uniform(*self.snr_db)
        noise = self._recorded(len(waveform), sampling_rate, rng) if self.files else self._synthetic(len(waveform), rng)
        noise_rms = rms(noise)
        if noise_rms == 0:
            return waveform
        return waveform + noise * (rms(waveform) / noise_rms * 10 ** (-snr / 20))

    def _synthetic(self, n: int, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(n, dtype=np.float32)
        if self.colors[rng.integers(len(self.colors))] == "white":
            return noise
        from scipy.fft import irfft, next_fast_len, rfft

        size = next_fast_len(n, real=True)
        spectrum = rfft(np.pad(noise, (0, size - n)))
        return irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), size)[:n].astype(np.float32)

    def _recorded(self, n: int, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        from hf_dialects.data.audio import decode, duration_s

        file = self.files[rng.integers(len(self.files))]
        wanted, there = n / sampling_rate, duration_s(file)
        start = rng.uniform(0, max(0.0, there - wanted))
        piece = decode(file, sampling_rate, start_s=start, end_s=min(there, start + wanted))
        return np.resize(piece, n)  # a short one repeats


@dataclass(frozen=True)
class Reverb:
    """Room made up of the direct sound and exponentially decaying white noise; the loudness stays.

    Args:
        probability: share of waveforms it happens to.
        t60_s: range of the reverberation time, in which the tail falls by 60 dB, in seconds.
        direct_to_reverberant_db: range of the energy of the direct sound over that of the tail, in dB.
    """

    probability: float = 0.5
    t60_s: tuple[float, float] = (0.1, 0.6)
    direct_to_reverberant_db: tuple[float, float] = (0.0, 15.0)

    def __post_init__(self):
        check_probability("reverb", self.probability)
        object.__setattr__(self, "t60_s", check_range("reverb.t60_s", self.t60_s, low=0.01, high=10.0))
        name = "direct_to_reverberant_db"
        object.__setattr__(self, name, check_range(f"reverb.{name}", getattr(self, name)))

    def __call__(self, waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        from scipy.signal import oaconvolve

        t60 = rng.uniform(*self.t60_s)
        ratio = rng.uniform(*self.direct_to_reverberant_db)
        n = max(2, round(t60 * sampling_rate))
        tail = rng.standard_normal(n, dtype=np.float32) * 10 ** (-3 * np.arange(n, dtype=np.float32) / n)
        tail[0] = 0
        response = tail * (10 ** (-ratio / 20) / np.linalg.norm(tail))
        response[0] = 1
        wet = oaconvolve(waveform, response)[: len(waveform)]
        wet_rms = rms(wet)
        return wet * (rms(waveform) / wet_rms) if wet_rms > 0 else waveform


@dataclass(frozen=True)
class Speed:
    """Faster or slower playback, pitch and formants included, by resampling; the length changes.

    Args:
        probability: share of waveforms it happens to.
        factor: range of the speed, drawn in steps of 0.01; 1.1 makes 10 s last 9.1 s.
    """

    probability: float = 0.5
    factor: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self):
        check_probability("speed", self.probability)
        object.__setattr__(self, "factor", check_range("speed.factor", self.factor, low=0.5, high=2.0))

    def __call__(self, waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        from scipy.signal import resample_poly

        return resample_poly(waveform, 100, round(100 * rng.uniform(*self.factor)))


@dataclass(frozen=True)
class Telephone:
    """Band of a telephone line (Butterworth, 24 dB per octave on each side).

    Args:
        probability: share of waveforms it happens to.
        band_hz: lower and upper edge (-3 dB), in Hz.
        narrowband: go through 8 kHz as well, which leaves nothing at all above 4 kHz.
    """

    probability: float = 0.5
    band_hz: tuple[float, float] = (300.0, 3400.0)
    narrowband: bool = True

    def __post_init__(self):
        check_probability("telephone", self.probability)
        object.__setattr__(self, "band_hz", check_range("telephone.band_hz", self.band_hz, low=1.0))
        if self.band_hz[0] == self.band_hz[1]:
            raise RecipeError(f"telephone.band_hz must have two different edges, got {list(self.band_hz)}")

    def __call__(self, waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        from scipy.signal import butter, resample_poly, sosfilt

        low, high = self.band_hz
        if 2 * low >= sampling_rate:
            raise RecipeError(f"telephone.band_hz starts at {low:g} Hz, above all of a waveform at {sampling_rate} Hz")
        if 2 * high < sampling_rate:
            sections = butter(4, (low, high), "bandpass", fs=sampling_rate, output="sos")
        else:  # the waveform ends below the band's upper edge
            sections = butter(4, low, "highpass", fs=sampling_rate, output="sos")
        filtered = sosfilt(sections, waveform)
        if self.narrowband and sampling_rate > 8000:
            filtered = resample_poly(resample_poly(filtered, 8000, sampling_rate), sampling_rate, 8000)
        return filtered[: len(waveform)]


# in the order of their application
STEPS = {"speed": Speed, "reverb": Reverb, "noise": Noise, "telephone": Telephone}


class WaveformAugment:
    """Speed, reverberation, noise and telephone band, in this order: speaker, room, surroundings, channel.

    Args:
        noise, reverb, speed, telephone: `Noise`, `Reverb`, `Speed`, `Telephone`, or a mapping of their options as it
            stands in a recipe (`{"probability": 0.3, "snr_db": [5, 30]}`); None leaves the step out.

    Raises:
        RecipeError: an unknown option, or a value out of its range.
    """

    def __init__(self, noise=None, reverb=None, speed=None, telephone=None):
        given = {"speed": speed, "reverb": reverb, "noise": noise, "telephone": telephone}
        self.steps = [_step(name, kind, given[name]) for name, kind in STEPS.items() if given[name] is not None]

    @classmethod
    def from_recipe(cls, recipe: Mapping) -> "WaveformAugment":
        """From `{"noise": {"probability": 0.3, "snr_db": [5, 30]}, ...}`."""
        refuse_unknown("waveform augmentation", recipe, STEPS)
        return cls(**recipe)

    def __call__(self, waveform: np.ndarray, sampling_rate: int, rng: np.random.Generator) -> np.ndarray:
        """Augmented waveform (S',) float32 of a waveform (S,) float32 in [-1, 1].

        S' differs from S only by speed. The peak is at most that of the input, or 1 where the input stays below. A
        waveform without signal is returned as it is.
        """
        waveform = np.asarray(waveform, dtype=np.float32)
        peak = np.abs(waveform).max(initial=0)
        if peak == 0:
            return waveform
        for step in self.steps:
            if rng.random() < step.probability:
                waveform = step(waveform, sampling_rate, rng)
        loudest = np.abs(waveform).max()
        if loudest > max(1.0, peak):
            waveform = waveform * (max(1.0, peak) / loudest)
        return waveform.astype(np.float32)


def _step(name: str, kind: type, options):
    if isinstance(options, kind):
        return options
    if not isinstance(options, Mapping):
        raise RecipeError(f"{name} must be a mapping of options, got {options!r}")
    refuse_unknown(name, options, [field.name for field in fields(kind)])
    return kind(**options)


def refuse_unknown(what: str, given: Mapping, valid) -> None:
    """Raise `RecipeError` for the first key of `given` that is not valid, with the nearest valid name."""
    for key in given:
        if key not in valid:
            nearest = get_close_matches(str(key), valid, n=1)
            meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise RecipeError(f"{what} has no option {key!r}{meant} (valid: {', '.join(valid)})")


def check_probability(what: str, probability: float) -> None:
    if not 0 <= probability <= 1:
        raise RecipeError(f"{what}.probability must be between 0 and 1, got {probability!r}")


def check_range(name: str, given, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """The two ends of a range; a single number is both."""
    ends = (given, given) if isinstance(given, int | float) else tuple(given)
    if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
        bounds = f" within {low:g} to {high:g}" if np.isfinite([low, high]).any() else ""
        raise RecipeError(f"{name} must be [lowest, highest]{bounds}, got {given!r}")
    return float(ends[0]), float(ends[1])


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
