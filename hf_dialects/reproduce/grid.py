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
from hf_dialects.reproduce.run_separation import read_numbers
from hf_dialects.reproduce.unit import Unit, train_unit
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import open_run

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
        """ "finished", "failed", "waiting" (for runs of other cells), "unfinished" (it goes on where it stopped) or
        "not run"."""
        measured = not self.cell.separation or read_numbers(self.folder) is not None
        if measured and (self.folder / "results.json").is_file():
            return "finished"
        if (self.folder / FAILED).is_file():
            return "failed"
        if self.waits_for:
            return "waiting"
        return "unfinished" if self.folder.is_dir() else "not run"

    @property
    def inputs(self) -> dict[str, Path]:
        """Cell → its run that this one takes something from."""
        return {name: self.folder.parent.parent / name / self.folder.name for name, _ in self.cell.inputs.values()}

    @property
    def waits_for(self) -> list[str]:
        """Cells whose runs must be finished before this one."""
        return [name for name, folder in self.inputs.items() if not (folder / "results.json").is_file()]


def runs_of(cells: Sequence[Cell], n_splits: int, seeds: int, out: Path) -> Iterator[Run]:
    """The runs of a grid, all cells with one seed before the next seed: a part of it can be compared already."""
    for split in range(n_splits):
        for seed in range(max(cell.seeds or seeds for cell in cells)):
            for cell in cells:
                if cell.missing is None and seed < (cell.seeds or seeds):
                    yield Run(cell, split, seed, out / f"split-{split}" / cell.name / f"seed-{seed}")


def run_grid(
    cells: Sequence[Cell],
    data: Sequence[Unit],
    seeds: int,
    out: Path,
    shared: tuple[str, ...] = (),
    progress: bool = True,
    part: tuple[int, int] = (1, 1),
    callbacks: tuple = (),
) -> None:
    """Train and evaluate whatever is not finished yet.

    A run that fails for its data or settings is noted and the others go on; it is tried again the next time. One that
    takes something from a run that is not finished is put off. What still waits at the end, for a run that failed
    or is in the hands of another process, is left for the next time. Checkpoints of finished runs are removed, their
    models stay.

    Args:
        data: one per split; folds in place of a split are trained each, and their predictions pooled.
        shared: overrides of every recipe.
        part: (k, n) takes every n-th run from the k-th on, for n processes side by side.

    Raises:
        CorpusError: `out` holds runs on other recordings.
        RecipeError: `out` holds runs of other settings.
    """
    for split, unit in enumerate(data):
        note_split(unit, out / f"split-{split}")
    runs = list(runs_of(cells, len(data), seeds, out))[part[0] - 1 :: part[1]]
    waiting = [(run, run.cell.resolved(run.seed, shared)) for run in runs]
    for run, recipe in waiting:
        if (run.folder / "recipe.yaml").is_file():  # before anything is trained
            open_run(recipe, run.folder)
    waiting = [(run, recipe) for run, recipe in waiting if run.state != "finished"]
    with tqdm(total=len(runs), initial=len(runs) - len(waiting), desc="runs", unit="run", disable=not progress) as bar:
        while ready := next((one for one in waiting if not one[0].waits_for), None):
            run, recipe = ready
            waiting.remove(ready)
            bar.set_postfix_str(f"{run.cell.name}, seed {run.seed}, split {run.split}")
            run_one(run, recipe, data[run.split], callbacks)
            bar.update()


def run_one(run: Run, recipe: Recipe, unit: Unit, callbacks: tuple = ()) -> None:
    """Train and evaluate one run, and note it where it fails."""
    open_run(recipe, run.folder)
    (run.folder / FAILED).unlink(missing_ok=True)
    try:
        if train_unit(unit, recipe, run.folder, callbacks, run.cell.separation):
            remove_checkpoints(run.folder)
    except (DialectError, ValueError, OSError) as error:
        (run.folder / FAILED).write_text(json.dumps({"message": str(error)}) + "\n", encoding="utf-8")


def remove_checkpoints(folder: Path) -> None:
    """Optimiser states of a finished run take many times the room of its model."""
    for checkpoints in folder.rglob("checkpoints"):
        shutil.rmtree(checkpoints, ignore_errors=True)


def failure(run: Run) -> str | None:
    """Why a run failed, or what it waits for."""
    path = run.folder / FAILED
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))["message"]
    if run.state != "waiting":
        return None
    failed = [name for name in run.waits_for if (run.inputs[name] / FAILED).is_file()]
    return f"for {' and '.join(run.waits_for)}" + f"; {' and '.join(failed)} failed" * bool(failed)
