"""Embedding of streams and of long recordings: launchers whose processes die, and memory.

    python benchmarks/embed_streams.py [--shards 150] [--minutes 20 60]

A tiny random encoder. (1) A folder of Parquet files is streamed by two processes that torchrun and accelerate launch;
one process is killed (SIGKILL), the launcher ends, and the same command again must give the bytes of one uninterrupted
process. (2) The memory of a process that streams many shards. (3) The memory of a process that writes the frames of one
long recording, for recordings of several lengths. Writes embed_streams.md.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from datasets import Dataset, IterableDataset
from embed_kills import FOLDER, RATE, checksums, write_model
from machine import facts

from hf_dialects.data.audio import encode
from hf_dialects.embedding_files import is_complete
from hf_dialects.embeddings import embed
from hf_dialects.saving import load_for_inference

FILES, ROWS = 4, 600
SHARD = 20  # rows, of the measurement of memory
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node", "2"],
    "accelerate launch": ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}


def main() -> None:
    """Launch, kill, compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=150)
    parser.add_argument("--minutes", type=int, nargs="+", default=[20, 60])
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    machine, started = facts(), time.time()
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        write_model(place / "model")
        write_parquet(place / "parquet")
        lines, right = launched(place)
        stream, *long = [
            watched(streamed_job, place, options.shards),
            *(watched(frames_job, place, minutes) for minutes in options.minutes),
        ]
    tenth = next(memory for shards, memory in stream if shards >= 10)
    lines.append(
        f"- own memory (RssAnon) of a process that streams {options.shards} shards of {SHARD} recordings: "
        f"{tenth:.0f} MiB after the 10th, {stream[-1][1]:.0f} MiB at the last, "
        f"{max(memory for shards, memory in stream if shards >= 10):.0f} MiB at most between"
    )
    for minutes, samples in zip(options.minutes, long, strict=True):
        most = max(memory for _, memory in samples)
        lines.append(f"- frames of a recording of {minutes} minutes: {most:.0f} MiB at most")
    lines += [f"- the whole took {(time.time() - started) / 60:.1f} minutes"]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    minutes = " ".join(map(str, options.minutes))
    command = f"`python benchmarks/embed_streams.py --shards {options.shards} --minutes {minutes}`"
    text = "\n".join(["# Embedding of streams and of long recordings", "", command, "", *lines]) + "\n"
    print(text)
    (FOLDER / "embed_streams.md").write_text(text, encoding="utf-8")
    if not right:
        raise SystemExit(1)


def launched(place: Path) -> tuple[list[str], bool]:
    """What is to be said of each launcher; whether all bytes were right."""
    lines, right = [], True
    run_to_end([], place, place / "one")
    expected = checksums(place / "one")
    for name, launcher in LAUNCHERS.items():
        out = place / name
        process = start(launcher, place, out)
        while not list((out / "parts").glob("0-*.json")):
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}: {process.stdout.read()}")
            time.sleep(0.01)
        workers = [one for one in psutil.Process(process.pid).children(recursive=True) if "RANK" in one.environ()]
        next(one for one in workers if one.environ()["RANK"] == "1").kill()
        killed = time.time()
        process.communicate(timeout=300)
        ended, began = time.time() - killed, time.time()
        left = "all shards were written" if is_complete(out) else "the folder was not complete"
        run_to_end(launcher, place, out)
        same = checksums(out) == expected
        right &= same
        lines.append(
            f"- {name}, 2 processes, process 1 killed: the launcher ended {ended:.1f} s later with exit code "
            f"{process.returncode}, {left}; the same command again took {time.time() - began:.0f} s: "
            f"{'the bytes of one uninterrupted process' if same else 'WRONG BYTES'}"
        )
    return lines, right


def start(launcher: list[str], place: Path, out: Path) -> subprocess.Popen:
    """`hf-dialects embed` of the stream, under a launcher or alone."""
    module = ["-m", *launcher] if launcher else []
    data = ["--data", place / "parquet", "--streaming", "--labels", "north,south"]
    command = [sys.executable, *module, "-m", "hf_dialects.cli.main", "embed", place / "model", *data, "--out", out]
    return subprocess.Popen(
        [*map(str, command), "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run_to_end(launcher: list[str], place: Path, out: Path) -> None:
    """The command, which must end well."""
    process = start(launcher, place, out)
    output, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"{' '.join(launcher) or 'one process'} ended with {process.returncode}: {output}")


def write_parquet(folder: Path) -> None:
    """Noise of 1 to 3 s in the order of its ids."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for file in range(FILES):
        lengths = random.integers(RATE, 3 * RATE, ROWS)
        cells = [{"bytes": encode(0.1 * random.standard_normal(n), RATE), "path": None} for n in lengths]
        ids = [f"{file:02d}-{row:04d}" for row in range(ROWS)]
        rows = {"audio": cells, "id": ids, "dialect": ["north", "south"] * (ROWS // 2)}
        Dataset.from_dict(rows).to_parquet(folder / f"part-{file}.parquet")


def watched(job, place: Path, size: int) -> list[tuple[int, float]]:
    """(shards written, MiB of own memory) of a job in a process of its own, five times a second."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=in_process, args=(job, place, size, sending))
    process.start()
    sending.close()
    found = receiving.recv()
    process.join()
    return found


def in_process(job, place: Path, size: int, sending) -> None:
    """Run the job, and send what was sampled meanwhile."""
    torch.set_num_threads(1)
    out, found, done = place / f"{job.__name__}-{size}", [], threading.Event()

    def sample() -> None:
        while not done.wait(0.2):
            lines = Path("/proc/self/status").read_text().splitlines()
            memory = next(line for line in lines if line.startswith("RssAnon")).split()[1]
            found.append((len(list(out.glob("parts/*-*.json"))), int(memory) / 1024))

    given = load_for_inference(place / "model", head=False)
    thread = threading.Thread(target=sample)
    thread.start()
    job(given, place, out, size)
    done.set()
    thread.join()
    sending.send([one for one in found if job is frames_job or one[0]])  # the parts are cleared at the end


def streamed_job(given, place: Path, out: Path, n_shards: int) -> None:
    """Vectors of a generated stream."""
    stream = IterableDataset.from_generator(noise, gen_kwargs={"n_rows": n_shards * SHARD})
    embed(*given, stream, out, shard_size=SHARD, progress=False)


def noise(n_rows: int):
    """Rows with noise of 1 to 3 s."""
    for number in range(n_rows):
        random = np.random.default_rng(number)
        samples = 0.1 * random.standard_normal(random.integers(RATE, 3 * RATE))
        yield {"id": f"{number:08d}", "audio": {"bytes": encode(samples, RATE), "path": None}}


def frames_job(given, place: Path, out: Path, minutes: int) -> None:
    """Frames of one recording."""
    path = place / f"{minutes}.wav"
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(0.1 * random.standard_normal(60 * RATE))
    corpus = Dataset.from_dict({"audio": [{"bytes": None, "path": str(path)}], "id": ["long"]})
    embed(*given, corpus, out, frames=True, progress=False)


if __name__ == "__main__":
    main()
