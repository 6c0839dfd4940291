"""Table IV of "Towards Comprehensive Semantic Speech Embeddings for Chinese Dialects" (arXiv:2601.07274).

Character error rates by test set of two recognisers of one size: trained on transcripts alone, and on transcripts and
translations, which train the attention decoder only. Both are trained here and decoded greedily by the transducer. The
paper's numbers stand in images only; its columns are empty here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.evaluation.compare_transcripts import adjust, difference
from hf_dialects.evaluation.scores import DRAWS
from hf_dialects.evaluation.tables import with_interval
from hf_dialects.evaluation.transcript_arms import TranscriptPair, paired_transcripts, read_transcript_arm
from hf_dialects.metrics.error_rates import UNKNOWN, error_rate
from hf_dialects.metrics.intervals import bootstrap_interval
from hf_dialects.metrics.text import has_han
from hf_dialects.retrieval.tables import NONE, latex, markdown

EXPERIMENT = "yubao-table4"
ASR, BOTH = "asr", "asr_st"
MODELS = {ASR: "ASR only", BOTH: "ASR + ST"}  # the paper's after 312k and 320k steps
TEST_SETS = ("source", "dialect", "cluster")  # columns that tell them apart, where the corpus has them
SPLIT, METHOD = "test", "greedy"
FINDINGS = (
    "The paper, in words: both recognise alike, and better than Paraformer and FireRed-AED in almost all varieties but "
    "Mandarin."
)
SMOKE_NOTE = "Smoke run: tiny models, a few steps, synthetic voices of European languages. These numbers mean nothing."
SMOKE = (
    *("training.max_steps=4", "training.eval_strategy=steps", "training.eval_steps=2", "training.save_strategy=steps"),
    *("training.save_steps=2", "training.average_weights_every=null", "training.speeds=[1.0]", "training.use_cpu=true"),
    *("training.batch_seconds=30", "training.threads=1", "evaluation.draws=50", "model.attention_decoder_layers=1"),
    *("model.attention_decoder_dim=32", "model.attention_decoder_heads=2", "model.attention_decoder_ffn_dim=64"),
)


@dataclass(frozen=True)
class Table4Options:
    """What to run.

    Attributes:
        out: folder of the runs and of the table.
        data: the corpus, with the columns text, translation and translation_language (see `Utterances`); several
            corpora make as many test sets: data.source=[A,B] among the overrides. Not needed for a smoke run.
        seeds: runs of each model, with seeds 0, 1 …
        overrides: of both recipes, such as training.batch_seconds=600.
        recipe: of both models.
        smoke: tiny models on the shipped fixture.
        progress: whether bars are shown.
    """

    out: Path
    data: str | None = None
    seeds: int = 3
    overrides: tuple[str, ...] = ()
    recipe: str = "zipformer_yubao"
    smoke: bool = False
    progress: bool = True


def run_table4(options: Table4Options, tell: Callable[[str], None] = print) -> Path:
    """Train both models with every seed, and write EXPERIMENT.md, .csv, .json and .tex into `out`; runs that are there
    are not done again.

    Returns:
        The Markdown file.

    Raises:
        DialectError: no data, or what a training cannot work with.
        CorpusError: no translations.
    """
    from hf_dialects.training.asr_recipe import load_asr_recipe
    from hf_dialects.training.asr_run import train_asr

    overrides, name = [f"evaluation.methods=[{METHOD}]", *options.overrides], options.recipe
    if options.smoke:
        name, overrides = "zipformer_tiny", [*SMOKE, *overrides]
        overrides.append(f"data.source={smoke_corpus(options.out / 'corpus')}")
    elif options.data is not None:
        overrides.append(f"data.source={options.data}")
    elif not any(one.startswith("data.source=") for one in overrides):
        raise DialectError("give the corpus with --data, or --smoke for a trial run on the shipped fixture")
    for seed in range(options.seeds):
        for model in (BOTH, ASR):
            own = ["data.translation=false"] if model == ASR else []
            recipe = load_asr_recipe(name, [*overrides, *own, f"seed={seed}"])
            folder = options.out / model / f"seed-{seed}"
            if model == BOTH and not (folder / "recipe.yaml").is_file():
                check_translations(recipe.data)
            tell(f"{MODELS[model]}, seed {seed}")
            train_asr(recipe, folder, options.progress)
    return write_table(options)


def check_translations(section: dict) -> None:
    """Raise `CorpusError` where a corpus, `data` of a recipe, has no translations: both models would be the same."""
    from hf_dialects.training.splits_of_run import load_data

    corpus, column = load_data(section), section.get("translation") or "translation"
    if isinstance(corpus, dict):
        corpus = corpus["train"] if "train" in corpus else next(iter(corpus.values()))
    if column not in corpus.column_names or not any(corpus[column]):
        raise CorpusError(
            f"no training utterance has a {column}, which {MODELS[BOTH]} is trained on: add the columns translation "
            "and translation_language, or name them with data.translation=COLUMN data.translation_language=COLUMN"
        )


def smoke_corpus(folder: Path) -> Path:
    """The fixture, its Spanish and Portuguese with the English sentence as translation, as a folder on disk."""
    from hf_dialects.data.synthetic import VARIETIES, load_fixture, sentences

    if not (folder / "dataset_dict.json").is_file():
        corpus = load_fixture()
        for name, split in corpus.items():
            varieties = split.features["dialect"].int2str(split["dialect"][:])
            foreign = [VARIETIES[one][1] != "en" for one in varieties]
            said = [sentences("en")[int(sentence.removeprefix("s"))] for sentence in split["sentence_id"]]
            texts = [text if given else None for text, given in zip(said, foreign, strict=True)]
            split = split.add_column("translation", texts)
            corpus[name] = split.add_column("translation_language", ["en" if given else None for given in foreign])
        corpus.save_to_disk(folder)
    return folder


def write_table(options: Table4Options) -> Path:
    """Write all files of finished runs; returns the Markdown."""
    arms = [read_transcript_arm(options.out / model, SPLIT, MODELS[model], METHOD) for model in (ASR, BOTH)]
    pair = paired_transcripts(*arms)
    unit = "wer" if any(map(has_han, pair.references)) else "cer"
    rows = table_rows(pair, unit, 50 if options.smoke else DRAWS)
    path = options.out / f"{EXPERIMENT}.md"
    content = {"schema": 1, "experiment": EXPERIMENT, "smoke": options.smoke, "unit": unit, "seeds": pair.seeds}
    with disk_space(options.out, KEPT):
        pd.DataFrame([flat(row) for row in rows]).to_csv(path.with_suffix(".csv"), index=False)
        write_json(path.with_suffix(".json"), {**content, "rows": rows})
        shown = pd.DataFrame([cells(row) for row in rows], [row["value"] for row in rows])
        path.with_suffix(".tex").write_text(latex(shown), encoding="utf-8")
        path.write_text(page(rows, pair, unit, options.smoke), encoding="utf-8")
    return path


def table_rows(pair: TranscriptPair, unit: str, draws: int = DRAWS) -> list[dict]:
    """A row for all, and one per test set and variety.

    Args:
        unit: "wer" where there are Chinese characters, each of which is a word then, else "cer".

    Returns:
        Dicts with "column", "value", "n", for each of `MODELS` the interval of the mean over seeds with
        "substitutions" … where both were counted, "sd_seeds", "difference" (see `compare_transcripts`), and "paper",
        which is None for both models.
    """
    parts = [(None, "all", np.arange(len(pair.rows)))]
    for column in TEST_SETS:
        if column in pair.rows[0]:
            values = [row[column] or UNKNOWN for row in pair.rows]
            parts += [(column, one, np.flatnonzero([value == one for value in values])) for one in sorted(set(values))]
    rows = []
    for column, value, members in parts:
        row = {"column": column, "value": value, "n": len(members)}
        for model, errors in zip(MODELS, pair.edits[unit], strict=False):
            row[model] = _rate(pair, errors[:, members], pair.edits[unit][2][members], members, draws)
        row["difference"] = difference(pair, unit, members, draws)
        rows.append(row | {"paper": dict.fromkeys(MODELS)})
    adjust([row["difference"] for row in rows])
    return rows


def _rate(pair: TranscriptPair, errors: np.ndarray, length: np.ndarray, members: np.ndarray, draws: int) -> dict:
    """The mean over seeds with its interval over speakers, and the spread of the seeds.

    Args:
        errors: (S, n).
        length: (n,).
    """
    groups, n_seeds = pair.groups.part(members), len(errors)
    crossed = None if groups.crossed is None else np.tile(groups.crossed, n_seeds)
    every = {"groups": np.tile(groups.values, n_seeds), "crossed": crossed, "unit": f"{groups.unit}s", "n": draws}
    interval = bootstrap_interval(error_rate, errors.ravel(), np.tile(length, n_seeds), **every)
    of_seeds = [error_rate(one, length) for one in errors]
    return interval.to_dict() | {"sd_seeds": float(np.std(of_seeds, ddof=1)) if n_seeds > 1 else None}


def flat(row: Mapping) -> dict:
    """A line of the CSV."""
    line = {name: row[name] for name in ("column", "value", "n")}
    for model in MODELS:
        line |= {f"{model} {name}": row[model][name] for name in ("value", "low", "high", "sd_seeds", "warning")}
    test = row["difference"]
    line |= {"difference": test["difference"]} | {name: test[name] for name in ("p", "p_adjusted")}
    return line | {f"paper {model}": None for model in MODELS}


def cells(row: Mapping) -> dict[str, str]:
    """A line of the table for people."""
    shown = {}
    for model, name in MODELS.items():
        spread = row[model]["sd_seeds"]
        shown[name] = with_interval(row[model]) + ("" if spread is None else f" ± {spread:.3f}")
    test = row["difference"]
    shown["difference"] = with_interval(test | {"value": test["difference"]})
    shown["adjusted p"] = f"{test['p_adjusted']:.3f}"
    return shown | {f"paper, {name}": NONE for name in MODELS.values()}


def page(rows: list[dict], pair: TranscriptPair, unit: str, smoke: bool) -> str:
    """The tables as Markdown."""
    counted = "every Chinese character is a word, other words are whole" if unit == "wer" else "characters, no spaces"
    parts = [f"# {EXPERIMENT}: character errors by test set", *([SMOKE_NOTE] if smoke else []), FINDINGS]
    parts += [
        f"Greedy search with the transducer; {counted}; texts normalised on both sides. Mean over "
        f"{len(pair.seeds)} seed(s) with 95 % intervals over {pair.groups.unit}s, ± standard deviation of seeds; "
        "difference: ASR + ST less ASR only, p by Holm over all rows. The paper's columns are empty: its numbers are "
        "not at hand."
    ]
    for column in dict.fromkeys(row["column"] for row in rows):
        lines = {row["value"]: {"n": str(row["n"]), **cells(row)} for row in rows if row["column"] == column}
        parts.append(markdown(pd.DataFrame(lines).T, column or "test set"))
    doubts = dict.fromkeys(row["difference"]["warning"] for row in rows)
    return "\n\n".join([*parts, *(f"Mind: {one}." for one in doubts if one)]) + "\n"
