"""A stream is embedded with the bytes of the corpus on disk, by any number of processes, killed or not."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
from corpora import corpus_of
from datasets import IterableDataset, load_dataset
from embedding_job import OPTIONS, job

from hf_dialects import embeddings, recordings
from hf_dialects.data.audio import encode
from hf_dialects.embedding_files import is_complete, listed_ids
from hf_dialects.embeddings import embed, read_frames, read_vectors
from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.saving import load_for_inference, save_for_hub

FILES, ROWS, LAST = 3, 4, 3  # rows of a file, and of the last one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a corpus saved, and as Parquet files in the order of its ids; one recording is broken."""
    folder = tmp_path_factory.mktemp("streamed")
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder / "model")
    number = FILES * ROWS - (ROWS - LAST)
    files = {f"{n:02d}": encode(tiny.waveform(0.5 + n / 10, n), tiny.RATE) for n in range(number)}
    corpus = corpus_of(files | {"05": b"broken"})
    corpus.save_to_disk(folder / "corpus")
    (folder / "parquet").mkdir()
    for file in range(FILES):
        rows = corpus.select(range(file * ROWS, min(number, (file + 1) * ROWS)))
        rows.to_parquet(folder / "parquet" / f"train-{file:05d}-of-{FILES:05d}.parquet")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_for_inference(folder / "model", head=False)


@pytest.fixture(scope="module")
def corpus(folder):
    return load_dataset("parquet", data_dir=str(folder / "parquet"), split="train", cache_dir=str(folder / "cache"))


@pytest.fixture
def stream(folder):
    return load_dataset("parquet", data_dir=str(folder / "parquet"), split="train", streaming=True)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def generated(corpus, files: list[list[int]], opened: list[int], taken: list[str]) -> IterableDataset:
    """A stream of files that hold these rows of a corpus; notes the files opened and the ids taken."""

    def rows(numbers):
        for number in numbers:
            opened.append(number)
            for row in files[number]:
                taken.append(corpus[row]["id"])
                yield corpus[row]

    return IterableDataset.from_generator(rows, gen_kwargs={"numbers": list(range(len(files)))})


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_a_stream_gives_the_bytes_of_the_corpus(model, corpus, stream, tmp_path, world_size, frames):
    expected = embed(*model, corpus, tmp_path / "disk", **OPTIONS, frames=frames)
    assert [one.id for one in expected] == ["05"]
    for rank in reversed(range(world_size)):
        assert not (tmp_path / "out").exists() or not is_complete(tmp_path / "out")
        skipped = embed(*model, stream, tmp_path / "out", **OPTIONS, frames=frames, rank=rank, world_size=world_size)
    assert skipped == expected
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "disk")
    assert listed_ids(tmp_path / "out") == set(corpus["id"])
    assert embed(*model, stream, tmp_path / "out", **OPTIONS, frames=frames) == expected
    assert embed(*model, corpus, tmp_path / "out", **OPTIONS, frames=frames) == expected


@pytest.mark.parametrize("frames", [False, True])
def test_a_killed_process_is_resumed_to_the_same_bytes(folder, model, corpus, tmp_path, frames):
    embed(*model, corpus, tmp_path / "disk", **OPTIONS, frames=frames)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hf_dialects.embeddings", "hf_dialects.saving"])

    def started(rank: int):
        process = context.Process(target=job, args=(folder, tmp_path / "out", rank, frames, True))
        process.start()
        return process

    process = started(0)
    while not list((tmp_path / "out" / "parts").glob("0-*.json")):
        assert process.exitcode is None
        time.sleep(0.001)
    process.kill()
    process.join(60)
    assert not is_complete(tmp_path / "out")
    processes = [started(rank) for rank in (0, 1)]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "disk")


def test_what_is_finished_or_of_others_is_neither_decoded_nor_opened(model, corpus, tmp_path, monkeypatch):
    opened, taken, decoded = [], [], []
    read = recordings.Recording.read
    monkeypatch.setattr(
        embeddings._Vectors, "read", staticmethod(lambda cell, rate: decoded.append(cell["bytes"]) or read(cell, rate))
    )
    stream = generated(corpus, [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 10]], opened, taken)
    sound = dict(zip(corpus["id"], (one["bytes"] for one in corpus["audio"]), strict=True))

    def run(**options) -> tuple[list[int], set[str]]:
        opened.clear()
        decoded.clear()
        embed(*model, stream, tmp_path / "out", **OPTIONS, **options)
        return opened[1:], {id for id, data in sound.items() if data in decoded}  # the first row is looked at

    assert run(rank=0, world_size=2) == ([0, 2], {"00", "01", "02", "03", "07", "08", "09", "10"})
    (tmp_path / "out" / "parts" / "0-1.json").unlink()
    assert run(rank=0, world_size=2) == ([0], {"02", "03"})
    assert run(rank=3, world_size=4) == ([1], set()), "of four processes it has no shard of the unfinished file"
    assert run() == ([1], {"04", "05", "06"})
    assert is_complete(tmp_path / "out")
    assert run() == ([], set())


