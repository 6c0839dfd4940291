"""Embeddings of a corpus: one vector or all frames per recording, written to disk shard by shard, resumable."""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_dialects.data.screen import Skipped, write_skipped
from hf_dialects.disk import disk_space
from hf_dialects.embedding_files import (
    MANIFEST,
    PARTS,
    SKIPPED,
    FrameFile,
    prepare,
    read_frames,
    read_skipped,
    read_vectors,
    write_atomically,
    write_index,
    write_json,
    write_vectors,
)
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.fingerprints import fingerprints
from hf_dialects.frames import encode_frames, encoder_of, frame_rate_hz, layer_index, run_encoder
from hf_dialects.inference import batches, check_windows, usable
from hf_dialects.models.encoder_dialect import padding_leaks
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.pipeline_dialect import spans_of
from hf_dialects.models.pooling_dialect import MeanPooling

__all__ = ["embed", "read_frames", "read_vectors"]


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
) -> list[Skipped]:
    """Write the embeddings of a corpus, one vector or all frames per recording.

    A vector is the mean over the recording's windows of the model's pooling of that layer (mean pooling where the model
    has none). Frames are those of `encode_frames`; windows play no part. Recordings are taken in the order of their
    ids, `shard_size` at a time; a shard is written whole or not at all, and a second call takes up where a first one
    stopped. Memory holds the vectors of one shard, or the frames of one recording.

    Writes `vectors-{layer}.parquet` (id, vector), or `frames-{layer}-{shard}.npy` (ΣT, D) float32 with
    `frames-index.parquet` (id, shard, start, length, frame_rate_hz); `manifest.json`, what everything was made of; and
    `skipped.csv`. Layers are named 0 (input of the first block) to n (output of the last).

    Args:
        model: a dialect model, an audio classifier of transformers, or an encoder.
        feature_extractor: the encoder's.
        dataset: rows with `audio` and a unique `id`.
        folder: where to write; made when missing.
        layers: hidden states, negative counts from the last.
        frames: write frames instead of pooled vectors.
        shard_size: recordings per shard.
        batch_size: windows of one pass.
        window_s, stride_s: other windows than the model's configuration says.
        chunk_s, context_s: see `encode_frames`.
        workers: threads that decode.
        overwrite: replace embeddings in the folder that were made of something else.

    Returns:
        Recordings that were left out.

    Raises:
        CheckpointError: the folder holds embeddings of another model, corpus, code or setting; the message lists what
            differs.
        CorpusError: ids are not unique.
        DialectError: a layer that the encoder lacks, windows that do not fit it, no usable recording, or values that
            are not finite.
    """
    folder = Path(folder)
    indices = sorted({layer_index(model, layer) for layer in layers})
    ids, order = ordered_ids(dataset)
    if frames:
        writer = _Frames(model, feature_extractor, folder, indices, chunk_s, context_s)
    else:
        window_s = window_s or getattr(model.config, "window_s", None)
        stride_s = stride_s or getattr(model.config, "stride_s", None)
        check_windows(feature_extractor, model.config, window_s, stride_s)
        writer = _Vectors(model, feature_extractor, folder, indices, window_s, stride_s, batch_size)
    manifest = {
        "schema": 1,
        "complete": False,
        "n_layers": encoder_of(model).config.num_hidden_layers,
        **fingerprints(model, feature_extractor, dataset),
        "settings": {"layers": indices, "frames": frames, "shard_size": shard_size, **writer.settings},
    }
    if prepare(folder, manifest, overwrite):
        return read_skipped(folder)

    was_training = model.training
    model.eval()
    records = []
    with tqdm(total=len(order), desc="embedding", unit="clip", disable=not progress) as bar:
        for shard, start in enumerate(range(0, len(order), shard_size)):
            rows = order[start : start + shard_size]
            path = folder / PARTS / f"{shard}.json"
            if not path.exists():
                skipped: list[Skipped] = []
                part, part_ids = dataset.select(rows), [ids[row] for row in rows]
                clips = usable(part, part_ids, feature_extractor, model.config, workers, skipped, bar)
                with disk_space(path, "the shards that are whole stay"):
                    kept = writer.write(shard, clips, part_ids)
                    write_json(path, {"kept": kept, "skipped": [asdict(one) for one in skipped]})
            else:
                bar.update(len(rows))
            records.append(json.loads(path.read_text("utf-8")))
    model.train(was_training)

    skipped = [Skipped(**one) for record in records for one in record["skipped"]]
    if not any(record["kept"] for record in records):
        first = skipped[0].message if skipped else "no rows"
        raise DialectError(f"none of the {len(ids)} recordings could be embedded; the first: {first}")
    writer.finish(records)
    write_skipped(skipped, folder / SKIPPED)
    write_json(folder / MANIFEST, manifest | {"complete": True})
    shutil.rmtree(folder / PARTS)
    return skipped


