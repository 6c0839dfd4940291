"""Utterances ready for batching: decoded, cropped, analysed and augmented by (seed, epoch, id)."""

from collections.abc import Callable

import numpy as np
from torch.utils.data import Dataset

from hf_dialects.data.audio import SAMPLING_RATE, decode
from hf_dialects.data.randomness import generator


class Clips(Dataset):
    """A corpus as a map-style dataset of arrays.

    Items are addressed by `(epoch, index)`, or by `index` alone for epoch 0, so that crops and augmentation depend on
    (seed, epoch, id) and on nothing else: not on the worker, the process or the order of calls.

    Args:
        dataset: corpus with columns audio, dialect and id.
        sampling_rate: of the encoder, in Hz.
        crop_s: longest clip in seconds; longer recordings are cut, at random in training, else around the middle. None
            = whole.
        training: random crops and augmentation on.
        seed: of all draws.
        analyse: waveform (S,) → features (F, M), for encoders trained from scratch; None keeps waveforms.
        hop: samples between feature frames; crops start on this grid, so that features of a crop are a crop of
            features.
        window: samples of one analysis window.
        waveform_augment: (waveform, sampling_rate, rng) → waveform, applied before the analysis.
        spectral_augment: (features, rng) → features, applied after it.
        longest_frames: cut features to this many frames after augmentation.
        cache_bytes: features of whole recordings are kept in memory up to this size where nothing changes the waveform.

    Items:
        {"row": int, "label": int, "clip": (S,) or (F, M) float32}
    """

    def __init__(
        self,
        dataset,
        sampling_rate: int = SAMPLING_RATE,
        crop_s: float | None = None,
        training: bool = False,
        seed: int = 0,
        analyse: Callable[[np.ndarray], np.ndarray] | None = None,
        hop: int = 1,
        window: int = 1,
        waveform_augment: Callable | None = None,
        spectral_augment: Callable | None = None,
        longest_frames: int | None = None,
        cache_bytes: int = 2**30,
    ):
        self.dataset = dataset
        self.ids = list(dataset["id"])
        self.labels = list(dataset["dialect"])
        self.sampling_rate, self.crop_s, self.training, self.seed = sampling_rate, crop_s, training, seed
        self.analyse, self.hop, self.window = analyse, hop, window
        self.waveform_augment = waveform_augment if training else None
        self.spectral_augment = spectral_augment if training else None
        self.longest_frames = longest_frames
        self._cache: dict[int, np.ndarray] = {}
        self._cache_left = cache_bytes if analyse is not None and self.waveform_augment is None else 0

    @property
    def lengths(self) -> list[float] | None:
        """Seconds of every clip, as far as the corpus knows them; buckets need them."""
        if "duration" not in self.dataset.column_names:
            return None
        durations = list(self.dataset["duration"])
        return [min(one, self.crop_s) if self.crop_s else one for one in durations] if None not in durations else None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        rng = generator(self.seed, epoch, self.ids[index], "clip")
        clip = (
            self._waveform(index, rng) if self.analyse is None or self.waveform_augment else self._features(index, rng)
        )
        if self.analyse is not None and self.waveform_augment:
            clip = self.analyse(clip)
        if self.spectral_augment:
            clip = self.spectral_augment(clip, rng)
        if self.longest_frames and self.analyse is not None and len(clip) > self.longest_frames:
            start = self._start(len(clip) - self.longest_frames, rng)
            clip = clip[start : start + self.longest_frames]
        return {"row": index, "label": self.labels[index], "clip": clip}

    def _waveform(self, index: int, rng: np.random.Generator) -> np.ndarray:
        waveform = decode(self.dataset[index]["audio"], self.sampling_rate)
        length = self._crop_length
        if length and len(waveform) > length:
            start = self.hop * self._start((len(waveform) - length) // self.hop, rng)
            waveform = waveform[start : start + length]
        return self.waveform_augment(waveform, self.sampling_rate, rng) if self.waveform_augment else waveform

    def _features(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """Features of the crop, cut out of the features of the whole recording."""
        whole = self._cache.get(index)
        if whole is None:
            whole = self.analyse(decode(self.dataset[index]["audio"], self.sampling_rate))
            if whole.nbytes <= self._cache_left:
                self._cache[index] = whole
                self._cache_left -= whole.nbytes
        length = self._crop_length
        frames = 1 + max(0, length - self.window) // self.hop if length else len(whole)
        if len(whole) <= frames:
            return whole
        start = self._start(len(whole) - frames, rng)
        return whole[start : start + frames]

    @property
    def _crop_length(self) -> int | None:
        return round(self.crop_s * self.sampling_rate) if self.crop_s else None

    def _start(self, room: int, rng: np.random.Generator) -> int:
        return int(rng.integers(room + 1)) if self.training else room // 2
