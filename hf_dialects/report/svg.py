"""SVG from elements, and plotting areas with labelled axes. Every text and attribute is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

TICK, LABEL = 4, 11  # length of a tick and size of letters, in units of the view box


def element(tag: str, *children, **attributes) -> Markup:
    """One element. Attributes that are None are left out, `stroke_width` means stroke-width, `class_` class."""
    given = [(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items() if value is not None]
    written = Markup("").join(Markup(' {}="{}"').format(name, _short(value)) for name, value in given)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, Markup("").join(children))


def text(x: float, y: float, content: str, anchor: str = "start", **attributes) -> Markup:
    """A line of letters that starts, has its middle or ends at x."""
    return element("text", content, x=x, y=y, text_anchor=anchor, **attributes)


def cut(content: str, longest: int) -> str:
    """A text that is too long for its place, with an ellipsis."""
    return content if len(content) <= longest else content[: longest - 1] + "…"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def roof(low: float, high: float) -> float:
    """The first tick at or above `high` of an axis that starts at `low`."""
    found = ticks(low, high)
    if len(found) < 2:
        return high if high > low else low + 1
    return found[-1] if found[-1] >= high - 1e-9 else found[-1] + found[1] - found[0]


@dataclass(frozen=True)
class Frame:
    """A plotting area with linear axes in a picture of `width` × `height`.

    Attributes:
        x, y: (lowest, highest) value of each axis.
        left, right, top, bottom: room around the area.
    """

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float] = (0.0, 1.0)
    left: float = 44
    right: float = 12
    top: float = 10
    bottom: float = 38

    def across(self, value: float) -> float:
        """Where a value of x lies."""
        low, high = self.x
        return self.left + (value - low) / ((high - low) or 1) * (self.width - self.left - self.right)

    def up(self, value: float) -> float:
        """Where a value of y lies."""
        low, high = self.y
        return self.height - self.bottom - (value - low) / ((high - low) or 1) * (self.height - self.top - self.bottom)

    def x_axis(self, label: str, at: Sequence[float]) -> Markup:
        """Axis with numbers and its name below."""
        base, middle = self.height - self.bottom, (self.left + self.width - self.right) / 2
        parts = [_line(self.left, base, self.width - self.right, base)]
        for value in at:
            x = self.across(value)
            parts += [_line(x, base, x, base + TICK), text(x, base + TICK + LABEL, f"{value:g}", "middle")]
        parts.append(text(middle, self.height - 5, label, "middle", class_="axis"))
        return Markup("").join(parts)

    def y_axis(self, label: str, at: Sequence[float]) -> Markup:
        """Axis with numbers and its name, turned, on the left."""
        parts = [_line(self.left, self.top, self.left, self.height - self.bottom)]
        for value in at:
            y = self.up(value)
            parts += [_line(self.left - TICK, y, self.left, y), text(self.left - TICK - 2, y + 4, f"{value:g}", "end")]
        middle = (self.top + self.height - self.bottom) / 2
        parts.append(text(11, middle, label, "middle", class_="axis", transform=f"rotate(-90 11 {middle:g})"))
        return Markup("").join(parts)

    def picture(self, description: str, *parts: Markup, class_: str = "figure") -> Markup:
        """The whole picture; `description` is read to those who do not see it."""
        box = f"0 0 {self.width:g} {self.height:g}"
        return element("svg", *parts, viewBox=box, class_=class_, role="img", aria_label=description)


def line(frame: Frame, points: Sequence[tuple[float, float]], **attributes) -> Markup:
    """A polyline through points given in values of the axes."""
    path = " ".join(f"{frame.across(x):.1f},{frame.up(y):.1f}" for x, y in points)
    return element("polyline", points=path, fill="none", **attributes)


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="rule")


def _short(value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
