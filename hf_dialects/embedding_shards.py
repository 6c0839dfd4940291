"""The shards in which a corpus is embedded: rows in the order of their ids, or those of a stream as they come."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path

from hf_dialects.data.splits import split_fingerprint
from hf_dialects.embedding_files import MANIFEST, PARTS, listed_ids, write_json
from hf_dialects.errors import CorpusError


@dataclass(frozen=True)
class Shard:
    """Recordings that are embedded together.

    Attributes:
        key: its name among the parts.
        rows: its rows, or an iterator over them.
        ids: theirs; of an iterator those it has come to.
    """

    key: str
    rows: object
    ids: list[str]


class CorpusShards:
    """Shards of a `datasets.Dataset`: `size` rows at a time, in the order of their ids.

    Raises:
        CorpusError: an id stands twice.
    """

    def __init__(self, dataset, size: int, folder: Path):
        self.dataset, self.size = dataset, size
        self.ids, self.order = ordered_ids(dataset)
        self.starts = range(0, len(self.order), size)

    def own(self, rank: int, world_size: int) -> Iterator[Shard]:
        """The shards of one process."""
        for shard, start in list(enumerate(self.starts))[rank::world_size]:
            rows = self.order[start : start + self.size]
            yield Shard(str(shard), self.dataset.select(rows), [self.ids[row] for row in rows])

    def n_own(self, rank: int, world_size: int) -> int | None:
        """Recordings of one process, None where that is not known before."""
        return sum(min(self.size, len(self.order) - start) for start in self.starts[rank::world_size])

    def keys(self) -> list[str] | None:
        """Of all shards in order; None while they are not known."""
        return [str(shard) for shard in range(len(self.starts))]

    def origin(self) -> dict:
        """What the manifest says of the corpus before the first recording is read."""
        return {"ids": split_fingerprint(self.dataset)}

    def known(self, manifest: dict) -> dict:
        """The manifest with the ids, as far as they are known."""
        return manifest


class StreamShards:
    """Shards of a `datasets.IterableDataset`, whose rows are never held: only those of a process's own, unfinished
    shards are decoded.

    Every file of the stream (its `num_shards`) is cut into shards of `size` rows. A process reads the files of its
    rank modulo `world_size`. Where there are fewer files than processes, all read all files, but share the shards of
    each; a stream of few Parquet files with many row groups is better cut by its `reshard()` before. A file is not
    opened again once its shards are written.

    Args:
        stream: the same rows in the same order on every pass.
        size: rows of a shard at most.
        folder: of the embeddings.
    """

    def __init__(self, stream, size: int, folder: Path):
        self.stream, self.size, self.folder, self.parts = stream, size, folder, folder / PARTS
        self.n_files = stream.num_shards
        first = next(iter(stream), None)
        self.first = None if first is None else str(first["id"])

    def own(self, rank: int, world_size: int) -> Iterator[Shard]:
        """The shards of one process, as it comes to them; finished ones without rows where the file is finished."""
        by_file = self.n_files >= world_size
        for file in range(self.n_files):
            if by_file and file % world_size != rank:
                continue
            yield from self._of_file(file, *((0, 1) if by_file else (rank, world_size)))

    def _of_file(self, file: int, rank: int, sharing: int) -> Iterator[Shard]:
        """The shards of a file that are those of one of `sharing` processes."""
        if (keys := self._keys(file)) is not None:
            keys = keys[(rank - file) % sharing :: sharing]
            if all((self.parts / f"{key}.json").exists() for key in keys):
                yield from (Shard(key, iter(()), []) for key in keys)
                return
        rows = iter(self.stream.shard(self.n_files, file))
        number = 0
        while (first := next(rows, None)) is not None:
            key, ids = f"{file}-{number}", []
            noted = _noting(chain([first], islice(rows, self.size - 1)), ids)
            if (file + number) % sharing == rank:
                yield Shard(key, noted, ids)
            for _ in noted:
                pass  # finished, or another's: read, but not decoded
            self._check(key, ids)
            number += 1
        write_json(self._end(file), {"shards": number})

    def n_own(self, rank: int, world_size: int) -> int | None:
        """See `CorpusShards`."""
        return None

    def keys(self) -> list[str] | None:
        """See `CorpusShards`."""
        keys = [self._keys(file) for file in range(self.n_files)]
        return None if None in keys else list(chain.from_iterable(keys))

    def origin(self) -> dict:
        """See `CorpusShards`; all ids are known at the end."""
        return {"stream": {"files": self.n_files, "first_id": self.first}}

    def known(self, manifest: dict) -> dict:
        """The manifest with the ids of the folder, where that is finished, made of the same and holds the first id."""
        path = self.folder / MANIFEST
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if found == manifest | {"data": found.get("data"), "complete": True} and self.first in listed_ids(self.folder):
            return manifest | {"data": found["data"]}
        return manifest

    def _end(self, file: int) -> Path:
        """The record of a file that was read to its end."""
        return self.parts / f"file-{file}.json"

    def _keys(self, file: int) -> list[str] | None:
        if not self._end(file).exists():
            return None
        n_shards = json.loads(self._end(file).read_text("utf-8"))["shards"]
        return [f"{file}-{number}" for number in range(n_shards)]

    def _check(self, key: str, ids: list[str]) -> None:
        """Raise where the rows of a shard are not those it was written from, or an id stands twice."""
        check_unique(ids)
        record = self.parts / f"{key}.json"
        if record.exists() and (found := json.loads(record.read_text("utf-8"))["ids"]) != ids:
            place = next((n for n, (one, other) in enumerate(zip(found, ids, strict=False)) if one != other), None)
            what = f"{len(ids)} rows, not {len(found)}" if place is None else f"{ids[place]!r}, not {found[place]!r}"
            raise CorpusError(
                f"the stream has changed: shard {key} was written from other rows (now {what}); "
                "stream what it was begun with, or begin again in another folder"
            )


def _noting(rows: Iterator[dict], ids: list[str]) -> Iterator[dict]:
    for row in rows:
        ids.append(str(row["id"]))
        yield row


def check_unique(ids: Iterable[str]) -> None:
    """Raise `CorpusError` where an id of a stream stands twice."""
    for one, following in pairwise(sorted(ids)):
        if one == following:
            raise CorpusError(f"id {one!r} stands twice in the stream: ids must be unique")


def ordered_ids(dataset) -> tuple[list[str], list[int]]:
    """Ids of the rows, and the rows in the order of their ids; `CorpusError` where an id stands twice."""
    ids = [str(one) for one in dataset["id"]]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for row, following in pairwise(order):
        if ids[row] == ids[following]:
            raise CorpusError(f"id {ids[row]!r} stands in rows {row} and {following}: ids must be unique")
    return ids, order
