"""The page of a data map: to see where recordings lie, to hear them, and to decide what is wrong with their labels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from tqdm.auto import tqdm

from hf_dialects.errors import DialectError
from hf_dialects.evaluation.environment import anonymous
from hf_dialects.report import clips
from hf_dialects.report.datamap_data import audible, chosen, page_data, rows_of, speakers_of_map
from hf_dialects.report.datamap_table import MapTable, read_table
from hf_dialects.report.run_corpus import joined_corpus
from hf_dialects.report.templates import filled
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.regions import REGIONS

CLIPS, POINTS = 200, 50_000


@dataclass
class DatamapReport:
    """What was written.

    Attributes:
        path: of the page; the tables lie beside it under the same name, with the suffixes .csv and .json.
        table: what it is about.
        heard: number of recordings that can be heard on it.
    """

    path: Path
    table: MapTable
    heard: int


def write_datamap(
    run: str | Path,
    out: str | Path | None = None,
    data: str | None = None,
    warm_up: int = 0,
    by: str = "thresholds",
    with_audio: bool = True,
    n_clips: int = CLIPS,
    n_points: int = POINTS,
    seed: int = 0,
    progress: bool = True,
) -> DatamapReport:
    """Write the page of a run's data map, and its table as CSV and JSON.

    Where the corpus is out of reach the page has neither speakers nor sound, and says so. With sound above 20 MB, clips
    lie in the folder "{out}_audio" beside the page.

    Args:
        run: folder that holds dynamics.parquet.
        out: file of the page; None = datamap.html in the run folder.
        data: corpus of the run; None takes what its recipe names.
        warm_up, by: see `datamap_table.read_table`.
        with_audio: put recordings into the page, in Opus.
        n_clips: how many at most, mostly those with the most doubtful labels.
        n_points: recordings on the page at most; the tables hold all.
        seed: of the choice of recordings.

    Raises:
        CheckpointError: no dynamics.
    """
    run = Path(run)
    out = Path(out) if out is not None else run / "datamap.html"
    table = read_table(run, warm_up, by)
    rows = chosen(table, n_points, seed)
    speakers, heard, sounds = _recordings(run, table, rows, data, with_audio * n_clips, seed, progress)
    if len(rows) < len(table.map.ids):
        table.notes.append(
            f"The page shows {len(rows)} of {len(table.map.ids)} recordings: the most doubtful ones and "
            f"others drawn by their ids. {out.stem}.csv has all."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    text = render(table, rows, speakers, heard, clips.place(sounds, out))
    out.write_text(text, encoding="utf-8")
    table.frame().to_csv(out.with_suffix(".csv"), index=False, float_format="%.6g")
    out.with_suffix(".json").write_text(json.dumps(table.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
    return DatamapReport(out, table, len(heard))


def render(
    table: MapTable, rows: np.ndarray, speakers: list, heard: Mapping[int, str], sound: Mapping[str, str]
) -> str:
    """The page's text.

    Args:
        rows: positions of the recordings on the page.
        speakers: of all recordings of the map, None where unknown.
        heard: place among `rows` → key of its sound.
        sound: what `clips.place` returns.
    """
    counts = table.counts()
    per_dialect = [(name, [found[region] for region in REGIONS]) for name, found in counts.items()]
    totals = [sum(found[region] for found in counts.values()) for region in REGIONS]
    return filled(
        "datamap.html.jinja",
        styles=("report.css", "datamap.css"),
        scripts=("datamap_plot.js", "datamap_corrections.js", "datamap.js"),
        table=table,
        regions=REGIONS,
        per_dialect=[row for row in per_dialect if sum(row[1])],
        totals=totals,
        shown=len(rows),
        with_speakers=any(speaker is not None for speaker in speakers),
        data=page_data(table, rows, speakers) | {"sound": heard},
        sound=sound,
    )


def _recordings(
    run: Path, table: MapTable, rows: np.ndarray, data: str | None, n_clips: int, seed: int, progress: bool
) -> tuple[list, dict[int, str], dict[str, bytes]]:
    """(speakers of all recordings, place among `rows` → key, key → sound); notes say what is missing."""
    recipe = run / "recipe.yaml"
    try:
        known = make_recipe(yaml.safe_load(recipe.read_text("utf-8")), recipe.name) if recipe.is_file() else None
        corpus = joined_corpus(known, data)
        found, speakers = rows_of(table, corpus), speakers_of_map(table, corpus)
    except (DialectError, OSError) as error:
        reason = anonymous((str(error).splitlines() or [type(error).__name__])[0])
        table.notes.append(f"Without the recordings there are neither speakers nor sound: {reason}")
        return [None] * len(table.map.ids), {}, {}
    heard = audible(table, rows, n_clips, seed) if n_clips else rows[:0]
    bar = tqdm(heard, desc="encoding clips", unit="clip", disable=not progress)
    sounds = clips.sounds_of(corpus, (int(found[row]) for row in bar))
    place = {int(found[row]): place for place, row in enumerate(rows)}
    keys = {place[position]: sound.key for position, sound in sounds.items()}
    return speakers, keys, {sound.key: sound.file for sound in sounds.values()}
