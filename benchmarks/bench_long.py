"""Long recordings: the front of the encoder once instead of in every window, and what length and overlap cost.

    python benchmarks/bench_long.py        the ten minutes alone, one round

As part of `make bench` it times a minute in few rounds with the base-size encoder, because a round takes minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from machine import cpu_flags, facts
from measure import Row, interleaved
from transformers import (
    AudioClassificationPipeline,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.recordings import Recording
from hf_dialects.windowing import Windowing

RATE, WINDOW_S, STRIDE_S = 16000, 8.0, 3.0
SECONDS, ROUNDS = 60.0, 3  # of the base-size encoder, in interleaved rounds
LONG_S = 600.0  # in one round
LABELS = dict(enumerate(("north", "south", "west")))
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4,
}
FRONT = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "layerdrop": 0.0}
MEMORY = """
import sys
sys.path.insert(0, {folder!r})
import bench_long
print(bench_long.peak({path!r}))
"""


def bench_long(rounds: int) -> list[Row]:
    """Windows of 8 s every 3 s of a minute, base-size encoder of 12 blocks with random weights."""
    model, extractor = dialect_model({}), extractor_of()
    recording, waveform = noise(SECONDS)
    found = interleaved(ways(model, extractor, recording, waveform), min(rounds, ROUNDS))
    return rows(found, SECONDS, f"{min(rounds, ROUNDS)} rounds") + differences(model, extractor)


def bench_long_growth(rounds: int) -> list[Row]:
    """Length and overlap, tiny encoder; peak memory of files of ten minutes to two hours."""
    model, extractor = dialect_model(TINY), extractor_of()
    found, lengths = [], {"1 min": 60, "10 min": 600, "2 h": 7200}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: write_noise(Path(folder) / f"{seconds}.flac", seconds) for name, seconds in lengths.items()}
        per_second = {
            name: processor_s(lambda path=path: run(model, extractor, Recording.read(path, RATE), "recording"))
            / seconds
            for (name, path), seconds in zip(paths.items(), lengths.values(), strict=True)
        }
        for name in ("10 min", "2 h"):
            note = f"{1 / per_second[name]:.0f} s of audio per processor second, reading included"
            ratio = per_second[name] / per_second["1 min"]
            found.append(Row(f"processor time per second of a recording: {name} / 1 min", ratio, note, at_most=1.15))
        paths["1 h"] = write_noise(Path(folder) / "3600.flac", 3600)
        peaks = {name: peak_of(paths[name]) for name in ("10 min", "1 h", "2 h")}
    note = "{:.0f} MiB; libraries and the model are most of it"
    for shorter, at_most in (("1 h", 1.05), ("10 min", None)):
        said = note.format(peaks["2 h"] / 2**20) + f"; {peaks[shorter] / 2**20:.0f} MiB"
        ratio = peaks["2 h"] / peaks[shorter]
        found.append(Row(f"peak memory of a file of 2 h / of {shorter}", ratio, said, at_most=at_most))
    recording, _ = noise(SECONDS)
    for stride in (8.0, 4.0, 2.0):
        own = interleaved(
            {
                "window by window": lambda stride=stride: run(model, extractor, recording, "window", stride),
                "front once": lambda stride=stride: run(model, extractor, recording, "recording", stride),
            },
            min(rounds, ROUNDS),
        )["front once"].ratio
        found.append(Row(f"tiny encoder, 8 s every {stride:g} s: window by window / front once", 1 / own))
    return found


def ways(model, extractor, recording: Recording, waveform: np.ndarray) -> dict:
    """Ways to name the dialect of a recording."""
    stock = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**FRONT, num_labels=len(LABELS))).eval()
    pipeline = AudioClassificationPipeline(model=stock, feature_extractor=extractor)
    spans = Windowing(model, extractor, WINDOW_S, STRIDE_S).spans(len(recording))
    windows = [waveform[start:end] for start, end in spans]
    found = {
        "front once": lambda: run(model, extractor, recording, "recording"),
        "window by window": lambda: run(model, extractor, recording, "window"),
        "pipeline of transformers": lambda: pipeline(windows),
    }
    if "avx512_bf16" in (cpu_flags() or ()) or "amx_bf16" in (cpu_flags() or ()):
        found["front once, bfloat16"] = lambda: run(model, extractor, recording, "recording", precision="bfloat16")
    return found


def rows(found: dict, seconds: float, how: str) -> list[Row]:
    """Speeds over those of the front once, of timings whose reference that is."""
    speed = f"{seconds / found['front once'].seconds:.1f} s of audio per processor second"
    note = f"{seconds:g} s of audio, {how}; {speed}"
    size = "base-size encoder, 8 s every 3 s"
    exact = found["window by window"].ratio
    listed = [
        Row(f"{size}: window by window / front once", exact, note, at_least=1.35),
        Row(f"{size}: pipeline of transformers / front once", found["pipeline of transformers"].ratio, at_least=1.35),
    ]
    if "front once, bfloat16" not in found:
        return listed
    fast = exact / found["front once, bfloat16"].ratio
    return [*listed, Row(f"{size}: window by window / front once in bfloat16", fast, at_least=2.2)]


def differences(model, extractor) -> list[Row]:
    """How far bfloat16 is from float32, over the logits' own size."""
    recording, _ = noise(20.0)
    exact, fast = (run(model, extractor, recording, "recording", precision=one) for one in ("float32", "bfloat16"))
    logits, probabilities = (exact - fast).abs().max(), (exact.softmax(-1) - fast.softmax(-1)).abs().max()
    note = f"largest difference of a logit {logits:.2g}, of a probability {probabilities:.2g}"
    return [Row("bfloat16: relative error of logits", ((exact - fast).norm() / exact.norm()).item(), note)]


