"""Small generated corpora in the layouts in which their authors publish them, shared by tests."""

import csv
from pathlib import Path

import numpy as np
import soundfile
from datasets import Dataset

FSDD_SPEAKERS = {"george": "GRC/Greek", "jackson": "USA/neutral", "theo": "USA/neutral"}
ARABIC_SPLITS = {"train.csv": ("00000001", "00000002"), "val.csv": ("00000003",), "test.csv": ("00000004",)}


def tone(path: Path, sampling_rate: int = 16000, seconds: float = 0.1, seed: int = 0, level: float = 0.3) -> Path:
    """A tone, its pitch by `seed`, in a mono WAV file of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    soundfile.write(path, level * np.sin(2 * np.pi * (150 + 10 * seed) * time), sampling_rate, subtype="PCM_16")
    return path


def fsdd(folder: Path, digits: int = 2, takes: int = 6) -> Path:
    """Free Spoken Digit Dataset with 3 of its speakers."""
    for number, speaker in enumerate(FSDD_SPEAKERS):
        for digit in range(digits):
            for take in range(takes):
                tone(folder / "recordings" / f"{digit}_{speaker}_{take}.wav", 8000, 0.1 + 0.01 * take, number)
    speakers = {
        name: {"gender": "male", "accent": accent, "language": "english"} for name, accent in FSDD_SPEAKERS.items()
    }
    (folder / "metadata.py").write_text(f'"""About the speakers."""\n\nmetadata = {speakers!r}\n', encoding="utf-8")
    return folder


def arabic_speech_commands(folder: Path, keywords: tuple[str, ...] = ("up", "zoom in"), lists: bool = True) -> Path:
    """Arabic Speech Commands with 4 of its contributors and 2 takes."""
    for name, speakers in ARABIC_SPLITS.items():
        lines = [
            (f"{keyword}/{speaker}_NO_0{take}.wav", keyword)
            for keyword in keywords
            for speaker in speakers
            for take in (1, 2)
        ]
        for number, (file, _) in enumerate(lines):
            tone(folder / "dataset" / file, seed=number)
        if lists:
            with (folder / name).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(
                    [("file", "class"), *((f"./dataset/{path}", keyword) for path, keyword in lines)]
                )
    return folder


def corpus_of(files: dict[str, bytes]) -> Dataset:
    """Recordings held as bytes, id → content of the file."""
    return Dataset.from_dict({"audio": [{"bytes": one, "path": None} for one in files.values()], "id": list(files)})
