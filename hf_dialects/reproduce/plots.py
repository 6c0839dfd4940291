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
    rows = -(-n_panels // COLUMNS)
    figure = Figure(figsize=(COLUMNS * SIDE + 2, rows * SIDE), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel().tolist()
    for axis in axes[n_panels:]:
        axis.set_axis_off()
    if counts is not None:
        _confusion(axes.pop(0), counts, labels)
    for axis, (title, (gold, points)) in zip(axes, panels.items(), strict=False):
        _map(axis, title, gold, points, labels)
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
