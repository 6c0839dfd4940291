"""Word and character error rates, whole and by group, with intervals over speakers.

Texts are compared as they are: `metrics.text.normalise` both sides before.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.extras import require
from hf_dialects.metrics.arrays import check_same_length
from hf_dialects.metrics.intervals import bootstrap_interval
from hf_dialects.metrics.totals import Totals, additive, ratio

__all__ = ["Edits", "character_error_rate", "count_edits", "error_rate", "rates_by", "word_error_rate"]

UNITS = {"wer": str.split, "cer": lambda text: "".join(text.split())}
UNKNOWN = "(unknown)"


class Edits(NamedTuple):
    """What turns references into hypotheses, (N,) int64 each; length is that of the reference.

    The sum of the three is the edit distance; how it divides among them may differ between tools where several
    alignments are shortest.
    """

    substitutions: np.ndarray
    deletions: np.ndarray
    insertions: np.ndarray
    length: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """(N,) int64, edit distances."""
        return self.substitutions + self.deletions + self.insertions


def count_edits(references: Sequence[str], hypotheses: Sequence[str], unit: str = "wer") -> Edits:
    """Fewest edits of N texts, by rapidfuzz.

    Args:
        unit: "wer" compares what stands between spaces: of normalised text Chinese characters one by one and other
            words whole, which is called CER in Chinese, and mixed error rate where languages alternate. "cer" compares
            characters, spaces left out.

    Raises:
        MissingExtra: rapidfuzz is not installed.
        DialectError: N differs or is zero, or the unit is unknown.
    """
    if unit not in UNITS:
        raise DialectError(f"unit is {unit!r}; it must be {' or '.join(UNITS)}")
    check_same_length(references=references, hypotheses=hypotheses)
    if not len(references):
        raise DialectError("references are empty; an error rate needs at least one")
    levenshtein = require("rapidfuzz", extra="asr").distance.Levenshtein
    found = {name: np.zeros(len(references), dtype=np.int64) for name in ("replace", "delete", "insert", "length")}
    for row, texts in enumerate(zip(references, hypotheses, strict=True)):
        reference, hypothesis = (UNITS[unit](text) for text in texts)
        found["length"][row] = len(reference)
        for edit in levenshtein.editops(reference, hypothesis):
            found[edit.tag][row] += 1
    return Edits(found["replace"], found["delete"], found["insert"], found["length"])


@additive
def error_rate(errors, length) -> Totals:
    """Sum of errors over the sum of lengths, by weight; may exceed 1.

    Args:
        errors, length: (N,) int, as of `Edits`.
    """
    rows = np.stack([errors, length], axis=1).astype(np.float64)
    return Totals(rows, lambda totals: ratio(totals[..., 0], totals[..., 1]), np.zeros(len(rows), dtype=np.int64))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str], weights=None) -> float:
    """Errors per word of all references together; see `count_edits`."""
    edits = count_edits(references, hypotheses, "wer")
    return error_rate(edits.errors, edits.length, weights=weights)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str], weights=None) -> float:
    """Errors per character, without spaces, of all references together; see `count_edits`."""
    edits = count_edits(references, hypotheses, "cer")
    return error_rate(edits.errors, edits.length, weights=weights)


def rates_by(
    references: Sequence[str],
    hypotheses: Sequence[str],
    columns: Mapping[str, Sequence] | None = None,
    groups: Sequence | None = None,
    crossed: Sequence | None = None,
    unit: str = "speakers",
    draws: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Both rates of N texts, and of those that share a value of a column.

    Args:
        columns: name → N values to break the result down by, None for unknown.
        groups: N speakers, or what else is resampled whole; None = utterances are taken as independent.
        crossed: N sentences, where every speaker says every sentence.
        unit: plural of what `groups` holds.
        draws, seed: of the bootstrap.

    Returns:
        One dict for all ("column" None, "value" "all") and one per column and value, with "n", and for "wer" and "cer"
        the entry of `Interval.to_dict` with "substitutions", "deletions", "insertions" and "length" beside.
    """
    if groups is None:
        groups, unit = range(len(references)), "utterances"
    edits = {name: count_edits(references, hypotheses, name) for name in UNITS}
    everyone = {"all": np.arange(len(references))}
    parts = [(None, everyone), *((name, _members(values)) for name, values in (columns or {}).items())]
    table = []
    for column, found in parts:
        for value, members in found.items():
            entry = {"column": column, "value": value, "n": len(members)}
            for name, every in edits.items():
                part = Edits(*(counts[members] for counts in every))
                own = {"groups": np.asarray(groups)[members], "unit": unit, "n": draws, "seed": seed}
                own["crossed"] = None if crossed is None else np.asarray(crossed)[members]
                interval = bootstrap_interval(error_rate, part.errors, part.length, **own)
                entry[name] = interval.to_dict() | {key: int(n.sum()) for key, n in part._asdict().items()}
            table.append(entry)
    return table


def _members(values: Sequence) -> dict[str, np.ndarray]:
    """Value → rows that have it, in order of the values, unknown ones last."""
    names = [UNKNOWN if value is None or value == "" else str(value) for value in values]
    order = sorted(set(names), key=lambda name: (name == UNKNOWN, name))
    return {name: np.flatnonzero([one == name for one in names]) for name in order}
