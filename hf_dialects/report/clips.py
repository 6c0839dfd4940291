"""Clips worth listening to, and how their sound gets into the page.

Dimensions: N clips, C dialects.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from hf_dialects.data.audio import SAMPLING_RATE, decode, encode
from hf_dialects.errors import AudioError

EMBEDDED = 20 * 10**6  # bytes of sound that a page holds at most
LONGEST_S = 60.0  # of a clip; what comes after is cut off
HEADER = "data:audio/ogg;base64,"


def worst_errors(probabilities: np.ndarray, gold: np.ndarray, ids: Sequence[str], most: int) -> np.ndarray:
    """Positions of the wrong answers given with the highest probability, highest first, of equals by id.

    Args:
        probabilities: (N, C).
        gold: (N,); clips without label (-1) are neither right nor wrong.
    """
    wrong = np.flatnonzero((gold >= 0) & (probabilities.argmax(1) != gold))
    return wrong[_order(-probabilities.max(1)[wrong], [ids[row] for row in wrong])][:most]


def most_uncertain(probabilities: np.ndarray, ids: Sequence[str], most: int) -> np.ndarray:
    """Positions of the clips whose probabilities have the highest entropy, highest first, of equals by id."""
    return _order(-entropy(probabilities), ids)[:most]


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """(N,) in nats, 0 to log C."""
    return -(probabilities * np.log(np.clip(probabilities, 1e-12, None))).sum(1)


class Sound(NamedTuple):
    """A clip for the page.

    Attributes:
        key: part of the SHA-256 of its samples, so that runs share the clips they have in common.
        file: in Opus at about 32 kbit/s.
    """

    key: str
    file: bytes


def sounds_of(rows, positions: Iterable[int], longest_s: float = LONGEST_S) -> dict[int, Sound]:
    """Position → the clip from its start, at most `longest_s`; those that cannot be read are left out."""
    found = {}
    for position in positions:
        try:
            waveform = decode(rows[int(position)]["audio"], SAMPLING_RATE, end_s=longest_s)
        except AudioError:
            continue
        # of the samples, as encoding them twice gives two files: an Ogg stream has a random serial number
        key = sha256(waveform.tobytes()).hexdigest()[:16]
        found[int(position)] = Sound(key, encode(waveform, SAMPLING_RATE, "opus"))
    return found


def place(sounds: Mapping[str, bytes], page: Path, limit: int = EMBEDDED) -> dict[str, str]:
    """Key → where the page finds the sound: within itself, or, above `limit`, in the folder "{page}_audio" beside it.

    Args:
        sounds: key → file.
        limit: bytes of base64 text.
    """
    embedded = {name: HEADER + b64encode(sound).decode() for name, sound in sounds.items()}
    if sum(map(len, embedded.values())) <= limit:
        return embedded
    folder = page.with_name(f"{page.stem}_audio")
    folder.mkdir(parents=True, exist_ok=True)
    for name, sound in sounds.items():
        (folder / f"{name}.opus").write_bytes(sound)
    return {name: f"{quote(folder.name)}/{name}.opus" for name in sounds}


def _order(keys: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    return np.lexsort((np.asarray(ids, dtype=str), keys)) if len(keys) else np.zeros(0, dtype=np.int64)
