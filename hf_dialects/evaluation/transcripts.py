"""Transcripts of any system scored against a reference, from two files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_dialects.data.manifest import SUFFIXES, read_rows
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.groups import UNITS, Groups
from hf_dialects.evaluation.scores import DRAWS
from hf_dialects.evaluation.tables import aligned, with_interval
from hf_dialects.metrics.error_rates import rates_by
from hf_dialects.metrics.text import has_han, normalise

__all__ = ["Transcripts", "describe_transcripts", "groups_of", "read_transcripts", "score_transcripts"]

SHOWN = 5  # of the ids that an error names


@dataclass(frozen=True)
class Transcripts:
    """A file of transcripts.

    Attributes:
        path: of the file.
        texts: id → text, empty where there is none.
        rows: id → all columns of the row; none but id and text where the file is no table.
    """

    path: Path
    texts: dict[str, str]
    rows: dict[str, dict]


def read_transcripts(path: str | Path, column: str = "text") -> Transcripts:
    """Read CSV, TSV or JSON lines with the columns `id` and `column`, or plain lines of an id, a space and a text.

    Raises:
        CorpusError: no such file, no such columns, a line without id, or an id that stands twice.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"there is no file {path}; expected CSV, TSV, JSON lines, or lines of an id and a text")
    rows = read_rows(path) if path.suffix in SUFFIXES else _plain_rows(path, column)
    for name in ("id", column):
        if name not in rows[0]:
            raise CorpusError(f"{path} has no column {name!r}; its columns are {', '.join(rows[0])}")
    ids = ["" if row["id"] is None else str(row["id"]) for row in rows]
    if "" in ids:
        raise CorpusError(f"{path}: row {ids.index('') + 1} has no id; every utterance needs one")
    by_id = dict(zip(ids, rows, strict=True))
    if len(by_id) < len(ids):
        twice = [id for id, n in Counter(ids).items() if n > 1]
        raise CorpusError(f"{path} has {len(twice)} ids more than once: {_listed(twice)}; keep one row of each")
    texts = {id: "" if row[column] is None else str(row[column]) for id, row in by_id.items()}
    return Transcripts(path, texts, by_id)


def score_transcripts(
    reference: Transcripts,
    hypothesis: Transcripts,
    by: Sequence[str] = (),
    simplify: str | None = "t2s",
    keep_erhua: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """Word and character error rates of normalised texts, with intervals over speakers, in all and by columns.

    Speakers, recordings, sites and sentences are those of the reference, where it has such columns.

    Args:
        by: columns of the reference, each broken down on its own.
        simplify, keep_erhua: see `metrics.text.normalise`.
        draws, seed: of the bootstrap.

    Returns:
        "reference", "hypothesis", "normalisation", "han" (whether there are Chinese characters), "groups" (the unit of
        resampling), "warning" and "scores", the table of `metrics.error_rates.rates_by`.

    Raises:
        CorpusError: ids that only one of the files has, references without a word, an unknown column.
    """
    ids = list(reference.texts)
    _check_ids(reference, hypothesis)
    columns = {name: _column(reference, name) for name in by}
    references, hypotheses = (
        [normalise(one.texts[id], simplify, keep_erhua) for id in ids] for one in (reference, hypothesis)
    )
    if empty := [id for id, text in zip(ids, references, strict=True) if not text]:
        raise CorpusError(
            f"{reference.path} has no word in {len(empty)} of {len(ids)} texts: {_listed(empty)}; an error rate needs "
            "a reference, so leave them out of both files"
        )
    groups = groups_of(reference)
    scores = rates_by(
        references,
        hypotheses,
        columns,
        groups.values,
        groups.crossed,
        unit=f"{groups.unit}s",
        draws=draws,
        seed=seed,
    )
    return {
        "reference": str(reference.path),
        "hypothesis": str(hypothesis.path),
        "normalisation": {"simplify": simplify, "keep_erhua": keep_erhua},
        "han": any(map(has_han, references)),
        "groups": {"unit": groups.unit, "crossed": None if groups.crossed is None else "sentence_id"},
        "warning": groups.warning,
        "scores": scores,
    }


def describe_transcripts(result: dict) -> str:
    """The table for the terminal."""
    unit = f"{result['groups']['unit']}s"
    blocks = []
    for column in dict.fromkeys(row["column"] for row in result["scores"]):
        lines = [[column or "", "n", unit, "words", "WER", "CER", "sub", "del", "ins"]]
        for row in (row for row in result["scores"] if row["column"] == column):
            wer = row["wer"]
            shares = [f"{wer[kind] / wer['length']:.3f}" for kind in ("substitutions", "deletions", "insertions")]
            counts = [str(row["n"]), str(wer["groups"]), str(wer["length"])]
            rates = [with_interval(row["wer"]), with_interval(row["cer"])]
            lines.append([row["value"], *counts, *rates, *shares, wer["warning"] or ""])
        blocks.append(aligned(lines))
    if result["han"]:
        blocks.append(
            "every Chinese character counts as a word: WER is what Chinese benchmarks call CER, with other words whole"
        )
    if result["warning"]:
        blocks.append(result["warning"])
    return "\n\n".join(blocks)


def _plain_rows(path: Path, column: str) -> list[dict]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    rows = [dict(zip(("id", column), [*line.split(maxsplit=1), ""], strict=False)) for line in lines if line.strip()]
    if not rows:
        raise CorpusError(f"{path} holds no transcripts; a line is an id, a space and a text")
    return rows


def _check_ids(reference: Transcripts, hypothesis: Transcripts) -> None:
    missing = [id for id in reference.texts if id not in hypothesis.texts]
    if missing:
        raise CorpusError(
            f"{hypothesis.path} lacks {len(missing)} of the {len(reference.texts)} ids of {reference.path}: "
            f"{_listed(missing)}; where a system found nothing, give an empty text"
        )
    unknown = [id for id in hypothesis.texts if id not in reference.texts]
    if unknown:
        raise CorpusError(
            f"{hypothesis.path} has {len(unknown)} ids that {reference.path} has not: {_listed(unknown)}; "
            "give their references, or leave them out"
        )


def _column(transcripts: Transcripts, name: str) -> np.ndarray:
    """(N,) object, text or None."""
    rows = list(transcripts.rows.values())
    if name not in rows[0]:
        raise CorpusError(f"{transcripts.path} has no column {name!r}; its columns are {', '.join(rows[0])}")
    return np.array([None if row[name] in (None, "") else str(row[name]) for row in rows], dtype=object)


def groups_of(reference: Transcripts) -> Groups:
    """The speaker, else the recording, else the site, else the single utterance."""
    ids = np.array(list(reference.texts), dtype=object)
    known = {name: _column(reference, name) for name in (*UNITS, "sentence_id") if name in reference.rows[ids[0]]}
    named = (name for name in UNITS if name in known and any(value is not None for value in known[name]))
    unit = next(named, "utterance")
    sentences = known.get("sentence_id", np.full(len(ids), None))
    return Groups(unit, ids, known.get(unit, ids), sentences, np.zeros(len(ids), dtype=np.int64))


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(repr(id) for id in ids[:SHOWN]) + (" …" if len(ids) > SHOWN else "")
