"""Settings that are compared: their runs read from disk, and the utterances and seeds that two of them share.

Dimensions: S seeds, N utterances, C dialects.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.evaluation.groups import Groups, find_groups
from hf_dialects.evaluation.results import read_results
from hf_dialects.inference import Predictions

FEW = 0.05  # share of utterances that may be missing from a run
SEEDS = "seed-*"


@dataclass(frozen=True)
class Arm:
    """One setting, run once or with several seeds.

    Attributes:
        name: for people.
        runs: "seed-0" … → predictions of one split.
        labels: names of the dialects in label order, the same in all runs.
        unit: column whose values are resampled whole, or "utterance".
    """

    name: str
    runs: dict[str, Predictions]
    labels: list[str]
    unit: str


@dataclass(frozen=True)
class Pair:
    """Two settings on what they share.

    Attributes:
        a, b: (S, N, C) float64 probabilities; a dialect that a setting does not know has 0.
        gold: (N,) int64.
        labels: C names.
        groups: of the N utterances.
        seeds: S names.
        notes: what was left out.
    """

    a: np.ndarray
    b: np.ndarray
    gold: np.ndarray
    labels: list[str]
    groups: Groups
    seeds: list[str]
    notes: list[str]


def read_arm(folder: Path, split: str, name: str) -> Arm:
    """The predictions of one setting.

    Args:
        folder: of a run, with `predictions/` and `results.json`, or with such folders seed-0, seed-1 …
        split: whose predictions are read. Seeds that have none are left out.
        name: of the setting.

    Raises:
        CheckpointError: there are no predictions of this split, they name no groups, or seeds disagree about dialects.
    """
    several = not (folder / "predictions").is_dir()
    runs = sorted(folder.glob(SEEDS)) if several else [folder]
    runs = [run for run in runs if _file(run, split).is_file()]
    if not runs:
        kept = ", ".join(sorted(path.stem for path in (folder / "predictions").glob("*.parquet"))) or "none"
        raise CheckpointError(
            f"{folder} holds no predictions of {split!r} (predictions found: {kept}): give a run folder, what "
            f"hf-dialects evaluate wrote, or a folder with {SEEDS} that hold such; --split names another split"
        )
    results = [read_results(run) for run in runs]
    for run, content in zip(runs, results, strict=True):
        if split not in content["metrics"]:
            raise CheckpointError(f"{run / 'results.json'} has no scores of {split!r}; run hf-dialects evaluate again")
    settings = [(content["labels"], content["metrics"][split]["accuracy"]["group_unit"]) for content in results]
    labels, unit = settings[0]
    if any(one != settings[0] for one in settings):
        raise CheckpointError(f"the seeds in {folder} have different dialects or groups; put settings into own folders")
    names = [run.name if several else f"seed-{content['seed']}" for run, content in zip(runs, results, strict=True)]
    predictions = [Predictions.read(_file(run, split)) for run in runs]
    if unit != "utterance" and any(unit not in one.grouping for one in predictions):
        raise CheckpointError(
            f"{folder} was evaluated over {unit}s, but its predictions do not name them; run hf-dialects evaluate again"
        )
    return Arm(name, dict(zip(names, predictions, strict=True)), labels, unit)


def paired(a: Arm, b: Arm) -> Pair:
    """Seeds and labelled utterances that both settings have.

    Raises:
        DialectError: no seed in common.
        CorpusError: they were judged over different groups, on different utterances or gold labels.
    """
    if a.unit != b.unit:
        raise CorpusError(
            f"{a.name} was evaluated over {a.unit}s and {b.name} over {b.unit}s; evaluate both with the same metadata"
        )
    seeds, seeds_of_b, notes = shared_seeds(a, b)
    runs_of_a, runs_of_b = [a.runs[seed] for seed in seeds], [b.runs[seed] for seed in seeds_of_b]
    runs = [*runs_of_a, *runs_of_b]
    if any(len(set(run.ids)) < len(run.ids) for run in runs):
        raise CorpusError(f"the predictions of {a.name} or {b.name} hold an id twice; evaluate that run again")
    ids, note = shared_ids((a.name, b.name), [run.ids for run in runs], "predicted")
    labels = list(dict.fromkeys([*a.labels, *b.labels]))
    of_a = [_aligned(ids, labels, run, a.labels) for run in runs_of_a]
    of_b = [_aligned(ids, labels, run, b.labels) for run in runs_of_b]
    gold = _agreed_gold(a, b, ids, labels, np.stack([gold for gold, _ in [*of_a, *of_b]]))
    labelled = np.flatnonzero(gold >= 0)
    if not len(labelled):
        raise CorpusError(f"none of the {len(ids)} utterances that {a.name} and {b.name} share has a gold label")
    return Pair(
        a=np.stack([probabilities[labelled] for _, probabilities in of_a]),
        b=np.stack([probabilities[labelled] for _, probabilities in of_b]),
        gold=gold[labelled],
        labels=labels,
        groups=_groups(runs_of_a[0], [ids[row] for row in labelled], gold[labelled], a.unit),
        seeds=seeds,
        notes=[*notes, *note],
    )


def shared_seeds(a: Arm, b: Arm) -> tuple[list[str], list[str], list[str]]:
    """Seeds of `a`, the seeds of `b` they are paired with, and what has to be said about it.

    Two single runs make a pair whatever their seeds.

    Raises:
        DialectError: no seed in common.
    """
    ours, theirs = list(a.runs), list(b.runs)
    if len(ours) == len(theirs) == 1:
        return ours, theirs, [] if ours == theirs else [f"runs of different seeds ({ours[0]} and {theirs[0]})"]
    shared = [seed for seed in ours if seed in b.runs]
    if not shared:
        raise DialectError(
            f"{a.name} ({', '.join(ours)}) and {b.name} ({', '.join(theirs)}) have no seed in common; "
            "runs are compared seed by seed"
        )
    alone = sorted({*ours, *theirs} - {*shared})
    return shared, shared, [f"only one of both has {', '.join(alone)}"] if alone else []


def _file(run: Path, split: str) -> Path:
    return run / "predictions" / f"{split}.parquet"


def shared_ids(names: Sequence[str], runs: Sequence[Collection[str]], did: str) -> tuple[list[str], list[str]]:
    """Ids that all runs have, in the order of the first, and a note where a few are missing somewhere.

    Args:
        names: of the two sides that are compared.
        runs: ids of every run of both.
        did: what a run did to an utterance, such as "predicted".

    Raises:
        CorpusError: more than a few are missing.
    """
    shared, everything = set.intersection(*map(set, runs)), set.union(*map(set, runs))
    missing = sorted(everything - shared)
    if len(missing) > FEW * len(everything):
        raise CorpusError(
            f"{' and '.join(names)} were judged on different utterances: {len(missing)} of {len(everything)} are "
            f"missing from one of them, first {missing[0]!r}; compare runs on the same split of the same corpus"
        )
    note = f"{len(missing)} of {len(everything)} utterances are left out, because not all runs {did} them"
    return [id for id in runs[0] if id in shared], [note] if missing else []


def _aligned(ids: list[str], labels: list[str], run: Predictions, own: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Gold (N,) and probabilities (N, C) of a run whose labels are `own`, for these utterances and dialects."""
    place = {id: row for row, id in enumerate(run.ids)}
    rows, columns = np.array([place[id] for id in ids]), np.array([labels.index(name) for name in own])
    probabilities = np.zeros((len(ids), len(labels)))
    probabilities[:, columns] = run.probabilities[rows]
    gold = run.gold[rows]
    return np.where(gold >= 0, columns[gold], -1), probabilities


def _agreed_gold(a: Arm, b: Arm, ids: list[str], labels: list[str], golds: np.ndarray) -> np.ndarray:
    """The gold labels (N,) that all runs (runs, N) share, -1 where there is none."""
    wrong = np.flatnonzero((golds != golds[0]).any(0))
    if len(wrong):
        named = sorted({labels[label] if label >= 0 else "no label" for label in golds[:, wrong[0]]})
        raise CorpusError(
            f"the gold labels of {len(wrong)} of {len(ids)} utterances differ between {a.name} and {b.name}, "
            f"first {ids[wrong[0]]!r} ({' and '.join(named)}); evaluate both on the same labels"
        )
    return golds[0]


def _groups(run: Predictions, ids: list[str], gold: np.ndarray, unit: str) -> Groups:
    """What is resampled, from the columns that the predictions carry."""
    if unit == "utterance":
        return find_groups(Dataset.from_dict({"id": run.ids}), ids, gold)
    return find_groups(Dataset.from_dict({"id": run.ids, **run.grouping}), ids, gold, unit)
