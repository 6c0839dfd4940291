"""Recognisers that are compared: their transcripts read from run folders, and the utterances and seeds that two share.

Dimensions: S seeds, N utterances.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hf_dialects.errors import CheckpointError, CorpusError
from hf_dialects.evaluation.arms import SEEDS, shared_ids, shared_seeds
from hf_dialects.evaluation.groups import Groups
from hf_dialects.evaluation.results import read_results
from hf_dialects.evaluation.transcripts import Transcripts, groups_of, read_transcripts
from hf_dialects.metrics.error_rates import count_edits
from hf_dialects.metrics.text import normalise

TASK = "asr"
HYPOTHESIS = "hypothesis"


@dataclass(frozen=True)
class TranscriptArm:
    """One setting, run once or with several seeds.

    Attributes:
        name: for people.
        runs: "seed-0" … → transcripts of one split, with the columns text and hypothesis.
        normalisation: options of `metrics.text.normalise`.
    """

    name: str
    runs: dict[str, Transcripts]
    normalisation: dict


@dataclass(frozen=True)
class TranscriptPair:
    """Two settings on what they share.

    Attributes:
        a, b: S runs of N normalised hypotheses.
        references: N, normalised.
        rows: N, all columns of the reference.
        groups: of the N utterances.
        seeds: S names.
        notes: what was left out.
    """

    a: list[list[str]]
    b: list[list[str]]
    references: list[str]
    rows: list[dict]
    groups: Groups
    seeds: list[str]
    notes: list[str]

    @cached_property
    def edits(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """ "cer" and "wer" → errors of a and of b (S, N), and the lengths of the references (N,), int64."""
        found = {}
        for unit in ("cer", "wer"):
            counts = [[count_edits(self.references, run, unit) for run in side] for side in (self.a, self.b)]
            errors = (np.stack([one.errors for one in side]) for side in counts)
            found[unit] = (*errors, counts[0][0].length)
        return found


def is_asr(folder: str | Path) -> bool:
    """Whether a folder holds a finished run of speech recognition, or such runs in folders seed-0, seed-1 …"""
    results = [path / "results.json" for path in _runs(Path(folder))]
    return any(path.is_file() and read_results(path).get("task") == TASK for path in results)


def read_transcript_arm(folder: str | Path, split: str, name: str, method: str | None = None) -> TranscriptArm:
    """The transcripts of one setting.

    Args:
        folder: of a run with `task: asr`, or with such folders seed-0, seed-1 …; seeds that are not finished are left
            out.
        split: whose transcripts are read.
        name: of the setting.
        method: of the search; None takes the first one that was scored.

    Raises:
        CheckpointError: no finished run, no transcripts of this split by this method, or seeds that were scored
            differently.
    """
    folder, runs, normalisations = Path(folder), {}, []
    finished = [run for run in _runs(folder) if (run / "results.json").is_file()]
    if not finished:
        raise CheckpointError(f"{folder} holds no finished run: give a folder that hf-dialects train wrote")
    for run in finished:
        results = read_results(run)
        if results.get("task") != TASK:
            raise CheckpointError(f"{run} is no run of speech recognition; runs of one kind are compared")
        found = results["scores"].get(split, {})
        chosen = method or next(iter(found), None)
        if chosen not in found:
            there = ", ".join(f"{one} by {kind}" for one in results["scores"] for kind in results["scores"][one])
            raise CheckpointError(f"{run} has no transcripts of {split!r} by {chosen or 'any search'}; it has {there}")
        seed = run.name if run != folder else f"seed-{results['seed']}"
        runs[seed] = read_transcripts(run / "transcripts" / found[chosen]["hypothesis"])
        normalisations.append(found[chosen]["normalisation"])
    if any(one != normalisations[0] for one in normalisations):
        raise CheckpointError(f"the seeds in {folder} were scored with different normalisation of texts")
    return TranscriptArm(name, runs, normalisations[0])


def paired_transcripts(a: TranscriptArm, b: TranscriptArm) -> TranscriptPair:
    """Seeds and utterances that both settings have.

    Raises:
        DialectError: no seed in common.
        CorpusError: other utterances, other references, or other normalisation.
    """
    if a.normalisation != b.normalisation:
        raise CorpusError(f"the texts of {a.name} and {b.name} were normalised differently; score both alike")
    seeds, seeds_of_b, notes = shared_seeds(a, b)
    sides = [[a.runs[seed] for seed in seeds], [b.runs[seed] for seed in seeds_of_b]]
    ids, missing = shared_ids((a.name, b.name), [run.texts for run in [*sides[0], *sides[1]]], "transcribed")
    reference = sides[0][0]
    for run in (*sides[0], *sides[1]):
        if wrong := [id for id in ids if run.texts[id] != reference.texts[id]]:
            raise CorpusError(
                f"what was said differs between {a.name} and {b.name} in {len(wrong)} of {len(ids)} utterances, first "
                f"{wrong[0]!r}; score both on the same references"
            )
    kept = Transcripts(reference.path, {id: reference.texts[id] for id in ids}, {id: reference.rows[id] for id in ids})

    def normalised(texts: Sequence[str]) -> list[str]:
        return [normalise(text or "", **a.normalisation) for text in texts]

    return TranscriptPair(
        *([normalised([run.rows[id][HYPOTHESIS] for id in ids]) for run in side] for side in sides),
        references=normalised(list(kept.texts.values())),
        rows=list(kept.rows.values()),
        groups=groups_of(kept),
        seeds=seeds,
        notes=[*notes, *missing],
    )


def _runs(folder: Path) -> list[Path]:
    return [folder] if (folder / "results.json").is_file() else sorted(folder.glob(SEEDS))
