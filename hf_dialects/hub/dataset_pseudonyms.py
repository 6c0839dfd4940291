"""Pseudonyms for what tells who speaks: keyed hashes, which keep groups as they are and cannot be guessed back."""

import csv
import hmac
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from hf_dialects.disk import whole_file

PERSONAL = ("id", "speaker", "recording", "session")  # built from names of people and files, as a rule
NAMES = ("speaker_id", "speaker_name", "client_id", "name", "first_name", "last_name", "full_name", "surname", "email")
FILES = ("file", "file_name", "filename", "path", "audio_path", "url")  # that lead to the source
CONTENT = ("text", "sentence_id", "dialect", "cluster", "site", "latitude", "longitude", "duration", "license")  # stays
DIGITS = 20  # hexadecimal: 80 bits, no two of 10^9 values alike
FEW = 5  # speakers below whom a column that has one value each may do so by chance
SHORT, LONG = 3, 6  # letters below which a speaker's id stands in other values by chance, and from which never


class Pseudonyms:
    """Value → pseudonym, by column: HMAC-SHA256 under a key; those of two columns have nothing in common."""

    def __init__(self, key: bytes):
        self.key = key
        self.given: dict[tuple[str, str], str] = {}

    def of(self, column: str, value) -> str | None:
        """The pseudonym of a value; None of None."""
        if value is None:
            return None
        if (found := self.given.get((column, str(value)))) is None:
            digest = hmac.digest(self.key, f"{column}\0{value}".encode("utf-8", "surrogatepass"), "sha256")
            found = self.given[column, str(value)] = digest.hex()[:DIGITS]
        return found

    @property
    def mark(self) -> str:
        """Tells two keys apart and nothing else: no value of a column has this pseudonym."""
        return hmac.digest(self.key, b"", "sha256").hex()[:DIGITS]

    def write(self, path: Path) -> None:
        """Keep which value has which pseudonym, in a table that only its owner reads."""
        with whole_file(path) as unfinished:
            unfinished.touch(mode=0o600)
            with os.fdopen(os.open(unfinished, os.O_WRONLY), "w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(("column", "value", "pseudonym"))
                table.writerows((*given, pseudonym) for given, pseudonym in self.given.items())


def personal_columns(columns: Mapping[str, Sequence]) -> tuple[list[str], dict[str, int]]:
    """Which columns tell who speaks, and in which other ones speakers are mentioned.

    Personal are ids, speakers, recordings and sessions; columns that are called as names of people and files are; every
    column in which a value, or a part of it, holds the id of its speaker, as a word or within one, or the last part of
    its row's id, or is the id of another speaker; and every one that has another value for each speaker and only one,
    as names have, unless it names the site in the same way.

    Args:
        columns: name → values in row order, None where there is none; without audio.

    Returns:
        names of the personal columns; of texts and labels, name → rows that hold their speaker's id.
    """
    n = len(next(iter(columns.values())))
    speakers = [None if one is None else str(one) for one in columns.get("speaker", [None] * n)]
    stems = [PurePosixPath(str(one)).stem for one in columns.get("id", [None] * n)]
    stems = [stem if len(stem) >= LONG else None for stem in stems]
    everybody = {one.casefold() for one in speakers if one and len(one) >= SHORT and not one.isdecimal()}
    personal = [name for name in columns if name in PERSONAL]
    mentioned = {}
    for name, values in columns.items():
        if name in PERSONAL:
            continue
        texts = [list(_texts(one)) for one in values]
        pairs = [(str(one), who) for one, who in zip(values, speakers, strict=True) if one is not None and who]
        held = sum(any(who and holds(one, who) for one in found) for found, who in zip(texts, speakers, strict=True))
        by_chance = held < len(pairs) and all(len(who) < SHORT for _, who in pairs)
        held = 0 if by_chance else held
        named = any(stem and holds(one, stem) for found, stem in zip(texts, stems, strict=True) for one in found)
        if name in CONTENT and not (name == "sentence_id" and (held or named)):
            mentioned |= {name: held} if held else {}
        elif (
            held
            or named
            or name.casefold() in (*NAMES, *FILES)
            or any(one.casefold() in everybody for found in texts for one in found)
            or (_names_each(values, pairs) and not _names_the_site(values, columns))
        ):
            personal.append(name)
    return personal, mentioned


def holds(value: str, speaker: str) -> bool:
    """Whether a text holds an id; a short one counts where no letter or digit continues it."""
    value, speaker = value.casefold(), speaker.casefold()
    if speaker not in value or len(speaker) >= LONG:
        return speaker in value
    return re.search(rf"(?<![^\W_]){re.escape(speaker)}(?![^\W_])", value) is not None


def _texts(value) -> Iterator[str]:
    """A text, or those within a list or a structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _names_each(values: Sequence, pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether texts or whole numbers stand for speakers one by one."""
    return not any(isinstance(one, float | bool | dict | list) for one in values) and _one_to_one(pairs)


def _one_to_one(pairs: Sequence[tuple[str, str]]) -> bool:
    pairs = set(pairs)
    firsts, seconds = {one for one, _ in pairs}, {other for _, other in pairs}
    return len(pairs) >= FEW and len(pairs) == len(firsts) == len(seconds)


def _names_the_site(values: Sequence, columns: Mapping[str, Sequence]) -> bool:
    sites = columns.get("site")
    return sites is not None and _one_to_one(
        [(str(one), site) for one, site in zip(values, sites, strict=True) if one is not None and site is not None]
    )
