"""A small corpus of parallel sentences at several sites, shared by tests: sentences are melodies, sites have a key."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SITES = {"Aa": "east", "Ab": "east", "Ba": "west", "Bb": "west"}  # site: cluster
SENTENCES = 5
QUIET_S = 0.12  # before and after


def melody(sentence: int, site: int) -> np.ndarray:
    """(S,) float32: three to five notes between silence; the sites' keys are a semitone apart."""
    random = np.random.default_rng(sentence)
    notes = 250 * 2 ** (random.integers(0, 24, 3 + sentence % 3) / 12 + site / 12)
    time = np.arange(round((0.16 + 0.01 * site) * RATE)) / RATE
    quiet = np.zeros(round(QUIET_S * RATE))
    noise = 1e-3 * np.random.default_rng(99 * site + sentence).standard_normal(len(notes) * len(time))
    sounding = np.concatenate([0.3 * np.sin(2 * np.pi * note * time) for note in notes]) + noise
    return np.concatenate([quiet, sounding, quiet]).astype(np.float32)


def write(folder: Path, sites=SITES, sentences=range(SENTENCES), columns=("site", "cluster", "text")) -> Path:
    """A folder with metadata.csv; every site says every sentence, and the last one nothing of sentence 0."""
    folder.mkdir(parents=True)
    lines = ["file_name,dialect,sentence_id," + ",".join(columns)]
    for number, (site, cluster) in enumerate(sites.items()):
        for sentence in sentences:
            if number == len(sites) - 1 and sentence == 0:
                continue
            soundfile.write(folder / f"{site}-{sentence}.wav", melody(sentence, number), RATE)
            of = {"site": site, "cluster": cluster, "text": f"notes of {sentence % 2}"}
            lines.append(f"{site}-{sentence}.wav,{cluster},s{sentence}," + ",".join(of[name] for name in columns))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder
