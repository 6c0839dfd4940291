"""Recognisers of speech against a baseline on the same utterances: paired tests of their error rates, corrected for how
many there are.

Dimensions: S seeds, N utterances.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.evaluation.compare import different, short_names
from hf_dialects.evaluation.scores import DRAWS
from hf_dialects.evaluation.transcript_arms import (
    TranscriptArm,
    TranscriptPair,
    paired_transcripts,
    read_transcript_arm,
)
from hf_dialects.metrics import holm, paired_test
from hf_dialects.metrics.error_rates import error_rate
from hf_dialects.metrics.totals import Totals, additive

RATES = ("cer", "wer")


def compare_transcripts(
    folders: Sequence[str | Path],
    metrics: Sequence[str] = RATES,
    split: str = "test",
    method: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """Test every recogniser against the first.

    Utterances are matched by id, runs of several seeds by seed; speakers (or what else is known of the utterances) and
    seeds are resampled together, see `metrics.paired_test`; p is corrected for all runs and metrics (Holm).

    Args:
        folders: the baseline first: runs with `task: asr`, or folders of such for several seeds (seed-0, seed-1 …).
        metrics: any of "cer" and "wer".
        split: whose transcripts are compared.
        method: of the search; None takes the first that each run was scored with.
        draws, seed: of the bootstrap.

    Returns:
        What `evaluation.compare.compare_runs` returns.

    Raises:
        DialectError: fewer than two runs, the same run twice, an unknown metric, or no seed in common.
        CheckpointError: a folder without transcripts of this split.
        CorpusError: runs judged on different utterances or references.
    """
    folders = different(folders)
    metrics = list(dict.fromkeys(metrics))
    if not metrics or (unknown := [name for name in metrics if name not in RATES]):
        named = ", ".join(map(repr, unknown)) if metrics else "none is named"
        raise DialectError(f"metrics that cannot be compared: {named}; of transcripts those that can are cer, wer")
    names = short_names(folders)
    arms = [read_transcript_arm(folder, split, name, method) for folder, name in zip(folders, names, strict=True)]
    contrasts = [row for arm in arms[1:] for row in contrast(arms[0], arm, metrics, draws, seed)]
    adjust(contrasts)
    return {
        "split": split,
        "baseline": arms[0].name,
        "correction": "holm",
        "tests": len(contrasts),
        "contrasts": contrasts,
    }


def contrast(
    baseline: TranscriptArm, arm: TranscriptArm, metrics: Sequence[str], draws: int = DRAWS, seed: int = 0
) -> list[dict]:
    """One row per metric, see `compare_transcripts`; p is not adjusted."""
    pair = paired_transcripts(baseline, arm)
    everyone = np.arange(len(pair.references))
    return [{"run": arm.name, **difference(pair, name, everyone, draws, seed)} for name in metrics]


def difference(pair: TranscriptPair, metric: str, members: np.ndarray, draws: int = DRAWS, seed: int = 0) -> dict:
    """The error rate of b less that of a on some of the utterances, as a row of `compare_runs` without its run.

    Args:
        members: (n,) positions of the utterances.
    """
    of_a, of_b, length = pair.edits[metric]
    groups = pair.groups.part(members)
    result = paired_test(
        _rate,
        of_b[:, members],
        of_a[:, members],
        length[members],
        groups.values,
        crossed=groups.crossed,
        seeds=pair.seeds,
        strata=np.zeros(len(members), dtype=np.int64),
        n=draws,
        seed=seed,
        unit=f"{groups.unit}s",
    ).to_dict()
    values = [np.mean([error_rate(run[members], length[members]) for run in side]) for side in (of_a, of_b)]
    return {
        "metric": metric,
        "value": float(values[1]),
        "baseline_value": float(values[0]),
        "difference": result.pop("value"),
        **result,
        **groups.to_dict(),
        "warning": "; ".join(filter(None, [result["warning"], groups.warning, *pair.notes])) or None,
    }


def adjust(rows: Sequence[dict]) -> None:
    """Add "p_adjusted" to tests that stand in one table."""
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]).tolist(), strict=True):
        row["p_adjusted"] = adjusted


@additive
def _rate(length, errors) -> Totals:
    """`error_rate` with the reference first, as a paired test gives them."""
    return error_rate.totals(errors, length)
