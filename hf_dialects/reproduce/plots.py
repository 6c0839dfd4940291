"""Pictures of maps and confusions; needs matplotlib (extra `report`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

COLUMNS = 2
SIDE = 5.0  # inches of a panel


def draw(
    path: Path, panels: Mapping[str, tuple[np.ndarray, np.ndarray]], labels: Sequence[str], counts: np.ndarray | None
) -> None:
    """Write one picture of all panels.

    Args:
        panels: title → (gold (N,) int, points (N, 2)).
        labels: names of the dialects.
        counts: (C, C) confusion, drawn before the panels as shares of its rows; None for none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_panels = len(panels) + (counts is not None)
    columns = min(COLUMNS, n_panels)
    rows = -(-n_panels // columns)
    figure = Figure(figsize=(columns * SIDE + 2, rows * SIDE), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[n_panels:]:
        axis.set_axis_off()
    if counts is not None:
        _confusion(axes.pop(0), counts, labels)
    for axis, (title, (gold, points)) in zip(axes, panels.items(), strict=False):
        _map(axis, title, gold, points, labels)
    if panels:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", frameon=False)
    FigureCanvasAgg(figure).print_png(str(path))


def _map(axis, title: str, gold: np.ndarray, points: np.ndarray, labels: Sequence[str]) -> None:
    from matplotlib import colormaps

    colours, markers = colormaps["tab20"].colors, "o^sDvP*X"
    for number, label in enumerate(labels):
        of_label = points[gold == number]
        style = {"color": colours[number % 20], "marker": markers[(number // 20 + number) % len(markers)]}
        axis.scatter(of_label[:, 0], of_label[:, 1], s=9, linewidths=0, label=label, **style)
    axis.set(title=title, xticks=[], yticks=[], xlabel="t-SNE, first dimension", ylabel="t-SNE, second dimension")


def _confusion(axis, counts: np.ndarray, labels: Sequence[str]) -> None:
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    places = range(len(labels))
    axis.set_xticks(places, labels, rotation=90)
    axis.set_yticks(places, labels)
    axis.set(title="share of a dialect's recordings", xlabel="taken for", ylabel="dialect")


def draw_regions(path: Path, title: str, points: np.ndarray, region: np.ndarray) -> None:
    """Write a data map: points (N, 2) of variability and confidence, region (N,) of "easy", "ambiguous", "hard"."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hf_dialects.training.datamaps import LOOKS

    figure = Figure(figsize=(SIDE + 1, SIDE), layout="constrained")
    axis = figure.subplots()
    for name, (colour, marker) in LOOKS.items():
        here = points[region == name]
        axis.scatter(*here.T, s=12, linewidths=0, alpha=0.6, color=colour, marker=marker, label=f"{name} ({len(here)})")
    axis.set(title=title, xlabel="variability", ylabel="confidence", xlim=(-0.01, 0.51), ylim=(-0.02, 1.02))
    axis.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(str(path))


def draw_curves(path: Path, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Write validation macro F1 over steps, a line per setting; values by step."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * SIDE, SIDE), layout="constrained")
    axis = figure.subplots()
    colours, dashes = colormaps["tab10"].colors, ("-", "--", ":")
    for number, (name, values) in enumerate(curves.items()):
        style = {"color": colours[number % 10], "linestyle": dashes[number // 10 % len(dashes)]}
        axis.plot(list(values), list(values.values()), label=name, **style)
    axis.set(xlabel="steps", ylabel="macro F1, validation")
    figure.legend(loc="outside right center", frameon=False)
    FigureCanvasAgg(figure).print_png(str(path))
