"""What the runs of a grid add up to: mean and spread over seeds and over splits, and paired tests against baselines."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hf_dialects.evaluation.arms import Arm, Pair, paired, read_arm
from hf_dialects.evaluation.compare import METRICS as COMPARABLE
from hf_dialects.evaluation.compare import contrast
from hf_dialects.evaluation.results import read_results
from hf_dialects.evaluation.scores import DRAWS, cluster_codes
from hf_dialects.metrics import holm, paired_test
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.cost import cost_of
from hf_dialects.reproduce.grid import Run, failure, runs_of
from hf_dialects.reproduce.measures import SALVI, Measures
from hf_dialects.reproduce.run_separation import read_numbers, read_purity
from hf_dialects.reproduce.split_baselines import read_baselines

METRICS = SALVI.names
SPLIT = "test"


def summarise(
    table: str,
    cells: Sequence[Cell],
    n_splits: int,
    seeds: int,
    out: Path,
    tests: bool = True,
    draws: int = DRAWS,
    measures: Measures = SALVI,
    clusters: Mapping[str, str] | None = None,
) -> dict:
    """The whole table as data.

    Args:
        cells: those that are only there for others make no row, but what is missing of them is said.
        tests: whether settings are compared, which takes a while on large corpora.
        draws: of the bootstrap of a comparison.
        measures: what is measured.
        clusters: dialect → cluster, for a table that tests cluster accuracy.

    Returns:
        {"table", "seeds", "splits", "measures",
        "cells": [{"cell", "columns", "missing", "published", "runs": [{"split", "seed", "state", "message", metric:
            value …}], "summary": {metric: see `spread`}}],
        "preparations": [{"cell", "missing", "runs"}],
        "baselines": [of every split: {name: {"accuracy", "macro_f1"}}],
        "comparisons": [{"split", "baseline", "correction": "holm", "tests", "contrasts": rows as of
            `evaluation.compare`}]}
    """
    rows, preparations = [], []
    for cell in cells:
        runs = [_row(run, measures) for run in runs_of([cell], n_splits, seeds, out)]
        row = {"cell": cell.name, "missing": cell.missing, "runs": runs}
        if cell.preparation:
            preparations.append(row)
            continue
        row |= {"columns": dict(cell.columns), "published": dict(cell.published)}
        rows.append(row | {"summary": {name: spread(runs, name) for name in measures.names}})
    content = {
        "table": table,
        "seeds": seeds,
        "splits": n_splits,
        "measures": measures.to_dict(),
        "cells": rows,
        "preparations": preparations,
        "baselines": [read_baselines(out / f"split-{split}") for split in range(n_splits)],
        "comparisons": [],
    }
    if tests:
        whole = {row["cell"] for row in rows if row["runs"] and all(run["state"] == "finished" for run in row["runs"])}
        complete = [cell for cell in cells if cell.name in whole]
        for split in range(n_splits):
            content["comparisons"] += compare(complete, out / f"split-{split}", split, draws, measures, clusters)
    return content


def spread(runs: Sequence[Mapping], metric: str) -> dict | None:
    """Mean of the finished runs, and its spread; None where no run is finished.

    Returns:
        {"mean": of the means of all splits; "sd_seeds": square root of the mean variance over the seeds of a split,
        None under two seeds; "sd_splits": standard deviation of the means of the splits, None under two splits; "runs"}
    """
    of_split: dict[int, list[float]] = {}
    for run in runs:
        if run.get(metric) is not None:
            of_split.setdefault(run["split"], []).append(run[metric])
    if not of_split:
        return None
    means = [np.mean(values) for values in of_split.values()]
    variances = [np.var(values, ddof=1) for values in of_split.values() if len(values) > 1]
    return {
        "mean": float(np.mean(means)),
        "sd_seeds": float(np.sqrt(np.mean(variances))) if variances else None,
        "sd_splits": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "runs": sum(map(len, of_split.values())),
    }


def compare(
    cells: Sequence[Cell],
    folder: Path,
    split: int,
    draws: int = DRAWS,
    measures: Measures = SALVI,
    clusters: Mapping[str, str] | None = None,
) -> list[dict]:
    """Every cell against its baselines on one split, p adjusted (Holm) for all tests with the same baseline.

    Args:
        cells: those that are finished.
        folder: of the split, with a folder per cell.
        measures, clusters: see `summarise`.
    """
    arms = {cell.name: read_arm(folder / cell.name, SPLIT, cell.name) for cell in cells}
    found = []
    for baseline in dict.fromkeys(name for cell in cells for name in cell.baselines if name in arms):
        others = [arms[cell.name] for cell in cells if baseline in cell.baselines]
        contrasts = [
            row for arm in others for row in _contrasts(arms[baseline], arm, folder, draws, measures, clusters)
        ]
        for row, adjusted in zip(contrasts, holm([row["p"] for row in contrasts]).tolist(), strict=True):
            row["p_adjusted"] = adjusted
        head = {"split": split, "baseline": baseline, "correction": "holm", "tests": len(contrasts)}
        found.append(head | {"contrasts": contrasts})
    return found


def _contrasts(
    baseline: Arm, arm: Arm, folder: Path, draws: int, measures: Measures, clusters: Mapping[str, str] | None
) -> list[dict]:
    rows = contrast(baseline, arm, [name for name in measures.tested if name in COMPARABLE], draws)
    pair = paired(baseline, arm)
    if "cluster_accuracy" in measures.tested and (codes := cluster_codes(pair.labels, clusters)) is not None:
        right = (codes[found.argmax(-1)] == codes[pair.gold] for found in (pair.a, pair.b))
        rows += _of_recordings("cluster_accuracy", arm, pair, *(one.astype(float) for one in right), draws)
    if "purity" in measures.tested:
        ids = list(pair.groups.ids)
        of_arms = (
            np.stack([read_purity(folder / one.name / seed, ids) for seed in pair.seeds]) for one in (baseline, arm)
        )
        rows += _of_recordings("purity", arm, pair, *of_arms, draws)
    return rows


def _of_recordings(metric: str, arm: Arm, pair: Pair, a: np.ndarray, b: np.ndarray, draws: int) -> list[dict]:
    """The contrast in the mean of a value (S, N) that every recording has of its own, NaN where unknown."""
    known = np.flatnonzero(np.isfinite(a).all(0) & np.isfinite(b).all(0))
    if not len(known):
        return []
    groups = pair.groups.part(known)
    result = paired_test(
        weighted_mean,
        b[:, known],
        a[:, known],
        pair.gold[known],
        groups.values,
        crossed=groups.crossed,
        seeds=pair.seeds,
        n=draws,
        unit=f"{groups.unit}s",
    ).to_dict()
    means = {"value": float(b[:, known].mean()), "baseline_value": float(a[:, known].mean())}
    return [{"run": arm.name, "metric": metric, **means, "difference": result.pop("value"), **result}]


def weighted_mean(gold: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of a value that every recording has of its own."""
    return float(np.average(values, weights=weights))


def _row(run: Run, measures: Measures) -> dict:
    """What a table says of one run."""
    row = {"split": run.split, "seed": run.seed, "state": run.state, "message": failure(run)}
    if row["state"] != "finished":
        return row
    metrics = read_results(run.folder)["metrics"][SPLIT]
    row |= {name: metrics.get(name, {}).get("value") for name in measures.of_results}
    if measures.of_embeddings:
        numbers = read_numbers(run.folder)
        row |= {name: numbers[name] for name in measures.of_embeddings} | {"purity_by_chance": numbers["chance"]}
    return row | cost_of(run) if measures.counts else row
