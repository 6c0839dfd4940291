"""Scores of parts of a corpus: by gender, device, place, duration or any other column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.groups import find_groups, positions_of
from hf_dialects.evaluation.scores import DRAWS, cluster_codes, intervals
from hf_dialects.evaluation.tables import aligned, with_interval

if TYPE_CHECKING:
    from hf_dialects.inference import Predictions

UNKNOWN = "(unknown)"
SECONDS = (1, 2, 4, 8, 16)  # edges of `duration`
QUANTILES = 4  # parts of any other column of numbers with more values than CATEGORIES
CATEGORIES = 8
METRICS = ("accuracy", "macro_f1", "weighted_f1", "cluster_accuracy", "c_avg", "eer")
SHOWN = METRICS[:4]  # in the terminal


def breakdown(
    predictions: Predictions,
    rows,
    by: Sequence[str],
    labels: Sequence[str],
    clusters: Mapping[str, str] | None = None,
    minimum: int = 20,
    draws: int = DRAWS,
    seed: int = 0,
    seconds: Sequence[float] = SECONDS,
) -> list[dict]:
    """Scores, with intervals, of the utterances that share a value of a column.

    Durations are cut at 1, 2, 4, 8 and 16 s, other columns of numbers with more than 8 values into quarters. Macro F1,
    C_avg and EER are means over the dialects that a part holds: parts with other dialects are not strictly comparable,
    so their number stands beside.

    Args:
        predictions: of one split.
        rows: the corpus they were made on, `datasets.Dataset`; matched by `id`.
        by: columns, each broken down on its own.
        labels: names of the dialects.
        clusters: dialect → cluster; adds `cluster_accuracy`.
        minimum: utterances that a part needs to be called the worst.
        draws, seed: of the bootstrap.
        seconds: edges of `duration`, rising.

    Returns:
        One dict per column and value: "column", "value", "n", "speakers" (None where unknown), "dialects", "accuracy",
        "macro_f1", "weighted_f1", "c_avg", "eer", with clusters "cluster_accuracy" (entries as in `score`), and
        "worst": lowest accuracy among the parts of the column with a known value and at least `minimum` utterances;
        none where fewer than two are left.

    Raises:
        CorpusError: a column that the corpus does not have (names those it has), no gold label at all, or edges that
            do not rise.
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    if not seconds or any(low >= high for low, high in pairwise([0, *seconds])):
        raise CorpusError(f"edges of durations are {tuple(seconds)}; expected rising seconds above 0, such as 3,10,30")
    labelled = np.flatnonzero(predictions.gold >= 0)
    if not len(labelled):
        raise CorpusError(f"none of the {len(predictions.ids)} utterances has a gold label; there is nothing to score")
    gold, probabilities = predictions.gold[labelled], predictions.probabilities[labelled]
    ids = [predictions.ids[row] for row in labelled]
    positions = positions_of(rows, ids)
    parts_of = {
        column: parts(rows, column, positions, seconds) for column in by
    }  # before anything slow: names wrong columns
    speakers = column_values(rows, "speaker") if "speaker" in rows.column_names else [None] * len(rows)
    cluster_codes(labels, clusters)  # before anything slow, too
    groups = find_groups(rows, ids, gold)

    table = []
    for column, found in parts_of.items():
        of_column = []
        for value, members in found.items():
            known = {speakers[row] for row in positions[members]} - {None}
            entry = {
                "column": column,
                "value": value,
                "n": len(members),
                "speakers": len(known) or None,
                "dialects": len(np.unique(gold[members])),
            }
            of_column.append(
                entry
                | intervals(
                    probabilities[members], gold[members], groups.part(members), labels, clusters, METRICS, draws, seed
                )
                | {"worst": False}
            )
        _mark_worst(of_column, minimum)
        table += of_column
    return table


def describe_breakdown(table: Sequence[Mapping]) -> str:
    """The breakdown for the terminal, one table per column, the lowest accuracy marked."""
    blocks = []
    for column in dict.fromkeys(row["column"] for row in table):
        of_column = [row for row in table if row["column"] == column]
        metrics = [name for name in SHOWN if name in of_column[0]]
        lines = [
            [column, "n", "speakers", "dialects", *(name.replace("_f1", " F1").replace("_", " ") for name in metrics)]
        ]
        for row in of_column:
            notes = [row["accuracy"]["warning"], "lowest" if row["worst"] else None]
            lines.append(
                [
                    row["value"],
                    str(row["n"]),
                    "-" if row["speakers"] is None else str(row["speakers"]),
                    str(row["dialects"]),
                    *(with_interval(row[name]) for name in metrics),
                    "; ".join(filter(None, notes)),
                ]
            )
        blocks.append(aligned(lines))
    return "\n\n".join(blocks)


def parts(rows, column: str, positions: np.ndarray, seconds: Sequence[float] = SECONDS) -> dict[str, np.ndarray]:
    """Value or range → indices into `positions` of the utterances that have it, in order; unknown values last.

    `seconds` are the edges of the column `duration`.

    Raises:
        CorpusError: there is no such column, or it holds no values that can be told apart, such as audio.
    """
    everything = column_values(rows, column)
    values = [everything[row] for row in positions]
    if any(isinstance(value, (dict, list, bytes)) for value in values):
        raise CorpusError(
            f"column {column!r} holds {type(values[0]).__name__} values; break down by a column of names or numbers"
        )
    class_names = getattr(rows.features[column], "names", None)
    if class_names is not None:
        names = [class_names[value] if value is not None and value >= 0 else None for value in values]
        order = class_names
    elif column == "duration":
        names, order = _binned(values, seconds, " s")
    elif _is_continuous(values):
        numbers = [value for value in values if value is not None]
        edges = np.unique(np.quantile(numbers, np.arange(1, QUANTILES) / QUANTILES))
        names, order = _binned(values, edges, "")
    else:
        names = [None if value is None else str(value) for value in values]
        order = sorted({value for value in values if value is not None})
    members: dict[str, list[int]] = {str(name): [] for name in order} | {UNKNOWN: []}
    for index, name in enumerate(names):
        members[UNKNOWN if name is None else name].append(index)
    return {name: np.array(found) for name, found in members.items() if found}


def _is_continuous(values: list) -> bool:
    known = {value for value in values if value is not None}
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)
    return numbers and len(known) > CATEGORIES


def _binned(values: list, edges: Sequence[float], unit: str) -> tuple[list[str | None], list[str]]:
    """The range of each value, and all ranges in order; a range holds its lower edge, not its upper one."""
    names = [
        f"<{edges[0]:g}{unit}",
        *(f"{low:g}-{high:g}{unit}" for low, high in pairwise(edges)),
        f">={edges[-1]:g}{unit}",
    ]
    return [None if value is None else names[int(np.digitize(value, edges))] for value in values], names


def _mark_worst(table: list[dict], minimum: int) -> None:
    large = [row for row in table if row["n"] >= minimum and row["value"] != UNKNOWN]
    if len(large) > 1:
        min(large, key=lambda row: row["accuracy"]["value"])["worst"] = True
