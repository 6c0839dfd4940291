"""A corpus as a map-style dataset of clips."""

import copy
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Dataset

from hf_dialects.data.audio import decode
from hf_dialects.data.preparation import Preparation


@dataclass
class Memory:
    """Features of whole recordings, by what names them, up to a size."""

    bytes_left: int
    features: dict[Hashable, np.ndarray] = field(default_factory=dict)

    def of(self, key: Hashable, analyse: Callable[[], np.ndarray]) -> np.ndarray:
        """The features of that name, analysed unless they are here, and kept as far as there is room."""
        if key in self.features:
            return self.features[key]
        found = analyse()
        if found.nbytes <= self.bytes_left:
            self.features[key] = found
            self.bytes_left -= found.nbytes
        return found


class Clips(Dataset):
    """Clips addressed by `(epoch, index)`, or by `index` alone for epoch 0.

    Args:
        dataset: corpus with columns audio, dialect and id.
        cache_bytes: features of whole recordings are kept in memory up to this size, where nothing changes the
            waveform.
        preparation: arguments of `Preparation`.

    Items:
        {"row": int, "label": int, "clip": (S,) or (F, M) float32}
    """

    def __init__(self, dataset, *, cache_bytes: int = 2**30, **preparation):
        self.dataset = dataset
        self._audio = dataset.select_columns("audio")  # a row of it is read faster
        self.ids = list(dataset["id"])
        self.labels = list(dataset["dialect"])
        self.prepare = Preparation(**preparation)
        self._memory = Memory(cache_bytes)

    @property
    def lengths(self) -> list[float] | None:
        """Seconds of every clip, as far as the corpus knows them; buckets need them."""
        if "duration" not in self.dataset.column_names:
            return None
        durations, crop_s = list(self.dataset["duration"]), self.prepare.crop_s
        return [min(one, crop_s) if crop_s else one for one in durations] if None not in durations else None

    def plain(self) -> "Clips":
        """The same recordings around the middle and without augmentation; both share the features in memory."""
        found = copy.copy(self)
        found.prepare = Preparation(**(vars(self.prepare) | {"training": False}))
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if self.prepare.crops_features:
            clip = self.prepare.clip_of_features(self._features(index), self.ids[index], epoch)
        else:
            clip = self.prepare.clip(self._waveform(index), self.ids[index], epoch)
        return {"row": index, "label": self.labels[index], "clip": clip}

    def _waveform(self, index: int) -> np.ndarray:
        return decode(self._audio[index]["audio"], self.prepare.sampling_rate)

    def _features(self, index: int) -> np.ndarray:
        """Features of a whole recording, kept as far as the cache reaches."""
        return self._memory.of(index, lambda: self.prepare.analyse(self._waveform(index)))
