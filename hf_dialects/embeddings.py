"""Embeddings of a corpus: one vector or all frames per recording, written to disk shard by shard, resumable."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from datasets import IterableDataset
from tqdm.auto import tqdm

from hf_dialects.data.audio import decode
from hf_dialects.data.screen import Skipped, write_skipped
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.disk import disk_space
from hf_dialects.embedding_files import (
    MANIFEST,
    PARTS,
    SKIPPED,
    FrameFile,
    clear,
    is_complete,
    prepare,
    read_frames,
    read_skipped,
    read_vectors,
    write_atomically,
    write_index,
    write_json,
    write_vectors,
)
from hf_dialects.embedding_shards import CorpusShards, StreamShards, check_unique
from hf_dialects.errors import DialectError
from hf_dialects.fingerprints import fingerprints
from hf_dialects.frames import (
    encoder_of,
    encodes_in_blocks,
    frame_blocks,
    frame_rate_hz,
    layer_index,
    run_encoder,
)
from hf_dialects.inference import batches, usable
from hf_dialects.locks import locked
from hf_dialects.models.pooling_dialect import MeanPooling
from hf_dialects.precision import precision_used
from hf_dialects.recordings import Recording, waveform_or_recording
from hf_dialects.windowing import Windowing

__all__ = ["embed", "read_frames", "read_vectors"]
LOCK = ".lock"


def embed(
    model,
    feature_extractor,
    dataset,
    folder: str | Path,
    layers: Sequence[int] = (-1,),
    frames: bool = False,
    shard_size: int = 500,
    batch_size: int = 16,
    window_s: float | None = None,
    stride_s: float | None = None,
    chunk_s: float = 30.0,
    context_s: float = 2.0,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
    normalize: str = "window",
    precision: str = "float32",
    rank: int = 0,
    world_size: int = 1,
) -> list[Skipped]:
    """Write the embeddings of a corpus, one vector or all frames per recording.

    A vector is the mean over the recording's windows of the model's pooling of that layer (mean pooling where the model
    has none). Frames are those of `encode_frames`; windows play no part. Recordings are taken in the order of their
    ids, `shard_size` at a time; a shard is written whole or not at all, and a second call takes up where a first one
    stopped. Memory holds the vectors of one shard, or the frames of one chunk; recordings longer than
    `recordings.WHOLE_S` are read in blocks, but for frames of encoders of spectral features.

    A stream (`datasets.IterableDataset`) is taken as it comes, file by file, each cut into shards of `shard_size` rows
    (see `StreamShards`). What is written is sorted by id, with the bytes that the same rows on disk give where the
    stream is in the order of its ids and its files hold multiples of `shard_size` rows; else vectors differ from those
    by rounding, since other windows share a batch. Rows of finished shards and of other processes are not decoded, and
    finished files not opened. That ids are unique over all shards is seen at the end. Of a finished folder only the
    first id of the stream is compared.

    Several processes, on one machine or on several that see the same folder, share the work when each is told its
    `rank`: shard s is that of rank s modulo `world_size`. They never wait for one another. Whoever writes the last
    shard joins them; when a process dies, the others finish theirs, and the same call again, with as many processes as
    one likes, does what is missing. The bytes written are those of one process, as long as the batch size and the
    number of threads are the same.

    Writes `vectors-{layer}.parquet` (id, vector), or `frames-{layer}-{shard}.npy` (ΣT, D) float32 with
    `frames-index.parquet` (id, shard, start, length, frame_rate_hz); `manifest.json`, what everything was made of; and
    `skipped.csv`. Layers are named 0 (input of the first block) to n (output of the last).

    Args:
        model: a dialect model, an audio classifier of transformers, or an encoder.
        feature_extractor: the encoder's.
        dataset: rows with `audio` and a unique `id`; or a stream of them, the same on every pass.
        folder: where to write; made when missing.
        layers: hidden states, negative counts from the last.
        frames: write frames instead of pooled vectors.
        shard_size: recordings per shard, at most.
        batch_size: windows of one pass.
        window_s, stride_s: other windows than the model's configuration says.
        chunk_s, context_s: see `encode_frames`.
        workers: threads that decode.
        overwrite: replace embeddings in the folder that were made of something else.
        normalize, precision: of vectors, see `Windowing`. Frames are always normalised over the recording.
        rank, world_size: this process among all.

    Returns:
        Recordings that were left out: all of them once the folder is complete, before that those of this process.

    Raises:
        CheckpointError: the folder holds embeddings of another model, corpus, code or setting; the message lists what
            differs.
        CorpusError: ids are not unique, or a stream gives other rows than when it was begun.
        DialectError: a layer that the encoder lacks, windows that do not fit it, no usable recording, or values that
            are not finite.
    """
    folder = Path(folder)
    indices = sorted({layer_index(model, layer) for layer in layers})
    if not 0 <= rank < world_size:
        raise DialectError(f"rank is {rank} of {world_size} processes: expected 0 to {world_size - 1}")
    if frames and (normalize, precision) != ("window", "float32"):
        raise DialectError("normalize and precision are for vectors: leave them away, or frames")
    if frames:
        writer = _Frames(model, feature_extractor, folder, indices, chunk_s, context_s)
    else:
        window_s = window_s or getattr(model.config, "window_s", None)
        stride_s = stride_s or getattr(model.config, "stride_s", None)
        precision = precision_used(precision, model.device)
        windowing = Windowing(model, feature_extractor, window_s, stride_s, normalize, precision)
        writer = _Vectors(windowing, folder, indices, batch_size)
    shards = (StreamShards if isinstance(dataset, IterableDataset) else CorpusShards)(dataset, shard_size, folder)
    manifest = {
        "schema": 1,
        "complete": False,
        "n_layers": encoder_of(model).config.num_hidden_layers,
        **fingerprints(model, feature_extractor, {"id": []}) | {"data": shards.origin()},
        "settings": {"layers": indices, "frames": frames, "shard_size": shard_size, **writer.settings},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK):
        if prepare(folder, shards.known(manifest), overwrite):
            clear(folder)
            return read_skipped(folder)

    was_training = model.training
    model.eval()
    own = []
    total = shards.n_own(rank, world_size)
    with tqdm(total=total, desc="embedding", unit="clip", disable=not progress) as bar:
        try:
            for shard in shards.own(rank, world_size):
                record = folder / PARTS / f"{shard.key}.json"
                own.append(record)
                with locked(record.with_suffix(".lock")):  # a process of a job that was killed in part may be at it
                    if record.exists():
                        bar.update(len(shard.ids))
                        continue
                    skipped: list[Skipped] = []
                    clips = usable(
                        shard.rows, shard.ids, feature_extractor, model.config, workers, skipped, bar, writer.read
                    )
                    with disk_space(record, "the shards that are whole stay"):
                        kept = writer.write(shard.key, clips, shard.ids)
                        left_out = [asdict(one) for one in skipped]
                        write_json(record, {"ids": shard.ids, "kept": kept, "skipped": left_out})
        except FileNotFoundError:
            if not is_complete(folder):
                raise  # else others have finished the folder
    model.train(was_training)

    with locked(folder / LOCK):
        if is_complete(folder):
            return read_skipped(folder)
        parts = {key: folder / PARTS / f"{key}.json" for key in shards.keys() or ()}
        if shards.keys() is None or not all(path.exists() for path in parts.values()):
            return [Skipped(**one) for path in own for one in json.loads(path.read_text("utf-8"))["skipped"]]
        records = {key: json.loads(path.read_text("utf-8")) for key, path in parts.items()}
        return _join(folder, writer, manifest, records)


def _join(folder: Path, writer, manifest: dict, records: dict[str, dict]) -> list[Skipped]:
    """Make the final files of all shards; what was left out."""
    ids = [id for record in records.values() for id in record["ids"]]
    check_unique(ids)
    skipped = sorted((Skipped(**one) for record in records.values() for one in record["skipped"]), key=lambda o: o.id)
    if not any(record["kept"] for record in records.values()):
        first = skipped[0].message if skipped else "no rows"
        raise DialectError(f"none of the {len(ids)} recordings could be embedded; the first: {first}")
    writer.finish({key: record["kept"] for key, record in records.items()})
    write_skipped(skipped, folder / SKIPPED)
    write_json(folder / MANIFEST, manifest | {"data": {"ids": split_fingerprint({"id": ids})}, "complete": True})
    clear(folder)
    return skipped


class _Vectors:
    """Pooled vectors: one .npy per shard and layer, joined into one Parquet file per layer at the end."""

    read = staticmethod(Recording.read)

    def __init__(self, windowing: Windowing, folder: Path, indices: list[int], batch_size: int):
        self.windowing, self.folder, self.indices, self.batch_size = windowing, folder, indices, batch_size
        names = ("window_s", "stride_s", "normalize", "precision")
        self.settings = {name: getattr(windowing, name) for name in names}

    def write(self, shard: str, clips: Iterable[tuple[int, Recording]], ids: list[str]) -> list[str]:
        """Embed the clips of a shard; the ids that have a vector."""
        windowing, model = self.windowing, self.windowing.model
        encoder = encoder_of(model)
        pooling = model.base_model.pooling if model.config.model_type == "dialect" else MeanPooling(0)
        sums: dict[int, np.ndarray] = {}  # row → (layers, P)
        counts: dict[int, int] = {}
        windows = ((row, window) for row, recording in clips for window in windowing.windows(recording))
        with windowing.running():
            for batch in batches(windows, self.batch_size, windowing.same_length):
                inputs = windowing.inputs([window for _, window in batch])
                states, mask = run_encoder(encoder, inputs, self.indices)
                pooled = torch.stack([pooling(states[index], mask) for index in self.indices], 1).float().cpu().numpy()
                for (row, _), vectors in zip(batch, pooled, strict=True):
                    sums[row] = sums.get(row, 0.0) + vectors
                    counts[row] = counts.get(row, 0) + 1
        rows = sorted(sums)
        for position, index in enumerate(self.indices) if rows else ():
            vectors = np.stack([sums[row][position] / counts[row] for row in rows]).astype(np.float32)
            _check_finite(vectors, [ids[row] for row in rows], index)
            write_atomically(self._part(shard, index), lambda path, vectors=vectors: _save(path, vectors))
        return [ids[row] for row in rows]

    def finish(self, kept: dict[str, list[str]]) -> None:
        """Join the shards."""
        kept = {shard: ids for shard, ids in kept.items() if ids}
        for index in self.indices:
            parts = [self._part(shard, index) for shard in kept]
            write_vectors(self.folder / f"vectors-{index}.parquet", list(kept.values()), parts)

    def _part(self, shard: str, index: int) -> Path:
        return self.folder / PARTS / f"vectors-{index}-{shard}.npy"


class _Frames:
    """All frames: one .npy per shard and layer, and one index."""

    def __init__(self, model, feature_extractor, folder: Path, indices: list[int], chunk_s: float, context_s: float):
        self.model, self.feature_extractor, self.folder, self.indices = model, feature_extractor, folder, indices
        self.settings = {"chunk_s": chunk_s, "context_s": context_s}
        self.read = waveform_or_recording if encodes_in_blocks(model, feature_extractor) else decode

    def write(
        self, shard: str, clips: Iterable[tuple[int, np.ndarray | Recording]], ids: list[str]
    ) -> list[tuple[str, int, int]]:
        """Encode the clips of a shard; (id, first row, rows) of each."""
        files = {index: FrameFile(self._file(shard, index)) for index in self.indices}
        any_file = files[self.indices[0]]
        kept = []
        for row, clip in clips:
            start = any_file.length
            for frames in frame_blocks(self.model, self.feature_extractor, clip, self.indices, **self.settings):
                for index, file in files.items():
                    _check_finite(frames[index][None], [ids[row]], index)
                    file.append(frames[index])
            kept.append((ids[row], start, any_file.length - start))
        for file in files.values():
            file.close()
        return kept

    def finish(self, kept: dict[str, list[tuple[str, int, int]]]) -> None:
        """Number the files of a stream, and write the index."""
        for number, shard in enumerate(kept):
            for index in self.indices if str(number) != shard else ():
                with suppress(FileNotFoundError):  # without any recording, or a killed process has renamed it
                    self._file(shard, index).replace(self._file(number, index))
        recordings = [(number, *one) for number, own in enumerate(kept.values()) for one in own]
        write_index(self.folder, recordings, frame_rate_hz(self.model, self.feature_extractor))

    def _file(self, shard: str | int, index: int) -> Path:
        return self.folder / f"frames-{index}-{shard}.npy"


def _check_finite(values: np.ndarray, ids: list[str], index: int) -> None:
    broken = [id for id, value in zip(ids, values, strict=True) if not np.isfinite(value).all()]
    if broken:
        raise DialectError(
            f"layer {index} gives values that are not finite for {len(broken)} recordings, the first {broken[0]}: "
            "the model's weights or precision are broken"
        )


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
