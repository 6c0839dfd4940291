"""Several processes embed one corpus; any of them may be killed."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import tiny
from corpora import corpus_of
from datasets import load_from_disk
from embedding_job import OPTIONS, job

from hf_dialects.data.audio import encode
from hf_dialects.embedding_files import is_complete
from hf_dialects.embeddings import embed, read_vectors
from hf_dialects.errors import DialectError
from hf_dialects.locks import locked
from hf_dialects.saving import load_for_inference, save_for_hub

RECORDINGS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder / "model")
    files = {f"{n:02d}": encode(tiny.waveform(0.5 + n / 20, n), tiny.RATE) for n in range(RECORDINGS)}
    corpus_of(files | {"05x": b"broken"}).save_to_disk(folder / "corpus")
    return folder


@pytest.fixture(scope="module")
def given(folder):
    return *load_for_inference(folder / "model", head=False), load_from_disk(folder / "corpus")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("frames", [False, True])
def test_killed_processes_leave_the_bytes_of_one_that_ran_through(folder, tmp_path, frames):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hf_dialects.embeddings", "hf_dialects.saving"])

    def started(out: Path, ranks) -> list:
        for rank in ranks:
            (folder / f"begun-{rank}").unlink(missing_ok=True)
        processes = [context.Process(target=job, args=(folder, out, rank, frames)) for rank in ranks]
        for process in processes:
            process.start()
        return processes

    # alone, rank after rank, and without any kill
    for rank in (0, 1):
        (process,) = started(tmp_path / "whole", [rank])
        process.join(120)
        assert process.exitcode == 0
        assert is_complete(tmp_path / "whole") == (rank == 1)

    draw, killed = random.Random(0), 0
    for kill in (True, True, True, False, False):
        processes = started(tmp_path / "killed", (0, 1))
        while kill and not all((folder / f"begun-{rank}").exists() for rank in (0, 1)):
            assert all(process.exitcode in (None, 0) for process in processes)
            time.sleep(0.005)
        if kill:
            time.sleep(draw.uniform(0, 0.25))
            for rank in draw.choice([[0], [1], [0, 1]]):
                killed += processes[rank].is_alive()
                processes[rank].kill()
        for process in processes:
            process.join(120)
            assert process.exitcode is not None, "a process waits for one that died"
    assert killed
    assert snapshot(tmp_path / "killed") == snapshot(tmp_path / "whole")
    assert not any(name.startswith(".") or "parts" in name for name in snapshot(tmp_path / "killed"))


def test_shards_are_those_of_the_rank_and_the_last_to_finish_joins_them(given, tmp_path):
    embed(*given, tmp_path / "one", **OPTIONS)
    skipped = embed(*given, tmp_path / "three", **OPTIONS, rank=1, world_size=3)
    assert sorted(path.name for path in (tmp_path / "three" / "parts").glob("*.json")) == [
        "1.json",
        "10.json",
        "4.json",
        "7.json",
    ]
    assert skipped == []
    assert not is_complete(tmp_path / "three")
    embed(*given, tmp_path / "three", **OPTIONS, rank=2, world_size=3)
    skipped = embed(*given, tmp_path / "three", **OPTIONS)  # another number of processes takes the rest
    assert [one.id for one in skipped] == ["05x"]
    assert snapshot(tmp_path / "three") == snapshot(tmp_path / "one")
    assert embed(*given, tmp_path / "three", **OPTIONS, rank=1, world_size=3) == skipped
    with pytest.raises(DialectError, match="rank is 3 of 3 processes: expected 0 to 2"):
        embed(*given, tmp_path / "three", **OPTIONS, rank=3, world_size=3)


def test_what_was_left_by_a_kill_after_the_end_is_cleared(given, tmp_path):
    embed(*given, tmp_path / "out", **OPTIONS)
    expected = snapshot(tmp_path / "out")
    (tmp_path / "out" / "parts").mkdir()
    (tmp_path / "out" / "parts" / "0.json").write_text("{}")
    (tmp_path / "out" / ".vectors-3.parquet.1.tmp").write_bytes(b"half")
    (tmp_path / "out" / ".lock").touch()
    embed(*given, tmp_path / "out", **OPTIONS)
    assert snapshot(tmp_path / "out") == expected


@pytest.mark.parametrize("settings", [{"normalize": "recording"}, {"precision": "bfloat16"}])
def test_vectors_name_their_settings_and_stay_near_the_defaults(given, tmp_path, settings):
    embed(*given, tmp_path / "plain", **OPTIONS)
    embed(*given, tmp_path / "other", **OPTIONS, **settings)
    for name in ("normalize", "precision"):
        found = json.loads((tmp_path / "other" / "manifest.json").read_text("utf-8"))["settings"][name]
        assert found == settings.get(name, {"normalize": "window", "precision": "float32"}[name])
    (ids, plain), (again, other) = (read_vectors(tmp_path / name) for name in ("plain", "other"))
    assert ids == again
    assert 0 < abs(plain - other).max() < 0.2
    with pytest.raises(DialectError, match="normalize and precision are for vectors"):
        embed(*given, tmp_path / "frames", **OPTIONS, **settings, frames=True)


def test_a_lock_is_held_by_one_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    path.touch()  # of a process that was killed
    reading, writing = os.pipe()
    with locked(path):
        child = os.fork()
        if not child:
            with locked(path):
                os.write(writing, b"child")
            os._exit(0)
        time.sleep(0.2)
        os.write(writing, b"parent ")
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"parent child"
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError), locked(tmp_path / "gone" / "lock"):
        pass
