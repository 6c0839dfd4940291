"""Tables that list recordings: CSV, TSV and JSON lines."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from hf_dialects.errors import CorpusError

__all__ = ["SUFFIXES", "read_rows"]

SUFFIXES = (".csv", ".tsv", ".jsonl")
LONGEST_FIELD = 2**27  # characters; the csv module stops at 131,072


def read_rows(path: Path) -> list[dict]:
    """Rows of a manifest, in order.

    CSV has no types: its values stay text as written ("007" is no number), and empty ones become None. TSV is read
    without quoting. JSON lines keep their types. UTF-8, with or without byte order mark.

    Returns:
        one dict per row, all with the same columns.

    Raises:
        CorpusError: not UTF-8, no rows, a column twice, a row with more values than columns, or broken JSON; the
            message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_json_rows(file, path) if path.suffix == ".jsonl" else _table_rows(file, path))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from error
    if not rows:
        raise CorpusError(f"{path} holds no rows; a header and at least one recording are expected")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in columns} for row in rows]


def _table_rows(file: TextIO, path: Path) -> Iterator[dict]:
    csv.field_size_limit(LONGEST_FIELD)
    if path.suffix == ".tsv":
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(file, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CorpusError(f"{path} has the column {twice[0]!r} more than once; rename one of them")
        reader.fieldnames = names
        for row in reader:
            if None in row:
                raise CorpusError(
                    f"{path}, line {reader.line_num}: more values than the {len(names)} columns {', '.join(names)}; "
                    "put values that hold a comma in quotes"
                )
            yield {name: value or None for name, value in row.items()}
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num}: {error}; is a quotation mark missing?") from error


def _json_rows(file: TextIO, path: Path) -> Iterator[dict]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{path}, line {number}: no JSON ({error})") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{path}, line {number}: {type(row).__name__} found, an object expected")
        yield row
