"""Degrees of closeness between recordings, arXiv:2402.05581: three series of recordings, ABX between their snippets.

A and X are snippets of one recording, B is one of another of the same language. The series:

- abx-recording: one folk tale told several times, in different rooms and with different microphones;
- abx-voice: one singer, narrative and song styles;
- abx-segments: phonetic elicitation lists.

Snippets of one recording share its room, topic and breath. Two further questions show how much hangs on that: the same
with a gap between A and X, and, where a condition (style, content) has several recordings, A, B and X of three.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx_grid import Items, Question, Setting, run_grid
from hf_dialects.abx_items import EmbeddingItems, corpus_attributes
from hf_dialects.abx_source import embedding_folder
from hf_dialects.data.load import load_corpus
from hf_dialects.data.split_folder import join_splits
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.errors import DialectError

ENCODER = "facebook/wav2vec2-large-xlsr-53"
LAYER = 21  # of hidden_states, 0 = input of the first block: before any final norm
POOLING = "max"
LENGTHS_S = (1.0, 5.0, 10.0, 20.0)
SMOKE_LENGTHS_S = (0.5, 1.0, 2.0, 4.0)  # the fixture's recordings are short
GAP_S = 5.0  # of the second question
PLAIN, APART, OTHERS = "recording", f"recording, {GAP_S:g} s apart", "other recordings"
SMOKE_NOTE = (
    "Smoke run: a tiny random encoder, synthetic voices in place of the recordings. These numbers mean nothing."
)
FINDINGS = (
    "The paper, in words: snippets of 10 s tell recording set-ups and properties of the voice apart, snippets of 1 s "
    "segmental content; at 20 s one vector holds too much signal."
)


@dataclass(frozen=True)
class Series:
    """One of the paper's series.

    Attributes:
        name: what a column `series` calls its recordings.
        title: what they are.
        attributes: columns of which the first that is known tells the recordings' values of what is studied.
    """

    name: str
    title: str
    attributes: tuple[str, ...]


SERIES = {
    "abx-recording": Series("recording", "one tale, several recording set-ups", ("condition", "microphone", "room")),
    "abx-voice": Series("voice", "one singer, several styles", ("style",)),
    "abx-segments": Series("segments", "phonetic elicitation lists", ("content",)),
}


@dataclass(frozen=True)
class SeriesOptions:
    """What to run.

    Attributes:
        experiment: of `SERIES`.
        out: folder of snippets, scores and table.
        data: source of the recordings, with columns recording and language (else dialect); `series` and `unit` choose
            among them where they exist. Not needed for a smoke run.
        encoder, layer, lengths_s: the paper's, or others.
        smoke: tiny random encoder, the shipped fixture.
        progress: whether bars are shown.
    """

    experiment: str
    out: Path
    data: str | None = None
    encoder: str = ENCODER
    layer: int = LAYER
    lengths_s: tuple[float, ...] = LENGTHS_S
    smoke: bool = False
    progress: bool = True


def run_series(options: SeriesOptions, tell: Callable[[str], None] = print) -> Path:
    """Encode the recordings, score every language and length, write EXPERIMENT.md, .csv and .json into `out`.

    What is there is not done again.

    Returns:
        The Markdown file.

    Raises:
        DialectError: an unknown experiment, no data, or no two recordings of one language.
    """
    if options.experiment not in SERIES:
        raise DialectError(f"there is no experiment {options.experiment!r}; choose one of: {', '.join(SERIES)}")
    if options.data is None and not options.smoke:
        raise DialectError("give the recordings with --data, or --smoke for a trial run on the shipped fixture")
    series, encoder, layer, lengths = SERIES[options.experiment], options.encoder, options.layer, options.lengths_s
    if options.smoke:
        from hf_dialects.reproduce.abx_smoke import smoke_recordings
        from hf_dialects.reproduce.smoke import tiny_encoders

        encoder, layer, lengths = tiny_encoders(options.out / "encoders")["xlsr-53"], 1, SMOKE_LENGTHS_S
        corpus = smoke_recordings(series.name)
    else:
        corpus = join_splits(load_corpus(options.data))
    corpus = recordings_of(corpus, series, tell)
    attributes = described(corpus)
    cut = {"lengths_s": lengths, "layers": (layer,), "poolings": (POOLING,)}
    folder = embedding_folder(encoder, corpus, options.out, **cut, progress=options.progress, tell=tell)
    items = EmbeddingItems(folder, attributes)
    settings = items.settings(**cut)
    rows, matrices = [], []
    for language in dict.fromkeys(attributes["language"]):
        for question in questions_of(attributes[attributes["language"] == language], series):
            kept = options.out / "settings" / f"{language}-{question.name}".replace("/", "_")
            found = answer(items, settings, language, question, kept, options.progress)
            rows += found[0]
            matrices += found[1]
    facts = {
        "experiment": options.experiment,
        "encoder": encoder,
        "layer": layer,
        "pooling": POOLING,
        "distance": "cosine",
        "smoke": options.smoke,
        "embeddings": items.manifest,
    }
    return write_series(series, rows, matrices, facts, options.out)


def recordings_of(corpus, series: Series, tell: Callable[[str], None] = print):
    """Rows of a corpus that are whole recordings of a series.

    Raises:
        DialectError: there are none.
    """
    keep = np.ones(len(corpus), dtype=bool)
    for column, wanted in (("unit", "recording"), ("series", series.name)):
        if column not in corpus.column_names:
            continue
        values = list(corpus[column])
        keep &= np.array([value == wanted for value in values], dtype=bool)
        if not keep.any():
            there = ", ".join(sorted({str(value) for value in values}))
            raise DialectError(f"no row of the corpus has {column} {wanted!r}; it has {there}")
    if "series" not in corpus.column_names:
        tell(f"the corpus has no column series: all {keep.sum()} recordings are taken for {series.title}")
    return corpus.select(np.flatnonzero(keep))


def described(corpus) -> pd.DataFrame:
    """Attributes of the recordings; `language` is the dialect where no column says it.

    Raises:
        DialectError: no language has two recordings.
    """
    attributes = corpus_attributes(corpus)
    known = attributes["language"] if "language" in attributes else pd.Series([None] * len(attributes))
    attributes["language"] = known.where(known.notna(), attributes["dialect"])
    counts = attributes.groupby("language")["recording"].nunique()
    if counts.max() < 2:
        raise DialectError(f"no language has two recordings to tell apart; found {counts.to_dict()}")
    return attributes[attributes["language"].isin(counts.index[counts > 1])].reset_index(drop=True)


@dataclass(frozen=True)
class Asked:
    """A question by its name, and the attribute whose values it is about."""

    name: str
    question: Question
    groups: str | None = None


def questions_of(attributes: pd.DataFrame, series: Series) -> list[Asked]:
    """The paper's question, the same with a gap, and that between recordings where a value has several."""
    found = [Asked(PLAIN, Question("recording")), Asked(APART, Question("recording", min_gap_s=GAP_S))]
    name = next((one for one in series.attributes if one in attributes and attributes[one].notna().any()), None)
    if name is not None:
        recordings = attributes.groupby(name)["recording"].nunique()
        if len(recordings) > 1 and recordings.max() > 1:
            found.append(Asked(f"{name}, {OTHERS}", Question(name, differ=("recording",)), "recording"))
    return found


