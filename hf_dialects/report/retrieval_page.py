"""The page of a retrieval: what it found, and the misses to listen to: query, retrieved and right utterance."""

from pathlib import Path

import pandas as pd
from markupsafe import Markup
from tqdm.auto import tqdm

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.report import clips
from hf_dialects.report.retrieval_figures import heat_map
from hf_dialects.report.retrieval_misses import drawn, heard, misses, page_data
from hf_dialects.report.retrieval_report import cautions, question_text
from hf_dialects.report.templates import filled
from hf_dialects.retrieval.result import HEADLINE
from hf_dialects.retrieval.tables import percent
from hf_dialects.retrieval_source import Found

MISSES = 200


def write_page(
    found: Found,
    layers: pd.DataFrame,
    dataset,
    folder: Path,
    most: int = MISSES,
    seed: int = 0,
    draws: int = 2000,
    progress: bool = True,
) -> Path:
    """Write retrieval.html about the layer that is shown.

    With sound above 20 MB, clips lie in the folder "retrieval_audio" beside the page.

    Args:
        layers: what `layer_table` returns.
        dataset: the corpus of which `found.pool` names the rows.
        most: misses on the page; of more some are drawn.
        seed, draws: of this choice, and of the interval.
    """
    result = found.results[found.shown]
    every = misses(found.scores, result.parallel)
    chosen = drawn(every, most, seed)
    numbers = heard(chosen)
    data = page_data(found, chosen)
    place = {int(found.pool.rows[number]): position for position, number in enumerate(numbers)}
    sounds = clips.sounds_of(dataset, tqdm(place, desc="encoding clips", unit="clip", disable=not progress))
    data["sound"] = {place[row]: sound.key for row, sound in sounds.items()}
    page = folder / "retrieval.html"
    controls = percent(result.controls)
    with disk_space(page, KEPT):
        sound = clips.place({sound.key: sound.file for sound in sounds.values()}, page)
        text = filled(
            "retrieval.html.jinja",
            styles=("report.css", "retrieval.css"),
            scripts=("retrieval.js",),
            question=question_text(found),
            between=found.question.between,
            layer=found.shown,
            interval=str(result.interval(n=draws, seed=seed)),
            cautions=cautions(found, layers[layers["layer"] == found.shown]),
            notes=result.notes,
            n_misses=len(every),
            n_queries=len(result.source),
            columns=list(controls.columns),
            controls=list(zip(controls.index, controls.to_numpy().tolist(), strict=True)),
            figures=[
                Markup(heat_map(table, f"{HEADLINE} in percent, {name} by {name}"))
                for name, table in (("group", result.matrix), ("site", result.between_sites()))
                if len(table) > 1
            ],
            data=data,
            sound=sound,
        )
        page.write_text(text, encoding="utf-8")
    return page
