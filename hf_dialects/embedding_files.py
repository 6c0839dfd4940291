"""Files of an embedding folder: written atomically, read as memory maps.

N recordings, P size of a pooled vector, T frames of a recording, D channels of a frame.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_dialects.data.screen import Skipped
from hf_dialects.errors import CheckpointError
from hf_dialects.fingerprints import changes

MANIFEST, INDEX, SKIPPED, PARTS = "manifest.json", "frames-index.parquet", "skipped.csv", "parts"
OWN = ("frames-*.npy", "vectors-*.parquet", "snippets-*", INDEX, SKIPPED, MANIFEST)


def read_vectors(folder: str | Path, layer: int = -1) -> tuple[list[str], np.ndarray]:
    """Ids and vectors (N, P) float32 of one layer, in the order of the ids.

    Raises:
        CheckpointError: the folder is no complete set of vectors, or lacks the layer.
    """
    folder, layer = _open(folder, layer, frames=False)
    table = pq.read_table(folder / f"vectors-{layer}.parquet")
    vectors = table["vector"].combine_chunks().flatten().to_numpy()
    return table["id"].to_pylist(), vectors.reshape(len(table), -1)


def read_frames(folder: str | Path, layer: int = -1) -> tuple[list[str], list[np.ndarray]]:
    """Ids and frames (T, D) float32 of one layer, in the order of the ids; the arrays are read-only memory maps.

    Raises:
        CheckpointError: the folder is no complete set of frames, or lacks the layer.
    """
    folder, layer = _open(folder, layer, frames=True)
    index = pd.read_parquet(folder / INDEX)
    shards = {
        shard: np.load(folder / f"frames-{layer}-{shard}.npy", mmap_mode="r")
        for shard in index["shard"].unique().tolist()
    }
    spans = zip(index["shard"], index["start"], index["length"], strict=True)
    return index["id"].tolist(), [shards[shard][start : start + length] for shard, start, length in spans]


def _open(folder: str | Path, layer: int, frames: bool) -> tuple[Path, int]:
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{folder} holds no embeddings (it has no {MANIFEST}): write them with hf_dialects.embed")
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    settings = manifest["settings"]
    if "frames" not in settings:
        raise CheckpointError(f"{folder} holds pooled snippets: read them with read_snippets")
    if not manifest["complete"]:
        raise CheckpointError(
            f"the embeddings in {folder} are not complete: call embed again, it takes up where it stopped"
        )
    if settings["frames"] != frames:
        kinds = ("frames", "vectors") if settings["frames"] else ("vectors", "frames")
        raise CheckpointError(
            f"{folder} holds {kinds[0]}, not {kinds[1]}: call embed with frames={frames} and another folder"
        )
    index = layer + manifest["n_layers"] + 1 if layer < 0 else layer
    if index not in settings["layers"]:
        listed = ", ".join(map(str, settings["layers"]))
        raise CheckpointError(f"{folder} has no layer {layer}; it holds: {listed} (of 0 to {manifest['n_layers']})")
    return folder, index


def prepare(folder: Path, manifest: dict, overwrite: bool) -> bool:
    """Make a folder ready for embeddings; whether it already holds all of them.

    Raises:
        CheckpointError: it holds embeddings made of something else, and `overwrite` is off.
    """
    path = folder / MANIFEST
    if path.exists():
        found = json.loads(path.read_text("utf-8"))
        complete = found.pop("complete")
        differing = changes(found, {name: value for name, value in manifest.items() if name != "complete"})
        if not differing:
            return complete
        if not overwrite:
            raise CheckpointError(
                f"{folder} holds embeddings made of something else; what differs: {', '.join(differing)}. "
                "Choose another folder, or pass overwrite=True to replace them"
            )
        for pattern in OWN:
            for old in folder.glob(pattern):
                old.unlink()
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    (folder / PARTS).mkdir(parents=True)
    write_json(path, manifest)
    return False


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then give it its name."""
    temporary = _temporary(path)
    write(temporary)
    os.replace(temporary, path)


