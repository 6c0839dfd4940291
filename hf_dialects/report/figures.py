"""The figures of a report, as SVG that needs no script.

Sizes are in units of the view box, on a phone about one pixel.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from hf_dialects.report.palette import COLOURS, mark
from hf_dialects.report.svg import Frame, cut, element, line, roof, text, ticks

WIDTH = 340
BLUE, ORANGE = COLOURS[0], COLOURS[1]
ROW = 22
NAME = 19  # letters of a row's name
SIDE = 300  # of a scatter
DOTTED = 8  # points of a line, up to which each is marked
DASHES = (None, "6 3", "2 2", "8 3 2 3")


def intervals_figure(rows: Sequence[Mapping], axis: str) -> Markup:
    """A dot with its interval per row.

    Args:
        rows: "name"; "value", "low", "high" in [0, 1], None where unknown; "model": whether it stands out.
        axis: name of what is measured.
    """
    frame = Frame(WIDTH, ROW * len(rows) + 52, (0, 1), (0, len(rows)), left=126)
    parts = [frame.x_axis(axis, ticks(0, 1))]
    for number, row in enumerate(rows):
        y = frame.up(len(rows) - number - 0.5)
        colour = BLUE if row["model"] else "#555"
        name = element("title", row["name"]) + cut(row["name"], NAME)
        parts.append(text(120, y + 4, name, "end", class_="strong" if row["model"] else None))
        if row["value"] is None:
            continue
        low, high = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
        ends = frame.across(min(max(low, 0), 1)), frame.across(min(max(high, 0), 1))
        parts.append(element("line", x1=ends[0], x2=ends[1], y1=y, y2=y, stroke=colour, stroke_width=2.5))
        said = element("title", f"{row['name']}: {row['value']:.3f} [{low:.3f}, {high:.3f}]")
        parts.append(element("circle", said, cx=frame.across(row["value"]), cy=y, r=4, fill=colour))
    listed = "; ".join(f"{row['name']} {_number(row['value'])}" for row in rows)
    return frame.picture(f"{axis} with 95 % intervals: {listed}", *parts)


def reliability_figure(table: Mapping[str, np.ndarray]) -> Markup:
    """Accuracy against confidence in bins; the area of a dot is the number of clips.

    Args:
        table: what `metrics.calibration.reliability_table` returns.
    """
    frame = Frame(WIDTH, 300, (0, 1))
    parts = [frame.x_axis("confidence (probability of the answer)", ticks(0, 1)), frame.y_axis("accuracy", ticks(0, 1))]
    parts.append(line(frame, [(0, 0), (1, 1)], stroke="#888", stroke_dasharray="5 4"))
    filled = np.flatnonzero(table["weight"] > 0)
    total = table["weight"].sum()
    for bin in filled:
        confidence, accuracy, weight = (float(table[name][bin]) for name in ("confidence", "accuracy", "weight"))
        x, y = frame.across(confidence), frame.up(accuracy)
        parts.append(element("line", x1=x, x2=x, y1=y, y2=frame.up(confidence), stroke=ORANGE, stroke_width=2))
        said = element("title", f"{weight:.0f} clips: confidence {confidence:.3f}, accuracy {accuracy:.3f}")
        radius = 3 + 9 * float(np.sqrt(weight / total))
        parts.append(element("circle", said, cx=x, cy=y, r=radius, fill=BLUE, fill_opacity=0.8))
    pairs = zip(table["confidence"][filled], table["accuracy"][filled], strict=True)
    listed = "; ".join(f"{confidence:.2f} → {accuracy:.2f}" for confidence, accuracy in pairs)
    return frame.picture(f"Reliability diagram, confidence → accuracy: {listed}", *parts)


def curves_figure(
    series: Mapping[str, Sequence], axis: str, best: Sequence[float] = (), top: float | None = None
) -> Markup:
    """Lines over epochs, one colour and dash pattern per name.

    Args:
        series: name → one or more lines, each a list of (epoch, value).
        axis: name of the values.
        best: epochs whose checkpoint was kept.
        top: of the axis; None takes a round number above all values.
    """
    points = [point for lines in series.values() for one in lines for point in one]
    epochs, values = [x for x, _ in points], [y for _, y in points]
    low, high = min(0.0, *values), max(values)
    frame = Frame(WIDTH, 240, (0, max(epochs)), (low, top or roof(low, high)))
    parts = [frame.x_axis("epoch", ticks(0, max(epochs))), frame.y_axis(axis, ticks(*frame.y))]
    for epoch in best:
        kept = element("title", f"checkpoint of epoch {epoch:g} was kept")
        x, ends = frame.across(epoch), {"y1": frame.top, "y2": frame.height - frame.bottom}
        parts.append(element("line", kept, x1=x, x2=x, **ends, stroke="#888", stroke_dasharray="2 3"))
    for number, lines in enumerate(series.values()):
        for one in lines:
            style = {"stroke": COLOURS[number], "stroke_dasharray": DASHES[number % len(DASHES)], "stroke_width": 2}
            parts.append(line(frame, one, **style, stroke_opacity=1 if len(lines) == 1 else 0.6))
            if len(one) <= DOTTED:
                dots = [(frame.across(x), frame.up(y)) for x, y in one]
                parts += [element("circle", cx=x, cy=y, r=2.5, fill=COLOURS[number]) for x, y in dots]
    return frame.picture(f"{axis} over {max(epochs):g} epochs: {', '.join(series)}", *parts)


def key(names: Sequence[str]) -> list[tuple[str, Markup]]:
    """(name, its piece of line) for the lines of `curves_figure`."""
    lines = []
    for number, name in enumerate(names):
        style = {"stroke": COLOURS[number], "stroke_dasharray": DASHES[number % len(DASHES)], "stroke_width": 2}
        piece = element("line", x1=1, x2=27, y1=5, y2=5, **style)
        lines.append((name, element("svg", piece, viewBox="0 0 28 10", class_="key", aria_hidden="true")))
    return lines


def scatter_figure(
    points: np.ndarray, numbers: Mapping[str, Sequence[int]], titles: Sequence[str], what: str
) -> Markup:
    """A map of clips, coloured by the first of `numbers`; the page's script recolours it by the others.

    Args:
        points: (N, 2).
        numbers: "dialect", "cluster", "speaker" → N numbers as `palette.mark` takes them.
        titles: N texts shown under the pointer.
        what: is read to those who do not see it.
    """
    frame = Frame(WIDTH, SIDE, (0, 1), left=22, right=6, top=6, bottom=22)
    low, high = points.min(0), points.max(0)
    unit = 0.02 + 0.96 * (points - low) / np.where(high > low, high - low, 1)
    parts = [frame.x_axis("t-SNE, first dimension", []), frame.y_axis("t-SNE, second dimension", [])]
    first = next(iter(numbers.values()))
    for row, (x, y) in enumerate(unit):
        colour, shape = mark(first[row])
        place = f"translate({frame.across(float(x)):.1f} {frame.up(float(y)):.1f})"
        data = {f"data_{name}": of_rows[row] for name, of_rows in numbers.items()}
        parts.append(element("path", element("title", titles[row]), d=shape, fill=colour, transform=place, **data))
    return frame.picture(what, *parts, class_="figure scatter")


def symbol(number: int) -> Markup:
    """The mark of a label, for a legend."""
    colour, shape = mark(number)
    return element(
        "svg", element("path", d=shape, fill=colour), viewBox="-5 -5 10 10", class_="mark", aria_hidden="true"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
