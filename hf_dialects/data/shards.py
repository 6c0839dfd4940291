"""Rows → sharded Parquet in the corpus schema, with the audio inside. Interrupted writing goes on at the next shard."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from hf_dialects.data.shard_plan import UNSPLIT, Plan, Rows
from hf_dialects.disk import disk_space
from hf_dialects.errors import AudioError, CorpusError

ROW_GROUP = 100  # rows; a reader that wants one recording decodes its row group


def write_shards(rows: Rows, plan: Plan, out: Path, progress: bool = True) -> None:
    """Write the shards into data/ of `out`, which appears when all of them are whole; until then into data.part/.

    A recording without a readable header is written with a null `duration`.

    Args:
        rows: those that were planned.
        plan: from `plan_shards`.
        out: folder; it may hold an interrupted writing of the same plan.

    Raises:
        CorpusError: the folder holds something else.
        DialectError: the disk is full; the shards that are whole stay.
    """
    from tqdm.auto import tqdm

    _claim(out, plan)
    if (out / "data").is_dir():
        return
    building = out / "data.part"
    building.mkdir(exist_ok=True)
    features = plan.features()
    queues = {split: [s for s in plan.shards if s.split == split] for split in {s.split for s in plan.shards}}
    waiting: dict[str, list[dict]] = {split: [] for split in queues}
    seen = dict.fromkeys(queues, 0)
    for row in tqdm(rows(), total=plan.n_rows, desc="writing", unit="clip", disable=not progress):
        split = row.get("split") or UNSPLIT
        shard = queues[split][0]
        path, seen[split] = building / shard.name, seen[split] + 1
        if not path.is_file():
            waiting[split].append(_embedded(row))
        if seen[split] == shard.rows:
            if waiting[split]:
                with disk_space(path, "the files that are whole stay"):
                    _write(waiting[split], features, path)
            waiting[split], seen[split] = [], 0
            queues[split].pop(0)
    building.rename(out / "data")


def _claim(out: Path, plan: Plan) -> None:
    """Make the folder, or make sure that it belongs to this plan."""
    record = out / "prepare.json"
    if record.is_file():
        found = json.loads(record.read_text(encoding="utf-8")).get("fingerprint")
        if found != plan.fingerprint:
            raise CorpusError(
                f"{out} was prepared from other rows (fingerprint {str(found)[:12]}, now {plan.fingerprint[:12]}); "
                "remove it, or name another folder"
            )
    elif out.exists() and any(out.iterdir()):
        raise CorpusError(f"{out} is not empty and was not written by this command; name a new folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        shards = [asdict(shard) for shard in plan.shards]
        content = {"fingerprint": plan.fingerprint, "rows": plan.n_rows, "shards": shards}
        _replace(record, (json.dumps(content, indent=2) + "\n").encode())


def _embedded(row: dict) -> dict:
    """The row with its audio inside, named by its id, and its duration in seconds where a header states it."""
    from hf_dialects.data.audio import duration_s

    audio = row["audio"]
    data = audio["bytes"] if audio.get("bytes") is not None else Path(audio["path"]).read_bytes()
    row = {**row, "audio": {"bytes": data, "path": row["id"] + PurePosixPath(str(audio.get("path") or "")).suffix}}
    if row.get("duration") is None:
        with suppress(AudioError):
            row["duration"] = duration_s(row["audio"])
    return row


def _write(rows: list[dict], features, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hf_dialects.data.schema import dataset_of

    sink = pa.BufferOutputStream()
    pq.write_table(dataset_of(rows, features).data.table, sink, row_group_size=ROW_GROUP)
    _replace(path, sink.getvalue())


def _replace(path: Path, data) -> None:
    """Write a file so that it is either whole or absent."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)
