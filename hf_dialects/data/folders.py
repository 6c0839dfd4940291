"""Recordings in folders: listed by a table of metadata, or sorted into one folder per dialect."""

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hf_dialects.data.manifest import SUFFIXES, read_rows
from hf_dialects.errors import CorpusError

__all__ = ["AUDIO_SUFFIXES", "METADATA", "Listed", "canonical_split", "layout", "read_folder", "read_manifest"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".w64", ".caf")
METADATA = tuple("metadata" + suffix for suffix in SUFFIXES)
FILE_COLUMNS = ("file_name", "path", "audio")  # the first that a table has names the recording
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
EXPECTED = (
    f"{' or '.join(METADATA)} with a column file_name, or one folder per dialect, or folders train, validation and "
    "test with one of these in each"
)


class Listed(NamedTuple):
    """A recording of a folder: its file as named there, where it is named (for messages), and its other columns."""

    file: str
    where: str
    columns: dict


def canonical_split(name: str) -> str:
    """Turn "dev", "valid" and the like into "validation", "training" into "train"; leave other names as they are."""
    return SPLIT_NAMES.get(name.strip().lower(), name.strip())


def layout(files: Iterable[str], read: Callable[[str], list[dict]], name: str) -> list[Listed]:
    """Recordings of a folder by the first of its possible layouts: metadata, metadata per split, a folder per dialect,
    a folder per split and dialect.

    Args:
        files: paths relative to the folder, with forward slashes.
        read: path of a table → its rows.
        name: of the folder, for messages.

    Raises:
        CorpusError: none of these layouts, or recordings that it does not cover.
    """
    files = sorted(files)
    recordings = [file for file in files if file.lower().endswith(AUDIO_SUFFIXES)]
    tables = [file for file in files if posixpath.basename(file) in METADATA and file.count("/") < 2]
    top = [table for table in tables if "/" not in table]
    if len(top) > 1:
        raise CorpusError(f"{name} holds {' and '.join(top)}; keep one of them")
    if top:
        return list(listed(read(top[0]), f"{name}/{top[0]}"))
    splits = sorted({file.split("/")[0] for file in recordings + tables})
    if not splits or not all(split.lower() in SPLIT_NAMES for split in splits):
        return _by_folder(recordings, 1, name)
    if not tables:
        return _by_folder(recordings, 2, name)
    if [table.split("/")[0] for table in tables] != splits:
        raise CorpusError(f"{name}: each of the folders {', '.join(splits)} must hold one of {', '.join(METADATA)}")
    return [
        Listed(f"{split}/{file}", where, columns | {"split": canonical_split(split)})
        for split, table in zip(splits, tables, strict=True)
        for file, where, columns in listed(read(table), f"{name}/{table}")
    ]


def listed(rows: Sequence[dict], name: str) -> Iterator[Listed]:
    """Recordings named by the rows of a table.

    Raises:
        CorpusError: no column that names files, or a row without a name.
    """
    column = next((column for column in FILE_COLUMNS if column in rows[0]), None)
    if column is None:
        raise CorpusError(f"{name} has none of the columns {', '.join(FILE_COLUMNS)}; it has {', '.join(rows[0])}")
    for number, row in enumerate(rows, start=1):
        file, where = row[column], f"{name}, row {number}"
        if not isinstance(file, str) or not file:
            raise CorpusError(f"{where}: {column} is {file!r}, the name of a file is expected")
        yield Listed(file, where, {key: value for key, value in row.items() if key != column})


def read_folder(folder: Path, root: Path | None = None, links_to: Path | None = None) -> list[dict]:
    """Rows of a local folder in one of the layouts of `layout`.

    Args:
        folder: the source.
        root: folder that relative names in tables start from, that no recording may lie outside of, and that ids are
            relative to; default `folder`.
        links_to: folder that symbolic links may lead to; default `root`.

    Returns:
        rows with `audio` ({"bytes": None, "path": absolute}), `id` (path below `root` without suffix, unless the table
        has ids), and the columns of the table, or `dialect`; with `split` where the folders are splits.

    Raises:
        CorpusError: broken table, unknown layout, a file outside `root`, or none of the files exists.
    """
    found = layout(_files(folder), lambda table: read_rows(folder / table), str(folder))
    return _placed(found, Path(root or folder), links_to)


def read_manifest(manifest: Path, root: Path | None = None) -> list[dict]:
    """Rows of a CSV, TSV or JSON lines file whose column `file_name`, `path` or `audio` names the recordings.

    Arguments, result and errors as of `read_folder`; `root` is the manifest's folder by default.
    """
    return _placed(list(listed(read_rows(manifest), str(manifest))), Path(root or manifest.parent), None)


def _by_folder(recordings: Sequence[str], depth: int, name: str) -> list[Listed]:
    """Recordings whose folder at `depth` is the dialect; the one above, if any, is the split."""
    stray = [file for file in recordings if file.count("/") < depth]
    if stray or not recordings:
        found = f"{len(stray)} recordings in no dialect's folder, such as {stray[0]}" if stray else "no recordings"
        raise CorpusError(f"{name} holds {found}. Expected: {EXPECTED}")
    result = []
    for file in recordings:
        *above, dialect = file.split("/")[:depth]
        split = {"split": canonical_split(above[0])} if above else {}
        result.append(Listed(file, name, {"dialect": dialect} | split))
    return result


def _files(folder: Path) -> Iterator[str]:
    """Files below the folder but those that start with a dot; links to folders are followed once each."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(parent) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        above = Path(parent).relative_to(folder)
        yield from ((above / name).as_posix() for name in files if not name.startswith("."))


def _placed(found: Sequence[Listed], root: Path, links_to: Path | None) -> list[dict]:
    """Rows with absolute paths that were checked to lie inside the root, and ids."""
    top = os.path.abspath(root)
    real = cache(os.path.realpath)  # of the folders of many files
    rows = []
    for file, where, columns in found:
        path = os.path.normpath(os.path.join(top, file))
        parent, name = os.path.split(path)
        target = os.path.realpath(path) if os.path.islink(path) else os.path.join(real(parent), name)
        if not _below(path, top) or not _below(target, real(os.path.abspath(links_to or top))):
            link = f" (a link leads to {target})" if _below(path, top) else ""
            raise CorpusError(
                f"{where}: {file!r} lies outside {top}{link}; move it there, or name a folder that holds all "
                "recordings with audio_root="
            )
        row = {"audio": {"bytes": None, "path": path}} | columns
        if row.get("id") is None:
            row["id"] = os.path.splitext(Path(os.path.relpath(path, top)).as_posix())[0]
        rows.append(row)
    if not any(os.path.isfile(row["audio"]["path"]) for row in rows):
        raise CorpusError(
            f"none of the {len(rows)} recordings of {found[0].where.rpartition(', row')[0] or root} exists; "
            f"the first would be {rows[0]['audio']['path']}"
        )
    return rows


def _below(path: str, folder: str) -> bool:
    return path != folder and os.path.commonpath([path, folder]) == folder
