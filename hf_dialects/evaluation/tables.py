"""Tables of plain text for the terminal."""

import math
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from hf_dialects.metrics import Interval


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Lines with columns two blanks apart; the first row is the head. Rows may be of different lengths."""
    columns = max(len(row) for row in rows)
    widths = [max(width(row[c]) for row in rows if c < len(row)) for c in range(columns)]
    lines = ["  ".join(cell + " " * (widths[c] - width(cell)) for c, cell in enumerate(row)) for row in rows]
    return "\n".join(indent + line.rstrip() for line in lines)


def width(text: str) -> int:
    """Columns that a terminal needs for `text`."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def with_interval(entry: dict) -> str:
    """ ".612 [.55, .67]" for an entry of `results.json`, "-" where it has no value."""
    if entry["value"] is None:
        return "-"
    value, low, high = (math.nan if entry[name] is None else entry[name] for name in ("value", "low", "high"))
    return str(Interval(value, low, high, entry["n"], entry["groups"]))
