"""`results.json`: everything a run measured, on what data, with which software; written, read and shown as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hf_dialects.data.leakage import column_values, leakage
from hf_dialects.data.screen import Skipped, count_reasons
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.disk import whole_file
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.evaluation.breakdown import describe_breakdown
from hf_dialects.evaluation.environment import anonymous
from hf_dialects.evaluation.groups import positions_of
from hf_dialects.evaluation.scores import DRAWS, confusion, per_cluster, per_dialect, score
from hf_dialects.evaluation.tables import aligned, with_interval
from hf_dialects.evaluation.temperature import describe_calibration

if TYPE_CHECKING:
    from hf_dialects.inference import Predictions

SCHEMA = 1
KEYS = (
    "schema",
    "metrics",
    "baselines",
    "per_dialect",
    "confusion",
    "labels",
    "seed",
    "selected_on",
    "data",
    "skipped",
    "environment",
)
METRIC_NAMES = {  # in the order of the table
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "cluster_accuracy": "cluster accuracy",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier",
    "c_avg": "C_avg",
    "eer": "EER",
}
BESIDE = ("accuracy", "macro_f1", "cluster_accuracy", "nll")  # of baselines in the table; results.json has all
COMPARED = ("accuracy", "macro_f1")  # what a model has to be better in than its baselines
FEW_SPEAKERS = 3


def build_results(
    predictions: Mapping[str, Predictions],
    splits: Mapping,
    labels: Sequence[str],
    clusters: Mapping[str, str] | None = None,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    *,
    seed: int = 0,
    selected_on: Mapping | str | None = None,
    skipped: Sequence[Skipped] = (),
    environment: Mapping | None = None,
    fingerprint: str | None = None,
    groups: str | None = None,
    draws: int = DRAWS,
) -> dict:
    """Everything about a run, ready to be written.

    Args:
        predictions: split → predictions, for the splits that are scored.
        splits: split → `datasets.Dataset`, training among them; they may hold more utterances than were predicted.
        labels: C names of the dialects, in label order.
        clusters: dialect → cluster.
        baselines: name → split → probabilities (N, C) in the order of `splits[split]`; scored on the same utterances.
        seed: of the run. Intervals do not depend on it, so that runs of several seeds are compared over the same draws.
        selected_on: what was chosen (checkpoint, temperature, …) and on which split.
        skipped: recordings left out before training; those that prediction left out are added.
        environment: see `environment.environment`; the only part in which two runs of one seed may differ.
        fingerprint: of the data; None takes that of all ids and labels.
        groups, draws: see `score`.

    Returns:
        "schema": 1
        "metrics": split → metric → entry, see `score`
        "baselines": baseline → split → metric → entry
        "per_dialect": split → dialect → precision, recall, f1, support, speakers
        "per_cluster": split → cluster → n, dialects, accuracy, weighted_f1, see `scores.per_cluster`; only with two
            clusters or more
        "confusion": split → counts (C, C), gold in rows, in the order of "labels"
        "labels", "seed", "selected_on"
        "data": "fingerprint"; "splits": split → n, hours, speakers, sha256; "leakage": column → values, crossing,
            examples, unknown, leaks
        "skipped": reason → number
        "environment": versions, device, command, seconds

    Raises:
        DialectError: a baseline with another number of rows than its split; see also `score`.
    """
    left_out = {one.id: one for one in [*skipped, *(one for each in predictions.values() for one in each.skipped)]}
    options = {"labels": labels, "clusters": clusters, "groups": groups, "draws": draws}
    metrics = {split: score(made, splits[split], **options) for split, made in predictions.items()}
    beside = {
        name: {
            split: score(
                _as_predictions(name, split, found, predictions[split], splits[split]), splits[split], **options
            )
            for split, found in per_split.items()
            if split in predictions
        }
        for name, per_split in (baselines or {}).items()
    }
    results = {
        "schema": SCHEMA,
        "metrics": metrics,
        "baselines": beside,
        "per_dialect": {split: per_dialect(made, splits[split], labels) for split, made in predictions.items()},
        "confusion": {split: confusion(made, labels) for split, made in predictions.items()},
        "labels": list(labels),
        "seed": seed,
        "selected_on": _anonymous(selected_on),
        "data": data_facts(splits, labels, fingerprint),
        "skipped": count_reasons(list(left_out.values())),
        "environment": _anonymous(environment or {}),
    }
    by_cluster = {split: per_cluster(made, splits[split], **options) for split, made in predictions.items()}
    if any(by_cluster.values()):
        results["per_cluster"] = by_cluster
    return _plain(results)


def data_facts(splits: Mapping, labels: Sequence[str], fingerprint: str | None = None) -> dict:
    """The part "data" of results: fingerprint, what each split holds, and what crosses them.

    Args:
        splits: split → `datasets.Dataset`.
        labels: C names of the dialects, in label order.
        fingerprint: None takes that of all ids and labels.
    """
    return _plain(
        {
            "fingerprint": fingerprint or _fingerprint(splits, labels),
            "splits": {split: _facts(rows) for split, rows in splits.items()},
            "leakage": leakage(splits).to_dict("index"),
        }
    )


def write_results(results: Mapping, path: str | Path) -> None:
    """Write as JSON with sorted keys, numbers that are not finite as null; the file is complete or not there at all.

    Raises:
        DialectError: a key of `build_results` is missing, or the disk is full.
    """
    missing = [key for key in KEYS if key not in results]
    if missing:
        raise DialectError(f"results lack {', '.join(missing)}; make them with build_results")
    text = json.dumps(_plain(results), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_results(path: str | Path) -> dict:
    """What `write_results` wrote.

    Args:
        path: the file, or the folder of the run that holds `results.json`.

    Raises:
        CheckpointError: no such file, no JSON, or written in another schema.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(f"there is no {path}: the run has not been evaluated; run hf-dialects evaluate")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); evaluate the run again") from error
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise CheckpointError(f"{path} has schema {found!r}, this version reads {SCHEMA}; evaluate the run again")
    return results


