"""The figures of Map-Mix as data, pictures and numbers.

N test recordings, C dialects.
"""

import csv
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from hf_dialects.evaluation.results import read_results
from hf_dialects.evaluation.scores import cluster_codes
from hf_dialects.extras import has
from hf_dialects.report.embedding import sample
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.figures import write_figure
from hf_dialects.reproduce.map_mix import PLAIN
from hf_dialects.reproduce.map_mix_curves import write_curves
from hf_dialects.reproduce.run_separation import embed_rows
from hf_dialects.saving import load_for_inference
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.dynamics import DYNAMICS
from hf_dialects.training.regions import REGIONS
from hf_dialects.training.screened import Screened

MAP_MIX = "map_mix"
OF_PAPER = "ara-arz"  # the dialect of its figure 1
MOST = 2000  # test recordings on a map


def make_figures(table: str, cells: Sequence[Cell], data: Screened, n_splits: int, seeds: int, out: Path) -> list[str]:
    """Write figure-1 (data map of one dialect), figure-3 and figure-4 (test recordings by cluster and by dialect),
    figure-5 (confusion) and TABLE-curves (.csv, .json, and .png where matplotlib is installed) from finished runs.

    Maps are of seed 0, numbers of all seeds; all but the curves of the first split.

    Returns:
        lines for the table: the claims as numbers, and what is missing.
    """
    folder = out / "split-0"
    notes = [datamap(folder / PLAIN / "seed-0", data.labels, out)]
    runs = [folder / MAP_MIX / f"seed-{seed}" for seed in range(seeds)]
    runs = [run for run in runs if (run / "results.json").is_file()]
    codes = cluster_codes(data.labels, data.clusters)
    if runs:
        notes += embeddings(runs, data, codes, out)
        counts = sum(np.array(read_results(run)["confusion"]["test"]) for run in runs)
        notes.append(confusion(counts, data.labels, codes, out))
    else:
        notes.append(f"figures 3 to 5: {MAP_MIX} has no finished run.")
    return [*notes, write_curves(cells, n_splits, seeds, out, f"{table}-curves")]


def datamap(run: Path, labels: Sequence[str], out: Path, dialect: str | None = None) -> str:
    """Figure 1: the data map of one dialect; the table has all of them.

    Args:
        run: that recorded training dynamics.
        dialect: by default that of the paper's figure, else the one with most ambiguous examples.
    """
    if not (run / DYNAMICS).is_file():
        return f"figure-1: {run.parent.name} has no finished run."
    found = DataMap.from_run(run)
    options = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["training"].get("regions") or {}
    region, rule = regions_and_rule(found, **options)
    names = np.array(labels, dtype=object)[found.gold]
    table = pd.DataFrame({"id": found.ids, "dialect": names, "region": region})
    for name in ("confidence", "variability", "correctness"):
        table[name] = getattr(found, name)
    table.to_csv(out / "figure-1.csv", index=False)
    counts = pd.crosstab(table["dialect"], table["region"]).reindex(columns=list(REGIONS), fill_value=0)
    if dialect is None:
        dialect = OF_PAPER if OF_PAPER in counts.index else counts["ambiguous"].idxmax()
    content = {"dialect": dialect, "rule": rule, "regions": counts.to_dict("index")}
    (out / "figure-1.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if has("matplotlib"):
        from hf_dialects.reproduce.plots import draw_regions

        shown = names == dialect
        points = np.stack([found.variability, found.confidence], 1)
        draw_regions(out / "figure-1.png", dialect, points[shown], region[shown])
    texts = [", ".join(f"{one[name]} {name}" for name in REGIONS) for one in (counts.loc[dialect], counts.sum())]
    return f"figure-1: data map of {dialect}: {texts[0]}; of all dialects: {texts[1]} (regions by {rule})."


def regions_and_rule(found: DataMap, **options) -> tuple[np.ndarray, str]:
    """Regions (N,), and by what rule: "thresholds", "quantiles", or the second in place of the first."""
    with warnings.catch_warnings(record=True) as given_up:
        warnings.simplefilter("always")
        region = found.regions(**options)
    rule = options.get("by", "thresholds")
    return region, f"quantiles: {given_up[0].message}" if given_up else rule


def embeddings(runs: Sequence[Path], data: Screened, codes: np.ndarray | None, out: Path) -> list[str]:
    """Figures 3 and 4: t-SNE of Map-Mix's embeddings of test recordings.

    Args:
        codes: (C,) cluster of each dialect, None where there are none to tell apart.
    """
    rows = data.splits["test"]
    rows = rows.select(sample(list(rows["id"]), MOST))
    found = [embed_rows(*load_for_inference(run / "model"), rows) for run in runs]
    notes = ["figure-3: the corpus has no two clusters."]
    if codes is not None:
        names = sorted(set(data.clusters.values()))
        by_cluster = [(vectors, replace(groups, gold=codes[groups.gold])) for vectors, groups in found]
        notes = [write_figure("figure-3", {"Map-Mix, clusters": by_cluster}, names, out, of="cluster")]
    return [*notes, write_figure("figure-4", {"Map-Mix, dialects": found}, data.labels, out)]


def confusion(counts: np.ndarray, labels: Sequence[str], codes: np.ndarray | None, out: Path) -> str:
    """Figure 5: confusion ordered by cluster, and how many of the errors stay inside.

    Args:
        counts: (C, C) test recordings, gold in rows.
    """
    clusters = np.zeros(len(labels), dtype=int) if codes is None else codes
    order = np.lexsort((labels, clusters))
    counts, labels = counts[np.ix_(order, order)], [labels[row] for row in order]
    share, chance = errors_inside(counts, clusters[order])
    content = {"labels": labels, "clusters": clusters[order].tolist(), "confusion": counts.tolist()}
    content |= {"errors_inside_cluster": share, "by_chance": chance}
    (out / "figure-5.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with (out / "figure-5.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("dialect", *labels), *((label, *row) for label, row in zip(labels, counts.tolist(), strict=True))]
        )
    if has("matplotlib"):
        from hf_dialects.reproduce.plots import draw

        draw(out / "figure-5.png", {}, labels, counts)
    if codes is None:
        return "figure-5: the corpus has no two clusters."
    if share is None:
        return "figure-5: there are no errors."
    return (
        f"figure-5: {share:.1%} of the errors stay inside the cluster, {chance:.1%} if they fell on any other dialect."
    )


def errors_inside(counts: np.ndarray, clusters: np.ndarray) -> tuple[float | None, float | None]:
    """Share of the errors whose predicted dialect is in the cluster of the gold one, and what it would be if every
    error fell on each of the other dialects alike; None without errors.

    Args:
        counts: (C, C), gold in rows.
        clusters: (C,).
    """
    siblings = (clusters[:, None] == clusters) & ~np.eye(len(clusters), dtype=bool)
    errors = counts * ~np.eye(len(clusters), dtype=bool)
    if not errors.sum():
        return None, None
    expected = errors.sum(1) @ siblings.sum(1) / (len(clusters) - 1)
    return float((errors * siblings).sum() / errors.sum()), float(expected / errors.sum())
