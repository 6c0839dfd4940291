"""Controlled stimuli: one thing is varied at a time, and ABX asks which layers and snippet lengths notice.

    python benchmarks/abx_stimuli.py --run runs/demo/seed-0

The open question of arXiv:2402.05581. Three passages of English sentences are spoken by eSpeak NG with one voice,
pitch, rate, variety and recording condition, and again with each of these changed alone. Every sentence has its slot on
one time line, the same in all stimuli, so that snippets at one place hold the same words. A and B are snippets of one
place that differ in the attribute under test alone, X is from another place and shares the value of A. For `sentence`
it is the other way round: A and X are of one place in two voices, B is of another place in the voice of A. Chance is
0.5.

Compared are a model before training (weights drawn at random, or --before) and after (--run). Everything stands in
--out and is not done again, so the command can be stopped and started anew. Writes benchmarks/abx_stimuli.md.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from reading import write_results
from tqdm.auto import tqdm

from hf_dialects.abx.task import START
from hf_dialects.abx_grid import Grid, Items, Question, Setting, run_grid
from hf_dialects.abx_items import EmbeddingItems, corpus_attributes
from hf_dialects.abx_source import embedding_folder
from hf_dialects.cli import shell
from hf_dialects.cli.lists import numbers, words
from hf_dialects.data.audio import SAMPLING_RATE, decode, encode
from hf_dialects.data.augment import Reverb
from hf_dialects.data.conditions import telephone
from hf_dialects.data.espeak import render
from hf_dialects.data.load import load_corpus
from hf_dialects.data.randomness import generator
from hf_dialects.data.synthetic import VARIETIES, sentences
from hf_dialects.embedding_files import write_json
from hf_dialects.errors import DialectError
from hf_dialects.saving import load_for_inference

PAUSE_S = 0.25  # after the longest rendering of a sentence
PASSAGES = 3
DIRECT_DB = 3.0  # direct sound over reverberation
VALUES = {  # attribute: (base, others)
    "voice": ("m1", ("m3", "f1", "f2")),
    "pitch": (50, (35, 65)),
    "rate": (175, (150, 200)),
    "variety": ("en-us", ("en-gb", "en-gb-scotland", "en-029", "en-gb-x-gbcwmd")),
    "reverb": ("dry", ("T60 0.3 s", "T60 0.6 s")),
    "line": ("full band", ("telephone",)),
    "noise": ("none", ("20 dB", "10 dB")),
}
SENTENCE = "sentence"
PLACE = "place"


@dataclass(frozen=True)
class Stimulus:
    """How a passage is spoken and recorded."""

    voice: str = VALUES["voice"][0]
    pitch: int = VALUES["pitch"][0]
    rate: int = VALUES["rate"][0]
    variety: str = VALUES["variety"][0]
    reverb: str = VALUES["reverb"][0]
    line: str = VALUES["line"][0]
    noise: str = VALUES["noise"][0]

    @property
    def spoken(self) -> tuple:
        """What the synthesiser is told."""
        return self.variety, self.voice, self.pitch, self.rate

    @property
    def name(self) -> str:
        """Unique."""
        return "_".join(str(value).replace(" ", "-") for value in asdict(self).values())


def stimuli(attributes: Sequence[str]) -> list[Stimulus]:
    """The base, and each other value of these attributes alone."""
    changed = ({name: value} for name in attributes for value in VALUES[name][1])
    return [Stimulus(), *(replace(Stimulus(), **one) for one in changed)]


def write_stimuli(folder: Path, attributes: Sequence[str], n_sentences: int) -> None:
    """FLAC files and metadata.csv, in which a column per attribute; nothing where they stand already."""
    plan = stimuli(attributes)
    texts = sentences("en")[: PASSAGES * n_sentences]
    facts = {"stimuli": [asdict(one) for one in plan], "texts": texts, "pause_s": PAUSE_S, "passages": PASSAGES}
    facts = json.loads(json.dumps(facts))
    path = folder / "stimuli.json"
    if path.is_file():
        if json.loads(path.read_text("utf-8")) != facts:
            raise DialectError(f"{folder} holds other stimuli; name another folder with --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    spoken = list(dict.fromkeys(one.spoken for one in plan))
    calls = [
        {"text": text, "voice": f"{VARIETIES[variety][2]}+{voice}", "pitch": pitch, "rate": rate}
        for variety, voice, pitch, rate in spoken
        for text in texts
    ]
    clips = [decode(flac) for flac in tqdm(render(calls), desc="speaking", total=len(calls))]
    clips = {one: clips[k * len(texts) : (k + 1) * len(texts)] for k, one in enumerate(spoken)}
    slots = [max(len(clips[one][k]) for one in spoken) for k in range(len(texts))]
    rows = []
    for one in tqdm(plan, desc="recording"):
        for passage in range(PASSAGES):
            chosen = range(passage * n_sentences, (passage + 1) * n_sentences)
            name = f"{one.name}_{passage}"
            waveform = on_time_line([clips[one.spoken][k] for k in chosen], [slots[k] for k in chosen])
            waveform = recorded(one, waveform, passage)
            (folder / f"{name}.flac").write_bytes(encode(waveform, SAMPLING_RATE))
            rows.append({"file_name": f"{name}.flac", "id": name, "dialect": one.variety, "passage": passage})
            rows[-1] |= asdict(one)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_json(path, facts)


def on_time_line(clips: Sequence[np.ndarray], slots: Sequence[int]) -> np.ndarray:
    """Clips one after the other, each at the start of its slot, silence behind it."""
    pause = round(PAUSE_S * SAMPLING_RATE)
    return np.concatenate(
        [np.pad(clip, (0, slot - len(clip) + pause)) for clip, slot in zip(clips, slots, strict=True)]
    )


def recorded(one: Stimulus, waveform: np.ndarray, passage: int) -> np.ndarray:
    """Room, noise and line: one room for all passages, noise of its own in each, the same at every level."""
    level = np.sqrt(np.mean(np.square(waveform)))
    if one.reverb != VALUES["reverb"][0]:
        t60 = float(one.reverb.split()[1])
        room = Reverb(1.0, (t60, t60), (DIRECT_DB, DIRECT_DB))
        waveform = room(waveform, SAMPLING_RATE, generator(0, 0, "room"))
    if one.noise != VALUES["noise"][0]:
        gain = level * 10 ** (-float(one.noise.split()[0]) / 20)
        waveform = waveform + gain * generator(0, 0, passage, "noise").standard_normal(len(waveform))
    if one.line != VALUES["line"][0]:
        waveform = telephone(waveform, SAMPLING_RATE)
    return (waveform / max(1.0, np.abs(waveform).max())).astype(np.float32)


def random_weights(run: str, folder: Path) -> Path:
    """The model of a run with weights drawn anew, as a model folder."""
    if not (folder / "preprocessor_config.json").is_file():
        from transformers import set_seed

        model, feature_extractor = load_for_inference(run)
        set_seed(0)
        type(model)(model.config).save_pretrained(folder)
        feature_extractor.save_pretrained(folder)
    return folder


def question_of(attribute: str) -> tuple[Question, str]:
    """The test of an attribute, and what is resampled for its interval."""
    if attribute == SENTENCE:
        return Question(PLACE, across=("voice",)), "voice"
    return Question(attribute, across=(PLACE,)), PLACE


def with_places(items: Items) -> Items:
    """Items with the place of each in the text: passage and time."""
    table = items.attributes
    return Items(items.vectors, table.assign(**{PLACE: table["passage"].astype(str) + "@" + table[START].astype(str)}))


def varied(items: Items, attribute: str) -> Items:
    """Items in which nothing but this attribute leaves its base value."""
    varying = "voice" if attribute == SENTENCE else attribute
    table = items.attributes
    fixed = [table[name].astype(str) == str(base) for name, (base, _) in VALUES.items() if name != varying]
    rows = np.flatnonzero(np.logical_and.reduce(fixed))
    return Items(items.vectors[rows], table.iloc[rows].reset_index(drop=True))


def scores(source: str | Path, corpus, attributes: Sequence[str], out: Path, options) -> Iterator[tuple[str, Grid]]:
    """Grid of every attribute for one model."""
    cut = {"lengths_s": options.lengths_s, "poolings": (options.pooling,)}
    folder = embedding_folder(source, corpus, out, **cut)
    items = EmbeddingItems(folder, corpus_attributes(corpus))
    for attribute in attributes:

        def read(setting: Setting, attribute=attribute) -> Items:
            return with_places(varied(items.read(setting), attribute))

        question, groups = question_of(attribute)
        kept = {"folder": out / "settings" / attribute, "draws": options.draws, "permutations": 0}
        yield attribute, run_grid(read, items.settings(**cut), question, groups, **kept)


def table_of(before: dict[str, Grid], after: dict[str, Grid], length: str) -> list[str]:
    """Markdown rows of one snippet length: attributes down, layers across, before → after with its interval."""
    both = [(name, one.table, after[name].table) for name, one in before.items()]
    layers = sorted(set(both[0][1]["layer"]))
    lines = [
        "| attribute | " + " | ".join(f"layer {layer}" for layer in layers) + " |",
        "|---" * (len(layers) + 1) + "|",
    ]
    for name, *tables in both:
        cells = []
        for layer in layers:
            rows = [one[(one["layer"] == layer) & (one["snippet"] == length)].iloc[0] for one in tables]
            cells.append(" → ".join("–" if pd.isna(row["score"]) else f"{row['score']:.3f}" for row in rows))
            if pd.notna(rows[1]["low"]):
                cells[-1] += f" [{rows[1]['low']:.3f}, {rows[1]['high']:.3f}]"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def report(before: dict[str, Grid], after: dict[str, Grid], command: str, start: str) -> str:
    """The Markdown file."""
    lines = ["# What do layers and snippet lengths notice?", "", f"`{command}`", ""]
    lines += [" ".join(__doc__.split("\n\n")[2].split()), ""]
    lines += [f"In the tables: {start} → trained, with the interval of the trained model's score.", ""]
    for length in dict.fromkeys(next(iter(after.values())).table["snippet"]):
        lines += [f"## Snippets of {length}", "", *table_of(before, after, length), ""]
    said = {name: one.table["warning"].dropna().unique().tolist() for name, one in after.items()}
    lines += [f"- {name}: {'; '.join(found)}" for name, found in said.items() if found]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run or model folder: the trained model")
    parser.add_argument("--before", help="model folder or Hub id; without, the run's model with random weights")
    parser.add_argument("--attributes", default=",".join((*VALUES, SENTENCE)))
    parser.add_argument("--snippets", default="1,5,10,20", help="seconds")
    parser.add_argument("--sentences", type=int, default=20, help="of a passage, at most 20")
    parser.add_argument("--pooling", default="max", choices=("max", "mean", "statistics"))
    parser.add_argument("--draws", type=int, default=500, help="of the intervals")
    parser.add_argument("--out", type=Path, default=Path("runs/abx-stimuli"))
    parser.add_argument("--report", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    options.lengths_s = numbers(options.snippets, float, "--snippets")
    attributes = words(options.attributes)
    if unknown := set(attributes) - {*VALUES, SENTENCE}:
        raise DialectError(f"no attribute is called {', '.join(unknown)}; there are {', '.join((*VALUES, SENTENCE))}")
    shell.start()
    named = [name for name in VALUES if name in attributes or (name == "voice" and SENTENCE in attributes)]
    write_stimuli(options.out / "stimuli", named, options.sentences)
    corpus = load_corpus(options.out / "stimuli")
    start = options.before or random_weights(options.run, options.out / "random")
    before = dict(scores(start, corpus, attributes, options.out / "before", options))
    after = dict(scores(options.run, corpus, attributes, options.out / "after", options))
    arguments = [f"--run {options.run}", *([f"--before {options.before}"] if options.before else [])]
    arguments.append(f"--attributes {options.attributes} --snippets {options.snippets} --sentences {options.sentences}")
    command = " ".join(["python benchmarks/abx_stimuli.py", *arguments, f"--pooling {options.pooling}"])
    text = report(before, after, command, options.before or "random weights")
    write_results(options.report, text.splitlines())
    print(text)


if __name__ == "__main__":
    shell.run(main)
