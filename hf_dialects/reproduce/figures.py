"""The figures of SALVI as data, pictures and numbers: what contrastive pre-training separates, and who is confused.

N test recordings, C dialects.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from transformers import set_seed

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.results import read_results
from hf_dialects.extras import has
from hf_dialects.metrics.mantel import great_circle_km, mantel, mutual_confusion
from hf_dialects.metrics.separation import separation
from hf_dialects.report.embedding import tsne
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.run_separation import embed_rows
from hf_dialects.reproduce.salvi import OBJECTIVES, PLAIN
from hf_dialects.saving import load_for_inference
from hf_dialects.training.build import build_model
from hf_dialects.training.screened import Screened

PRETRAINED = "stage-1-pretraining"
BEST = "multi_similarity-auxiliary"  # of the paper, fixed beforehand


def make_figures(
    cells: Sequence[Cell], data: Screened, seeds: int, out: Path, shared: tuple[str, ...] = ()
) -> list[str]:
    """Write figure-1 and figure-2 (.csv, .json, and .png where matplotlib is installed) from finished runs.

    Maps are of seed 0, numbers of all seeds. Only test recordings are looked at.

    Args:
        cells: of table 3.
        data: of the first split.

    Returns:
        lines for the table: the claims as numbers, and what is missing.
    """
    rows, folder = data.splits["test"], out / "split-0"
    notes = []
    panels = {"original": [_original(cells, data, shared, rows)]}
    for objective, title in OBJECTIVES.items():
        models = [folder / f"{objective}-pretraining" / f"seed-{seed}" / PRETRAINED / "model" for seed in range(seeds)]
        panels[f"{title}, pre-trained"] = [
            embed_rows(*load_for_inference(model), rows) for model in models if model.is_dir()
        ]
    notes.append(write_figure("figure-1", panels, data.labels, out))
    runs = [folder / BEST / f"seed-{seed}" for seed in range(seeds)]
    runs = [run for run in runs if (run / "results.json").is_file()]
    if not runs:
        return [*notes, f"figure-2: {BEST} has no finished run."]
    after = [embed_rows(*load_for_inference(run / "model"), rows) for run in runs]
    counts = [np.array(read_results(run)["confusion"]["test"]) for run in runs]
    notes.append(
        write_figure("figure-2", {f"{OBJECTIVES['multi_similarity']}, auxiliary": after}, data.labels, out, counts[0])
    )
    notes.append(geography(sum(counts), data, out))
    return notes


def geography(counts: np.ndarray, data: Screened, out: Path) -> str:
    """Whether dialects of near places are taken for each other: a Mantel test, written to mantel.json.

    Args:
        counts: (C, C) confusion, gold in rows.
    """
    places = centres(data)
    kept = [row for row, place in enumerate(places) if place is not None and counts[row].sum() > 0]
    if len(kept) < 4:
        return "Mantel: not run, the corpus has coordinates of fewer than four dialects."
    distances = great_circle_km(*zip(*(places[row] for row in kept), strict=True))
    try:
        found = mantel(mutual_confusion(counts[np.ix_(kept, kept)]), distances, alternative="less")
    except DialectError as error:
        return f"Mantel: not run, {error}."
    answer = asdict(found) | {"dialects": [data.labels[row] for row in kept], "alternative": "nearer, more confused"}
    (out / "mantel.json").write_text(json.dumps(answer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return (
        f"Mantel: confusion against distance of {len(kept)} dialects, rank correlation {found.correlation:+.3f}, "
        f"p = {found.p:.4f} (one-sided: nearer dialects are confused more), {found.permutations} permutations."
    )


def centres(data: Screened) -> list[tuple[float, float] | None]:
    """Mean latitude and longitude of the sites of every dialect over all splits, None where unknown."""
    sites: dict[int, set] = {}
    for rows in data.splits.values():
        if not {"latitude", "longitude"} <= set(rows.column_names):
            return [None] * len(data.labels)
        places = zip(column_values(rows, "latitude"), column_values(rows, "longitude"), strict=True)
        for dialect, place in zip(rows["dialect"], places, strict=True):
            if dialect is not None and None not in place:
                sites.setdefault(dialect, set()).add(place)
    found = [sites.get(dialect) for dialect in range(len(data.labels))]
    return [tuple(np.mean(sorted(one), axis=0).tolist()) if one else None for one in found]


def _original(cells: Sequence[Cell], data: Screened, shared: tuple[str, ...], rows):
    """Vectors of the encoder as it was before any training."""
    recipe = next(cell for cell in cells if cell.name == PLAIN).resolved(0, shared)
    set_seed(recipe.seed)
    model, extractor = build_model(recipe.model, data.labels, data.clusters)
    return embed_rows(model.eval(), extractor, rows)


def write_figure(
    name: str, panels: dict, labels: list[str], out: Path, counts: np.ndarray | None = None, of: str = "dialect"
) -> str:
    """Write maps of embeddings as NAME.csv, NAME.json and NAME.png; returns their claims as a line.

    Args:
        panels: title → [(vectors (N, P), groups) of each run], the first of which is drawn.
        labels: what `groups.gold` counts, named `of`.
        counts: (C, C) confusion, drawn beside.
    """
    points, numbers = {}, {}
    for title, found in panels.items():
        if found:
            vectors, groups = found[0]
            points[title] = (groups, tsne(vectors))
            each = [separation(v, {of: g.gold.tolist()}, g.values.tolist())[of] for v, g in found]
            numbers[title] = [asdict(one) for one in each]
    with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "id", of, "x", "y"])
        for title, (groups, places) in points.items():
            for id, gold, (x, y) in zip(groups.ids, groups.gold, places, strict=True):
                writer.writerow([title, id, labels[gold], f"{x:.4f}", f"{y:.4f}"])
    confusion = None if counts is None else counts.tolist()
    content = {"separation": numbers, "labels": labels, "confusion": confusion}
    (out / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if has("matplotlib"):
        from hf_dialects.reproduce.plots import draw

        draw(out / f"{name}.png", {title: (g.gold, places) for title, (g, places) in points.items()}, labels, counts)
    return f"{name}: " + "; ".join(f"{title} {_claim(panels[title], numbers.get(title))}" for title in panels) + "."


def _claim(found: list, numbers: list[dict] | None) -> str:
    if not numbers:
        return "not run"
    texts = []
    for name in ("silhouette", "purity"):
        values = [one[name] for one in numbers if one[name] is not None]
        texts.append(f"{name} {np.mean(values):.3f}" if values else f"{name} unknown")
    return ", ".join(texts) + (f" ({len(found)} seeds)" if len(found) > 1 else "")
