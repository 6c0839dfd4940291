"""An embedding job over two processes, killed again and again, against one that ran through.

    python benchmarks/embed_kills.py [--kills 50] [--seed 0]

A tiny random encoder embeds synthetic recordings. Processes of the job are killed (SIGKILL) at random moments, one or
both of them, and started again until the job is done; when it is done before all kills are spent, the next job begins
in an empty folder. Every finished folder must hold the bytes of one uninterrupted process. Also: how much faster two
processes are than one, and the memory of a process over many shards. Writes embed_kills.md.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars, load_from_disk
from machine import facts
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

from hf_dialects.data.audio import encode
from hf_dialects.embeddings import embed
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.saving import load_for_inference, save_for_hub

FOLDER = Path(__file__).parent
RATE, RECORDINGS, PROCESSES = 16000, 120, 2
AT_WORK = 0.9  # share of the kills that wait until both processes embed
SHARD, SERVER = 3, "forkserver"  # whose processes start with everything imported


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: processes killed.
        at_work: kills of a process that had begun to embed and had not ended.
        jobs: folders finished.
        wrong: of them, with other bytes.
    """

    kills: int = 0
    at_work: int = 0
    jobs: int = 0
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    """Kill, compare, time, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    machine, started = facts(), time.time()
    disable_progress_bars()
    os.environ["OMP_NUM_THREADS"] = "1"
    multiprocessing.get_context(SERVER).set_forkserver_preload(["__main__"])
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        write_model(place / "model")
        write_corpus(place / "corpus")
        one = finished(place, "one", 1, memory=True)
        two = finished(place, "two", PROCESSES)
        expected = checksums(place / "one")
        tally = Tally()
        if checksums(place / "two") != expected:
            tally.wrong.append("two uninterrupted processes")
        draw = random.Random(options.seed)
        while tally.kills < options.kills:
            kill_and_restart(place, place / f"killed-{tally.jobs}", options.kills, one, draw, tally)
            if checksums(place / f"killed-{tally.jobs}") != expected:
                tally.wrong.append(f"job {tally.jobs}")
            tally.jobs += 1
        memory = [int(line) / 1024 for line in (place / "memory").read_text().split()]
    lines = report(tally, options, one, two, memory, machine, time.time() - started)
    print("\n".join(lines))
    (FOLDER / "embed_kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if tally.wrong:
        raise SystemExit(1)


def report(tally: Tally, options, one: float, two: float, memory: list[float], machine: dict, took: float) -> list[str]:
    """The text of embed_kills.md."""
    third = len(memory) // 3
    early, late = (float(np.median(part)) for part in (memory[third : 2 * third], memory[2 * third :]))
    verdict = "all with the bytes of one uninterrupted process" if not tally.wrong else f"WRONG: {tally.wrong}"
    return [
        "# Embedding jobs that are killed",
        "",
        f"`python benchmarks/embed_kills.py --kills {options.kills} --seed {options.seed}`",
        "",
        f"{RECORDINGS} recordings of 1 to 3 s, {-(-RECORDINGS // SHARD)} shards, {PROCESSES} processes of one thread.",
        "",
        f"- kills: {tally.kills}, of them {tally.at_work} of a process that was embedding (the others were loading)",
        f"- jobs finished: {tally.jobs}, {verdict}",
        f"- wall-clock seconds of the embedding alone: {one:.1f} with one process, {two:.1f} with {PROCESSES}: "
        f"{one / two:.2f} times as fast",
        f"- memory of its own (RssAnon) of a process, median over the second and the last third of its run: "
        f"{early:.0f} and {late:.0f} MiB",
        f"- the whole took {took / 60:.1f} minutes",
        *(f"- {name}: {value}" for name, value in machine.items()),
    ]


def kill_and_restart(place: Path, out: Path, most: int, seconds: float, draw: random.Random, tally: Tally) -> None:
    """One job from nothing to its end."""
    while True:
        processes = [start(place, out, rank, PROCESSES) for rank in range(PROCESSES)]
        if tally.kills < most:
            if draw.random() < AT_WORK:
                while not all(begun(place, rank) or not one.is_alive() for rank, one in enumerate(processes)):
                    time.sleep(0.005)
            time.sleep(draw.uniform(0, seconds / 2))
            for rank in draw.choice([[0], [1], [0, 1]]):
                if processes[rank].is_alive():
                    tally.kills += 1
                    tally.at_work += begun(place, rank)
                    processes[rank].kill()
        for process in processes:  # the survivor ends by itself
            process.join(600)
        codes = {process.exitcode for process in processes}
        if not codes <= {0, -signal.SIGKILL}:
            raise RuntimeError(f"a process ended with {codes}, the messages above say why")
        if codes == {0}:
            return


def finished(place: Path, name: str, processes: int, memory: bool = False) -> float:
    """Wall-clock seconds of an uninterrupted job, from the first process that is ready to the last that is done."""
    started = [start(place, place / name, rank, processes, memory) for rank in range(processes)]
    for process in started:
        process.join(600)
    times = [[float(line) for line in (place / f"times-{rank}").read_text().split()] for rank in range(processes)]
    return max(end for _, end in times) - min(begin for begin, _ in times)


def begun(place: Path, rank: int) -> bool:
    """Whether a process has loaded the model and begun to embed."""
    path = place / f"times-{rank}"
    return path.exists() and bool(path.read_text())


def start(place: Path, out: Path, rank: int, processes: int, memory: bool = False):
    """A process of a job, started."""
    (place / f"times-{rank}").unlink(missing_ok=True)
    context = multiprocessing.get_context(SERVER)
    process = context.Process(target=job, args=(place, out, rank, processes, memory))
    process.start()
    return process


def job(place: Path, out: Path, rank: int, processes: int, memory: bool) -> None:
    """What a process does."""
    torch.set_num_threads(1)
    network, extractor = load_for_inference(place / "model", head=False)
    corpus = load_from_disk(place / "corpus")
    if memory:
        threading.Thread(target=watch_memory, args=(place / "memory",), daemon=True).start()
    with (place / f"times-{rank}").open("w", buffering=1) as times:
        times.write(f"{time.time()}\n")
        options = {"layers": (1, -1), "shard_size": SHARD, "batch_size": 4, "progress": False}
        embed(network, extractor, corpus, out, **options, rank=rank, world_size=processes)
        times.write(f"{time.time()}\n")


def watch_memory(path: Path) -> None:
    """Write this process's own memory, in KiB, five times a second."""
    with path.open("w", buffering=1) as file:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            file.write(next(line for line in lines if line.startswith("RssAnon")).split()[1] + "\n")
            time.sleep(0.2)


def checksums(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file of a folder, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_model(folder: Path) -> None:
    """A tiny classifier with random weights."""
    torch.manual_seed(0)
    encoder = Wav2Vec2Config(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        conv_dim=(32,) * 7,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        layerdrop=0.0,
    )
    config = DialectConfig(encoder_config=encoder, id2label={0: "north", 1: "south"}, window_s=2.0, stride_s=1.0)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    save_for_hub(DialectForAudioClassification(config).eval(), extractor, folder)


def write_corpus(folder: Path) -> None:
    """Noise of 1 to 3 s."""
    random = np.random.default_rng(0)
    waveforms = (0.1 * random.standard_normal(RATE + n * 2 * RATE // RECORDINGS) for n in range(RECORDINGS))
    cells = [{"bytes": encode(one, RATE), "path": None} for one in waveforms]
    ids = [f"{number:04d}" for number in random.permutation(RECORDINGS)]
    Dataset.from_dict({"audio": cells, "id": ids}).save_to_disk(folder)


if __name__ == "__main__":
    main()
