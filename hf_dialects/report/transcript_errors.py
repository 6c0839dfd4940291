"""Where transcripts go wrong: the worst utterances, what was heard beside what was said, and what is confused most.

Texts are normalised, see `metrics.text.normalise`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hf_dialects.extras import require
from hf_dialects.metrics.error_rates import UNITS, count_edits

SHORTEST = 5  # characters of a reference, below which one error makes an utterance the worst of all


class Piece(NamedTuple):
    """A stretch of an utterance.

    Attributes:
        kind: "equal", "replace", "delete" or "insert".
        said, heard: what stands there on either side.
    """

    kind: str
    said: str
    heard: str


class Confusion(NamedTuple):
    """A kind of error and how often it occurs; `said` is empty for an insertion, `heard` for a deletion."""

    said: str
    heard: str
    n: int


def worst(references: Sequence[str], hypotheses: Sequence[str], ids: Sequence[str], most: int) -> list[int]:
    """Positions of the utterances with the highest character error rate, highest first, of equals by id; those that
    are right, and those of fewer than `SHORTEST` characters where others are left, do not count."""
    edits = count_edits(references, hypotheses, "cer")
    rate = edits.errors / np.maximum(edits.length, 1)
    wrong = np.flatnonzero(edits.errors > 0)
    order = sorted(wrong.tolist(), key=lambda row: (edits.length[row] < SHORTEST, -rate[row], ids[row]))
    return order[:most]


def aligned_pieces(said: str, heard: str) -> list[Piece]:
    """One shortest way from a reference to a hypothesis, character by character, spaces among them."""
    levenshtein = require("rapidfuzz", extra="asr").distance.Levenshtein
    return [
        Piece(step.tag, said[step.src_start : step.src_end], heard[step.dest_start : step.dest_end])
        for step in levenshtein.opcodes(said, heard)
    ]


def confusions(references: Sequence[str], hypotheses: Sequence[str], most: int, unit: str = "cer") -> list[Confusion]:
    """The most frequent errors, single words or characters, of equals by what was said.

    Args:
        unit: see `count_edits`.
    """
    levenshtein = require("rapidfuzz", extra="asr").distance.Levenshtein
    counts: Counter = Counter()
    for texts in zip(references, hypotheses, strict=True):
        said, heard = (UNITS[unit](text) for text in texts)
        for edit in levenshtein.editops(said, heard):
            left = "" if edit.tag == "insert" else said[edit.src_pos]
            counts[left, "" if edit.tag == "delete" else heard[edit.dest_pos]] += 1
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(*pair, n) for pair, n in found[:most]]
