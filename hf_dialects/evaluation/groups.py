"""What is resampled whole when an interval is computed: found out from the corpus, not asked of the user."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError

UNITS = ("speaker", "recording", "site")  # the first with values is the unit


@dataclass(frozen=True)
class Groups:
    """The unit of resampling of N utterances.

    Attributes:
        unit: column the groups come from, or "utterance" where the corpus has none.
        ids: (N,) object, ids of the utterances.
        keys: (N,) object, the group of each utterance, None where unknown.
        sentences: (N,) object, its `sentence_id`, None where unknown.
        gold: (N,) int64, its class.
    """

    unit: str
    ids: np.ndarray
    keys: np.ndarray
    sentences: np.ndarray
    gold: np.ndarray

    @cached_property
    def values(self) -> np.ndarray:
        """(N,) str; an utterance whose group is unknown is a group of its own."""
        return _filled(self.keys, self.ids)

    @cached_property
    def nested(self) -> bool:
        """Whether every group has utterances of one class only; classes are then the strata."""
        pairs = set(zip(self.values.tolist(), self.gold.tolist(), strict=True))
        return len(pairs) == len(set(self.values.tolist()))

    @cached_property
    def crossed(self) -> np.ndarray | None:
        """(N,) str, the sentence of each utterance where groups and sentences are crossed, else None.

        They are where more than half of the utterances have a sentence that another group says too, and some group
        says more than one sentence.
        """
        if self.unit == "utterance":
            return None
        pairs = zip(self.values.tolist(), self.sentences.tolist(), strict=True)
        said = {(group, sentence) for group, sentence in pairs if sentence is not None}
        groups_of_sentence = Counter(sentence for _, sentence in said)
        sentences_of_group = Counter(group for group, _ in said)
        shared = sum(groups_of_sentence[sentence] > 1 for sentence in self.sentences)
        if 2 * shared <= len(self.ids) or max(sentences_of_group.values()) < 2:
            return None
        return _filled(self.sentences, self.ids)

    @property
    def warning(self) -> str | None:
        """What is doubtful about the groups."""
        if self.unit == "utterance":
            return "utterances taken as independent"
        unknown = sum(key is None for key in self.keys)
        return f"{unknown} utterances have no {self.unit} and are taken as independent" if unknown else None

    def part(self, members: np.ndarray) -> "Groups":
        """The same unit for some of the utterances."""
        return Groups(self.unit, self.ids[members], self.keys[members], self.sentences[members], self.gold[members])

    def to_dict(self) -> dict:
        """How the intervals were made, for `results.json`."""
        return {
            "group_unit": self.unit,
            "strata": "dialect" if self.nested else None,
            "crossed": None if self.crossed is None else "sentence_id",
        }


def find_groups(rows, ids: Sequence[str], gold: np.ndarray, column: str | None = None) -> Groups:
    """The unit of resampling: the speaker, else the recording, else the site, else the single utterance.

    Args:
        rows: `datasets.Dataset` with `id` and any of the grouping columns.
        ids: N ids of the utterances that are scored.
        gold: (N,) their classes.
        column: another unit than the one that would be found.

    Raises:
        CorpusError: `column` does not exist or holds no value; see also `positions_of`.
    """
    positions = positions_of(rows, ids)
    if column is not None and not any(value is not None for value in column_values(rows, column)):
        raise CorpusError(
            f"no utterance has a value in {column!r}, so nothing says what belongs together; group by another column"
        )
    units = [column] if column else [name for name in UNITS if name in rows.column_names]
    for unit in units:
        keys = _column(rows, unit, positions)
        if column or any(key is not None for key in keys):
            break
    else:
        unit, keys = "utterance", _column(rows, "id", positions)
    return Groups(unit, _column(rows, "id", positions), keys, _column(rows, "sentence_id", positions), gold)


def positions_of(rows, ids: Sequence[str]) -> np.ndarray:
    """Row numbers (N,) of `ids` in a corpus.

    Raises:
        CorpusError: an id that the corpus does not have, or has twice.
    """
    known = list(rows["id"])
    place = {id: row for row, id in enumerate(known)}
    if len(place) < len(known):
        double, count = Counter(known).most_common(1)[0]
        raise CorpusError(f"id {double!r} stands {count} times in the corpus; ids must be unique")
    missing = [id for id in ids if id not in place]
    if missing:
        shown = ", ".join(repr(id) for id in missing[:5])
        raise CorpusError(
            f"{len(missing)} of {len(ids)} predictions have an id that is not in the corpus (first: {shown}); "
            "pass the split that was predicted"
        )
    return np.array([place[id] for id in ids], dtype=np.int64)


def _column(rows, name: str, positions: np.ndarray) -> np.ndarray:
    """One column of some rows as text (N,) object, None where it is empty; all None where there is no such column."""
    values = column_values(rows, name) if name in rows.column_names else [None] * len(rows)
    return np.array([None if values[row] is None else str(values[row]) for row in positions], dtype=object)


def _filled(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """`values` with a value of its own for each unknown one."""
    return np.array([f"#{id}" if value is None else f"={value}" for value, id in zip(values, ids, strict=True)])