class _Vectors:
    """Pooled vectors: one .npy per shard and layer, joined into one Parquet file per layer at the end."""

    def __init__(self, model, feature_extractor, folder: Path, indices: list[int], window_s, stride_s, batch_size: int):
        self.model, self.feature_extractor, self.folder, self.indices = model, feature_extractor, folder, indices
        self.window_s, self.stride_s, self.batch_size = window_s, stride_s, batch_size
        self.settings = {"window_s": window_s, "stride_s": stride_s}

    @torch.inference_mode()
    def write(self, shard: int, clips: Iterable[tuple[int, np.ndarray]], ids: list[str]) -> list[str]:
        """Embed the clips of a shard; the ids that have a vector."""
        encoder = encoder_of(self.model)
        pooling = self.model.base_model.pooling if self.model.config.model_type == "dialect" else MeanPooling(0)
        sums: dict[int, np.ndarray] = {}  # row → (layers, P)
        counts: dict[int, int] = {}
        for batch in batches(self._windows(clips), self.batch_size, padding_leaks(encoder.config)):
            inputs = extract(self.feature_extractor, [window for _, window in batch])
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

    def finish(self, records: list[dict]) -> None:
        """Join the shards."""
        filled = [shard for shard, record in enumerate(records) if record["kept"]]
        for index in self.indices:
            parts = [self._part(shard, index) for shard in filled]
            write_vectors(self.folder / f"vectors-{index}.parquet", [records[shard]["kept"] for shard in filled], parts)

    def _windows(self, clips):
        for row, waveform in clips:
            for start, end in spans_of(
                len(waveform), self.feature_extractor, self.model.config, self.window_s, self.stride_s
            ):
                yield row, waveform[start:end]

    def _part(self, shard: int, index: int) -> Path:
        return self.folder / PARTS / f"vectors-{index}-{shard}.npy"


class _Frames:
    """All frames: one .npy per shard and layer, and one index."""

    def __init__(self, model, feature_extractor, folder: Path, indices: list[int], chunk_s: float, context_s: float):
        self.model, self.feature_extractor, self.folder, self.indices = model, feature_extractor, folder, indices
        self.settings = {"chunk_s": chunk_s, "context_s": context_s}

    def write(self, shard: int, clips: Iterable[tuple[int, np.ndarray]], ids: list[str]) -> list[tuple[str, int, int]]:
        """Encode the clips of a shard; (id, first row, rows) of each."""
        files = {index: FrameFile(self.folder / f"frames-{index}-{shard}.npy") for index in self.indices}
        kept = []
        for row, waveform in clips:
            frames = encode_frames(self.model, self.feature_extractor, waveform, self.indices, **self.settings)
            for index, file in files.items():
                _check_finite(frames[index][None], [ids[row]], index)
                start = file.append(frames[index])
            kept.append((ids[row], start, len(frames[index])))
        for file in files.values():
            file.close()
        return kept

    def finish(self, records: list[dict]) -> None:
        """Write the index."""
        recordings = [(shard, *one) for shard, record in enumerate(records) for one in record["kept"]]
        write_index(self.folder, recordings, frame_rate_hz(self.model, self.feature_extractor))


def ordered_ids(dataset) -> tuple[list[str], list[int]]:
    """Ids of the rows, and the rows in the order of their ids; `CorpusError` where an id stands twice."""
    ids = [str(one) for one in dataset["id"]]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for row, following in pairwise(order):
        if ids[row] == ids[following]:
            raise CorpusError(f"id {ids[row]!r} stands in rows {row} and {following}: ids must be unique")
    return ids, order


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
