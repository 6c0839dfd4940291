"""Runs against a baseline on the same utterances: paired tests, corrected for how many there are."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.evaluation.arms import Arm, paired, read_arm
from hf_dialects.evaluation.results import METRIC_NAMES
from hf_dialects.evaluation.scores import DRAWS
from hf_dialects.evaluation.tables import aligned, with_interval
from hf_dialects.metrics import (
    accuracy,
    brier_score,
    expected_calibration_error,
    holm,
    macro_f1,
    negative_log_likelihood,
    paired_test,
    weighted_f1,
)

OF_CLASSES = {"accuracy": accuracy, "macro_f1": macro_f1, "weighted_f1": weighted_f1}
OF_PROBABILITIES = {"ece": expected_calibration_error, "nll": negative_log_likelihood, "brier": brier_score}
METRICS = (*OF_CLASSES, *OF_PROBABILITIES)
SHOWN = METRIC_NAMES | {"cer": "CER", "wer": "WER"}
LOWER_IS_BETTER = (*OF_PROBABILITIES, "cer", "wer")


def compare_runs(
    folders: Sequence[str | Path],
    metrics: Sequence[str] = ("accuracy", "macro_f1"),
    split: str = "test",
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """Test every run against the first.

    Utterances are matched by id, runs of several seeds by seed. Groups (speakers, or what the runs were evaluated over)
    and seeds are resampled together, see `metrics.paired_test`; p is corrected for all runs and metrics (Holm).

    Args:
        folders: the baseline first. A run folder, a folder that `evaluate` wrote, or a folder of such for several seeds
            (`seed-0`, `seed-1` …).
        metrics: any of `METRICS`.
        split: whose predictions are compared.
        draws, seed: of the bootstrap.

    Returns:
        {"split", "baseline", "correction": "holm", "tests": how many, "contrasts": [{"run", "metric", "value",
        "baseline_value", "difference", "low", "high", "p", "p_adjusted", "smallest_detectable", "n", "groups",
        "group_unit", "strata", "crossed", "seeds", "warning"}]}. A difference is run minus baseline with its 95 %
        interval; `smallest_detectable` is what data with this spread would show with 80 % power. What is infinite is
        None.

    Raises:
        DialectError: fewer than two runs, the same run twice, an unknown metric, or no seed in common.
        CheckpointError: a folder without predictions of this split, or without results.json.
        CorpusError: runs judged on different utterances, gold labels or groups.
    """
    folders = different(folders)
    metrics = list(dict.fromkeys(metrics))
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        named = ", ".join(map(repr, unknown)) or "none is named"
        raise DialectError(f"metrics that cannot be compared: {named}; those that can are {', '.join(METRICS)}")
    names = short_names(folders)
    baseline, *others = (read_arm(folder, split, name) for folder, name in zip(folders, names, strict=True))
    contrasts = [row for arm in others for row in contrast(baseline, arm, metrics, draws, seed)]
    for row, adjusted in zip(contrasts, holm([row["p"] for row in contrasts]).tolist(), strict=True):
        row["p_adjusted"] = adjusted
    return {
        "split": split,
        "baseline": baseline.name,
        "correction": "holm",
        "tests": len(contrasts),
        "contrasts": contrasts,
    }


def contrast(baseline: Arm, arm: Arm, metrics: Sequence[str], draws: int = DRAWS, seed: int = 0) -> list[dict]:
    """One row per metric, see `compare_runs`; p is not adjusted."""
    pair = paired(baseline, arm)
    rows = []
    for name in metrics:
        if name in OF_CLASSES:
            metric = partial(OF_CLASSES[name], n_classes=len(pair.labels))
            a, b = pair.a.argmax(-1), pair.b.argmax(-1)  # (S, N)
            values = [np.mean([metric(pair.gold, run) for run in runs]) for runs in (a, b)]
        else:
            metric, a, b = OF_PROBABILITIES[name], pair.a, pair.b
            values = [np.mean([metric(run, pair.gold) for run in runs]) for runs in (a, b)]
        groups = pair.groups
        result = paired_test(
            metric,
            b,
            a,
            pair.gold,
            groups.values,
            crossed=groups.crossed,
            seeds=pair.seeds,
            n=draws,
            seed=seed,
            unit=f"{groups.unit}s",
        ).to_dict()
        rows.append(
            {
                "run": arm.name,
                "metric": name,
                "value": float(values[1]),
                "baseline_value": float(values[0]),
                "difference": result.pop("value"),
                **result,
                **groups.to_dict(),
                "warning": "; ".join(filter(None, [result["warning"], groups.warning, *pair.notes])) or None,
            }
        )
    return rows


def different(folders: Sequence[str | Path]) -> list[Path]:
    """Two or more folders, each given once."""
    folders = [Path(folder) for folder in folders]
    if len(folders) < 2 or len({folder.resolve() for folder in folders}) < len(folders):
        found = ", ".join(map(str, folders)) or "none"
        raise DialectError(f"runs to compare: {found}; give two or more different ones, the baseline first")
    return folders


def short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = ["/".join(one) for one in parts]
    for length in range(max(map(len, parts)), 0, -1):
        shorter = ["/".join(one[-length:]) for one in parts]
        if len(set(shorter)) < len(shorter):
            break
        names = shorter
    return names


def describe_comparison(comparison: Mapping) -> str:
    """The table for the terminal, and below it what is doubtful about it."""
    contrasts, tests = comparison["contrasts"], comparison["tests"]
    rows = [["run", "metric", "baseline", "run", "difference", "p", "adjusted p", "detectable", "over"]]
    for row in contrasts:
        detectable = row["smallest_detectable"]
        rows.append(
            [
                row["run"],
                SHOWN[row["metric"]],
                f"{row['baseline_value']:.3f}",
                f"{row['value']:.3f}",
                with_interval(row | {"value": row["difference"]}),
                _probability(row["p"]),
                _probability(row["p_adjusted"]),
                "-" if detectable is None else f"{detectable:.3f}",
                _drawn(row),
            ]
        )
    legend = [
        "difference: run minus baseline, 95 % interval" + ", p adjusted for all tests (Holm)" * (tests > 1),
        "detectable: the smallest difference that data with this spread would show with 80 % power",
    ]
    if lower := [SHOWN[name] for name in LOWER_IS_BETTER if any(row["metric"] == name for row in contrasts)]:
        legend.append(f"lower is better: {', '.join(lower)}")
    head = f"{comparison['split']}: against {comparison['baseline']}, {tests} test{'s' * (tests > 1)}"
    return "\n".join([head, aligned(rows, indent="  "), *(f"  {line}" for line in [*legend, *_doubts(contrasts)])])


def _drawn(row: Mapping) -> str:
    """Such as "640 utterances, 12 speakers, sentence_id, 3 seeds"."""
    counts = [(row["n"], "utterance"), (row["seeds"], "seed")]
    if row["group_unit"] != "utterance":
        counts.insert(1, (row["groups"], row["group_unit"]))
    named = [f"{count} {name}{'s' * (count != 1)}" for count, name in counts]
    if row["crossed"]:
        named.insert(2, row["crossed"])
    return ", ".join(named)


def _doubts(contrasts: Sequence[Mapping]) -> list[str]:
    """Every warning once, with the runs it holds for where it does not hold for all."""
    runs = dict.fromkeys(row["run"] for row in contrasts)
    holds: dict[str, dict] = {}
    for row in contrasts:
        for warning in (row["warning"] or "").split("; "):
            holds.setdefault(warning, {})[row["run"]] = None
    holds.pop("", None)
    return [text if len(of) == len(runs) else f"{text}: {', '.join(of)}" for text, of in holds.items()]


def _probability(value: float) -> str:
    return "<.001" if value < 0.001 else f"{value:.3f}"
