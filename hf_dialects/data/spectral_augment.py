"""Training-time augmentation of log-mel features: warps of frequency and time, and masks."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hf_dialects.data.augment import check_probability, refuse_unknown
from hf_dialects.errors import RecipeError

__all__ = ["SpectralAugment"]


@dataclass(frozen=True)
class SpectralAugment:
    """Random linear warps of the mel axis and of time, then masks (SpecAugment, Park et al. 2019, arXiv:1904.08779).

    The frequency warp works like a change of vocal tract length: output bin m reads bin m·factor, clipped to the last.
    The time warp changes the number of frames from T to round(T·factor). Both factors are uniform in 1 ± their
    strength. Masks have a width uniform between 0 and the option, at most half of the axis, and a uniform place; the
    masked cells take their bin's mean over the clip, which is 0 once the mean of each bin is subtracted.

    Args:
        warp_frequency, warp_time: largest relative change, 0 ≤ strength < 1; 0 is off.
        frequency_masks, time_masks: how many.
        frequency_mask_width, time_mask_width: widest mask, in bins and frames.
        probability: share of clips that are changed at all.
    """

    warp_frequency: float = 0.12
    warp_time: float = 0.12
    frequency_masks: int = 0
    frequency_mask_width: int = 8
    time_masks: int = 0
    time_mask_width: int = 20
    probability: float = 1.0

    def __post_init__(self):
        check_probability("spectral augmentation", self.probability)
        for name in ("warp_frequency", "warp_time"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"{name} must be at least 0 and below 1, got {getattr(self, name)!r}")
        for name in ("frequency_masks", "frequency_mask_width", "time_masks", "time_mask_width"):
            if getattr(self, name) != int(getattr(self, name)) or getattr(self, name) < 0:
                raise RecipeError(f"{name} must be a whole number of at least 0, got {getattr(self, name)!r}")

    @classmethod
    def from_recipe(cls, recipe: Mapping) -> "SpectralAugment":
        """From `{"warp_frequency": 0.12, ...}`; unknown options are refused by name."""
        refuse_unknown("spectral augmentation", recipe, [field.name for field in fields(cls)])
        return cls(**recipe)

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augmented copy (T', M) float32 of log-mel features (T, M) float32."""
        features = np.array(features, dtype=np.float32)  # (T, M)
        if rng.random() >= self.probability or not features.size:
            return features
        if self.warp_frequency:
            features = _warp_frequency(features, rng.uniform(1 - self.warp_frequency, 1 + self.warp_frequency))
        if self.warp_time:
            features = _warp_time(features, rng.uniform(1 - self.warp_time, 1 + self.warp_time))
        if self.frequency_masks or self.time_masks:
            mean = features.mean(0)  # (M,)
            for _ in range(self.frequency_masks):
                start, end = _mask(features.shape[1], self.frequency_mask_width, rng)
                features[:, start:end] = mean[start:end]
            for _ in range(self.time_masks):
                start, end = _mask(features.shape[0], self.time_mask_width, rng)
                features[start:end] = mean
        return features


def _warp_frequency(features: np.ndarray, factor: float) -> np.ndarray:
    last = features.shape[1] - 1
    place = np.minimum(np.arange(last + 1, dtype=np.float32) * np.float32(factor), last)  # (M,), where each bin reads
    below = place.astype(np.intp)
    above = np.minimum(below + 1, last)
    lower = features.take(below, axis=1)
    return lower + (features.take(above, axis=1) - lower) * (place - below).astype(np.float32)


def _warp_time(features: np.ndarray, factor: float) -> np.ndarray:
    frames = features.shape[0]
    place = np.linspace(0, frames - 1, max(1, round(frames * factor)), dtype=np.float32)  # (T',), first to last frame
    below = place.astype(np.intp)
    above = np.minimum(below + 1, frames - 1)
    lower = features.take(below, axis=0)
    return lower + (features.take(above, axis=0) - lower) * (place - below).astype(np.float32)[:, None]


def _mask(size: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
    width = int(rng.integers(min(width, size // 2) + 1))
    start = int(rng.integers(size - width + 1))
    return start, start + width
