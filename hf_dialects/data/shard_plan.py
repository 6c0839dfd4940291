"""How the rows of a corpus are cut into files, decided before the first recording is read."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from hf_dialects.errors import CorpusError

SHARD_BYTES = 200 * 2**20
UNSPLIT = "corpus"  # name of the shards of rows without a split
REQUIRED = ("id", "audio", "dialect")
TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}

Rows = Callable[[], Iterable[dict]]


@dataclass(frozen=True)
class Shard:
    """One file: its name, its split, and how many rows it holds."""

    name: str
    split: str
    rows: int


@dataclass(frozen=True)
class Plan:
    """What will be written: known before the first recording is read.

    Attributes:
        shards: files in order.
        labels: dialects, sorted.
        clusters: clusters, sorted.
        columns: those of the corpus schema that hold a value in some row, and `duration`, which is filled in.
        extra: columns outside the corpus schema -> name of their type.
        n_rows: recordings.
        n_bytes: of their audio.
        fingerprint: SHA-256 of the rows and the cuts, without where the audio lies.
    """

    shards: tuple[Shard, ...]
    labels: tuple[str, ...]
    clusters: tuple[str, ...]
    columns: tuple[str, ...]
    extra: dict[str, str]
    n_rows: int
    n_bytes: int
    fingerprint: str

    def features(self):
        """`datasets.Features` of every shard."""
        from datasets import Features, Value

        from hf_dialects.data.schema import features

        schema = features(list(self.labels), list(self.clusters) or None)
        kept = {name: feature for name, feature in schema.items() if name in self.columns}
        return Features(kept | {name: Value(dtype) for name, dtype in self.extra.items()})


def plan_shards(rows: Rows, shard_bytes: int = SHARD_BYTES) -> Plan:
    """Go through the rows once without reading audio: check them, collect labels and columns, cut into shards.

    Args:
        rows: returns the rows, the same ones in the same order on every call. A row has `id`, `dialect` and `audio`
            ({"bytes", "path"}), optionally `split`, other columns of the schema, and columns of its own with str, int,
            float or bool.
        shard_bytes: audio of one file, at most, unless a single recording is larger.

    Raises:
        CorpusError: no rows; a required column is missing; an id occurs twice; audio is not there; some rows have a
            split and some have none; a column mixes types.
    """
    from hf_dialects.data.schema import COLUMNS

    digest, ids, total, present = sha256(str(shard_bytes).encode()), set(), 0, {"duration"}
    values: dict[str, set] = {"dialect": set(), "cluster": set()}
    types: dict[str, set[type]] = {}
    cuts: dict[str, list[list[int]]] = {}  # split -> [rows, bytes] of each of its shards
    for row in rows():
        missing = [name for name in REQUIRED if row.get(name) is None]
        if missing:
            raise CorpusError(
                f"row {len(ids)} ({row.get('id')}) has no {missing[0]}; every row needs {', '.join(REQUIRED)}"
            )
        if row["id"] in ids:
            raise CorpusError(f"id {row['id']!r} occurs twice; ids must be unique")
        ids.add(row["id"])
        n_bytes = _size(row["audio"], row["id"])
        total += n_bytes
        split = row.get("split") or UNSPLIT
        shards = cuts.setdefault(split, [[0, 0]])
        if shards[-1][0] and shards[-1][1] + n_bytes > shard_bytes:
            shards.append([0, 0])
        shards[-1][0] += 1
        shards[-1][1] += n_bytes
        for name, value in row.items():
            if value is not None:
                present.add(name)
            if value is not None and name in values:
                values[name].add(value)
            if name not in COLUMNS and name != "split":
                types.setdefault(name, set()).update({type(value)} - {type(None)})
        facts = {name: value for name, value in row.items() if name != "audio"}
        digest.update(json.dumps([facts, n_bytes], ensure_ascii=False, sort_keys=True, default=str).encode())
    if not ids:
        raise CorpusError("the corpus holds no rows")
    if UNSPLIT in cuts and len(cuts) > 1:
        raise CorpusError(
            f"{sum(n for n, _ in cuts[UNSPLIT])} of {len(ids)} rows have no split; give one to all rows or to none"
        )
    shards = tuple(
        Shard(f"{split}-{i:05d}-of-{len(sizes):05d}.parquet", split, n_rows)
        for split, sizes in cuts.items()
        for i, (n_rows, _) in enumerate(sizes)
    )
    return Plan(
        shards=shards,
        labels=tuple(sorted(values["dialect"])),
        clusters=tuple(sorted(values["cluster"])),
        columns=tuple(name for name in COLUMNS if name in present),
        extra={name: _type_of(name, found) for name, found in sorted(types.items())},
        n_rows=len(ids),
        n_bytes=total,
        fingerprint=digest.hexdigest(),
    )


def _size(audio: dict, id: str) -> int:
    """Bytes of a recording, without reading it."""
    if audio.get("bytes") is not None:
        return len(audio["bytes"])
    try:
        return os.stat(audio["path"]).st_size
    except OSError as error:
        raise CorpusError(f"the audio of {id} is not there: {audio['path']} ({error.strerror})") from error


def _type_of(name: str, found: set[type]) -> str:
    if found == {int, float}:
        return "float64"
    if len(found) > 1 or not found <= set(TYPES):
        raise CorpusError(
            f"column {name!r} holds {' and '.join(sorted(t.__name__ for t in found))}; "
            "one of str, int, float, bool is expected"
        )
    return TYPES[found.pop()] if found else "string"