def baselines_within(results: Mapping) -> list[str]:
    """A sentence for every baseline whose accuracy or macro F1 the model's interval does not lie above."""
    sentences = []
    for split in _splits(results):
        for metric in COMPARED:
            model = results["metrics"][split][metric]
            for name, per_split in results["baselines"].items():
                baseline = per_split.get(split, {}).get(metric, {}).get("value")
                if baseline is not None and model["low"] is not None and baseline >= model["low"]:
                    sentences.append(
                        f"{split}: {name} reaches the model's interval in {METRIC_NAMES[metric]} "
                        f"({baseline:.3f}; model {model['low']:.3f} to {model['high']:.3f})"
                    )
    return sentences


def describe(results: Mapping) -> str:
    """The table for the terminal: the model beside its baselines, with intervals and what they stand on.

    A breakdown under the key "by" and what a temperature does, under "calibration", are shown below it.
    """
    parts = []
    if reached := baselines_within(results):
        parts.append("NOT SHOWN TO BE BETTER THAN A BASELINE\n" + "\n".join(f"  {one}" for one in reached))
    for split in _splits(results):
        blocks = (part(results, split) for part in (_head, _table, _few, _beside, _clusters))
        parts.append("\n".join(filter(None, blocks)))
    if results.get("by"):
        parts.append(describe_breakdown(results["by"]))
    if results.get("calibration"):
        parts.append(describe_calibration(results["calibration"]))
    if results["skipped"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(results["skipped"].items()))
        total = sum(results["skipped"].values())
        parts.append(f"left out: {total} recording{'s' * (total != 1)} ({reasons})")
    return "\n\n".join(parts)


def _splits(results: Mapping) -> list[str]:
    """Scored splits, test first."""
    return sorted(results["metrics"], key=lambda split: (split != "test", split != "validation", split))


