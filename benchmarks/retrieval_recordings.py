"""Speech-to-speech retrieval on real recordings: log-mel features, an encoder with random weights, a trained one.

    python benchmarks/retrieval_recordings.py --run runs/demo/seed-0 --data FOLDER

FOLDER holds the corpora fsdd_accents (digits, between speakers of four accents), arabic_speech_commands (digits,
between speakers), mboshi (sentences, between two voices) and african_storybook_parallel (pages, between English and
French within a story). Frames of every system are centred on those of the utterances themselves. Everything stands in
--out and is not done again, so the command can be stopped and started anew. Writes benchmarks/retrieval_recordings.md.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from abx_stimuli import random_weights
from datasets import Dataset
from reading import write_results

from hf_dialects.cli import shell
from hf_dialects.data.load import load_corpus
from hf_dialects.data.screen import screen
from hf_dialects.data.split_folder import join_splits
from hf_dialects.retrieval.benchmark import retrieval_benchmark
from hf_dialects.retrieval.centring import FrameStatistics
from hf_dialects.retrieval.controls import OWN
from hf_dialects.retrieval.result import HEADLINE, RetrievalResult
from hf_dialects.retrieval_audio import listen
from hf_dialects.retrieval_frames import Centre
from hf_dialects.retrieval_source import MEL_DTW, TRIMMED, Options, Question, retrieve

PLACE = "place"
SYSTEMS = ("log-mel", "random weights", "trained")
CONTROLS = (*OWN[1:], TRIMMED, MEL_DTW)


@dataclass(frozen=True)
class Corpus:
    """A corpus and what retrieval is between.

    Attributes:
        name: of its folder.
        between: columns whose values together name a place.
        only: column and values that take part.
        remark: what must be known when reading.
    """

    name: str
    between: tuple[str, ...]
    only: tuple[str, tuple[str, ...]] | None = None
    remark: str = ""


CORPORA = (
    Corpus("fsdd_accents", ("speaker",), remark="Ten digits, twelve takes of each; any take of the digit is right."),
    Corpus(
        "arabic_speech_commands",
        ("speaker",),
        only=("sentence_id", tuple(f"digit_{number}" for number in range(10))),
        remark="Ten digits, two takes of each, 30 speakers. All clips have the same length.",
    ),
    Corpus(
        "mboshi", ("speaker",), only=("speaker", ("mdw_abiayi", "mdw_kouarata")), remark="Two voices: two directions."
    ),
    Corpus(
        "african_storybook_parallel",
        ("story", "dialect"),
        only=("dialect", ("English", "French")),
        remark="A page among the pages of its own story; another language is another reader.",
    ),
)


def recordings(corpus: Corpus, folder: Path) -> Dataset:
    """The usable recordings, with the column `place`."""
    whole, report = screen(join_splits(load_corpus(folder / corpus.name)), progress=False)
    print(f"{corpus.name}: {len(whole)} recordings, {len(report)} left out")

    def named(column: str) -> list[str]:
        feature = whole.features[column]
        return [feature.int2str(value) if hasattr(feature, "int2str") else str(value) for value in whole[column]]

    if corpus.only is not None:
        column, values = corpus.only
        whole = whole.select([row for row, value in enumerate(named(column)) if value in values])
    places = zip(*(named(column) for column in corpus.between), strict=True)
    return whole.add_column(PLACE, ["_".join(place) for place in places])


def results(corpus: Corpus, options) -> Iterator[tuple[str, RetrievalResult]]:
    """Of every system; the last layer of an encoder. The controls on recordings are computed once."""
    data, out = recordings(corpus, options.data), options.out / corpus.name
    question = Question("sentence_id", PLACE, "none")
    sources = (random_weights(options.run, options.out / "random"), options.run)
    found = {}
    for name, source in zip(SYSTEMS[1:], sources, strict=True):
        controls = ("trimmed", "mel-dtw") if name == SYSTEMS[1] else ("trimmed",)
        how = Options(controls=controls, progress=False)
        centre = Centre("the searched utterances", dataset=data)
        found[name] = retrieve(source, data, question, out / name, how, centre)
    first = found[SYSTEMS[1]]
    mel = listen([data[int(row)]["audio"] for row in first.pool.rows], progress=False).mel
    statistics = FrameStatistics.fit(mel, "the searched utterances", first.pool.attributes["id"])
    yield SYSTEMS[0], retrieval_benchmark(mel, first.pool.attributes, PLACE, group=None, statistics=statistics)
    mel_dtw = first.results[first.shown].outcomes[MEL_DTW]
    for name, one in found.items():
        result = one.results[one.shown]
        yield name, replace(result, outcomes={MEL_DTW: mel_dtw, **result.outcomes})


def row_of(name: str, result: RetrievalResult, draws: int) -> str:
    """One line of the table."""
    interval = result.interval(n=draws)
    value = f"{result.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    table = result.controls
    others = [f"{table.loc[one, HEADLINE]:.3f}" if one in table.index else "–" for one in CONTROLS]
    mean = [f"{table.loc['SeqSim', column]:.3f}" for column in ("recall@5", "mrr", "chance")]
    return f"| {name} | {value} | {' | '.join([*mean, *others])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run or model folder: the trained model")
    parser.add_argument("--data", required=True, type=Path, help="folder of the corpora")
    parser.add_argument("--corpora", default=",".join(corpus.name for corpus in CORPORA))
    parser.add_argument("--draws", type=int, default=500, help="of the intervals")
    parser.add_argument("--out", type=Path, default=Path("runs/retrieval-recordings"))
    parser.add_argument("--report", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    shell.start()
    head = ["system", "SeqSim recall@1", "recall@5", "MRR", "chance", *CONTROLS]
    lines = ["# Retrieval on real recordings", ""]
    lines += [f"`python benchmarks/retrieval_recordings.py --run {options.run} --data FOLDER`", ""]
    lines += ["Mean over ordered pairs of places; 95 % intervals over places and sentences. Columns from CSLS on are "
              "recall@1 of other ways to retrieve. mel DTW hears the recordings, not the system.", ""]  # fmt: skip
    for corpus in CORPORA:
        if corpus.name in options.corpora.split(","):
            rows = dict(results(corpus, options))
            some = next(iter(rows.values()))
            size = f"{len(np.unique(some.utterance))} utterances, {len(some.parallel.pairs)} ordered pairs of places."
            lines += [f"## {corpus.name}", "", f"{size} {corpus.remark}", ""]
            lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            lines += [row_of(name, result, options.draws) for name, result in rows.items()] + [""]
    write_results(options.report, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    shell.run(main)
