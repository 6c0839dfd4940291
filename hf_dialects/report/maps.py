"""The maps of clips before and after training, with the numbers beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_dialects.inference import Predictions
from hf_dialects.report.clip_list import speakers_of
from hf_dialects.report.embedding import Separation, sample, separation, standardised, tsne
from hf_dialects.report.run_corpus import RunCorpus
from hf_dialects.report.run_folder import RunFolder
from hf_dialects.report.vectors import before_and_after

FEWEST = 10  # clips that make a map
UNKNOWN = "(unknown)"


@dataclass(frozen=True)
class ClipMap:
    """One map.

    Attributes:
        title, made: see `vectors.Vectors`.
        ids: N ids.
        points: (N, 2).
        properties: "dialect", "cluster" and "speaker", those that are known → N names.
        separation: property → how well the embeddings keep it apart.
    """

    title: str
    made: str
    ids: list[str]
    points: np.ndarray
    properties: dict[str, list[str]]
    separation: dict[str, Separation]


def clip_maps(run: RunFolder, corpus: RunCorpus, most: int, seed: int = 0, progress: bool = True) -> list[ClipMap]:
    """Maps of at most `most` labelled clips of the scored split; for folds of the first fold, whose model drew them.

    Returns:
        before and after training; empty where there are fewer than `FEWEST` clips.

    Raises:
        CheckpointError: the run has no dialect model.
    """
    known = np.flatnonzero(run.predictions.gold >= 0)
    if run.folds:
        heard = _ids_of_first_fold(run)
        known = np.array([row for row in known if run.predictions.ids[row] in heard], dtype=np.int64)
    rows = known[sample([run.predictions.ids[row] for row in known], most, seed)]
    if len(rows) < FEWEST:
        return []
    speakers = speakers_of(run, corpus)
    place = {run.predictions.ids[row]: row for row in rows}
    maps = []
    for found in before_and_after(run, corpus.scored.select(rows), progress):
        kept = [place[id] for id in found.ids]
        properties = _properties(run, kept, speakers)
        values = standardised(found.values)
        of_speakers = [speakers[row] for row in kept]
        known_values = {
            name: [None if one == UNKNOWN else one for one in of_rows] for name, of_rows in properties.items()
        }
        apart = separation(values, known_values, of_speakers)
        maps.append(ClipMap(found.title, found.made, found.ids, tsne(values, seed), properties, apart))
    return maps


def _ids_of_first_fold(run: RunFolder) -> set[str]:
    return set(Predictions.read(run.folds[0] / "predictions" / f"{run.split}.parquet").ids)


def _properties(run: RunFolder, rows: list[int], speakers: list[str | None]) -> Mapping[str, list[str]]:
    dialects = [run.labels[run.predictions.gold[row]] for row in rows]
    found = {"dialect": dialects}
    if run.clusters and len(set(run.clusters.values())) > 1:
        found["cluster"] = [run.clusters[dialect] for dialect in dialects]
    if any(speaker is not None for speaker in speakers):
        found["speaker"] = [UNKNOWN if speakers[row] is None else speakers[row] for row in rows]
    return found
