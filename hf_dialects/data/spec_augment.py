"""SpecAugment as recognisers of speech are trained with: a warp of time that keeps the length, and masks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hf_dialects.data.augment import check_probability, refuse_unknown
from hf_dialects.errors import RecipeError

__all__ = ["SpecAugment"]


@dataclass(frozen=True)
class SpecAugment:
    """Time warp, frequency masks and time masks (Park et al. 2019, arXiv:1904.08779) with the defaults of icefall.

    A frame, uniform among those at least `time_warp` frames from both ends, moves by up to `time_warp` frames; what
    lies before and behind it is stretched to fit, so the number of frames stays. Masks have a width uniform between 0
    and their widest and a uniform place, and take the mean of all values. Time masks together cover `time_share` of an
    utterance at most: a short one has fewer and narrower masks.

    Unlike `SpectralAugment`, made for classifying clips, the number of frames never changes.

    Args:
        time_warp: in frames; 0 is off, and utterances of 2 · time_warp + 1 frames or fewer are not warped.
        frequency_masks, time_masks: how many.
        frequency_mask_width, time_mask_width: widest mask, in bins and frames.
        time_share: in [0, 1].
        probability: share of utterances that are changed at all.
    """

    time_warp: int = 80
    frequency_masks: int = 2
    frequency_mask_width: int = 27
    time_masks: int = 10
    time_mask_width: int = 100
    time_share: float = 0.15
    probability: float = 0.9

    def __post_init__(self):
        check_probability("spec_augment", self.probability)
        if not 0 <= self.time_share <= 1:
            raise RecipeError(f"spec_augment.time_share must be between 0 and 1, got {self.time_share!r}")
        for name in ("time_warp", "frequency_masks", "frequency_mask_width", "time_masks", "time_mask_width"):
            value = getattr(self, name)
            if value != int(value) or value < 0:
                raise RecipeError(f"spec_augment.{name} must be a whole number of at least 0, got {value!r}")

    @classmethod
    def from_recipe(cls, recipe: Mapping) -> "SpecAugment":
        """From `{"time_warp": 40, ...}`; unknown options are refused by name."""
        refuse_unknown("spec_augment", recipe, [field.name for field in fields(cls)])
        return cls(**recipe)

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augmented copy (F, M) float32 of features (F, M) float32."""
        features = np.array(features, dtype=np.float32)
        if rng.random() >= self.probability:
            return features
        if self.time_warp and 2 * self.time_warp + 1 < len(features):
            features = self._warped(features, rng)
        mean, frames = features.mean(), len(features)
        for _ in range(self.frequency_masks):
            start, end = _mask(features.shape[1], self.frequency_mask_width, rng)
            features[:, start:end] = mean
        room = int(self.time_share * frames)
        masks = min(self.time_masks, math.ceil(room / max(1, self.time_mask_width)))
        for _ in range(masks):
            start, end = _mask(frames, min(self.time_mask_width, room // masks), rng)
            features[start:end] = mean
        return features

    def _warped(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        frames, reach = len(features), self.time_warp
        center = int(rng.integers(reach, frames - reach))
        to = center + int(rng.integers(-reach, reach + 1))
        to = min(max(to, 1), frames - 1)
        return np.concatenate([_stretched(features[:center], to), _stretched(features[center:], frames - to)])


def _stretched(features: np.ndarray, frames: int) -> np.ndarray:
    """(F, M) → (frames, M), linear between the centres of frames."""
    if len(features) == frames:
        return features
    place = (np.arange(frames, dtype=np.float32) + 0.5) * (len(features) / frames) - 0.5
    place = np.clip(place, 0, len(features) - 1)
    below = place.astype(np.intp)
    above = np.minimum(below + 1, len(features) - 1)
    return features[below] + (features[above] - features[below]) * (place - below).astype(np.float32)[:, None]


def _mask(size: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
    width = int(rng.integers(min(width, size) + 1))
    start = int(rng.integers(size - width + 1))
    return start, start + width
