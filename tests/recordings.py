"""Folders of small recordings with metadata, shared by the tests of reading corpora."""

from pathlib import Path

import numpy as np
from datasets import Audio

from hf_dialects.data.audio import encode
from hf_dialects.data.load import load_corpus


def record(path: Path, seed: int = 0) -> Path:
    """A recording of its own length: 100 + seed samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.random.default_rng(seed).normal(0, 0.1, 100 + seed), 16000, "wav"))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def corpus(folder: Path, table: str | None = None) -> Path:
    """Four recordings of two dialects, described by metadata.csv."""
    for i in range(4):
        record(folder / "audio" / f"{i}.wav", i)
    lines = [f"audio/{i}.wav,{'south' if i < 2 else 'north'},s{i},00{i},{i / 2}" for i in range(4)]
    write(folder / "metadata.csv", table or "\n".join(["file_name,dialect,speaker,take,latitude", *lines]) + "\n")
    return folder


def names(dataset, column: str = "dialect") -> list[str | None]:
    return [None if code is None else dataset.features[column].names[code] for code in dataset[column]]


def embedded(folder: Path):
    """The corpus of `corpus` with its recordings as bytes."""
    dataset = load_corpus(corpus(folder))
    cells = [{"bytes": Path(cell["path"]).read_bytes(), "path": Path(cell["path"]).name} for cell in dataset["audio"]]
    return dataset.remove_columns("audio").add_column("audio", cells, feature=Audio(sampling_rate=16000, decode=False))