def _temporary(path: Path) -> Path:
    """A name that no other process writes to."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def clear(folder: Path) -> None:
    """Take away what is not needed once everything is written, and what killed processes left."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)


def is_complete(folder: str | Path) -> bool:
    """Whether all embeddings of a folder are written."""
    return json.loads((Path(folder) / MANIFEST).read_text("utf-8"))["complete"]


def write_json(path: Path, content) -> None:
    """One JSON file, atomically."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def write_index(folder: Path, recordings: Sequence[tuple[int, str, int, int]], frame_rate_hz: float) -> None:
    """`frames-index.parquet` from (shard, id, start, length) of every recording, in the order of the ids."""
    recordings = sorted(recordings, key=lambda one: one[1])
    table = pd.DataFrame(recordings, columns=["shard", "id", "start", "length"]).assign(frame_rate_hz=frame_rate_hz)
    table = table[["id", "shard", "start", "length", "frame_rate_hz"]]
    write_atomically(folder / INDEX, lambda path: table.to_parquet(path, index=False))


def write_vectors(path: Path, ids: Sequence[Sequence[str]], parts: Sequence[Path]) -> None:
    """Join .npy parts (N_i, P) with their ids into one Parquet file (id, vector) in the order of the ids.

    Memory holds as many vectors as the largest part has.
    """
    together = [id for part_ids in ids for id in part_ids]
    order = np.array(sorted(range(len(together)), key=together.__getitem__))
    starts = np.cumsum([0, *map(len, ids)])
    schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32()))])

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema) as writer:
            for first, end in pairwise(starts):
                rows = order[first:end]
                owners = np.searchsorted(starts, rows, "right") - 1
                vectors = None
                for owner in np.unique(owners):
                    part, own = np.load(parts[owner], mmap_mode="r"), owners == owner
                    if vectors is None:
                        vectors = np.empty((len(rows), part.shape[1]), np.float32)
                    vectors[own] = part[rows[own] - starts[owner]]
                offsets = pa.array(np.arange(len(vectors) + 1) * vectors.shape[1], pa.int32())
                lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1), pa.float32()))
                named = pa.array([together[row] for row in rows], pa.string())
                writer.write_table(pa.table({"id": named, "vector": lists}, schema=schema))

    write_atomically(path, write)


def read_skipped(folder: Path) -> list[Skipped]:
    """`skipped.csv` of a finished folder."""
    table = pd.read_csv(folder / SKIPPED, dtype=str, keep_default_na=False)
    return [Skipped(**row) for row in table.to_dict("records")]


def listed_ids(folder: Path) -> set[str]:
    """Ids of a finished folder, with an embedding or left out."""
    tables = [folder / INDEX] if (folder / INDEX).exists() else sorted(folder.glob("vectors-*.parquet"))[:1]
    kept = {id for path in tables for id in pq.read_table(path, columns=["id"])["id"].to_pylist()}
    return kept | {one.id for one in read_skipped(folder)}


class FrameFile:
    """A .npy matrix (ΣT, D) float32 that grows recording by recording and gets its name when it is closed."""

    def __init__(self, path: Path):
        self.path, self.temporary = path, _temporary(path)
        self.length, self._size, self._file = 0, None, self.temporary.open("wb")

    def append(self, frames: np.ndarray) -> int:
        """Add frames (T, D); the row at which they start."""
        start = self.length
        if self._size is None:
            self._size = frames.shape[1]
            self._write_header()
        self._file.write(np.ascontiguousarray(frames, np.float32).data)
        self.length += len(frames)
        return start

    def close(self) -> None:
        """Write the final number of rows into the header, for which numpy leaves room, and name the file."""
        if self.length:
            self._file.seek(0)
            self._write_header()
        self._file.close()
        if self.length:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink()

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.length, self._size)}
        np.lib.format.write_array_header_1_0(self._file, header)
