"""Corrections of labels: a table that people fill while they listen, applied to training recordings only."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_dialects.errors import CorpusError

__all__ = ["ACTIONS", "COLUMNS", "Applied", "Correction", "apply_corrections", "check_corrections", "read_corrections"]

ACTIONS = ("keep", "relabel", "drop")
COLUMNS = ("id", "gold", "corrected", "action", "note")
SHOWN = 5  # of the ids that an error names


@dataclass(frozen=True)
class Correction:
    """What somebody decided about one recording.

    Attributes:
        id: of the recording.
        gold: the label that it has in the corpus; empty for none.
        corrected: the label that it should have; counts for "relabel" only.
        action: "keep" (heard, and right), "relabel" or "drop" (do not train on it).
        note: free text.
    """

    id: str
    gold: str
    corrected: str
    action: str
    note: str = ""


@dataclass(frozen=True)
class Applied:
    """How many corrections did what.

    Attributes:
        relabelled, dropped, kept: among the training recordings.
        held_out: are of other recordings and were not applied.
    """

    relabelled: int
    dropped: int
    kept: int
    held_out: int

    def __str__(self) -> str:
        done = f"corrections in training: {self.relabelled} relabelled, {self.dropped} dropped, {self.kept} kept"
        if not self.held_out:
            return done
        are = "correction is of a recording" if self.held_out == 1 else "corrections are of recordings"
        return f"{done}\n{self.held_out} {are} in validation or test: not applied"


def read_corrections(path: str | Path) -> list[Correction]:
    """Read a CSV file with the columns id, gold, corrected, action and, where there are some, note.

    Raises:
        CorpusError: no such file, a missing column, an id that stands twice, an unknown action, or a recording to be
            relabelled without another label.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no corrections file {path}; the page of hf-dialects datamap writes one")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS[:-1] if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"{path} lacks the columns {', '.join(missing)}; corrections have {', '.join(COLUMNS)}")
        rows = [(reader.line_num, {name: (row.get(name) or "").strip() for name in COLUMNS}) for row in reader]
    corrections = [_checked(Correction(**row), f"{path}, line {line}") for line, row in rows]
    twice = [id for id, n in Counter(one.id for one in corrections).items() if n > 1]
    if twice:
        raise CorpusError(f"{path} corrects {len(twice)} recordings twice: {_listed(twice)}; leave one line of each")
    return corrections


def check_corrections(corrections: Sequence[Correction], parts: Iterable) -> None:
    """Make sure that corrections are of this corpus.

    Args:
        parts: the `datasets.Dataset`s of the corpus, whose dialects have the same names.

    Raises:
        CorpusError: an id or a label that the corpus does not have, or a `gold` other than its label.
    """
    labels: dict[str, str] = {}
    names: list[str] = []
    for part in parts:
        names = part.features["dialect"].names
        pairs = zip(part["id"], part["dialect"], strict=True)
        labels.update((id, "" if label is None or label < 0 else names[label]) for id, label in pairs)
    unknown = [one.id for one in corrections if one.id not in labels]
    if unknown:
        raise CorpusError(
            f"{len(unknown)} of {len(corrections)} corrections are of recordings that the corpus does not have: "
            f"{_listed(unknown)}; were they made for another corpus, or does data.labels leave these out?"
        )
    strange = sorted({one.corrected for one in corrections if one.action == "relabel"} - set(names))
    if strange:
        raise CorpusError(
            f"corrections name {len(strange)} dialects that the corpus does not have: {_listed(strange)}; it has "
            f"{', '.join(names)}"
        )
    differing = [one for one in corrections if one.gold != labels[one.id]]
    if differing:
        shown = "; ".join(
            f"{one.id!r} is {one.gold!r} in the file and {labels[one.id]!r} in the corpus" for one in differing[:SHOWN]
        )
        raise CorpusError(
            f"{len(differing)} corrections were made for another label than the corpus has: {shown}. "
            "Make them anew from a data map of this corpus"
        )


def apply_corrections(train, corrections: Sequence[Correction]):
    """Relabel and drop training recordings.

    A relabelled recording also gets the cluster of its new dialect. Recordings held as bytes are copied once.

    Args:
        train: `datasets.Dataset` of the training recordings.
        corrections: may also be of other recordings, which are counted and left alone.

    Returns:
        (the corrected dataset, `Applied`)

    Raises:
        CorpusError: see `check_corrections`, for what is in `train`.
    """
    ids = list(train["id"])
    rows = {id: row for row, id in enumerate(ids)}
    inside = [one for one in corrections if one.id in rows]
    check_corrections(inside, [train])
    counts = Counter(one.action for one in inside)
    new_labels = {rows[one.id]: one.corrected for one in inside if one.action == "relabel"}
    dropped = {rows[one.id] for one in inside if one.action == "drop"}
    if new_labels:
        train = _relabelled(train, new_labels)
    if dropped:
        train = train.select([row for row in range(len(ids)) if row not in dropped])
    held_out = len(corrections) - len(inside)
    return train, Applied(counts["relabel"], counts["drop"], counts["keep"], held_out)


def _relabelled(dataset, new_labels: dict[int, str]):
    features, order = dataset.features, dataset.column_names
    dialects = list(dataset["dialect"])
    columns = {"dialect": dialects}
    new = {row: features["dialect"].str2int(name) for row, name in new_labels.items()}
    if "cluster" in order:
        columns["cluster"] = list(dataset["cluster"])
        pairs = zip(dialects, columns["cluster"], strict=True)
        cluster_of = {dialect: cluster for dialect, cluster in pairs if cluster is not None and cluster >= 0}
        for row, dialect in new.items():
            columns["cluster"][row] = cluster_of.get(dialect)
    for row, dialect in new.items():
        dialects[row] = dialect
    for name, values in columns.items():
        dataset = dataset.remove_columns(name).add_column(name, values, feature=features[name])
    return dataset.select_columns(order)


def _checked(one: Correction, where: str) -> Correction:
    if not one.id:
        raise CorpusError(f"{where}: the id is empty; it names the recording")
    if one.action not in ACTIONS:
        raise CorpusError(f"{where}: the action for {one.id!r} is {one.action!r}; it must be {', '.join(ACTIONS)}")
    if one.action == "relabel" and one.corrected in ("", one.gold):
        found = f"{one.corrected!r}, the label that it has" if one.corrected else "empty"
        raise CorpusError(
            f"{where}: {one.id!r} is to be relabelled, but the column corrected is {found}; name the right dialect, "
            "or take the action keep or drop"
        )
    return one


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