def answer(
    items: EmbeddingItems, settings: Sequence[Setting], language: str, asked: Asked, folder: Path, progress: bool
) -> tuple[list[dict], list[dict]]:
    """Rows of the table and matrices of one language and question; lengths without a triple have a warning alone."""

    def read(setting: Setting) -> Items:
        every = items.read(setting)
        rows = np.flatnonzero((every.attributes["language"] == language).to_numpy())
        return Items(every.vectors[rows], every.attributes.iloc[rows].reset_index(drop=True))

    options = {"groups": asked.groups, "permutations": 0, "folder": folder, "progress": progress}
    about = {"language": language, "question": asked.name}
    try:
        grid = run_grid(read, settings, asked.question, **options)
    except DialectError as error:  # no length has a triple
        return [{**about, "snippet": "all", "warning": str(error)}], []
    table = grid.table
    columns = ["snippet", "score", "error_rate", "low", "high", "items", "triples", "warning"]
    rows = table[columns].astype(object).where(table[columns].notna(), None).to_dict("records")
    matrices = [
        {**about, "snippet": row["snippet"], "values": entry["values"], "scores": entry["scores"]}
        for row, entry in zip(rows, grid.entries, strict=True)
        if entry["scores"] is not None
    ]
    return [{**about, **row} for row in rows], matrices


def write_series(series: Series, rows: list[dict], matrices: list[dict], facts: dict, out: Path) -> Path:
    """Write the three files; returns the Markdown."""
    path = out / f"{facts['experiment']}.md"
    with disk_space(out, KEPT):
        pd.DataFrame(rows).to_csv(path.with_suffix(".csv"), index=False)
        write_json(path.with_suffix(".json"), {"schema": 1, **facts, "rows": rows, "matrices": matrices})
        path.write_text(markdown(series, rows, matrices, facts), encoding="utf-8")
    return path


def markdown(series: Series, rows: Sequence[dict], matrices: Sequence[dict], facts: dict) -> str:
    """The scores, and a matrix for every language and length."""
    how = (
        f"Encoder {facts['encoder']}, layer {facts['layer']}, {facts['pooling']} pooling of consecutive snippets, "
        f"{facts['distance']} distance. Score: share of triples in which X is nearer to A than to B; 0.5 is chance, "
        "1 - score the error rate."
    )
    parts = [f"# {facts['experiment']}: {series.title}", *([SMOKE_NOTE] if facts["smoke"] else []), how, FINDINGS]
    head = ["language", "A and X share", "snippet", "score", "error rate", "interval", "items", "mind"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        ends = "–" if row.get("low") is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        numbers = [_number(row.get("score")), _number(row.get("error_rate")), ends, str(row.get("items", "–"))]
        lines.append([row["language"], row["question"], row["snippet"], *numbers, row["warning"] or ""])
    parts.append(_table(lines))
    for one in matrices:
        names = [f"{number} {value}" for number, value in enumerate(one["values"], start=1)]
        lines = [["A, X \\ B", *(str(number) for number in range(1, len(names) + 1))], ["---"] * (len(names) + 1)]
        lines += [[name, *map(_number, scores)] for name, scores in zip(names, one["scores"], strict=True)]
        parts += [f"## {one['language']}, {one['question']}, {one['snippet']}", _table(lines)]
    return "\n\n".join(parts) + "\n"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
