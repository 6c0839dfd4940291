"""From a decoded recording to the clip that is trained on: cropped, analysed and augmented by (seed, epoch, id)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hf_dialects.data.audio import SAMPLING_RATE
from hf_dialects.data.randomness import generator


@dataclass
class Preparation:
    """How recordings become clips. Every draw depends on (seed, epoch, id) alone: not on worker, process or order.

    Args:
        sampling_rate: of the encoder, in Hz.
        crop_s: longest clip in seconds; longer recordings are cut, at random in training, else around the middle.
            None = whole.
        training: random crops and augmentation on.
        seed: of all draws.
        analyse: waveform (S,) → features (F, M), for encoders trained from scratch; None keeps waveforms.
        hop: samples between feature frames; crops start on this grid, so that features of a crop are a crop of
            features.
        window: samples of one analysis window.
        waveform_augment: (waveform, sampling_rate, rng) → waveform, applied before the analysis.
        spectral_augment: (features, rng) → features, applied after it.
        longest_frames: cut features to this many frames after augmentation.
    """

    sampling_rate: int = SAMPLING_RATE
    crop_s: float | None = None
    training: bool = False
    seed: int = 0
    analyse: Callable[[np.ndarray], np.ndarray] | None = None
    hop: int = 1
    window: int = 1
    waveform_augment: Callable | None = None
    spectral_augment: Callable | None = None
    longest_frames: int | None = None

    def __post_init__(self):
        if not self.training:
            self.waveform_augment = self.spectral_augment = None

    @property
    def crops_features(self) -> bool:
        """Whether features of whole recordings can be kept: nothing changes the waveform before the analysis."""
        return self.analyse is not None and self.waveform_augment is None

    def clip(self, waveform: np.ndarray, id: str, epoch: int) -> np.ndarray:
        """A whole waveform (S,) → clip (S',) or (F, M) float32."""
        if self.crops_features:
            return self.clip_of_features(self.analyse(waveform), id, epoch)
        rng = self._rng(id, epoch)
        if self._length and len(waveform) > self._length:
            start = self.hop * self._start((len(waveform) - self._length) // self.hop, rng)
            waveform = waveform[start : start + self._length]
        if self.waveform_augment:
            waveform = self.waveform_augment(waveform, self.sampling_rate, rng)
        return waveform if self.analyse is None else self._augmented(self.analyse(waveform), rng)

    def clip_of_features(self, features: np.ndarray, id: str, epoch: int) -> np.ndarray:
        """Features (F, M) of a whole recording → clip (F', M) float32."""
        rng = self._rng(id, epoch)
        frames = 1 + max(0, self._length - self.window) // self.hop if self._length else len(features)
        return self._augmented(self._cut(features, frames, rng), rng)

    def _augmented(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.spectral_augment:
            features = self.spectral_augment(features, rng)
        return self._cut(features, self.longest_frames or len(features), rng)

    def _cut(self, features: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
        if len(features) <= frames:
            return features
        start = self._start(len(features) - frames, rng)
        return features[start : start + frames]

    def _rng(self, id: str, epoch: int) -> np.random.Generator:
        return generator(self.seed, epoch, id, "clip")

    @property
    def _length(self) -> int | None:
        return round(self.crop_s * self.sampling_rate) if self.crop_s else None

    def _start(self, room: int, rng: np.random.Generator) -> int:
        return int(rng.integers(room + 1)) if self.training else room // 2
