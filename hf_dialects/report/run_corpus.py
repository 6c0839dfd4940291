"""The recordings that a run was trained and judged on, found again through its recipe."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets

from hf_dialects.data.audio import duration_s
from hf_dialects.data.corrections import apply_corrections, read_corrections
from hf_dialects.data.leakage import column_values
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.errors import AudioError, CorpusError
from hf_dialects.evaluation.groups import positions_of
from hf_dialects.evaluation.results import read_results
from hf_dialects.inference import Predictions
from hf_dialects.report.run_folder import RunFolder
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run_folder import CORRECTIONS
from hf_dialects.training.splits_of_run import NAMES, load_data

HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class RunCorpus:
    """Rows of a corpus by their part in a run.

    Attributes:
        scored: the recordings of the run's predictions, in their order.
        facts: the same rows without audio, with `duration` filled from headers.
        training: training rows, one dataset per fold; empty where they are not those of the run any more, or unknown.
    """

    scored: Dataset
    facts: Dataset
    training: tuple[Dataset, ...]


def open_corpus(run: RunFolder, source: str | None = None) -> RunCorpus:
    """The corpus of a run.

    Args:
        source: what `load_corpus` takes; None takes what the recipe names.

    Raises:
        CorpusError: nothing names a source, it cannot be loaded, or it lacks recordings that were predicted.
    """
    corpus = joined_corpus(run.recipe, source)
    try:
        positions = positions_of(corpus, run.predictions.ids)
    except CorpusError as error:
        raise CorpusError(f"{source or run.recipe.data['source']} is not the corpus of this run: {error}") from error
    scored = corpus.select(positions)
    return RunCorpus(scored, _facts(scored), _training(run, corpus))


def joined_corpus(recipe: Recipe | None, source: str | None = None) -> Dataset:
    """All rows of the corpus that a recipe, or `source` instead, names.

    Raises:
        CorpusError: nothing names a source, or it cannot be loaded.
    """
    section = dict(recipe.data) if recipe else {}
    if source is not None:
        section["source"] = source
    if not section.get("source"):
        raise CorpusError("the run folder has no recipe that names its corpus; name it with --data")
    corpus = load_data(section)
    if isinstance(corpus, DatasetDict):
        corpus = concatenate_datasets([corpus[name] for name in NAMES if name in corpus] or list(corpus.values()))
    return corpus


def _training(run: RunFolder, corpus: Dataset) -> tuple[Dataset, ...]:
    """What is neither held out nor left out, if its ids are those that the run was trained on."""
    ids = np.array(list(corpus["id"]), dtype=object)
    parts = []
    for folder in run.folds or (run.folder,):
        expected = read_results(folder)["data"]["splits"].get("train")
        if expected is None:
            return ()
        away = {one.id for one in run.skipped}
        for split in HELD_OUT:
            path = folder / "predictions" / f"{split}.parquet"
            away.update(Predictions.read(path).ids if path.is_file() else ())
        rows = corpus.select(np.flatnonzero([id not in away for id in ids]))
        if (folder / CORRECTIONS).is_file():
            try:
                rows, _ = apply_corrections(rows, read_corrections(folder / CORRECTIONS))
            except CorpusError:  # labels have changed since
                return ()
        if split_fingerprint(rows) != expected["sha256"]:
            return ()
        parts.append(rows)
    return tuple(parts)


def _facts(rows: Dataset) -> Dataset:
    seconds = column_values(rows, "duration") if "duration" in rows.column_names else [None] * len(rows)
    missing = [row for row, value in enumerate(seconds) if value is None]
    for row in missing:
        seconds[row] = _seconds(rows[row]["audio"])
    columns = {name: list(rows[name]) for name in rows.column_names if name not in ("audio", "duration")}
    kinds = {name: rows.features[name] for name in columns} | {"duration": Value("float32")}
    return Dataset.from_dict(columns | {"duration": seconds}, features=Features(kinds))


def _seconds(cell) -> float | None:
    try:
        return duration_s(cell)
    except AudioError:
        return None
