"""What the data map of a run says of every recording, read from the run folder.

Dimensions: N recordings of the map, C dialects.
"""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.data.corrections import Correction, read_corrections
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.evaluation.label_errors import ConfidentLearning, confident_learning, map_score, most_probable_other
from hf_dialects.evaluation.results import read_results
from hf_dialects.inference import Predictions
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.dynamics import OUT_OF_FOLD
from hf_dialects.training.regions import REGIONS
from hf_dialects.training.run_folder import CORRECTIONS

UNKNOWN = -1
NO_FOLDS = (
    "Confident learning is left out. It compares labels with what models say that never trained on the recording, and "
    "this run predicted none of its training recordings so. hf-dialects train --folds 5 makes such a run: every "
    "recording is predicted by a model that never heard its speaker."
)
MEMORISED = (
    "The probabilities are of a model that trained on these very recordings and labels: what it memorised, wrong "
    "labels among them, looks easy. For a list of label errors take hf-dialects train --folds 5 "
    "training.record_dynamics=out_of_fold."
)


@dataclass
class MapTable:
    """The recordings of a data map, in its order.

    Attributes:
        name: of the run.
        labels: C names of the dialects.
        map: the data map.
        regions: (N,) of "easy", "ambiguous" and "hard".
        by: rule that the regions were really made by.
        map_score: (N,), see `label_errors.map_score`.
        confident: None where there are no out-of-fold predictions, or no library.
        suggested: (N,) int64, the most probable other dialect out of fold; -1 = unknown.
        corrections: those that the run was trained with.
        notes: what is missing or doubtful, and why.
    """

    name: str
    labels: list[str]
    map: DataMap
    regions: np.ndarray
    by: str
    map_score: np.ndarray
    confident: ConfidentLearning | None
    suggested: np.ndarray
    corrections: list[Correction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def orders(self) -> dict[str, np.ndarray]:
        """Name of a ranking → positions (N,), the most doubtful label first; of equals the steadier one, then by id."""
        steady = (self.map.ids.astype(str), self.map.variability)
        orders = {"map": np.lexsort((*steady, -self.map_score))}
        if self.confident is not None:
            orders["confident_learning"] = np.lexsort((*steady, -self.confident.ranking))
        return orders

    def frame(self) -> pd.DataFrame:
        """One row per recording: id, dialect, region, confidence, variability, correctness, epochs, map_score; with
        out-of-fold predictions also confident_learning, flagged and suggested."""
        names = np.array(self.labels, dtype=object)
        columns = {"id": self.map.ids, "dialect": names[self.map.gold], "region": self.regions}
        columns |= {name: getattr(self.map, name) for name in ("confidence", "variability", "correctness", "epochs")}
        columns |= {"map_score": self.map_score}
        if self.confident is not None:
            columns |= {"confident_learning": self.confident.score, "flagged": self.confident.flagged}
            columns |= {"suggested": names[self.suggested]}
        return pd.DataFrame(columns)

    def counts(self) -> dict[str, dict[str, int]]:
        """Dialect → region → number of recordings."""
        return {
            name: {region: int(((self.map.gold == label) & (self.regions == region)).sum()) for region in REGIONS}
            for label, name in enumerate(self.labels)
        }

    def to_dict(self) -> dict:
        """All of it as JSON holds it; columns under "recordings"."""
        totals = {region: int((self.regions == region).sum()) for region in REGIONS}
        flagged = None if self.confident is None else int(self.confident.flagged.sum())
        return {
            "schema": 1,
            "run": self.name,
            "labels": self.labels,
            "mode": self.map.mode,
            "epochs": int(self.map.dynamics["epoch"].nunique()),
            "regions_by": self.by,
            "regions": totals,
            "per_dialect": self.counts(),
            "flagged": flagged,
            "suspects": {name: self.map.ids[order[:100]].tolist() for name, order in self.orders.items()},
            "notes": self.notes,
            "recordings": {name: values.tolist() for name, values in self.frame().items()},
        }


def read_table(run: str | Path, warm_up: int = 0, by: str = "thresholds") -> MapTable:
    """The data map of a run with its rankings of doubtful labels.

    Args:
        run: folder of a run, a fold or a stage that holds dynamics.parquet.
        warm_up: first epochs to leave out.
        by: how regions are made, "thresholds" or "quantiles".

    Raises:
        CheckpointError: no dynamics, or nothing names the dialects.
        RecipeError: another `by`, or no epoch is left.
    """
    run, notes = Path(run), []
    found = DataMap.from_run(run, warm_up)
    labels = _labels(run)
    if found.gold.max() >= len(labels):
        raise CheckpointError(
            f"{run} has dynamics of label {found.gold.max()} but names {len(labels)} dialects: they are of two runs"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        regions = found.regions(by)
    notes += [_sentence(str(one.message)) for one in caught]
    if found.mode != OUT_OF_FOLD:
        notes.append(MEMORISED)
    confident, suggested = _confident(run, found, len(labels), notes)
    return MapTable(
        name=run.resolve().name,
        labels=labels,
        map=found,
        regions=regions,
        by="quantiles" if caught else by,
        map_score=map_score(found.confidence),
        confident=confident,
        suggested=suggested,
        corrections=read_corrections(run / CORRECTIONS) if (run / CORRECTIONS).is_file() else [],
        notes=notes,
    )


def _labels(run: Path) -> list[str]:
    """From results.json, or of a stage from its model."""
    if (run / "results.json").is_file():
        return read_results(run)["labels"]
    config = run / "model" / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{run} has neither results.json nor model/config.json: let the run come to its end")
    names = json.loads(config.read_text("utf-8"))["id2label"]
    return [names[str(number)] for number in range(len(names))]


def _confident(
    run: Path, found: DataMap, n_classes: int, notes: list[str]
) -> tuple[ConfidentLearning | None, np.ndarray]:
    """Confident learning, and the most probable other dialects, out of fold; notes say what is missing."""
    nothing = np.full(len(found.ids), UNKNOWN)
    path = run / "predictions" / "test.parquet"
    if not any(run.glob("fold-*")) or not path.is_file():
        notes.append(NO_FOLDS)
        return None, nothing
    predictions = Predictions.read(path)
    place = {id: row for row, id in enumerate(predictions.ids)}
    missing = sum(id not in place for id in found.ids)
    if missing or predictions.probabilities.shape[1] != n_classes:
        notes.append(f"Confident learning is left out: {missing} recordings of the map have no out-of-fold prediction.")
        return None, nothing
    probabilities = predictions.probabilities[[place[id] for id in found.ids]]
    suggested = most_probable_other(found.gold, probabilities)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            judged = confident_learning(found.gold, probabilities)
    except (DialectError, ImportError) as error:
        notes.append(f"Confident learning is left out: {error}.")
        return None, suggested
    notes += [_sentence(f"confident learning: {one.message}") for one in caught if one.category is UserWarning]
    return judged, suggested


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
