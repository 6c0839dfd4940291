"""Snippets of a corpus: every layer, length and pooling from one pass over the audio, written recording by recording.

The encoder is run over recordings through `frames.encode_frames`.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.abx.pooler import Length, SnippetPooler, parts_of
from hf_dialects.abx.snippets import stream_snippets
from hf_dialects.data.audio import decode, duration_s
from hf_dialects.data.leakage import column_values
from hf_dialects.data.screen import Skipped, write_skipped
from hf_dialects.disk import disk_space
from hf_dialects.embedding_files import MANIFEST, PARTS, SKIPPED, prepare, read_skipped, write_json
from hf_dialects.embedding_shards import ordered_ids
from hf_dialects.errors import AudioError, DialectError
from hf_dialects.fingerprints import fingerprints
from hf_dialects.frames import encode_frames, encoder_of, frame_rate_hz, layer_index
from hf_dialects.models.pipeline_dialect import minimum_samples
from hf_dialects.snippet_files import SnippetFiles, read_snippets
from hf_dialects.times import told

__all__ = ["Cost", "embed_snippets", "read_snippets", "snippet_cost"]

TRIAL_S = 5.0  # seconds of noise that are encoded to measure the speed


def embed_snippets(
    model,
    feature_extractor,
    dataset,
    folder: str | Path,
    lengths_s: Sequence[Length] = (None,),
    layers: Sequence[int] | None = None,
    poolings: Sequence[str] = ("max", "mean", "statistics"),
    tail: str = "drop",
    piece_s: float = 60.0,
    context_s: float = 2.0,
    overwrite: bool = False,
    progress: bool = True,
) -> list[Skipped]:
    """Cut every recording into consecutive snippets of several lengths and write them, pooled.

    Every recording is decoded and encoded once, in pieces of `piece_s`, see `abx.snippets`. Recordings are taken in the
    order of their ids; after each one the folder holds it whole, and a second call goes on after the last such
    recording and writes the same bytes. Memory holds the frames of one piece, whatever a recording's length (but for
    MP3, which is decoded from its start).

    Writes `snippets-{layer}-{length}.npy` (N, P) float32, the parts that the poolings need side by side;
    `snippets-{length}.parquet` (id, start_s, end_s) in the order of the rows; `manifest.json`, what everything was made
    of; and `skipped.csv`. `read_snippets` reads them.

    Args:
        model: a dialect model, an audio classifier of transformers, or an encoder.
        feature_extractor: the encoder's.
        dataset: rows with `audio` and a unique `id`.
        folder: where to write; made when missing.
        lengths_s: seconds of a snippet; None = the whole recording.
        layers: hidden states, negative counts from the last; None = all, 0 (input of the first block) to n.
        poolings: some of "max", "mean", "statistics" (mean and standard deviation).
        tail, piece_s, context_s: see `abx.snippets.stream_snippets`.
        overwrite: replace what was made of something else.

    Returns:
        Recordings that were left out, those shorter than every snippet among them.

    Raises:
        CheckpointError: the folder holds embeddings of another model, corpus, code or setting.
        CorpusError: ids are not unique.
        DialectError: lengths, layers or poolings that do not fit; no snippet at all; values that are not finite.
    """
    folder, layers = Path(folder), _layers(model, layers)
    ids, order = ordered_ids(dataset)
    rate, parts = frame_rate_hz(model, feature_extractor), parts_of(poolings)
    lengths_s = sorted((one and float(one) for one in lengths_s), key=lambda one: (one is None, one))
    SnippetPooler(lengths_s, rate, parts, tail)  # raises where they do not fit
    cut = {"parts": list(parts), "tail": tail, "piece_s": piece_s, "context_s": context_s}
    manifest = {
        "schema": 1,
        "complete": False,
        "n_layers": encoder_of(model).config.num_hidden_layers,
        **fingerprints(model, feature_extractor, dataset),
        "settings": {"layers": layers, "lengths_s": lengths_s, "frame_rate_hz": rate, **cut},
    }
    if prepare(folder, manifest, overwrite):
        return read_skipped(folder)

    def encode(waveform: np.ndarray) -> dict[int, np.ndarray]:
        return encode_frames(model, feature_extractor, waveform, layers, context_s=context_s)

    with disk_space(folder, "the recordings that are whole stay"):
        files = SnippetFiles(folder, layers, lengths_s)
        try:
            left = order[len(files.records) :]
            for row in tqdm(
                left,
                desc="encoding",
                unit="recording",
                initial=len(files.records),
                total=len(ids),
                disable=not progress,
            ):
                recording = _Recording(dataset[row]["audio"], feature_extractor.sampling_rate)
                try:
                    _check_length(recording, ids[row], feature_extractor, model, lengths_s, tail)
                    stream = stream_snippets(
                        recording.read,
                        recording.n_samples,
                        encode,
                        rate,
                        lengths_s,
                        sampling_rate=recording.sampling_rate,
                        **cut,
                    )
                    for rows in stream:
                        files.append(rows)
                    files.commit(ids[row], recording.seen / recording.sampling_rate)
                except AudioError as error:
                    files.skip(ids[row], asdict(Skipped(ids[row], error.reason, str(error))))
        finally:
            files.close()
        skipped = [Skipped(**one["skipped"]) for one in files.records if one["skipped"]]
        if not any(files.rows.values()):
            first = skipped[0].message if skipped else "no rows"
            raise DialectError(f"none of the {len(ids)} recordings gave a snippet; the first: {first}")
        files.write_spans()
        write_skipped(skipped, folder / SKIPPED)
        write_json(folder / MANIFEST, manifest | {"complete": True})
    shutil.rmtree(folder / PARTS)
    return skipped


@dataclass(frozen=True)
class Cost:
    """What a pass will take, about.

    Attributes:
        hours: of audio.
        seconds: of time.
        disk_bytes: of the files.
        memory_bytes: of the frames that are held at a time, beside the model.
    """

    hours: float
    seconds: float
    disk_bytes: int
    memory_bytes: int

    def __str__(self) -> str:
        """Like "2.1 h of audio: about 34 min, 1.20 GiB on disk, 0.61 GiB of memory for frames"."""
        disk, memory = (size / 2**30 for size in (self.disk_bytes, self.memory_bytes))
        return (
            f"{self.hours:.1f} h of audio: about {told(self.seconds)}, {disk:.2f} GiB on disk, {memory:.2f} GiB of "
            "memory for frames"
        )


def snippet_cost(
    model,
    feature_extractor,
    dataset,
    lengths_s: Sequence[Length],
    layers: Sequence[int] | None = None,
    poolings: Sequence[str] = ("max", "mean", "statistics"),
    piece_s: float = 60.0,
    context_s: float = 2.0,
) -> Cost:
    """What `embed_snippets` will take: `TRIAL_S` of noise are encoded, the lengths of recordings read from headers."""
    layers = _layers(model, layers)
    durations = _durations(dataset)
    noise = np.random.default_rng(0).standard_normal(round(TRIAL_S * feature_extractor.sampling_rate))
    waveform = (0.1 * noise).astype(np.float32)
    encode_frames(model, feature_extractor, waveform[: len(waveform) // 5], layers)  # the first pass takes longer
    start = perf_counter()
    found = encode_frames(model, feature_extractor, waveform, layers)
    speed = (perf_counter() - start) / TRIAL_S
    size = sum(one.nbytes / len(one) for one in found.values())  # of a frame in all layers
    n_snippets = sum(int(one // length) if length else 1 for one in durations for length in lengths_s)
    longest = min(max(durations, default=0.0), piece_s) + 2 * context_s
    return Cost(
        hours=sum(durations) / 3600,
        seconds=sum(durations) * speed,
        disk_bytes=round(n_snippets * size) * len(parts_of(poolings)),
        memory_bytes=round(2 * longest * len(found[layers[0]]) / TRIAL_S * size),  # chunks, and the same joined
    )


class _Recording:
    """Samples of a recording, piece by piece.

    Attributes:
        n_samples: as its header says.
        seen: samples up to the end of the last piece that was read.
    """

    def __init__(self, cell, sampling_rate: int):
        self._cell, self.sampling_rate, self.seen = cell, sampling_rate, 0

    @cached_property
    def n_samples(self) -> int:
        return round(duration_s(self._cell) * self.sampling_rate)

    def read(self, start: int, stop: int) -> np.ndarray:
        whole = start == 0 and stop == self.n_samples  # the end of a whole file is checked for damage
        ends = {} if whole else {"start_s": start / self.sampling_rate, "end_s": stop / self.sampling_rate}
        waveform = decode(self._cell, self.sampling_rate, **ends)
        self.seen = start + len(waveform)
        return waveform


def _check_length(recording: _Recording, id: str, feature_extractor, model, lengths_s, tail: str) -> None:
    """Raise `AudioError` for a recording that is too short for the encoder or for every snippet."""
    seconds = recording.n_samples / recording.sampling_rate
    needed = minimum_samples(feature_extractor, model.config) / recording.sampling_rate
    what = "the encoder needs"
    if None not in lengths_s and (snippet := lengths_s[0] * (0.5 if tail == "keep" else 1)) > needed:
        needed, what = snippet, "the shortest snippet needs"
    if seconds < needed - 0.5 / recording.sampling_rate:
        raise AudioError(f"{id} lasts {seconds:.3f} s; {what} at least {needed:.3f} s. Leave it out", "too short")


def _layers(model, layers: Sequence[int] | None) -> list[int]:
    n_layers = encoder_of(model).config.num_hidden_layers
    return sorted({layer_index(model, layer) for layer in (range(n_layers + 1) if layers is None else layers)})


def _durations(dataset) -> list[float]:
    """Seconds of every recording: from column `duration`, else from headers; damaged ones left out."""
    known = column_values(dataset, "duration") if "duration" in dataset.column_names else [None]
    if None not in known:
        return known
    found = []
    for cell in dataset["audio"]:
        try:
            found.append(duration_s(cell))
        except AudioError:
            continue
    return found
