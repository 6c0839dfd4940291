"""What a run of speech recognition left on disk, read for its report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hf_dialects.data.screen import Skipped, read_skipped
from hf_dialects.errors import CheckpointError
from hf_dialects.evaluation.results import read_results
from hf_dialects.evaluation.transcript_arms import HYPOTHESIS, TASK
from hf_dialects.evaluation.transcripts import Transcripts, read_transcripts
from hf_dialects.metrics.text import normalise
from hf_dialects.report.run_folder import FIRST, named_folders
from hf_dialects.training.asr_recipe import AsrRecipe, make_asr_recipe


@dataclass(frozen=True)
class TranscriptRun:
    """A finished run with `task: asr`.

    Attributes:
        folder: where it lies.
        name: for people, different for every run of a report.
        results: content of results.json.
        split: the one that the report is about.
        transcripts: method of the search → columns text and hypothesis of that split.
        recipe, history, skipped: of the run; history is name → content as in `RunFolder`.
    """

    folder: Path
    name: str
    results: dict
    split: str
    transcripts: dict[str, Transcripts]
    recipe: AsrRecipe
    history: dict[str, dict] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def scores(self) -> dict[str, dict]:
        """Method → what `score_transcripts` returned."""
        return self.results["scores"][self.split]

    def texts(self, method: str) -> tuple[list[str], list[str]]:
        """Normalised references and hypotheses, as they were scored."""
        given, rows = self.scores[method]["normalisation"], self.transcripts[method].rows.values()
        return tuple([normalise(row[name] or "", **given) for row in rows] for name in ("text", HYPOTHESIS))


def read_transcript_runs(folders: Sequence[Path]) -> list[TranscriptRun]:
    """The runs of a report.

    Raises:
        CheckpointError: as `named_folders`, or one that is no finished run of speech recognition.
    """
    return [_read(folder, name) for folder, name in named_folders(folders)]


def _read(folder: Path, name: str) -> TranscriptRun:
    results = read_results(folder)
    if results.get("task") != TASK:
        raise CheckpointError(f"{folder} is no run of speech recognition; a page shows runs of one kind")
    split = min(results["scores"], key=lambda one: FIRST.index(one) if one in FIRST else len(FIRST))
    files = {method: folder / "transcripts" / found["hypothesis"] for method, found in results["scores"][split].items()}
    history, skipped = folder / "history.json", folder / "skipped.csv"
    return TranscriptRun(
        folder=folder,
        name=name,
        results=results,
        split=split,
        transcripts={method: read_transcripts(path) for method, path in files.items()},
        recipe=make_asr_recipe(yaml.safe_load((folder / "recipe.yaml").read_text("utf-8")), "recipe.yaml"),
        history={"": json.loads(history.read_text("utf-8"))} if history.is_file() else {},
        skipped=read_skipped(skipped) if skipped.is_file() else [],
    )
