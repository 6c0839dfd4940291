"""Files of pooled snippets: they grow recording by recording, so that a run that was stopped goes on where it was.

n snippets of a recording, N of a corpus, P size of a row.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx.pooler import Length, label, parts_of, pooled, spans
from hf_dialects.embedding_files import MANIFEST, PARTS, write_atomically
from hf_dialects.errors import CheckpointError

JOURNAL = "journal.jsonl"  # among the parts: one line per recording whose rows are all written
ITEM = np.dtype("<f4").itemsize


class RowFile:
    """A .npy matrix (N, P) float32 that grows; the number of rows in its header is right once it is closed.

    Args:
        path: goes on with the file if it exists.
        rows: how many of its rows are to be kept.
    """

    def __init__(self, path: Path, rows: int = 0):
        self.path, self.rows, self._columns = path, 0, None
        if path.exists() and rows:
            self._file = path.open("r+b")
            np.lib.format.read_magic(self._file)
            (_, self._columns), _, _ = np.lib.format.read_array_header_1_0(self._file)
            self._start = self._file.tell()
        else:
            self._file = path.open("w+b")
        self.keep(rows)

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, P)."""
        if self._columns is None:
            self._columns = rows.shape[1]
            self._write_header()
            self._start = self._file.tell()
        self._file.write(np.ascontiguousarray(rows, "<f4").data)
        self.rows += len(rows)

    def keep(self, rows: int) -> None:
        """Forget what was appended after the first `rows` rows."""
        if self._columns is not None:
            end = self._start + rows * self._columns * ITEM
            self._file.truncate(end)
            self._file.seek(end)
        self.rows = rows

    def flush(self) -> None:
        """Hand what was appended to the system."""
        self._file.flush()

    def close(self) -> None:
        """Write the final number of rows into the header, for which numpy leaves room."""
        if self._columns is not None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self._columns)}
        np.lib.format.write_array_header_1_0(self._file, header)


class SnippetFiles:
    """The growing files of a folder, one per layer and length, and the journal of what is whole in them.

    Args:
        folder: made ready by `embedding_files.prepare`.
        layers: by number.
        lengths_s: seconds of a snippet, None = whole recordings.

    Attributes:
        records: the journal: id, duration_s, rows by length, why it was skipped.
        rows: how many snippets of each length are whole.
    """

    def __init__(self, folder: Path, layers: Sequence[int], lengths_s: Sequence[Length]):
        self.folder, self.lengths_s = folder, lengths_s
        self.keys = [(layer, length) for layer in layers for length in lengths_s]
        self._journal = folder / PARTS / JOURNAL
        self.records, self.rows = self._readable(_read_lines(self._journal))
        lines = "".join(_line(one) for one in self.records)
        write_atomically(self._journal, lambda path: path.write_text(lines, "utf-8"))
        self._files = {key: RowFile(self._path(key), self.rows[key[1]]) for key in self.keys}

    def append(self, rows: dict[tuple[int, Length], np.ndarray]) -> None:
        """Add snippets of the recording at hand."""
        for key, some in rows.items():
            if len(some):
                self._files[key].append(some)

    def commit(self, id: str, duration_s: float) -> None:
        """The recording at hand is complete."""
        for file in self._files.values():
            file.flush()
        total = {length: file.rows for (_, length), file in self._files.items()}  # the same in all layers
        written = {label(length): rows - self.rows[length] for length, rows in total.items()}
        self.rows = total
        self._note({"id": id, "duration_s": duration_s, "rows": written, "skipped": None})

    def skip(self, id: str, skipped: dict) -> None:
        """The recording at hand cannot be used; what was added of it is taken away."""
        for key, file in self._files.items():
            file.keep(self.rows[key[1]])
        self._note({"id": id, "duration_s": 0.0, "rows": {}, "skipped": skipped})

    def close(self) -> None:
        """Close all files, as they are."""
        for file in self._files.values():
            file.close()

    def write_spans(self) -> None:
        """`snippets-{length}.parquet` (id, start_s, end_s), in the order of the rows."""
        for length in self.lengths_s:
            found = [(one["id"], one["rows"].get(label(length), 0), one["duration_s"]) for one in self.records]
            seconds = np.concatenate([spans(n, length, duration_s) for _, n, duration_s in found])
            ids = np.repeat([id for id, _, _ in found], [n for _, n, _ in found])
            table = pd.DataFrame({"id": ids, "start_s": seconds[:, 0], "end_s": seconds[:, 1]})
            path = self.folder / f"snippets-{label(length)}.parquet"
            write_atomically(path, lambda path, table=table: table.to_parquet(path, index=False))

    def _path(self, key: tuple[int, Length]) -> Path:
        return self.folder / f"snippets-{key[0]}-{label(key[1])}.npy"

    def _note(self, record: dict) -> None:
        self.records.append(record)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(_line(record))

    def _readable(self, records: list[dict]) -> tuple[list[dict], dict[Length, int]]:
        """The recordings whose rows lie in every file, and how many; after a power failure the last ones may not."""
        available = {key: _whole_rows(self._path(key)) if self._path(key).exists() else 0 for key in self.keys}
        kept, rows = [], dict.fromkeys(self.lengths_s, 0)
        for record in records:
            more = {length: n + record["rows"].get(label(length), 0) for length, n in rows.items()}
            if any(available[key] < more[key[1]] for key in self.keys):
                break
            kept.append(record)
            rows = more
        return kept, rows