def test_rows_are_taken_as_they_are_needed(model, corpus, tmp_path):
    taken, ahead = [], []
    stream = generated(corpus, [list(range(len(corpus)))], [], taken)

    class Counted(embeddings._Vectors):
        def write(self, shard, clips, ids):
            return super().write(shard, (ahead.append(len(ids)) or clip for clip in clips), ids)

    original, embeddings._Vectors = embeddings._Vectors, Counted
    try:
        embed(*model, stream, tmp_path / "out", **OPTIONS | {"shard_size": 100}, workers=1)
    finally:
        embeddings._Vectors = original
    assert ahead[0] == 4, "with one thread that decodes, four are under way"
    assert ahead == sorted(ahead)


def test_what_is_written_is_in_the_order_of_the_ids_whatever_the_stream(model, corpus, tmp_path):
    stream = generated(corpus, [[9, 2, 7], [], [0, 10, 5, 4, 1], [8, 3, 6]], [], [])
    options = {"layers": (-1,), "shard_size": 2, "progress": False}
    for frames, read in ((False, read_vectors), (True, read_frames)):
        embed(*model, corpus, tmp_path / f"disk-{frames}", **options, frames=frames)
        for rank in (1, 0):
            embed(*model, stream, tmp_path / f"out-{frames}", **options, frames=frames, rank=rank, world_size=2)
        (ids, expected), (found_ids, found) = (read(tmp_path / f"{name}-{frames}") for name in ("disk", "out"))
        assert found_ids == ids == sorted(set(corpus["id"]) - {"05"})
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one - other).max() < 1e-5
    manifests = [
        json.loads((tmp_path / name / "manifest.json").read_text("utf-8")) for name in ("disk-True", "out-True")
    ]
    assert manifests[0] == manifests[1]


def test_another_stream_is_refused(model, corpus, tmp_path):
    def of(*files: list[int]) -> IterableDataset:
        return generated(corpus, list(files), [], [])

    options = OPTIONS | {"shard_size": 2}
    embed(*model, of([0, 1, 2], [3, 4]), tmp_path / "out", **options, rank=0, world_size=2)
    (tmp_path / "out" / "parts" / "0-1.json").unlink()
    with pytest.raises(CheckpointError, match=r"what differs: data.stream.first_id \(00 there, 03 now\)"):
        embed(*model, of([3], [4]), tmp_path / "out", **options)
    with pytest.raises(CheckpointError, match=r"what differs: data.stream.files \(2 there, 1 now\)"):
        embed(*model, of([0, 1, 2]), tmp_path / "out", **options)
    with pytest.raises(CorpusError, match=r"shard 0-0 was written from other rows \(now '02', not '01'\); stream what"):
        embed(*model, of([0, 2, 1], [3, 4]), tmp_path / "out", **options)
    with pytest.raises(CorpusError, match=r"shard 0-0 was written from other rows \(now 1 rows, not 2\)"):
        embed(*model, of([0], [3, 4]), tmp_path / "out", **options)
    embed(*model, of([0, 1, 2], [3, 4]), tmp_path / "out", **options)
    assert read_vectors(tmp_path / "out")[0] == ["00", "01", "02", "03", "04"]
    with pytest.raises(CheckpointError, match=r"what differs: data.ids"):
        embed(*model, of([7, 1, 2]), tmp_path / "out", **options)
    with pytest.raises(CheckpointError, match=r"settings.shard_size \(2 there, 3 now\)"):
        embed(*model, of([0, 1, 2], [3, 4]), tmp_path / "out", **options | {"shard_size": 3})
    for rank in (0, 1):
        again = options | {"shard_size": 3, "overwrite": rank == 0, "rank": rank, "world_size": 2}
        embed(*model, of([0, 1, 2], [3, 4]), tmp_path / "out", **again)
    assert read_vectors(tmp_path / "out")[0] == ["00", "01", "02", "03", "04"]


def test_ids_that_stand_twice_and_streams_without_rows_are_refused(model, corpus, tmp_path):
    for files in ([[0, 0]], [[0, 1, 2], [3, 1]]):
        stream = generated(corpus, files, [], [])
        with pytest.raises(CorpusError, match=r"id '0[01]' stands twice in the stream: ids must be unique"):
            embed(*model, stream, tmp_path / str(len(files)), **OPTIONS)
    with pytest.raises(DialectError, match="none of the 0 recordings could be embedded; the first: no rows"):
        embed(*model, generated(corpus, [[]], [], []), tmp_path / "none", **OPTIONS)


@pytest.mark.parametrize("streamed", [False, True])
def test_frames_of_long_recordings_are_read_in_blocks(model, corpus, stream, tmp_path, monkeypatch, streamed):
    options = OPTIONS | {"frames": True, "chunk_s": 0.4, "context_s": 0.1}
    embed(*model, corpus, tmp_path / "whole", **options)
    monkeypatch.setattr(recordings, "WHOLE_S", 0.9)
    whole = []
    monkeypatch.setattr(recordings, "decode", lambda *given, own=recordings.decode: whole.append(1) or own(*given))
    embed(*model, stream if streamed else corpus, tmp_path / "blocks", **options)
    assert len(whole) == 5, "up to 0.9 s"
    for layer in (1, -1):
        (ids, expected), (again, found) = (read_frames(tmp_path / name, layer) for name in ("whole", "blocks"))
        assert ids == again
        assert max(np.abs(one - other).max() for one, other in zip(expected, found, strict=True)) < 2e-5
