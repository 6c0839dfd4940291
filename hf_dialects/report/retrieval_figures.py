"""Heat maps of retrieval, sources × targets, as SVG that stands on its own."""

import pandas as pd
from markupsafe import Markup

from hf_dialects.report.abx_figures import SCALE, STYLE
from hf_dialects.report.svg import cut, element, text

LETTERED = 14  # rows up to which fields are large enough for their numbers
CELL, HEIGHT, SMALL = 58, 24, 12  # of a field, in units of the view box
LONGEST, LETTER = 16, 6.2  # letters of a name, and their width
TOP, BOTTOM = 26, 20


def heat_map(table: pd.DataFrame, title: str) -> str:
    """Shares from 0 to 1, sources from top to bottom, targets from left to right.

    Args:
        table: (n, n); NaN where nothing was retrieved.
    """
    numbered = len(table) <= LETTERED
    wide, high = (CELL, HEIGHT) if numbered else (SMALL, SMALL)
    names = [cut(str(name), LONGEST) for name in table.index]
    side = 14 + LETTER * max(map(len, names))
    left, top = side + 18, TOP + side + 14
    width, height = left + wide * len(names) + 12, top + high * len(names) + BOTTOM
    width = max(width, LETTER * len(title) + 24)
    parts = [element("style", Markup(STYLE)), element("rect", width=width, height=height, fill="#fff")]
    parts += [text(12, 16, title, class_="axis"), text(left, TOP + 12, "to", class_="axis")]
    middle = top + high * len(names) / 2
    parts.append(text(12, middle, "from", "middle", class_="axis", transform=_turned(12, middle)))
    for number, name in enumerate(names):
        x, y = left + wide * (number + 0.5) + 4, top - 6
        parts.append(text(x, y, name, transform=_turned(x, y)))
        parts.append(text(left - 6, top + high * (number + 0.5) + 4, name, "end"))
    for row, source in enumerate(table.index):
        for column, target in enumerate(table.columns):
            place = (left + wide * column, top + high * row, wide - 1, high - 1)
            parts.append(_field(place, table.iat[row, column], f"{source} → {target}", numbered))
    values = table.stack().dropna().tolist()
    said = f"{title}, {len(names)} sources by {len(names)} targets"
    said += f", {min(values):.3f} to {max(values):.3f}" if values else ""
    box = {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return str(element("svg", *parts, xmlns="http://www.w3.org/2000/svg", role="img", aria_label=said, **box)) + "\n"


def colour(share: float) -> tuple[str, bool]:
    """Colour of a share, and whether letters on it are to be light."""
    step = min(len(SCALE) - 1, int(share * len(SCALE)))
    return SCALE[step], step >= 5


def _turned(x: float, y: float) -> str:
    return f"rotate(-90 {x:g} {y:g})"


def _field(place: tuple, share: float, name: str, numbered: bool) -> Markup:
    x, y, width, height = place
    fill, light = ("#eee", False) if pd.isna(share) else colour(share)
    shown = "–" if pd.isna(share) else f"{100 * share:.1f}"
    parts = [element("title", f"{name}: {shown}"), element("rect", x=x, y=y, width=width, height=height, fill=fill)]
    if numbered:
        parts.append(text(x + width / 2, y + 16, shown, "middle", class_="light" if light else None))
    return element("g", *parts)
