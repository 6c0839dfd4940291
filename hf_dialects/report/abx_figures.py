"""Heat maps of an ABX grid, layers × lengths of snippets, as SVG files that stand on their own."""

from collections.abc import Sequence
from html import escape

import pandas as pd
from markupsafe import Markup

from hf_dialects.report.svg import element, text

CELL, HEIGHT = 58, 24  # of a field, in units of the view box
LEFT, TOP, NARROWEST = 52, 44, 330  # the last one holds the line at the bottom
# luminance falls from chance to 1, so that the figure can be printed in grey (ColorBrewer "YlGnBu"); red below chance
SCALE = ("#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58")
BELOW = ("#fddbc7", "#f4a582", "#d6604d")
STYLE = "text{font:11px sans-serif;fill:#222}.light{fill:#fff}.axis{font-weight:bold}"


def heat_map(table: pd.DataFrame, pooling: str, lengths: Sequence[str]) -> str:
    """The scores of one pooling: layers from bottom to top, lengths from left to right.

    A score that is not above the band of permuted labels is set in brackets.

    Args:
        table: `Grid.table`.
        pooling: one of its poolings.
        lengths: names of its lengths in order.
    """
    rows = table[table["pooling"] == pooling]
    layers = sorted(rows["layer"].unique(), reverse=True)
    width = max(NARROWEST, LEFT + CELL * len(lengths) + 12)
    height = TOP + HEIGHT * len(layers) + 40
    parts = [element("style", Markup(STYLE)), element("rect", width=width, height=height, fill="#fff")]
    parts.append(text(LEFT, 16, f"ABX score, {pooling} pooling", class_="axis"))
    for number, length in enumerate(lengths):
        parts.append(text(LEFT + CELL * (number + 0.5), TOP - 8, length, "middle"))
    parts.append(text(LEFT + CELL * len(lengths) / 2, height - 24, "snippet", "middle", class_="axis"))
    parts.append(text(LEFT, height - 8, "(…) = not above the band of permuted labels"))
    said = []
    for place, layer in enumerate(layers):
        y = TOP + HEIGHT * place
        parts.append(text(LEFT - 8, y + HEIGHT / 2 + 4, str(layer), "end"))
        of_layer = rows[rows["layer"] == layer].set_index("snippet")
        for number, length in enumerate(lengths):
            if length in of_layer.index:
                parts.append(_field(LEFT + CELL * number, y, of_layer.loc[length], f"layer {layer}, {length}"))
                said.append(f"layer {layer}, {length}: {_number(of_layer.loc[length]['score'])}")
    middle = TOP + HEIGHT * len(layers) / 2
    parts.append(text(12, middle, "layer", "middle", class_="axis", transform=f"rotate(-90 12 {middle:g})"))
    what = escape(f"ABX scores by layer and length of snippets, {pooling} pooling. {'; '.join(said)}")
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    body = Markup("").join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{what}">{body}</svg>\n'


def colour(score: float) -> tuple[str, bool]:
    """Colour of a score, and whether letters on it are to be light."""
    if score < 0.5:
        return BELOW[min(len(BELOW) - 1, int((0.5 - score) * 6))], False
    step = min(len(SCALE) - 1, int((score - 0.5) * 2 * len(SCALE)))
    return SCALE[step], step >= 5


def _field(x: float, y: float, row: pd.Series, name: str) -> Markup:
    if pd.isna(row["score"]):
        shape = element("rect", x=x, y=y, width=CELL - 1, height=HEIGHT - 1, fill="#eee")
        return element(
            "g", element("title", f"{name}: {row['warning']}"), shape, text(x + CELL / 2, y + 16, "–", "middle")
        )
    fill, light = colour(row["score"])
    is_chance = pd.notna(row["null_high"]) and row["score"] <= row["null_high"]
    said = f"{name}: {row['score']:.3f}"
    if pd.notna(row["low"]):
        said += f" [{row['low']:.3f}, {row['high']:.3f}]"
    if pd.notna(row["p_adjusted"]):
        said += f", p {row['p_adjusted']:.3g} over the grid"
    shown = f"({row['score']:.3f})" if is_chance else f"{row['score']:.3f}"
    shape = element("rect", x=x, y=y, width=CELL - 1, height=HEIGHT - 1, fill=fill)
    letters = text(x + CELL / 2, y + 16, shown, "middle", class_="light" if light else None)
    return element("g", element("title", said), shape, letters)


def _number(score) -> str:
    return "none" if pd.isna(score) else f"{score:.3f}"
