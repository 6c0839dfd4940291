"""Shards as they go up: the audio of a corpus beside columns that others may see."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hf_dialects.data.shard_plan import SHARD_BYTES
from hf_dialects.data.shards import ROW_GROUP
from hf_dialects.disk import disk_space
from hf_dialects.errors import CorpusError
from hf_dialects.hub.dataset_columns import Columns

NAME_BYTES = 5  # a shorter one stands among samples by chance
ENDS = 2**16  # bytes at both ends of a file, where tags stand


@dataclass(frozen=True)
class Recordings:
    """The audio of one split.

    Attributes:
        files: Parquet with a column `audio`, in order.
        kept: (N,) bool, which rows go up.
        hidden: (N,) names of speakers that may not stand in a recording's tags; None where they may.
    """

    files: Sequence[Path]
    kept: np.ndarray
    hidden: Sequence[str | None] | None = None


def write_shards(recordings: Recordings, columns: Columns, split: str, folder: Path) -> int:
    """Write `{split}-00000-of-00002.parquet` … into a folder. The same rows give the same bytes.

    Args:
        columns: of the rows that are kept.

    Returns:
        bytes of the rows, as `datasets` counts them: audio and columns, not compressed.

    Raises:
        CorpusError: a recording is not inside, or its tags name its speaker.
        DialectError: the disk is full.
    """
    import pyarrow.parquet as pq

    parts: list[Path] = []
    writer, size, total = None, 0, 0
    schema = columns.features.arrow_schema
    with disk_space(folder, "the corpus stays as it is"):
        try:
            for table in _row_groups(recordings, columns, schema):
                if writer is None or (size and size + table.nbytes > SHARD_BYTES):
                    if writer is not None:
                        writer.close()
                    parts.append(folder / f"{split}-{len(parts):05d}.part")
                    writer, size = pq.ParquetWriter(parts[-1], schema), 0
                writer.write_table(table, ROW_GROUP)
                size += table.nbytes
                total += table.nbytes
        finally:
            if writer is not None:
                writer.close()
    for number, part in enumerate(parts):
        part.rename(folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet")
    return total


def _row_groups(recordings: Recordings, columns: Columns, schema) -> Iterator:
    """Tables of up to `ROW_GROUP` rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = written = 0
    for file in recordings.files:
        for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP, columns=["audio"]):
            kept = np.flatnonzero(recordings.kept[row : row + len(batch)])
            cells = [batch.column(0)[i].as_py() for i in kept]
            rows = columns.table.slice(written, len(kept))
            _check(cells, rows["id"].to_pylist(), recordings.hidden and [recordings.hidden[row + i] for i in kept])
            row, written = row + len(batch), written + len(kept)
            if len(kept):
                paths = [
                    id + PurePosixPath(cell["path"] or "").suffix
                    for id, cell in zip(rows["id"].to_pylist(), cells, strict=True)
                ]
                audio = pa.array(
                    [{"bytes": cell["bytes"], "path": path} for cell, path in zip(cells, paths, strict=True)],
                    schema.field("audio").type,
                )
                yield pa.table([audio if name == "audio" else rows[name] for name in schema.names], schema=schema)


def _check(cells: Sequence[dict], ids: Sequence[str], hidden: Sequence[str | None] | None) -> None:
    for number, cell in enumerate(cells):
        data = cell["bytes"]
        if data is None:
            raise CorpusError(
                f"the audio of {ids[number]} is not inside the Parquet; split with hf-dialects split --embed"
            )
        name = str(hidden[number]).encode() if hidden and hidden[number] is not None else b""
        if len(name) >= NAME_BYTES and (name in data[:ENDS] or name in data[-ENDS:]):
            raise CorpusError(
                f"the file of a recording of speaker {hidden[number]} ({ids[number]} on the Hub) names the speaker, in "
                "a tag perhaps: take the tags out of the recordings and prepare them again, or share with --keep-ids"
            )
