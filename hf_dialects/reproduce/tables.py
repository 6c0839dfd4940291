"""A grid's numbers as Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_dialects.disk import whole_file
from hf_dialects.reproduce.measures import SALVI, Measures

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "cluster_accuracy": "cluster accuracy",
    "ece": "ECE",
    "purity": "purity",
    "silhouette": "silhouette",
    "steps": "steps",
    "encoded_examples": "encoded examples",
}


def write_table(content: Mapping, out: Path, notes: Sequence[str] = ()) -> Path:
    """Write TABLE.json, TABLE.csv (a row per run) and TABLE.md into `out`; returns the last.

    Args:
        content: of `summary.summarise`.
        notes: lines below the title of the Markdown.
    """
    path = out / f"{content['table']}.md"
    _write(path.with_suffix(".json"), json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    _write(path.with_suffix(".csv"), runs_csv(content))
    _write(path, markdown(content, notes))
    return path


def runs_csv(content: Mapping) -> str:
    """A row per run, finished or not."""
    text = io.StringIO()
    columns = ["cell", "split", "seed", "state", *_measures(content).names]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for cell in [*content["cells"], *content.get("preparations", ())]:
        writer.writerows({"cell": cell["cell"], **run} for run in cell["runs"])
    return text.getvalue()


def markdown(content: Mapping, notes: Sequence[str] = ()) -> str:
    """The table, what is not finished, and the paired tests."""
    parts = [f"# {content['table']}", *notes, _head(content), _rows(content)]
    if unfinished := _unfinished(content):
        parts.append("Not finished:\n\n" + "\n".join(f"- {line}" for line in unfinished))
    parts += [_tests(one, content["splits"]) for one in content["comparisons"]]
    return "\n\n".join(parts) + "\n"


def _measures(content: Mapping) -> Measures:
    return Measures.from_dict(content["measures"]) if "measures" in content else SALVI


def _head(content: Mapping) -> str:
    measures = _measures(content)
    splits, counts = content["splits"], [len({run["seed"] for run in cell["runs"]}) for cell in content["cells"]]
    counts = sorted({count for count in counts if count} or {content["seeds"]})
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else counts[0]
    lines = [
        f"Test split, {seeds} seed{'s' * (seeds != 1)}, {splits} split{'s' * (splits > 1)}. "
        "Mean ± sd over seeds (within a split)"
    ]
    if measures.percent:
        lines[0] += f"; {' and '.join(TITLES[name] for name in measures.percent)} in percent"
    lines[0] += "."
    if "purity" in measures.names:
        lines.append(
            "Purity: share of the 10 nearest recordings of other speakers that are of the same dialect"
            + _chance(content)
        )
    if "encoded_examples" in measures.names:
        lines.append(
            "Encoded examples: all that passed an encoder in training, the runs counted that gave the data map and "
            "the confidence labels; in thousands."
        )
    if splits > 1:
        lines.append("After a semicolon: sd of the means of the splits.")
    if content.get("subsets"):
        lines.append(
            "Splits are subsets drawn independently from one corpus and tested on the same recordings: their spread "
            "is no standard error."
        )
    if any(isinstance(one, list | tuple) for cell in content["cells"] for one in cell["published"].values()):
        lines.append("Published: mean ± sd of three runs, as printed in the paper.")
    elif any(cell["published"] for cell in content["cells"]):
        lines.append("Published: as printed in the paper.")
    return " ".join(lines)


def _chance(content: Mapping) -> str:
    """Purity if neighbours were drawn from all recordings of other speakers."""
    runs = [run for cell in content["cells"] for run in cell["runs"] if run.get("purity_by_chance") is not None]
    if not runs:
        return "."
    return f", {sum(run['purity_by_chance'] for run in runs) / len(runs):.3f} by chance."


def _rows(content: Mapping) -> str:
    measures = _measures(content)
    columns = list(content["cells"][0]["columns"])
    printed = [name for name in measures.printed if any(cell["published"].get(name) for cell in content["cells"])]
    names = measures.names
    head = [*columns, *(TITLES[name] for name in names), *(f"published {TITLES[name]}" for name in printed), "runs"]
    lines = [head, ["---"] * len(head)]
    for cell in content["cells"]:
        done, total = sum(run["state"] == "finished" for run in cell["runs"]), len(cell["runs"])
        lines.append(
            [
                *(cell["columns"][name] for name in columns),
                *(_value(cell["summary"][name], name, content["splits"], measures) for name in names),
                *(_printed(cell["published"].get(name)) for name in printed),
                "not run" if cell["missing"] else f"{done} of {total}",
            ]
        )
    for name in content["baselines"][0]:
        of_splits = [one[name] for one in content["baselines"]]
        line = dict.fromkeys(head, "–") | {columns[0]: f"{name} (baseline)"}
        for metric in (one for one in measures.of_results if all(one in found for found in of_splits)):
            line[TITLES[metric]] = _number(sum(one[metric] for one in of_splits) / len(of_splits), metric, measures)
        lines.append(list(line.values()))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _value(summary: Mapping | None, metric: str, splits: int, measures: Measures) -> str:
    if summary is None:
        return "–"
    mean, *spreads = (
        "?" if summary[name] is None else _number(summary[name], metric, measures)
        for name in ("mean", "sd_seeds", "sd_splits")
    )
    if metric in measures.counts:
        return mean
    return f"{mean} ± {spreads[0]}" + f"; {spreads[1]}" * (splits > 1)


def _number(value: float, metric: str, measures: Measures) -> str:
    if metric in measures.percent:
        return f"{100 * value:.2f}"
    if metric == "encoded_examples":
        return f"{value / 1000:,.1f}"
    return f"{value:,.0f}" if metric in measures.counts else f"{value:.3f}"


def _printed(entry) -> str:
    if not entry:
        return "–"
    if isinstance(entry, str):
        return entry
    return f"{entry:.3f}" if isinstance(entry, float) else f"{entry[0]:.2f} ± {entry[1]:.2f}"


def _unfinished(content: Mapping) -> list[str]:
    cells = [*content["cells"], *content.get("preparations", ())]
    lines = [f"{cell['cell']}: not run: {cell['missing']}" for cell in cells if cell["missing"]]
    for cell in cells:
        for run in cell["runs"]:
            if run["state"] != "finished":
                why = f": {run['message']}" if run["message"] else ""
                lines.append(f"{cell['cell']}, split {run['split']}, seed {run['seed']}: {run['state']}{why}")
    return lines


def _tests(comparison: Mapping, splits: int) -> str:
    where = f", split {comparison['split']}" if splits > 1 else ""
    lines = [
        f"Against {comparison['baseline']}{where}: paired differences, speakers and seeds resampled; p adjusted "
        f"for {comparison['tests']} tests (Holm). "
        "Detectable: the difference that these data would show with 80 % power.",
        "",
        "| cell | metric | difference | 95 % interval | p | adjusted p | detectable |",
        "|---|---|---|---|---|---|---|",
    ]
    warnings = {}
    for row in comparison["contrasts"]:
        low, high, detectable = (_signed(row[name]) for name in ("low", "high", "smallest_detectable"))
        cells = [row["run"], TITLES[row["metric"]], _signed(row["difference"]), f"{low} to {high}"]
        cells += [f"{row[name]:.3f}" for name in ("p", "p_adjusted")] + [detectable.lstrip("+")]
        lines.append("| " + " | ".join(cells) + " |")
        for warning in (row["warning"] or "").split("; "):
            warnings.setdefault(warning)
    warnings.pop("", None)
    return "\n".join([*lines, "", *(f"Mind: {warning}." for warning in warnings)]).rstrip()


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
