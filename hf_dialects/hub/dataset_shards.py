"""Shards as they go up: the audio of a corpus beside columns that others may see."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hf_dialects.data.folders import AUDIO_SUFFIXES
from hf_dialects.data.shard_plan import SHARD_BYTES
from hf_dialects.data.shards import ROW_GROUP
from hf_dialects.disk import disk_space
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.hub.dataset_columns import Columns
from hf_dialects.hub.dataset_tags import tags, told_name

SHARDS = "data/"  # in the repository; where `datasets` would also read what is not ours


@dataclass(frozen=True)
class Recordings:
    """The audio of one split.

    Attributes:
        files: Parquet with a column `audio`, in order.
        kept: (N,) bool, which rows go up.
        hidden: (N,) values that may not stand in the file of a recording, such as its speaker's name.
        private: texts that may stand in none, such as the token in use.
    """

    files: Sequence[Path]
    kept: np.ndarray
    hidden: Sequence[Iterable[str]]
    private: Sequence[str] = ()


def write_shards(recordings: Recordings, columns: Columns, split: str, folder: Path) -> tuple[int, Counter]:
    """Write `{split}-00000-of-00002.parquet` … into a folder. The same rows give the same bytes.

    Args:
        columns: of the rows that are kept.

    Returns:
        bytes of the rows, as `datasets` counts them: audio and columns, not compressed; and how many recordings have
        which tag.

    Raises:
        CorpusError: a recording is not inside, or its tags hold what is hidden.
        DialectError: they hold what is private, or the disk is full.
    """
    import pyarrow.parquet as pq

    parts: list[Path] = []
    writer, size, total, tagged = None, 0, 0, Counter()
    schema = columns.features.arrow_schema
    with disk_space(folder, "the corpus stays as it is"):
        try:
            for table in _row_groups(recordings, columns, schema, tagged):
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
    return total, tagged


def refuse_foreign(found: Iterable[str], ours: Iterable[str], repo_id: str) -> None:
    """Refuse a repository with shards of somebody else, which would be read as part of the corpus.

    Args:
        found: paths in the repository.
        ours: paths that an earlier push wrote or this one does.

    Raises:
        DialectError: naming the first.
    """
    if foreign := sorted(path for path in set(found) - set(ours) if path.startswith(SHARDS)):
        raise DialectError(f"{repo_id} holds {foreign[0]}, which no push of ours wrote: name another repository")


def _row_groups(recordings: Recordings, columns: Columns, schema, tagged: Counter) -> Iterator:
    """Tables of up to `ROW_GROUP` rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = written = 0
    for file in recordings.files:
        for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP, columns=["audio"]):
            kept = np.flatnonzero(recordings.kept[row : row + len(batch)])
            cells = [batch.column(0)[i].as_py() for i in kept]
            rows = columns.table.slice(written, len(kept))
            for id, cell, i in zip(rows["id"].to_pylist(), cells, kept, strict=True):
                tagged.update(list(_checked(cell["bytes"], id, recordings.hidden[row + i], recordings.private)))
            row, written = row + len(batch), written + len(kept)
            if len(kept):
                paths = [
                    id + _suffix(cell["path"] or "") for id, cell in zip(rows["id"].to_pylist(), cells, strict=True)
                ]
                audio = pa.array(
                    [{"bytes": cell["bytes"], "path": path} for cell, path in zip(cells, paths, strict=True)],
                    schema.field("audio").type,
                )
                yield pa.table([audio if name == "audio" else rows[name] for name in schema.names], schema=schema)


def _suffix(path: str) -> str:
    """Of an audio file; what else follows a dot in a name may be a part of the name."""
    suffix = PurePosixPath(path).suffix
    return suffix if suffix.lower() in (*AUDIO_SUFFIXES, ".sph") else ""


def _checked(data: bytes | None, id: str, hidden: Iterable[str], private: Iterable[str]) -> Mapping[str, str]:
    """The tags of a recording that may go up."""
    if data is None:
        raise CorpusError(f"the audio of {id} is not inside the Parquet; split with hf-dialects split --embed")
    found = tags(data)
    if told_name(data, private, found):
        raise DialectError(f"the file of recording {id} holds an access token or a path of this machine: take it out")
    if name := told_name(data, hidden, found):
        raise CorpusError(
            f"the file of a recording ({id} on the Hub) names {name}, in a tag perhaps: take the tags out of the "
            "recordings and prepare them again, or share with --keep-ids"
        )
    return found
