"""Data maps: where every recording stands between easy, ambiguous and hard to learn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.extras import require
from hf_dialects.training.datamap_files import read_jsonl, write_jsonl
from hf_dialects.training.dynamics import TRAINING, check_dynamics, read_dynamics
from hf_dialects.training.regions import REGIONS, regions

LOOKS = {"easy": ("#009E73", "o"), "ambiguous": ("#E69F00", "s"), "hard": ("#D55E00", "^")}
COLUMNS, SIDE = 3, 4.0  # panels beside each other, and inches of one


@dataclass(frozen=True, eq=False)
class DataMap:
    """Training dynamics of every recording in three numbers.

    Source: Swayamdipta et al. 2020, "Dataset Cartography" (arXiv:2009.10795), section 2. With p_e the probability of
    the gold class in epoch e and E the epochs that saw the recording: confidence µ = Σ p_e / E, variability
    σ = √(Σ (p_e - µ)² / E), correctness the share of epochs whose likeliest class is the gold one.

    A model that memorises its training set ends with a high confidence in wrong labels, too. Lists of label errors
    meant for correction take a map of mode "out_of_fold".

    Attributes:
        ids: (N,) str objects, sorted.
        gold: (N,) int64 class.
        confidence, variability, correctness: (N,) float64.
        epochs: (N,) int64, how many epochs saw each.
        mode: "training", "evaluation" or "out_of_fold": how the probabilities were recorded.
        dynamics: the epochs that the map is made of, as `read_dynamics` returns them; None where they are not known.
    """

    ids: np.ndarray
    gold: np.ndarray
    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray
    epochs: np.ndarray
    mode: str
    dynamics: pd.DataFrame | None = field(default=None, repr=False)

    @classmethod
    def from_dynamics(cls, frame: pd.DataFrame, warm_up: int = 0) -> "DataMap":
        """The map of a table of training dynamics.

        Args:
            frame: as `read_dynamics` returns it.
            warm_up: leave out this many of the first epochs.

        Raises:
            CheckpointError: a damaged table.
            CorpusError: no recording, several modes, or several gold classes of one recording.
            RecipeError: no epoch is left.
        """
        frame = check_dynamics(frame)
        if not (n_epochs := frame["epoch"].nunique()):
            raise CorpusError("the dynamics hold no recording; record them with training.record_dynamics=evaluation")
        frame = frame[frame["epoch"] >= warm_up]
        if frame.empty:
            raise RecipeError(f"warm_up is {warm_up}, but the dynamics hold {n_epochs} epochs; nothing is left to map")
        if len(modes := sorted(frame["mode"].unique())) > 1:
            raise CorpusError(f"the dynamics mix the modes {' and '.join(modes)}; map each by itself")
        number, names = pd.factorize(frame["id"], sort=True)
        ids = np.array(names, dtype=object)
        golds = frame["gold"].to_numpy(dtype=np.int64)
        gold = np.zeros(len(ids), dtype=np.int64)
        gold[number] = golds
        if len(two := np.flatnonzero(golds != gold[number])):
            raise CorpusError(f"the dynamics give {frame['id'].iloc[two[0]]} two gold classes; record them anew")
        probability = frame["probability"].to_numpy(dtype=np.float64)
        epochs = np.bincount(number)
        confidence = np.bincount(number, probability) / epochs
        variance = np.bincount(number, (probability - confidence[number]) ** 2) / epochs
        return cls(
            ids=ids,
            gold=gold,
            confidence=confidence,
            variability=np.sqrt(variance),
            correctness=np.bincount(number, frame["correct"].to_numpy(dtype=np.float64)) / epochs,
            epochs=epochs,
            mode=modes[0],
            dynamics=frame.reset_index(drop=True),
        )

    @classmethod
    def from_run(cls, path: str | Path, warm_up: int = 0) -> "DataMap":
        """The map of a finished run (its folder, or its dynamics.parquet), also of one by folds."""
        return cls.from_dynamics(read_dynamics(path), warm_up)

    @classmethod
    def from_jsonl(cls, folder: str | Path, warm_up: int = 0, mode: str = TRAINING) -> "DataMap":
        """The map of files in the data-map community's format: FOLDER/training_dynamics/dynamics_epoch_{e}.jsonl, each
        line {"guid", "logits_epoch_{e}": [C], "gold": int}.

        Raises:
            CorpusError: no such file, or a damaged one.
        """
        return cls.from_dynamics(read_jsonl(folder, mode), warm_up)

    def to_jsonl(self, folder: str | Path, labels: Sequence[str] | None = None) -> None:
        """Write what `from_jsonl` reads, and FOLDER/td_metrics.jsonl.

        Of each distribution the dynamics know the gold probability and whether it was the largest. The logits written
        have both; how they share the rest among the other classes is no model's. Epochs are numbered from 0 without
        gaps; the community's own reader wants every recording in each of them.

        Args:
            labels: names of all dialects, which say how many logits there are; None = up to the largest gold class.

        Raises:
            CorpusError: a gold class beyond the labels, or a map without the epochs that it is made of.
        """
        if self.dynamics is None:
            raise CorpusError("this data map does not know its epochs; make it with from_dynamics or from_run")
        write_jsonl(self.dynamics, folder, None if labels is None else len(labels))

    def regions(
        self,
        by: str = "thresholds",
        easy: tuple[float, float] = (0.6, 0.3),
        hard: tuple[float, float] = (0.3, 0.2),
        smallest: float = 0.02,
    ) -> np.ndarray:
        """(N,) of "easy", "ambiguous" and "hard", as `regions.regions` says."""
        return regions(self.confidence, self.variability, self.ids, by, easy, hard, smallest)

    def subset(self, ids: Sequence[str]) -> "DataMap":
        """The map of some recordings, in their order.

        Raises:
            CorpusError: one is not in the map.
        """
        position = {id: number for number, id in enumerate(self.ids)}
        if missing := [id for id in ids if id not in position]:
            raise CorpusError(
                f"{len(missing)} recordings are not in the data map, first: {', '.join(map(str, missing[:5]))}; "
                "take the map of a run on the same corpus"
            )
        rows = np.array([position[id] for id in ids], dtype=np.int64)
        values = {name: getattr(self, name)[rows] for name in ("ids", "gold", "epochs")}
        values |= {name: getattr(self, name)[rows] for name in ("confidence", "variability", "correctness")}
        kept = self.dynamics
        if kept is not None:
            kept = kept[kept["id"].isin(set(ids))].reset_index(drop=True)
        return DataMap(**values, mode=self.mode, dynamics=kept)

    def plot(self, path: str | Path | None = None, labels: Sequence[str] | None = None, **options):
        """Confidence over variability, coloured by region, as figure 1 of Swayamdipta et al. 2020.

        Args:
            path: image to write; its suffix names the format. None writes none.
            labels: names of all dialects, for one panel per dialect of the map; None = one panel of all.
            options: of `regions`.

        Returns:
            matplotlib's Figure.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        require("matplotlib", extra="report")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        region = self.regions(**options)
        panels = {"": np.ones(len(self.ids), dtype=bool)}
        if labels is not None:
            panels = {labels[gold]: self.gold == gold for gold in np.unique(self.gold)}
        columns = min(COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(columns * SIDE + 1, rows * SIDE), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (title, shown) in zip(axes, panels.items(), strict=False):
            for name in REGIONS:
                colour, marker = LOOKS[name]
                here = shown & (region == name)
                style = {"color": colour, "marker": marker, "alpha": 0.5, "linewidths": 0, "rasterized": True}
                axis.scatter(
                    self.variability[here], self.confidence[here], s=12, label=f"{name} ({here.sum()})", **style
                )
            axis.set(title=title, xlabel="variability", ylabel="confidence", xlim=(-0.01, 0.51), ylim=(-0.02, 1.02))
            axis.legend(loc="upper right", fontsize="small")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