def read_snippets(folder: str | Path, layer: int, length_s: Length, pooling: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Snippets of one layer, length and pooling: a table of id, start_s and end_s, and vectors (N, P) float32.

    "max" and "mean" are views of a read-only memory map.

    Raises:
        CheckpointError: no complete set of snippets, or one without this layer, length or pooling.
    """
    folder = Path(folder)
    manifest = snippet_manifest(folder)
    settings = manifest["settings"]
    layer = layer + manifest["n_layers"] + 1 if layer < 0 else layer
    if layer not in settings["layers"] or length_s not in settings["lengths_s"]:
        lengths = ", ".join(label(one) for one in settings["lengths_s"])
        raise CheckpointError(
            f"{folder} has no snippets of layer {layer} and length {label(length_s)}; it holds the layers "
            f"{', '.join(map(str, settings['layers']))} and the lengths {lengths}"
        )
    if missing := [part for part in parts_of([pooling]) if part not in settings["parts"]]:
        raise CheckpointError(f"{folder} lacks the {' and '.join(missing)} of frames that pooling {pooling} needs")
    table = pd.read_parquet(folder / f"snippets-{label(length_s)}.parquet")
    if not len(table):
        return table, np.empty((0, 0), np.float32)
    rows = np.load(folder / f"snippets-{layer}-{label(length_s)}.npy", mmap_mode="r")
    return table, pooled(rows, settings["parts"], pooling)


def snippet_manifest(folder: Path) -> dict:
    """`manifest.json` of a complete folder of snippets.

    Raises:
        CheckpointError: it holds none, or not all.
    """
    path = Path(folder) / MANIFEST
    manifest = json.loads(path.read_text("utf-8")) if path.is_file() else {"settings": {}}
    if "lengths_s" not in manifest["settings"]:
        raise CheckpointError(f"{folder} holds no snippets: write them with hf_dialects.embed_snippets")
    if not manifest["complete"]:
        raise CheckpointError(f"the snippets in {folder} are not complete: run the same again, it goes on")
    return manifest


def _whole_rows(path: Path) -> int:
    """Rows that lie in a file, whatever its header says of their number."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            (_, columns), _, _ = np.lib.format.read_array_header_1_0(file)
            return (path.stat().st_size - file.tell()) // (columns * ITEM)
    except ValueError:  # the file ends within its header
        return 0


def _read_lines(path: Path) -> list[dict]:
    """Whole lines of a journal; the last one may have been cut short."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _line(record: dict) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
