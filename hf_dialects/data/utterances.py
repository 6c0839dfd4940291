"""Recordings with what is said in them, as a map-style dataset of features and tokens, and padded batches of it."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_dialects.data.audio import SAMPLING_RATE, decode, resample
from hf_dialects.data.clips import Memory
from hf_dialects.data.preparation import Preparation
from hf_dialects.data.tokens import encode_text, language_id
from hf_dialects.errors import CorpusError, RecipeError

__all__ = ["SPOKEN", "UtteranceCollator", "Utterances", "at_speed"]

SPOKEN = "spoken"  # names the token of transcripts, whose language is the one that is spoken
IGNORED = -100  # label


class Utterances(Dataset):
    """Utterances addressed by `(epoch, index)`, or by `index` alone for epoch 0.

    A row with a `text` is an example of recognition; one with a `translation`, text in the language that its
    `translation_language` names, is an example of translation; a row with both is two examples. All examples come once
    for every speed. Every draw of the augmentation depends on (seed, epoch, id, speed, task) alone.

    Args:
        dataset: corpus with columns audio, id, duration, text and perhaps translation and translation_language.
        tokenizer: see `data.tokens`; with translations it has a token for `SPOKEN` and one for each of their languages.
        analyse: waveform (S,) → features (F, M).
        sampling_rate: of the waveforms, in Hz.
        training: augmentation on; otherwise recordings come once, as they are.
        seed: of all draws.
        speeds: an utterance of 10 s lasts 11.1 s at the speed 0.9; pitch and formants change along.
        waveform_augment, spec_augment: see `Preparation`.
        cache_bytes: features are kept in memory up to this size, where nothing changes the waveform at random.

    Items:
        {"row": int, row of the dataset; "clip": (F, M) float32; "labels": list of ints; "transcribed": bool, False for
        a translation; "prefix": list of ints, only with translations}

    Raises:
        CorpusError: no duration, nothing to learn from, a translation without a language.
        RecipeError: a speed outside [0.5, 2], or a language without a token.
    """

    labels = None  # batches are made by length, not by class

    def __init__(
        self,
        dataset,
        tokenizer,
        analyse: Callable,
        *,
        sampling_rate: int = SAMPLING_RATE,
        training: bool = False,
        seed: int = 0,
        speeds: Sequence[float] = (1.0,),
        waveform_augment: Callable | None = None,
        spec_augment: Callable | None = None,
        cache_bytes: int = 2**30,
    ):
        self.dataset, self.tokenizer = dataset, tokenizer
        self.speeds = tuple(speeds) if training else (1.0,)
        if wrong := [speed for speed in self.speeds if not 0.5 <= speed <= 2]:
            raise RecipeError(f"speeds must be between 0.5 and 2, got {wrong[0]}")
        if not self.speeds:
            raise RecipeError("speeds is empty; [1.0] leaves recordings as they are")
        self.prepare = Preparation(
            sampling_rate,
            None,
            training,
            seed,
            analyse,
            waveform_augment=waveform_augment,
            spectral_augment=spec_augment,
        )
        self._memory = Memory(cache_bytes)
        self.ids, columns = list(dataset["id"]), dataset.column_names
        self.texts = list(dataset["text"])
        transcribed = [row for row, text in enumerate(self.texts) if text]
        self.translations = list(dataset["translation"]) if "translation" in columns else []
        translated = [row for row, text in enumerate(self.translations) if text]
        self.rows = np.array(transcribed + translated)
        self.transcribed = np.arange(len(self.rows)) < len(transcribed)
        if not len(self.rows):
            raise CorpusError(f"none of the {len(self.ids)} recordings has a text; there is nothing to learn from")
        self._prefixes = self._of_languages(dataset, translated) if translated else None
        if "duration" not in columns or None in (durations := list(dataset["duration"])):
            raise CorpusError("batches by seconds need the duration of every recording; fill the column")
        self._seconds = np.array(durations, dtype=np.float64)[self.rows]

    @property
    def lengths(self) -> list[float]:
        """Seconds of every example, at its speed."""
        return np.concatenate([self._seconds / speed for speed in self.speeds]).tolist()

    @property
    def translates(self) -> bool:
        """Whether there are translations, and so a language before every text."""
        return self._prefixes is not None

    def __len__(self) -> int:
        return len(self.rows) * len(self.speeds)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        copy, example = divmod(index, len(self.rows))
        row, speed, transcribed = int(self.rows[example]), self.speeds[copy], bool(self.transcribed[example])
        id = f"{self.ids[row]} at {speed:g}" + ("" if transcribed else " translated")
        if self.prepare.crops_features:
            clip = self.prepare.clip_of_features(self._features(row, speed), id, epoch)
        else:
            clip = self.prepare.clip(self._waveform(row, speed), id, epoch)
        text = self.texts[row] if transcribed else self.translations[row]
        item = {"row": row, "clip": clip, "labels": encode_text(self.tokenizer, text), "transcribed": transcribed}
        return item if self._prefixes is None else item | {"prefix": [self._prefixes[example]]}

    def _of_languages(self, dataset, translated: list[int]) -> list[int]:
        """The token of the language of every example's text."""
        named = list(dataset["translation_language"]) if "translation_language" in dataset.column_names else None
        if named is None or not all(named[row] for row in translated):
            raise CorpusError(
                "translations need the column translation_language, the name of their language in every row with one"
            )
        tokens = {name: language_id(self.tokenizer, name) for name in {SPOKEN, *(named[row] for row in translated)}}
        spoken = len(self.rows) - len(translated)
        return [tokens[SPOKEN]] * spoken + [tokens[named[row]] for row in translated]

    def _waveform(self, row: int, speed: float) -> np.ndarray:
        return at_speed(decode(self.dataset[row]["audio"], self.prepare.sampling_rate), speed)

    def _features(self, row: int, speed: float) -> np.ndarray:
        return self._memory.of((row, speed), lambda: np.asarray(self.prepare.analyse(self._waveform(row, speed))))


def at_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """A waveform (S,) played faster or slower: ceil(S / speed) samples, speed in steps of 0.01."""
    return resample(waveform, round(100 * speed), 100)


class UtteranceCollator:
    """Pads items of `Utterances` into tensors.

    Args:
        padding_value: of features behind an utterance.

    A call gives `input_features` (B, F, M) float32, `attention_mask` (B, F) int64, `labels` (B, U) int64 padded with
    -100, `row` (B,) int64, and with translations `prefix_ids` (B, 1) int64 and `transducer_mask` (B,) bool, False for
    them.
    """

    def __init__(self, padding_value: float = math.log(1e-10)):
        self.padding_value = padding_value

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        clips = [torch.as_tensor(item["clip"]) for item in items]
        labels = [torch.tensor(item["labels"], dtype=torch.int64) for item in items]
        lengths = torch.tensor([len(clip) for clip in clips])
        features = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=self.padding_value)
        tensors = {
            "input_features": features,
            "attention_mask": (torch.arange(features.shape[1]) < lengths[:, None]).long(),
            "labels": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED),
            "row": torch.tensor([item["row"] for item in items], dtype=torch.int64),
        }
        if "prefix" in items[0]:
            tensors["prefix_ids"] = torch.tensor([item["prefix"] for item in items], dtype=torch.int64)
            tensors["transducer_mask"] = torch.tensor([item["transcribed"] for item in items])
        return tensors
