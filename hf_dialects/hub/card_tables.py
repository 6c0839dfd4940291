"""Markdown of cards: tables and cells; what was not measured says so."""

import html
from collections.abc import Mapping, Sequence

from hf_dialects.evaluation.tables import with_interval
from hf_dialects.hub.varieties import varieties_of

NOT_MEASURED = "not measured"
NO_CODE = "no code in the registry"


def data_table(results: Mapping, speakers: str = "speakers") -> str:
    """What each split holds; `speakers` is what they are called."""
    splits = (results.get("data") or {}).get("splits") or {}
    rows = [
        [split, facts.get("n"), number(facts.get("hours"), 2), facts.get("speakers")] for split, facts in splits.items()
    ]
    return table(["split", "recordings", "hours", speakers], rows)


def leakage_table(results: Mapping) -> str:
    """What crosses the split."""
    data = results.get("data") or {}
    counted = {name: found for name, found in (data.get("leakage") or {}).items() if found.get("values")}
    apart = f"Split by {', '.join(map(cell, data['split_by']))}. " if data.get("split_by") else ""
    if not counted:
        return f"{apart}What is in more than one split: {NOT_MEASURED}."
    if all(found.get("crossing") == 0 for found in counted.values()):
        values = " and ".join(
            f"none of the {found['values']} values of `{cell(name)}`" for name, found in counted.items()
        )
        return f"{apart}Nothing crosses the splits: {values} is in more than one of them."
    rows = [[name, found["values"], found.get("crossing"), found.get("examples")] for name, found in counted.items()]
    return f"{apart}What crosses the splits:\n\n" + table(
        ["column", "values", "in more than one split", "recordings"], rows
    )


def varieties_table(labels: Sequence[str]) -> str:
    """Names and codes of the varieties."""
    known = varieties_of(labels)
    rows = []
    for label in labels:
        variety = known.get(label)
        codes = (variety.bcp47, variety.glottocode) if variety else ("", "")
        rows.append([label, variety.name if variety else " ", *(code or NO_CODE for code in codes)])
    return table(["label", "variety", "BCP-47", "Glottocode"], rows, "The varieties were not recorded.")


def table(head: Sequence[str], rows: Sequence[Sequence], empty: str = NOT_MEASURED) -> str:
    """A Markdown table; None reads "not measured"."""
    if not rows:
        return empty
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(value) -> str:
    """Text that is shown, not run, and that breaks no table."""
    text = NOT_MEASURED if value is None else str(value)
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def entry(found: Mapping | None) -> str:
    """Value and interval of an entry of results.json."""
    if not found or found.get("value") is None:
        return NOT_MEASURED
    if found.get("low") is None:
        return number(found["value"], 3).removeprefix("0")
    return with_interval({"n": 0, "groups": None, **found})


def number(value: float | None, digits: int) -> str | None:
    """With so many digits; None stays None."""
    return None if value is None else f"{value:.{digits}f}"
