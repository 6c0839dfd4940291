"""Pictures of a card: confusion and reliability of a classifier, as PNG; needs matplotlib (extra `report`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_dialects.extras import has
from hf_dialects.hub.source import CLASSIFIER, Source
from hf_dialects.inference import Predictions
from hf_dialects.metrics.calibration import reliability_table

FOLDER = "figures"
CELL, LEAST, MOST = 0.42, 4.0, 12.0  # inches of a variety, of a picture


@dataclass(frozen=True)
class Figure:
    """A picture in the repository.

    Attributes:
        path: in the repository.
        caption: for people, and for those who do not see it.
    """

    path: str
    caption: str


def write_figures(source: Source, folder: Path) -> list[Figure]:
    """Draw what the run has into `folder`/figures, unless it lies there; nothing without matplotlib.

    Args:
        folder: of the repository; figures that the run has drawn itself lie there already.

    Returns:
        those that the card shows.
    """
    if source.kind != CLASSIFIER:
        return []
    results = source.results
    split = next((one for one in ("test", "validation") if one in results["metrics"]), None)
    if split is None:
        return []
    answers = source.folder / "predictions" / f"{split}.parquet"
    drawn = []
    if split in results["confusion"]:
        drawn.append((Figure(f"{FOLDER}/confusion.png", f"Confusion matrix, {split}"), _confusion))
    if answers.is_file():
        drawn.append((Figure(f"{FOLDER}/reliability.png", f"Reliability diagram, {split}"), _reliability))
    shown = []
    for figure, draw in drawn:
        path = folder / figure.path
        if not path.is_file():
            if not has("matplotlib"):
                continue
            path.parent.mkdir(exist_ok=True)
            draw(path, source, split, answers)
        shown.append(figure)
    return shown


def _confusion(path: Path, source: Source, split: str, answers: Path) -> None:
    counts, labels = np.array(source.results["confusion"][split]), source.results["labels"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(CELL * len(labels) + 2, LEAST, MOST))
    figure, axis = _picture(side, side)
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(labels)), _names(labels), rotation=90)
    axis.set_yticks(range(len(labels)), _names(labels))
    axis.set(title="share of a variety's recordings", xlabel="taken for", ylabel="variety")
    _save(figure, path)


def _reliability(path: Path, source: Source, split: str, answers: Path) -> None:
    found = Predictions.read(answers)
    table = reliability_table(found.probabilities, found.gold)
    figure, axis = _picture(LEAST + 0.5, LEAST)
    filled = table["weight"] > 0
    axis.plot([0, 1], [0, 1], "--", color="#888")
    area = 20 + 280 * table["weight"][filled] / table["weight"].sum()
    axis.scatter(table["confidence"][filled], table["accuracy"][filled], s=area, color="#0072b2", alpha=0.8)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (probability of the answer)", ylabel="accuracy")
    axis.set(title="area: share of the recordings")
    _save(figure, path)


def _names(labels: Sequence[str]) -> list[str]:
    return [label.replace("$", r"\$") for label in labels]  # matplotlib reads what stands between two as a formula


def _picture(width: float, height: float):
    from matplotlib.figure import Figure as Picture

    figure = Picture(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _save(figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(str(path), metadata={"Software": None})
