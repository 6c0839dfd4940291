"""Codes of varieties: BCP-47 tags and Glottocodes from varieties.tsv, as far as they are known."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Variety:
    """A row of the registry.

    Attributes:
        corpus: that has it.
        label: by which the corpus calls it.
        name: in English.
        bcp47: language tag; empty where none names it and nothing else.
        glottocode: of the variety, or of the language it belongs to; empty likewise.
    """

    corpus: str
    label: str
    name: str
    bcp47: str
    glottocode: str


def varieties_of(labels: Sequence[str]) -> dict[str, Variety]:
    """Label → variety, for the labels that the registry knows.

    The same label may mean something else elsewhere ("min" is Min in one corpus and Minangkabau in others), so a corpus
    of the registry is believed only if it knows more than half of the labels.
    """
    by_corpus: dict[str, dict[str, Variety]] = {}
    for one in registry():
        by_corpus.setdefault(one.corpus, {})[one.label] = one
    found = {}
    for known in by_corpus.values():
        shared = [label for label in dict.fromkeys(labels) if label in known]
        if 2 * len(shared) > len(set(labels)):
            found |= {label: known[label] for label in shared}
    return found


def languages_of(labels: Sequence[str]) -> list[str]:
    """Languages of the labels as the Hub lists them, the first part of their tags."""
    return sorted({one.bcp47.split("-")[0] for one in varieties_of(labels).values() if one.bcp47})


@cache
def registry() -> tuple[Variety, ...]:
    """All rows."""
    text = files("hf_dialects.hub").joinpath("varieties.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(Variety(**row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
