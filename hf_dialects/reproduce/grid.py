"""A grid of runs: splits × seeds × cells, each in a folder of its own, resumed run by run."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from hf_dialects.errors import DialectError
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid_splits import note_split
from hf_dialects.reproduce.run_separation import measure, read_numbers
from hf_dialects.training.run import open_run, train_on
from hf_dialects.training.screened import Screened

FAILED = "failed.json"


@dataclass(frozen=True)
class Run:
    """One run of a grid.

    Attributes:
        cell: what it runs.
        split, seed: numbers.
        folder: OUT/split-0/CELL/seed-0.
    """

    cell: Cell
    split: int
    seed: int
    folder: Path

    @property
    def state(self) -> str:
        """ "finished", "failed", "unfinished" (it goes on where it stopped) or "not run"."""
        if (self.folder / "results.json").is_file() and read_numbers(self.folder) is not None:
            return "finished"
        if (self.folder / FAILED).is_file():
            return "failed"
        return "unfinished" if self.folder.is_dir() else "not run"


def runs_of(cells: Sequence[Cell], n_splits: int, seeds: int, out: Path) -> Iterator[Run]:
    """The runs of a grid, all cells with one seed before the next seed: a part of it can be compared already."""
    for split in range(n_splits):
        for seed in range(seeds):
            for cell in cells:
                if cell.missing is None:
                    yield Run(cell, split, seed, out / f"split-{split}" / cell.name / f"seed-{seed}")


def run_grid(
    cells: Sequence[Cell],
    data: Sequence[Screened],
    seeds: int,
    out: Path,
    shared: tuple[str, ...] = (),
    progress: bool = True,
    part: tuple[int, int] = (1, 1),
    callbacks: tuple = (),
) -> None:
    """Train and evaluate whatever is not finished yet.

    A run that fails for its data or settings is noted and the others go on; it is tried again the next time.
    Checkpoints of finished runs are removed, their models stay.

    Args:
        data: one per split.
        shared: overrides of every recipe.
        part: (k, n) takes every n-th run from the k-th on, for n processes side by side.

    Raises:
        CorpusError: `out` holds runs on other recordings.
        RecipeError: `out` holds runs of other settings.
    """
    for split, screened in enumerate(data):
        note_split(screened, out / f"split-{split}")
    runs = list(runs_of(cells, len(data), seeds, out))[part[0] - 1 :: part[1]]
    recipes = [run.cell.resolved(run.seed, shared) for run in runs]
    for run, recipe in zip(runs, recipes, strict=True):
        if (run.folder / "recipe.yaml").is_file():  # before anything is trained
            open_run(recipe, run.folder)
    with tqdm(total=len(runs), desc="runs", unit="run", disable=not progress) as bar:
        bar.update(sum(run.state == "finished" for run in runs))
        for run, recipe in zip(runs, recipes, strict=True):
            if run.state == "finished":
                continue
            bar.set_postfix_str(f"{run.cell.name}, seed {run.seed}, split {run.split}")
            open_run(recipe, run.folder)
            (run.folder / FAILED).unlink(missing_ok=True)
            try:
                if train_on(data[run.split], recipe, run.folder, progress=False, callbacks=callbacks):
                    measure(run.folder / "model", data[run.split].splits["test"], run.folder)
                    remove_checkpoints(run.folder)
            except (DialectError, ValueError, OSError) as error:
                (run.folder / FAILED).write_text(json.dumps({"message": str(error)}) + "\n", encoding="utf-8")
            bar.update()


def remove_checkpoints(folder: Path) -> None:
    """Optimiser states of a finished run take many times the room of its model."""
    for checkpoints in [folder / "checkpoints", *folder.glob("stage-*/checkpoints")]:
        shutil.rmtree(checkpoints, ignore_errors=True)


def failure(run: Run) -> str | None:
    """Why a run failed."""
    path = run.folder / FAILED
    return json.loads(path.read_text(encoding="utf-8"))["message"] if path.is_file() else None
