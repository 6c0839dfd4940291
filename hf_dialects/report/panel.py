"""What the template shows of one run: tables, figures, and texts of numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_dialects.evaluation.tables import with_interval
from hf_dialects.metrics.calibration import reliability_table
from hf_dialects.report import figures, tables
from hf_dialects.report.curves import LOSSES, SCORES, curves, kept_epochs
from hf_dialects.report.maps import ClipMap
from hf_dialects.report.palette import DISTINCT, numbered
from hf_dialects.report.run_corpus import RunCorpus
from hf_dialects.report.run_folder import RunFolder

CALIBRATION = ("ece", "nll", "brier")


@dataclass
class Material:
    """All that is known of one run.

    Attributes:
        corpus: None where it is out of reach.
        maps: of the clips, before and after training.
        clips: what `clip_list` returns.
        notes: what is missing, and why.
    """

    run: RunFolder
    corpus: RunCorpus | None = None
    maps: list[ClipMap] = field(default_factory=list)
    clips: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def mark_numbers(runs: Iterable[Material]) -> dict[str, dict[str, int]]:
    """Property → name → number for its mark, over all runs, so that a label looks the same in all of them."""
    names: dict[str, set] = {"dialect": set(), "cluster": set(), "speaker": set()}
    for one in runs:
        names["dialect"].update(one.run.labels)
        for drawn in one.maps:
            for name, values in drawn.properties.items():
                names[name].update(values)
    return {name: numbered(found) for name, found in names.items()}


def panel(material: Material, numbers: dict[str, dict[str, int]]) -> dict:
    """Values by the names that the template uses.

    Args:
        numbers: see `mark_numbers`.
    """
    run, corpus = material.run, material.corpus
    metrics = run.results["metrics"][run.split]
    return {
        "name": run.name,
        "split": run.split,
        "folds": len(run.folds),
        "description": run.recipe.description.strip() if run.recipe else "",
        "notes": material.notes,
        "warnings": tables.warnings(run),
        "headline": tables.headline(run),
        "intervals": figures.intervals_figure(tables.interval_rows(run, "accuracy"), "accuracy"),
        "confusion": tables.confusion(run, corpus),
        "dialects": tables.per_dialect(run, corpus),
        "maps": [_map(one, numbers) for one in material.maps],
        "legends": _legends(material.maps, numbers),
        "separation": _separation(material.maps),
        "calibration": {name: with_interval(metrics[name]) for name in CALIBRATION},
        "floor": metrics["ece"].get("floor"),
        "reliability": _reliability(run),
        "breakdowns": [_breakdown(*one) for one in tables.breakdowns(run, corpus).items()],
        "curves": _curves(run),
        "splits": tables.splits(run),
        "leakage": tables.leakage(run),
        "skipped": tables.skipped(run),
        "clips": material.clips,
        "selected_on": run.results["selected_on"],
        "seed": run.results["seed"],
        "environment": run.results["environment"],
        "fingerprint": run.results["data"]["fingerprint"],
    }


def number(value: float | None) -> str:
    """Three decimals, or a dash for what is unknown."""
    return "–" if value is None else f"{value:.3f}"


def _map(one: ClipMap, numbers: dict) -> dict:
    codes = {name: [numbers[name][value] for value in values] for name, values in one.properties.items()}
    titles = [" · ".join(texts) for texts in zip(one.ids, *one.properties.values(), strict=True)]
    what = f"t-SNE map of {len(one.ids)} clips {one.title}; the table below says how well it keeps dialects apart"
    figure = figures.scatter_figure(one.points, codes, titles, what)
    return {"title": one.title, "made": one.made, "n": len(one.ids), "figure": figure}


def _legends(maps: Sequence[ClipMap], numbers: dict) -> list[dict]:
    """One legend per property, the same for the maps before and after."""
    legends = []
    for name in maps[0].properties if maps else ():
        shown = sorted({value for one in maps for value in one.properties[name]})
        entries = [(value, numbers[name][value], figures.symbol(numbers[name][value])) for value in shown]
        legends.append({"property": name, "entries": entries, "repeats": len(numbers[name]) > DISTINCT})
    return legends


def _separation(maps: Sequence[ClipMap]) -> list[dict]:
    """One row per property with silhouette and purity of each map."""
    rows = []
    for name in maps[0].separation if maps else ():
        found = [one.separation[name] for one in maps]
        silhouettes, purities = [number(one.silhouette) for one in found], [number(one.purity) for one in found]
        row = {"property": name, "silhouettes": silhouettes, "purities": purities}
        rows.append(row | {"chance": number(found[-1].chance)})
    return rows


def _reliability(run: RunFolder):
    labelled = np.flatnonzero(run.predictions.gold >= 0)
    found = reliability_table(run.predictions.probabilities[labelled], run.predictions.gold[labelled])
    return figures.reliability_figure(found)


def _breakdown(column: str, rows: Sequence[dict]) -> dict:
    ends = ("value", "low", "high")
    drawn = [{"name": row["value"], "model": True, **{end: row["accuracy"][end] for end in ends}} for row in rows]
    texts = [
        {"accuracy_text": with_interval(row["accuracy"]), "f1_text": with_interval(row["macro_f1"])} for row in rows
    ]
    shown = [row | text for row, text in zip(rows, texts, strict=True)]
    return {"column": column, "rows": shown, "figure": figures.intervals_figure(drawn, "accuracy")}


def _curves(run: RunFolder) -> list[tuple]:
    """(title, figure, key, whether a kept checkpoint is marked) of losses and scores, as far as they were logged."""
    best, found = kept_epochs(run), []
    for title, axis, names, top in (("Loss", "cross-entropy", LOSSES, None), ("Scores", "score", SCORES, 1.0)):
        if lines := curves(run, names):
            found.append((title, figures.curves_figure(lines, axis, best, top), figures.key(list(lines)), bool(best)))
    return found
