"""What log-mel features, an encoder with random weights and a trained one tell apart in real recordings.

    python benchmarks/abx_recordings.py --run runs/demo/seed-0 --data FOLDER

FOLDER holds the corpora duke_alphanumeric_l1 (native language of speakers of English, A, B and X of three speakers),
arabic_speech_commands (which digit, X of another speaker than A and B) and mboshi (which sentence, X of the other
voice; which session, within a voice). Whole recordings; pooled vectors, and for log-mel features sequences of frames by
dynamic time warping, too. Everything stands in --out and is not done again, so the command can be stopped and started
anew. Writes benchmarks/abx_recordings.md.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from abx_stimuli import random_weights
from reading import write_results
from tqdm.auto import tqdm

from hf_dialects.abx_grid import Grid, Items, Question, Setting, run_grid
from hf_dialects.abx_items import EmbeddingItems, corpus_attributes
from hf_dialects.abx_source import embedding_folder
from hf_dialects.cli import shell
from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.screen import screen
from hf_dialects.data.split_folder import join_splits
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor

POOLINGS = ("mean", "max")
FRAMES = "frames"
MEL = "log-mel"


@dataclass(frozen=True)
class Test:
    """A question about a corpus.

    Attributes:
        data: name of its folder.
        title: what is asked.
        question: as `abx` takes it.
        groups: what is resampled whole; None = no interval.
        only: column and values that take part.
        least: recordings of a value of ON, and groups of it, that it takes to take part.
        remark: what must be known when reading.
    """

    data: str
    title: str
    question: Question
    groups: str | None
    only: tuple[str, tuple[str, ...]] | None = None
    least: tuple[int, int] = (2, 1)
    remark: str = ""


TESTS = (
    Test(
        "duke_alphanumeric_l1",
        "native language, three speakers",
        Question("dialect", differ=("speaker",)),
        "speaker",
        least=(24, 8),
        remark="Languages with at least 8 speakers. Rooms and devices are the speakers' own.",
    ),
    Test(
        "arabic_speech_commands",
        "word across speakers",
        Question("sentence_id", across=("speaker",)),
        "speaker",
        only=("sentence_id", tuple(f"digit_{number}" for number in range(10))),
        remark="The ten digits, two takes of each.",
    ),
    Test(
        "mboshi",
        "sentence across voices",
        Question("sentence_id", across=("speaker",)),
        None,
        only=("speaker", ("mdw_abiayi", "mdw_kouarata")),
        remark="Two voices, so nothing is said of speakers in general, and there is no interval.",
    ),
    Test(
        "mboshi",
        "session within a voice",
        Question("session", by=("speaker",)),
        None,
        only=("session", ("Part5", "Part6")),
        remark="Two sessions of two voices, no interval.",
    ),
)


def chosen(items: Items, test: Test) -> Items:
    """Items that take part."""
    table = items.attributes
    keep = table[test.question.on].notna()
    if test.only is not None:
        keep &= table[test.only[0]].isin(test.only[1])
    kept = table[keep]
    size = kept.groupby(test.question.on)[test.question.on].transform("size")
    groups = kept.groupby(test.question.on)[test.groups or test.question.on].transform("nunique")
    rows = kept.index[(size >= test.least[0]) & (groups >= test.least[1])]
    listed = isinstance(items.vectors, list)
    vectors = [items.vectors[row] for row in rows] if listed else items.vectors[rows]
    return Items(vectors, table.loc[rows].reset_index(drop=True))


class MelItems:
    """Log-mel features, 80 bands every 10 ms, of every recording: pooled, or as sequences."""

    def __init__(self, corpus, attributes):
        extractor = DialectFeatureExtractor()
        cells = tqdm(corpus["audio"], desc=MEL)
        self.frames = [extractor.log_mel(decode(cell, extractor.sampling_rate)) for cell in cells]
        self.attributes = attributes

    def read(self, setting: Setting) -> Items:
        pool = {"mean": np.mean, "max": np.max}.get(setting.pooling)
        vectors = self.frames if pool is None else np.stack([pool(frames, axis=0) for frames in self.frames])
        return Items(vectors, self.attributes)


def grids(name: str, tests: list[Test], options) -> Iterator[tuple[Test, str, Grid]]:
    """All answers about one corpus."""
    corpus, report = screen(join_splits(load_corpus(options.data / name)))
    print(f"{name}: {len(corpus)} recordings, {len(report)} left out")
    attributes, out = corpus_attributes(corpus), options.out / name
    cut = {"lengths_s": (None,), "poolings": POOLINGS}
    mel = [Setting(0, None, pooling) for pooling in (*POOLINGS, FRAMES)]
    systems = {MEL: (MelItems(corpus, attributes), mel)}
    for system, source in (
        ("random weights", random_weights(options.run, options.out / "random")),
        ("trained", options.run),
    ):
        items = EmbeddingItems(embedding_folder(source, corpus, out / system, **cut), attributes)
        systems[system] = items, items.settings(**cut)
    for number, test in enumerate(tests):
        for system, (items, settings) in systems.items():

            def read(setting: Setting, items=items, test=test) -> Items:
                return chosen(items.read(setting), test)

            kept = {"folder": out / "settings" / f"{number}-{system}", "draws": options.draws, "permutations": 0}
            yield test, system, run_grid(read, settings, test.question, test.groups, **kept)


def table_of(answers: dict[str, Grid]) -> list[str]:
    """Markdown: systems and layers down, poolings across."""
    lines = ["| system | layer | mean | max | frames, time warping |", "|---|---|---|---|---|"]
    for system, grid in answers.items():
        for layer, rows in grid.table.groupby("layer"):
            cells = []
            for pooling in (*POOLINGS, FRAMES):
                found = rows[rows["pooling"] == pooling]
                cells.append("–" if found.empty else score_of(found.iloc[0]))
            lines.append(f"| {system} | {'–' if system == MEL else layer} | {' | '.join(cells)} |")
    return lines


def score_of(row) -> str:
    score = f"{row['score']:.3f}"
    return score if row["low"] is None or np.isnan(row["low"]) else f"{score} [{row['low']:.3f}, {row['high']:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run or model folder: the trained model")
    parser.add_argument("--data", required=True, type=Path, help="folder of the corpora")
    parser.add_argument("--draws", type=int, default=500, help="of the intervals")
    parser.add_argument("--out", type=Path, default=Path("runs/abx-recordings"))
    parser.add_argument("--report", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    shell.start()
    lines = ["# ABX on real recordings", "", f"`python benchmarks/abx_recordings.py --run {options.run} --data FOLDER`"]
    lines += ["", "Score (error rate = 1 - score), chance 0.5, 95 % intervals over whole speakers.", ""]
    for name in dict.fromkeys(test.data for test in TESTS):
        answers: dict[Test, dict[str, Grid]] = {}
        for test, system, grid in grids(name, [test for test in TESTS if test.data == name], options):
            answers.setdefault(test, {})[system] = grid
        for test, found in answers.items():
            first = next(iter(found.values())).table.iloc[0]
            size = f"{first['items']} recordings, {first['triples']} triples, {first['cells']} cells. {test.remark}"
            lines += [f"## {name}: {test.title}", "", size.strip(), "", *table_of(found), ""]
            said = dict.fromkeys(one for grid in found.values() for one in grid.table["warning"].dropna())
            lines += [*(f"- {one}" for one in said), ""] if said else []
    write_results(options.report, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    shell.run(main)
