"""Tables V and VI of "Towards Comprehensive Semantic Speech Embeddings for Chinese Dialects" (arXiv:2601.07274).

Recall@1 of SeqSim between subgroups of Chinese, the mean over ordered pairs of sites: one table for a model trained
with speech recognition and translation, one for recognition alone. Neither model is released, so the tables are of the
model that is given. The paper's numbers stand in images only; its columns are empty here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.data.load import load_corpus
from hf_dialects.data.split_folder import join_splits
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.report.retrieval_figures import heat_map
from hf_dialects.report.retrieval_report import cautions, group_rows, layer_table
from hf_dialects.retrieval.result import HEADLINE, RetrievalResult
from hf_dialects.retrieval.tables import NONE, latex, markdown, percent
from hf_dialects.retrieval_pool import Question
from hf_dialects.retrieval_source import Found, Options, retrieve

EXPERIMENTS = {
    "yubao-table5": "speech recognition and speech translation data (320k steps)",
    "yubao-table6": "speech recognition data only (312k steps)",
}
STANDARD = "zh_standard"  # Luanping alone
SUBGROUPS = {  # in the order of the site list
    STANDARD: "Standard Mandarin",
    "zh_dialect": "Mandarin dialects",
    "gan": "Gan",
    "hsn": "Xiang",
    "min": "Min",
    "hak": "Hakka",
    "yue": "Yue",
    "wuu": "Wu",
}
PUBLISHED = {"sites": 78, "sentences": 50, "utterances": 3499}
SMOKE_SENTENCES = 4
SMOKE_NOTE = (
    "Smoke run: a tiny random encoder, synthetic voices of four varieties of European languages in place of the sites. "
    "These numbers mean nothing."
)
FINDINGS = (
    "The paper, in words: between Mandarin and the dialects almost all are above 80 %, in both directions, but for "
    "Gan, which was not in the training data; all are far above chance; the two tables are alike."
)


@dataclass(frozen=True)
class YubaoOptions:
    """What to run.

    Attributes:
        experiment: of `EXPERIMENTS`.
        out: folder of frames, scores and table.
        data: the corpus, with columns site, cluster (of `SUBGROUPS`) and sentence_id. Not needed for a smoke run.
        encoder: run folder, model folder, Hub id, or a folder of frames.
        smoke: tiny random encoder, the shipped fixture.
        progress: whether bars are shown.
    """

    experiment: str
    out: Path
    data: str | None = None
    encoder: str | None = None
    smoke: bool = False
    progress: bool = True


def run_yubao(options: YubaoOptions, tell: Callable[[str], None] = print) -> Path:
    """Retrieve, and write EXPERIMENT.md, .csv, .json, .tex and .svg into `out`; what is there is not done again.

    Returns:
        The Markdown file.

    Raises:
        DialectError: an unknown experiment, no data or encoder, or subgroups of other names.
    """
    if options.experiment not in EXPERIMENTS:
        raise DialectError(f"there is no experiment {options.experiment!r}; choose one of: {', '.join(EXPERIMENTS)}")
    if options.smoke:
        from hf_dialects.reproduce.smoke import tiny_encoders

        encoder, corpus = tiny_encoders(options.out / "encoders")["wavlm-large"], smoke_sites()
    elif options.data is None or options.encoder is None:
        raise DialectError(
            "give the corpus with --data and the encoder with --encoders (the paper's is not released), or --smoke for "
            "a trial run on the shipped fixture"
        )
    else:
        encoder, corpus = options.encoder, join_splits(load_corpus(options.data))
    check_subgroups(corpus)
    asked = Options(layers=(-1,), progress=options.progress)
    found = retrieve(encoder, corpus, Question(group="cluster"), options.out, asked, tell=tell)
    return write_table(found, options)


def check_subgroups(corpus) -> None:
    """Raise `CorpusError` where the clusters of a corpus are not those of the benchmark."""
    if "cluster" not in corpus.column_names:
        raise CorpusError(f"the corpus has no column 'cluster', the subgroup of each site: {', '.join(SUBGROUPS)}")
    names = corpus.features["cluster"].names
    there = {names[one] for one in corpus["cluster"] if one is not None and one >= 0}
    if unknown := sorted(there - set(SUBGROUPS)):
        raise CorpusError(f"{', '.join(unknown)} are no subgroups of the benchmark; expected {', '.join(SUBGROUPS)}")
    if STANDARD not in there or len(there) < 2:
        raise CorpusError(f"the corpus has {', '.join(sorted(there))}; the tables need {STANDARD} and dialects")


def smoke_sites():
    """The fixture's voices as sites, one of Standard Mandarin and three of each other subgroup, with four sentences."""
    from datasets import ClassLabel

    from hf_dialects.data.synthetic import load_fixture

    corpus = join_splits(load_fixture())
    label = corpus.features["dialect"]
    voices = [
        f"{label.int2str(dialect)} {voice}" for dialect, voice in zip(corpus["dialect"], corpus["speaker"], strict=True)
    ]
    sites = sorted(set(voices))[: 1 + 3 * (len(SUBGROUPS) - 1)]
    subgroup = {site: (number + 2) // 3 for number, site in enumerate(sites)}
    few = sorted(set(corpus["sentence_id"]))[:SMOKE_SENTENCES]
    rows = [row for row, one in enumerate(corpus["sentence_id"]) if one in few and voices[row] in subgroup]
    kept = corpus.select(rows).remove_columns([name for name in ("site", "cluster") if name in corpus.column_names])
    kept = kept.add_column("site", [voices[row] for row in rows])
    kept = kept.add_column("cluster", [subgroup[voices[row]] for row in rows])
    return kept.cast_column("cluster", ClassLabel(names=list(SUBGROUPS)))


def write_table(found: Found, options: YubaoOptions) -> Path:
    """Write all files; returns the Markdown."""
    result = found.results[found.shown]
    rows = [row | {"chance": chance_of(result, row["from"], row["to"]), "paper": None} for row in group_rows(result)]
    rows.sort(key=lambda row: [list(SUBGROUPS).index(row[side]) for side in ("from", "to")])
    path = options.out / f"{options.experiment}.md"
    square = ordered(result.matrix)
    table = pd.DataFrame([row | row["interval"] for row in rows]).drop(columns="interval")
    content = {"schema": 1, "experiment": options.experiment, "trained_with": EXPERIMENTS[options.experiment]}
    content |= {"smoke": options.smoke, "published": PUBLISHED, "found": counts(result, found), "layer": found.shown}
    with disk_space(options.out, KEPT):
        table.to_csv(path.with_suffix(".csv"), index=False)
        write_json(path.with_suffix(".json"), {**content, "rows": rows, "result": result.to_dict()})
        path.with_suffix(".tex").write_text(latex(percent(square)), encoding="utf-8")
        path.with_suffix(".svg").write_text(heat_map(square, f"{HEADLINE} in percent"), encoding="utf-8")
        path.write_text(page(found, rows, options), encoding="utf-8")
    return path


def page(found: Found, rows: list[dict], options: YubaoOptions) -> str:
    """The table, Mandarin and the dialects with intervals, and the controls, as Markdown."""
    result = found.results[found.shown]
    there, said = counts(result, found), cautions(found, layer_table(found))
    parts = [f"# {options.experiment}: retrieval between subgroups", *([SMOKE_NOTE] if options.smoke else [])]
    parts += [f"The paper's model was trained with {EXPERIMENTS[options.experiment]}; this is of another. {FINDINGS}"]
    differing = [f"{there[name]:,} {name} ({n:,} published)" for name, n in PUBLISHED.items() if there[name] != n]
    parts += [f"Mind: the corpus has {', '.join(differing)}."] * bool(differing)
    parts += [f"Mind: {'; '.join(said)}."] * bool(said)
    parts += [f"{HEADLINE} in percent, rows are sources, layer {found.shown}; {NONE}: no two sites."]
    parts += [markdown(percent(ordered(result.matrix)), "from / to")]
    parts += ["## Standard Mandarin and the dialects", "The paper's column is empty: its numbers are not at hand."]
    lines = {}
    for row in rows:
        if STANDARD in (row["from"], row["to"]):
            ends, percents = row["interval"], percent(pd.DataFrame([row])[[HEADLINE, "recall@5", "mrr", "chance"]])
            low, high = (NONE if ends[name] is None else f"{100 * ends[name]:.1f}" for name in ("low", "high"))
            name = f"{SUBGROUPS[row['from']]} → {SUBGROUPS[row['to']]}"
            shown = dict(zip(percents.columns, percents.iloc[0], strict=True)) | {"interval": f"[{low}, {high}]"}
            lines[name] = shown | {"mind": ends["warning"] or "", "paper": NONE}
    parts += [markdown(pd.DataFrame.from_dict(lines, orient="index"), "from → to")]
    parts += ["## Controls", markdown(percent(result.controls), "retrieved by"), *result.notes]
    return "\n\n".join(parts) + "\n"


def counts(result: RetrievalResult, found: Found) -> dict[str, int]:
    """What the corpus has of what is `PUBLISHED`."""
    parallel = result.parallel
    there = {"sites": len(parallel.sites), "sentences": len(parallel.sentences), "utterances": len(found.pool.rows)}
    return {name: there[name] for name in PUBLISHED}


def ordered(square: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns in the order of `SUBGROUPS`, by their names in words."""
    names = [name for name in SUBGROUPS if name in square.index]
    words = [SUBGROUPS[name] for name in names]
    return square.loc[names, names].set_axis(words, axis=0).set_axis(words, axis=1)


def chance_of(result: RetrievalResult, source: str, target: str) -> float:
    """Recall@1 by chance, the mean over the ordered pairs of sites of two subgroups."""
    pairs = result.pairs
    inside = (pairs["source_group"] == source) & (pairs["target_group"] == target)
    return float(np.mean(pairs["chance"][inside]))
