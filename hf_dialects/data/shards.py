"""Rows → sharded Parquet in the corpus schema, with the audio inside. Interrupted writing goes on at the next shard."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from hf_dialects.errors import AudioError, CorpusError

SHARD_BYTES = 200 * 2**20
ROW_GROUP = 100  # rows; a reader that wants one recording decodes its row group
UNSPLIT = "corpus"  # name of the shards of rows without a split
REQUIRED = ("id", "audio", "dialect")
TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}

Rows = Callable[[], Iterable[dict]]


@dataclass(frozen=True)
class Shard:
    """One file: its name below the corpus' folder, its split, and how many rows it holds."""

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
        extra: columns outside the corpus schema -> name of their type.
        n_rows: recordings.
        n_bytes: of their audio.
        fingerprint: SHA-256 of the rows and the cuts, without where the audio lies.
    """

    shards: tuple[Shard, ...]
    labels: tuple[str, ...]
    clusters: tuple[str, ...]
    extra: dict[str, str]
    n_rows: int
    n_bytes: int
    fingerprint: str

    def features(self):
        """`datasets.Features` of every shard."""
        from datasets import Value

        from hf_dialects.data.schema import features

        extra = {name: Value(dtype) for name, dtype in self.extra.items()}
        return features(list(self.labels), list(self.clusters) or None, extra)


def plan_shards(rows: Rows, shard_bytes: int = SHARD_BYTES) -> Plan:
    """Go through the rows once without reading audio: check them, collect labels and columns, cut into shards.

    Args:
        rows: returns the rows, the same ones in the same order on every call. A row has `id`, `audio` ({"bytes", "path"}) and
            `dialect`, optionally `split`, other columns of the schema and columns of its own with str, int, float or bool.
        shard_bytes: audio of one file, at most, unless a single recording is larger.

    Raises:
        CorpusError: no rows; a required column is missing; an id occurs twice; audio is not there; some rows have a split and
            some have none; a column mixes types.
    """
    from hf_dialects.data.schema import COLUMNS

    digest, ids, total = sha256(str(shard_bytes).encode()), set(), 0
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
        Shard(f"data/{split}-{i:05d}-of-{len(sizes):05d}.parquet", split, n_rows)
        for split, sizes in cuts.items()
        for i, (n_rows, _) in enumerate(sizes)
    )
    extra = {name: _type_of(name, found) for name, found in sorted(types.items())}
    return Plan(
        shards,
        tuple(sorted(values["dialect"])),
        tuple(sorted(values["cluster"])),
        extra,
        len(ids),
        total,
        digest.hexdigest(),
    )


def write_shards(rows: Rows, plan: Plan, out: Path, progress: bool = True) -> list[str]:
    """Write the shards that are not there yet, each under a temporary name first.

    Args:
        rows: those that were planned.
        plan: from `plan_shards`.
        out: folder; it may hold an interrupted writing of the same plan.

    Returns:
        ids whose audio has no readable header; their `duration` is null.

    Raises:
        CorpusError: the folder holds something else.
    """
    from tqdm.auto import tqdm

    _claim(out, plan)
    features = plan.features()
    queues = {split: [s for s in plan.shards if s.split == split] for split in {s.split for s in plan.shards}}
    waiting: dict[str, list[dict]] = {split: [] for split in queues}
    seen, unreadable = dict.fromkeys(queues, 0), []
    for row in tqdm(rows(), total=plan.n_rows, desc="writing", unit="clip", disable=not progress):
        split = row.get("split") or UNSPLIT
        shard = queues[split][0]
        path, seen[split] = out / shard.name, seen[split] + 1
        if not path.is_file():
            waiting[split].append(_embedded(row, unreadable))
        if seen[split] == shard.rows:
            if waiting[split]:
                _write(waiting[split], features, path)
            waiting[split], seen[split] = [], 0
            queues[split].pop(0)
    return unreadable


def _claim(out: Path, plan: Plan) -> None:
    """Make the folder, or make sure that it belongs to this plan."""
    record = out / "prepare.json"
    if record.is_file():
        found = json.loads(record.read_text(encoding="utf-8")).get("fingerprint")
        if found != plan.fingerprint:
            raise CorpusError(
                f"{out} was prepared from other rows (fingerprint {str(found)[:12]}, now {plan.fingerprint[:12]}); remove it, or name another folder"
            )
        return
    if out.exists() and any(out.iterdir()):
        raise CorpusError(f"{out} is not empty and was not written by this command; name a new folder")
    (out / "data").mkdir(parents=True, exist_ok=True)
    content = {"fingerprint": plan.fingerprint, "rows": plan.n_rows, "shards": [asdict(shard) for shard in plan.shards]}
    _replace(record, (json.dumps(content, indent=2) + "\n").encode())


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
            f"column {name!r} holds {' and '.join(sorted(t.__name__ for t in found))}; one of str, int, float, bool is expected"
        )
    return TYPES[found.pop()] if found else "string"


def _embedded(row: dict, unreadable: list[str]) -> dict:
    """The row with its audio inside, named by its id, and its duration in seconds."""
    from hf_dialects.data.audio import duration_s

    audio = row["audio"]
    data = audio["bytes"] if audio.get("bytes") is not None else Path(audio["path"]).read_bytes()
    row = {**row, "audio": {"bytes": data, "path": row["id"] + PurePosixPath(str(audio.get("path") or "")).suffix}}
    if row.get("duration") is None:
        try:
            row["duration"] = duration_s(row["audio"])
        except AudioError:
            unreadable.append(row["id"])
    return row


def _write(rows: list[dict], features, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import ClassLabel

    columns = {name: [row.get(name) for row in rows] for name in features}
    for name, feature in features.items():
        if isinstance(feature, ClassLabel):
            columns[name] = [None if value is None else feature.str2int(value) for value in columns[name]]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=features.arrow_schema), sink, row_group_size=ROW_GROUP)
    _replace(path, sink.getvalue())


def _replace(path: Path, data) -> None:
    """Write a file so that it is either whole or absent."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)