def _head(results: Mapping, split: str) -> str:
    entry = results["metrics"][split]["accuracy"]
    drawn = f"{entry['groups']} {entry['group_unit']}{'s' * (entry['groups'] != 1)}"
    if entry["strata"]:
        drawn += f" within their {entry['strata']}"
    if entry["crossed"]:
        drawn += f" and {entry['crossed']} together"
    return f"{split}: {entry['n']} utterances; 95 % intervals over {drawn}"


def _table(results: Mapping, split: str) -> str:
    model = results["metrics"][split]
    rows = []
    for metric, title in METRIC_NAMES.items():
        if metric not in model:
            continue
        entry = model[metric]
        floor = f"{entry['floor']:.3f} if perfectly calibrated" if "floor" in entry else None
        rows.append([title, with_interval(entry), "; ".join(filter(None, [entry["warning"], floor]))])
    return aligned(rows, indent="  ")


def _beside(results: Mapping, split: str) -> str | None:
    """The model's line, and one for every baseline."""
    beside = {name: per_split[split] for name, per_split in results["baselines"].items() if split in per_split}
    if not beside:
        return None
    model = results["metrics"][split]
    shown = [metric for metric in BESIDE if metric in model]
    rows = [["", *(METRIC_NAMES[metric] for metric in shown)]]
    for name, scores in {"model": model, **beside}.items():
        rows.append([name, *(with_interval(scores[metric]) for metric in shown)])
    return "\n" + aligned(rows, indent="  ")


def _clusters(results: Mapping, split: str) -> str | None:
    """A line for every cluster of dialects."""
    found = results.get("per_cluster", {}).get(split)
    if not found:
        return None
    rows = [["cluster", "n", "dialects", "accuracy", "weighted F1"]]
    for cluster, row in found.items():
        numbers = [
            str(row["n"]),
            str(row["dialects"]),
            with_interval(row["accuracy"]),
            with_interval(row["weighted_f1"]),
        ]
        rows.append([cluster, *numbers, row["accuracy"]["warning"] or ""])
    return "\n" + aligned(rows, indent="  ")


def _few(results: Mapping, split: str) -> str | None:
    """Dialects that are judged on one or two speakers."""
    speakers = {label: row["speakers"] for label, row in results["per_dialect"][split].items() if row["support"]}
    few = {label: count for label, count in speakers.items() if count is not None and count < FEW_SPEAKERS}
    listed = ", ".join(f"{label} ({few[label]})" for label in results["labels"] if label in few)
    return f"  judged on fewer than {FEW_SPEAKERS} speakers: {listed}" if few else None


def _as_predictions(name: str, split: str, probabilities: np.ndarray, predictions: Predictions, rows) -> Predictions:
    """A baseline on the utterances that the model was judged on."""
    if len(probabilities) != len(rows):
        raise DialectError(f"baseline {name!r} has {len(probabilities)} rows for {split!r}, the split has {len(rows)}")
    return replace(predictions, probabilities=probabilities[positions_of(rows, predictions.ids)])


def _facts(rows) -> dict:
    columns = rows.column_names
    durations = column_values(rows, "duration") if "duration" in columns else [None]
    speakers = set(column_values(rows, "speaker")) - {None} if "speaker" in columns else set()
    return {
        "n": len(rows),
        "hours": None if None in durations else math.fsum(durations) / 3600,
        "speakers": len(speakers) or None,
        "sha256": split_fingerprint(rows),
    }


def _fingerprint(splits: Mapping, labels: Sequence[str]) -> str:
    """SHA-256 (hex) of all ids with their dialects, whatever their order and split."""
    lines = set()
    for rows in splits.values():
        dialects = column_values(rows, "dialect") if "dialect" in rows.column_names else [None] * len(rows)
        for id, dialect in zip(rows["id"], dialects, strict=True):
            lines.add(json.dumps([str(id), labels[dialect] if dialect is not None and dialect >= 0 else None]))
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _anonymous(value):
    """Every text in `value` without absolute paths and tokens."""
    if isinstance(value, Mapping):
        return {key: _anonymous(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_anonymous(one) for one in value]
    return anonymous(value) if isinstance(value, str) else value


def _plain(value):
    """`value` as JSON holds it: numpy numbers and arrays become Python's, what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
