"""What an ABX grid leaves behind: grid.csv, abx.json, a heat map per pooling, and summary.md to read."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from hf_dialects.abx_grid import Grid, Question
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.report.abx_figures import heat_map

SHOWN = ("layer", "snippet", "pooling", "score", "error_rate", "interval", "by chance", "p", "p_adjusted", "items")

NOTE = """Intervals and permutations are over whole {groups}. `p adjusted` is corrected for looking at the whole grid
(largest of all settings in each permutation); no row is chosen. Chance is 0.5, or where the column `by chance` says."""


def write_grid(grid: Grid, question: Question, folder: Path, facts: Mapping) -> list[Path]:
    """Write all files of a grid.

    Args:
        facts: what else abx.json holds: "groups", "seed", "data", "skipped", "environment" ….

    Returns:
        The files: grid.csv, abx.json with the matrix of every setting, heatmap-{pooling}.svg, summary.md.
    """
    table = grid.table
    matrices = [
        {**asdict(setting), "name": str(setting), "values": entry["values"], "scores": entry["scores"]}
        for setting, entry in zip(grid.settings, grid.entries, strict=True)
    ]
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    content = {"schema": 1, "question": asdict(question), "grid": rows, "matrices": matrices, **facts}
    figures = {f"heatmap-{name}.svg": heat_map(table, name, _lengths(table)) for name in table["pooling"].unique()}
    with disk_space(folder, KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / "grid.csv", index=False)
        write_json(folder / "abx.json", content)
        for name, figure in figures.items():
            (folder / name).write_text(figure, encoding="utf-8")
        summary = _summary(table, question, facts, list(figures))
        (folder / "summary.md").write_text(summary, encoding="utf-8")
    return [folder / name for name in ("grid.csv", "abx.json", *figures, "summary.md")]


def question_text(question: Question) -> str:
    """The question in words."""
    parts = [f"A and X share {question.on}, B has another"]
    if question.by:
        parts.append(f"all three share {_and(question.by)}")
    if question.across:
        parts.append(f"X differs from A and B in {_and(question.across)}")
    if question.differ:
        parts.append(f"all three differ in {_and(question.differ)}")
    if question.min_gap_s:
        parts.append(f"snippets of one recording lie {question.min_gap_s:g} s apart")
    return f"{'; '.join(parts)}. {question.distance.capitalize()} distance, mean over {_means(question)}."


def grid_rows(table: pd.DataFrame) -> list[list[str]]:
    """Head and rows of the table for people."""
    rows = [[name.replace("_", " ") for name in SHOWN]]
    for _, row in table.iterrows():
        shown = row.to_dict() | {
            "interval": _ends(row["low"], row["high"]),
            "by chance": _ends(row["null_low"], row["null_high"]),
        }
        rows.append([_cell(shown[name]) for name in SHOWN])
    return rows


def matrix_rows(matrix: pd.DataFrame) -> list[list[str]]:
    """Head and rows of a matrix: the value of A and X in front, that of B above."""
    head = ["A, X \\ B", *map(str, matrix.columns)]
    return [head, *([str(name), *map(_cell, row)] for name, row in zip(matrix.index, matrix.to_numpy(), strict=True))]


def warnings(table: pd.DataFrame) -> list[str]:
    """Every warning once, with the number of settings it is about."""
    counts = table["warning"].dropna().str.split("; ").explode().value_counts(sort=False)
    return [one if n == len(table) else f"{one} ({n} of {len(table)} settings)" for one, n in counts.items()]


def _summary(table: pd.DataFrame, question: Question, facts: Mapping, figures: list[str]) -> str:
    head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in grid_rows(table)]
    lines = [f"# ABX: {question.on}", "", question_text(question), ""]
    if facts.get("groups"):
        lines += [NOTE.format(groups=f"{facts['groups']}s"), ""]
    if found := warnings(table):
        lines += ["**Mind:**", "", *(f"- {one}" for one in found), ""]
    lines += [f"![ABX scores by layer and length of snippets]({name})" for name in figures]
    lines += ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _lengths(table: pd.DataFrame) -> list[str]:
    """Names of lengths from short to long, "whole" at the end."""
    return sorted(
        table["snippet"].unique(), key=lambda name: (name == "whole", 0 if name == "whole" else float(name[:-1]))
    )


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)


def _means(question: Question) -> str:
    return "triples" if question.weighted else "cells, then pairs of values"


def _ends(low, high) -> str:
    return "–" if pd.isna(low) else f"[{low:.3f}, {high:.3f}]"


def _cell(value) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}"
    return "–" if value is None else str(value)