def run(model, extractor, recording: Recording, normalize: str, stride_s=STRIDE_S, precision="float32") -> torch.Tensor:
    """Logits (W, C) of the windows, one at a time."""
    windowing = Windowing(model, extractor, WINDOW_S, stride_s, normalize, precision)
    with windowing.running():
        windows = windowing.windows(recording)
        return torch.cat([model(**windowing.inputs([window])).logits.float() for window in windows])


def dialect_model(settings: dict) -> DialectForAudioClassification:
    """A classifier with random weights around an encoder with a layer-normalised front; base size without settings."""
    torch.manual_seed(0)
    encoder = Wav2Vec2Config(**settings, **FRONT)
    config = DialectConfig(encoder_config=encoder, id2label=LABELS, window_s=WINDOW_S, stride_s=STRIDE_S)
    return DialectForAudioClassification(config).eval()


def extractor_of() -> Wav2Vec2FeatureExtractor:
    """Normalises what it is given."""
    return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)


def noise(seconds: float) -> tuple[Recording, np.ndarray]:
    """A recording of noise, and its samples."""
    waveform = (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)
    return Recording.of(waveform, RATE), waveform


def write_noise(path: Path, seconds: int) -> Path:
    """A FLAC file of noise, written minute by minute."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(seconds // 60):
            file.write(0.1 * random.standard_normal(60 * RATE))
    return path


def processor_s(way) -> float:
    """Processor time of one call."""
    start = time.process_time()
    way()
    return time.process_time() - start


def peak(path: str) -> int:
    """Largest memory, in bytes, of this process after naming the dialect of a file, tiny encoder."""
    run(dialect_model(TINY), extractor_of(), Recording.read(path, RATE), "recording")
    # not of getrusage: that remembers the process which started this one
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_of(path: Path) -> int:
    """`peak` in a process of its own."""
    script = MEMORY.format(folder=str(Path(__file__).parent), path=str(path))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout.split()[-1])


def main() -> None:
    """The ten minutes, one round; writes bench_long.md."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    machine = facts()
    model, extractor = dialect_model({}), extractor_of()
    recording, waveform = noise(LONG_S)
    found = interleaved(ways(model, extractor, recording, waveform), rounds=1, warm_up=0)
    lines = [
        f"- {row.name}: {row.ratio:.2f} ({row.goal}) {row.note}".strip() for row in rows(found, LONG_S, "one round")
    ]
    head = ["# Ten minutes, base-size encoder", "", "`python benchmarks/bench_long.py`", ""]
    text = "\n".join([*head, *lines, "", *(f"- {name}: {value}" for name, value in machine.items())])
    print(text)
    Path(__file__).with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
