"""The tables of a report as plain values, ready for the template."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from datasets import Dataset

from hf_dialects.data.leakage import column_values
from hf_dialects.evaluation.breakdown import breakdown
from hf_dialects.evaluation.results import METRIC_NAMES, baselines_within, read_results
from hf_dialects.evaluation.tables import with_interval
from hf_dialects.report.run_corpus import RunCorpus
from hf_dialects.report.run_folder import RunFolder

FEW_SPEAKERS = 3  # a dialect judged on fewer is marked
LOWER_IS_BETTER = ("ece", "nll", "brier", "c_avg", "eer")
SHOWN = 200  # skipped recordings that are listed


def warnings(run: RunFolder) -> list[str]:
    """A sentence for every baseline, shortcuts among them, that the model is not shown to be better than."""
    only = {run.split: run.results["metrics"][run.split]}
    return baselines_within({**run.results, "metrics": only})


def headline(run: RunFolder) -> dict:
    """Metrics of the model beside its baselines.

    Returns:
        "metrics": (title, whether lower is better); "rows": (name, texts of the metrics), the model first; "n";
        "judged": what intervals are drawn over; "notes": what they are worth, and whether there are baselines.
    """
    scored = _scored(run)
    model = scored["model"]
    shown = [name for name in METRIC_NAMES if name in model]
    rows = [(name, [with_interval(scores[metric]) for metric in shown]) for name, scores in scored.items()]
    entry = model["accuracy"]
    judged = f"{entry['groups']} {entry['group_unit']}{'s' * (entry['groups'] != 1)}"
    judged += f", drawn within their {entry['strata']}" if entry.get("strata") else ""
    judged += f" and {entry['crossed']} together" if entry.get("crossed") else ""
    notes = sorted({model[metric]["warning"] for metric in shown} - {None})
    notes += ["This run was not compared with baselines."] if len(scored) == 1 else []
    titles = [(METRIC_NAMES[metric], metric in LOWER_IS_BETTER) for metric in shown]
    return {"metrics": titles, "rows": rows, "n": entry["n"], "judged": judged, "notes": notes}


def interval_rows(run: RunFolder, metric: str) -> list[dict]:
    """Model and baselines for `figures.intervals_figure`."""
    ends = ("value", "low", "high")
    return [
        {"name": name, "model": name == "model", **{end: found[metric][end] for end in ends}}
        for name, found in _scored(run).items()
    ]


def confusion(run: RunFolder, corpus: RunCorpus | None) -> dict:
    """The confusion matrix with dialects of one cluster side by side.

    Returns:
        "columns": "label" and "first" (of its cluster); "clustered"; "rows": "label", "gold" (label number), "cluster",
        "first", "training_speakers", "n" and "cells": "count", "share" of the row (None for an empty one),
        "predicted", "right", "first".
    """
    order = cluster_order(run.labels, run.clusters)
    counts = np.array(run.results["confusion"][run.split])
    clusters = run.clusters or {}
    named = [clusters.get(run.labels[c], "") for c in order]
    first = [place > 0 and named[place] != named[place - 1] for place in range(len(order))]
    speakers = training_counts(run.labels, corpus)["speakers"]
    rows = []
    for place, gold in enumerate(order):
        total = int(counts[gold].sum())
        cells = [
            {
                "count": int(counts[gold, predicted]),
                "share": float(counts[gold, predicted] / total) if total else None,
                "predicted": int(predicted),
                "right": gold == predicted,
                "first": first[column],
            }
            for column, predicted in enumerate(order)
        ]
        label = run.labels[gold]
        row = {"label": label, "gold": int(gold), "cluster": named[place], "first": first[place], "n": total}
        rows.append(row | {"training_speakers": speakers.get(label), "cells": cells})
    columns = [{"label": run.labels[c], "first": first[place]} for place, c in enumerate(order)]
    return {"columns": columns, "rows": rows, "clustered": bool(run.clusters)}


def cluster_order(labels: Sequence[str], clusters: Mapping[str, str] | None) -> list[int]:
    """Label numbers with those of one cluster side by side; clusters by name, within them the order of the labels."""
    return sorted(range(len(labels)), key=lambda c: (clusters[labels[c]] if clusters else "", c))


def per_dialect(run: RunFolder, corpus: RunCorpus | None) -> list[dict]:
    """How every dialect fares, what it was tested on and what it was trained on."""
    trained = training_counts(run.labels, corpus)
    rows = []
    for c in cluster_order(run.labels, run.clusters):
        label = run.labels[c]
        found = run.results["per_dialect"][run.split][label]
        few = found["speakers"] is not None and found["support"] > 0 and found["speakers"] < FEW_SPEAKERS
        row = {"label": label, "few": few, **found}
        rows.append(row | {f"training_{name}": numbers.get(label) for name, numbers in trained.items()})
    return rows


def training_counts(labels: Sequence[str], corpus: RunCorpus | None) -> dict[str, dict[str, str]]:
    """ "speakers" and "clips" → dialect → how many it was trained on, "8" or over folds "7–9"; {} where unknown."""
    found: dict[str, dict[str, str]] = {"speakers": {}, "clips": {}}
    parts = [_counted(rows, labels) for rows in corpus.training] if corpus else []
    for name, numbers in found.items():
        for label in labels:
            values = [part[name][label] for part in parts]
            if values and None not in values:
                low, high = min(values), max(values)
                numbers[label] = str(low) if low == high else f"{low}–{high}"
    return found


def _counted(rows: Dataset, labels: Sequence[str]) -> dict[str, dict[str, int | None]]:
    names = rows.features["dialect"].names
    known = "speaker" in rows.column_names
    speakers = column_values(rows, "speaker") if known else [None] * len(rows)
    clips, voices = dict.fromkeys(labels, 0), {label: set() for label in labels}
    for dialect, speaker in zip(rows["dialect"], speakers, strict=True):
        label = names[dialect] if dialect is not None and dialect >= 0 else None
        if label in clips:
            clips[label] += 1
            voices[label].add(speaker)
    counted = {label: len(found - {None}) if known else None for label, found in voices.items()}
    return {"clips": clips, "speakers": counted}


def breakdowns(run: RunFolder, corpus: RunCorpus | None) -> dict[str, list[dict]]:
    """Column → rows of `evaluation.breakdown`; always by duration where the recordings are at hand."""
    table = list(run.results.get("by") or [])
    if corpus is not None and not any(row["column"] == "duration" for row in table):
        bare = replace(run.predictions, embeddings=None)
        table += breakdown(bare, corpus.facts, ("duration",), run.labels, run.clusters)
    found: dict[str, list[dict]] = {}
    for row in table:
        found.setdefault(row["column"], []).append(row)
    return dict(sorted(found.items(), key=lambda one: one[0] != "duration"))


def splits(run: RunFolder) -> list[dict]:
    """ "name", "n", "hours", "speakers", "sha256" of every split, for folds of the splits of every fold."""
    if not run.folds:
        return [{"name": name, **facts} for name, facts in _in_order(run.results["data"]["splits"])]
    rows = []
    for folder in run.folds:
        found = read_results(folder)["data"]["splits"]
        rows += [{"name": f"{folder.name} {name}", **facts} for name, facts in _in_order(found)]
    return rows


def leakage(run: RunFolder) -> list[dict]:
    """ "column", "values", "crossing", "examples", "unknown", "leaks"; for folds the largest number of any fold."""
    tables = [read_results(folder)["data"]["leakage"] for folder in run.folds] or [run.results["data"]["leakage"]]
    rows = []
    for column in tables[0]:
        found = [table[column] for table in tables if column in table]
        rows.append({"column": column} | {name: max(one[name] for one in found) for name in found[0]})
    return rows


def skipped(run: RunFolder) -> dict:
    """ "reasons": reason → number; "shown": the first; "more": how many are not shown."""
    return {
        "reasons": run.results["skipped"],
        "shown": run.skipped[:SHOWN],
        "more": max(0, len(run.skipped) - SHOWN),
    }


def _scored(run: RunFolder) -> dict[str, dict]:
    """ "model" and baselines → their metrics on the run's split."""
    beside = {name: found[run.split] for name, found in run.results["baselines"].items() if run.split in found}
    return {"model": run.results["metrics"][run.split], **beside}


def _in_order(found: Mapping[str, dict]) -> list[tuple[str, dict]]:
    order = ("train", "validation", "test")
    return sorted(found.items(), key=lambda one: (order.index(one[0]) if one[0] in order else len(order), one[0]))
