"""A colour and a shape for every label, the same in every figure of every report with these labels.

Seven colours that are told apart with colour-blindness (Okabe and Ito 2008, "Color universal design", without yellow,
which is pale on paper) and five shapes: as seven and five have no common divisor, the first 35 labels differ.
"""

from collections.abc import Iterable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
SHAPES = (  # paths around (0, 0)
    "M3.1 0A3.1 3.1 0 1 1-3.1 0A3.1 3.1 0 1 1 3.1 0Z",
    "M-2.7-2.7H2.7V2.7H-2.7Z",
    "M0-3.7L3.5 2.6H-3.5Z",
    "M0-4L3.6 0L0 4L-3.6 0Z",
    "M-1.2-3.5H1.2V-1.2H3.5V1.2H1.2V3.5H-1.2V1.2H-3.5V-1.2H-1.2Z",
)
DISTINCT = len(COLOURS) * len(SHAPES)


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Name → its number in sorted order, which `mark` takes."""
    return {name: number for number, name in enumerate(sorted(set(names)))}


def mark(number: int) -> tuple[str, str]:
    """(colour, path of the shape) of a label's number; they repeat after `DISTINCT` labels."""
    return COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
