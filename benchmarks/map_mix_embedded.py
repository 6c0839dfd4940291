"""Map-Mix, its rivals, and each part of it by itself, on the embedded corpus.

    python benchmarks/map_mix_embedded.py

The small log-mel encoder of the recipe `demo`, from scratch. Every setting trains for the same number of steps; a
second table gives the settings of the headline as many encoded examples as plain training has, the run that gives
their data map counted. Regions by thresholds stand beside regions by quantiles, and whole trainings beside those of a
third of the steps, so that the tables tell apart what convergence, targets, thresholds and mixing do. Settings of the
headline have 5 seeds, others 3.

Runs stand in runs/map-mix-embedded/; finished ones are taken from there, a broken one goes on, so the command can be
stopped and started again, or run as `--part 1/2` and `--part 2/2` side by side: a run whose data map is not there yet
is put off, and left for the next start where it never comes. Writes benchmarks/map_mix_embedded.md, in which cells that
are not finished say so.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reading import write_results
from salvi_embedded import parser_of

from hf_dialects.cli import shell
from hf_dialects.cli.reproduce import part_of
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid import run_grid
from hf_dialects.reproduce.grid_splits import load_splits, note_split
from hf_dialects.reproduce.map_mix import ENCODERS, PLAIN, SETTINGS, TABLES, map_mix_cells
from hf_dialects.reproduce.map_mix_curves import write_curves
from hf_dialects.reproduce.map_mix_figures import datamap
from hf_dialects.reproduce.map_mix_steps import equal_steps
from hf_dialects.reproduce.measures import MAP_MIX
from hf_dialects.reproduce.split_baselines import measure_baselines
from hf_dialects.reproduce.summary import summarise
from hf_dialects.reproduce.tables import write_table
from hf_dialects.reproduce.unit import Unit, clusters_of
from hf_dialects.training.screened import Screened

TABLE, EQUAL_EXAMPLES = "map_mix_embedded", "map_mix_embedded-equal-examples"
HEADLINE = ("plain", "random", "ambiguous_easy", "map_mix")
RECIPE = "demo"
STEPS = 450


def rows_of(
    recipe: str, seeds: int, more_seeds: int, only: Sequence[str] | None = None
) -> tuple[list[Cell], list[Cell]]:
    """The rows at equal steps, and those of the headline at equal encoded examples; each with what prepares it.

    Args:
        only: names of the rows at equal steps, and none at equal examples; None = all.

    Raises:
        DialectError: a name that no row has.
    """
    steps = {}
    for table in TABLES:
        chosen = [name for name in TABLES[table] if name not in ENCODERS]
        for cell in map_mix_cells(table, recipe, chosen, axes=("regions", "length")):
            steps.setdefault(cell.name, cell)
    order = [*SETTINGS]
    found = [
        [cell for cell in steps.values() if cell.preparation],
        sorted((cell for cell in steps.values() if cell.name in order), key=lambda cell: order.index(cell.name)),
        [cell for cell in steps.values() if not cell.preparation and cell.name not in order],
    ]
    if only is not None:
        if unknown := set(only) - steps.keys():
            raise DialectError(f"no row is called {', '.join(unknown)}; there are {', '.join(steps)}")
        found = [[cell for cell in part if cell.preparation or cell.name in only] for part in found]
        return with_seeds([cell for part in found for cell in part], seeds, more_seeds), []
    examples = map_mix_cells("map-mix-table2", recipe, HEADLINE, equal="examples")
    return tuple(with_seeds(cells, seeds, more_seeds) for cells in ([one for part in found for one in part], examples))


def with_seeds(cells: Sequence[Cell], seeds: int, more_seeds: int) -> list[Cell]:
    """The headline gets more seeds, and so does what it is prepared by."""
    more = {*HEADLINE, *(name for cell in cells if cell.name in HEADLINE for name, _ in cell.inputs.values())}
    return [replace(cell, seeds=more_seeds if cell.name in more else seeds) for cell in cells]


def run_and_write(
    tables: dict[str, list[Cell]],
    data: Unit,
    options: argparse.Namespace,
    shared: tuple[str, ...],
    notes: Sequence[str],
    target: Path,
) -> None:
    """Run all cells of the tables, and write them one below the other into one file, with curves and the data map."""
    folder = options.runs / "split-0"
    note_split(data, folder)
    measure_baselines(data, BASELINES, folder, progress=False)
    cells = list({cell.name: cell for table in tables.values() for cell in table}.values())
    shared = (*shared, "evaluation.baselines=false")
    shared += equal_steps(next(cell for cell in cells if cell.length == 1).resolved(0, shared).training, data)
    run_grid(cells, [data], options.seeds, options.runs, shared, part=part_of(options.part))
    notes = [*notes, write_curves(cells, 1, options.seeds, options.runs, f"{target.stem}-curves")]
    if isinstance(data, Screened):
        notes.append(datamap(folder / PLAIN / "seed-0", data.labels, options.runs))
    texts = []
    for name, table in tables.items():
        arguments = {"measures": MAP_MIX, "clusters": clusters_of(data)}
        content = summarise(name, table, 1, options.seeds, options.runs, **arguments)
        path = write_table(content, options.runs, [] if texts else notes)
        texts.append(path.read_text(encoding="utf-8"))
    write_results(target, "\n".join(texts).splitlines())
    print("\n".join(texts))


def main() -> None:
    parser = parser_of(__doc__, "map-mix-embedded", 3)
    parser.add_argument("--more-seeds", type=int, default=5, help=f"of {', '.join(HEADLINE)}")
    parser.add_argument("--rows", help="names of rows, separated by commas, written to a file of the name --table")
    parser.add_argument("--table", default=TABLE)
    options = parser.parse_intermixed_args()
    shell.start()
    only = options.rows and options.rows.split(",")
    steps, examples = rows_of(RECIPE, options.seeds, options.more_seeds, only)
    data = load_splits({"source": "demo"}, progress=False)[0]
    shared = (f"training.max_steps={STEPS}", "evaluation.draws=200", *options.overrides)
    arguments = f"--seeds {options.seeds} --more-seeds {options.more_seeds}"
    arguments += f" --rows {options.rows} --table {options.table}" if only else ""
    voices = len(set(data.splits["test"]["speaker"]))
    notes = [
        f"`{' '.join(['python benchmarks/map_mix_embedded.py', arguments, *options.overrides])}`: recipe `{RECIPE}` "
        f"(log-mel encoder from scratch), equal steps. Formant-synthesised accents, {voices} voices in test: the "
        "tables compare trainings, they say nothing about real dialects."
    ]
    tables = {options.table: steps} | ({EQUAL_EXAMPLES: examples} if examples else {})
    run_and_write(tables, data, options, shared, notes, options.out / f"{options.table}.md")


if __name__ == "__main__":
    main()
