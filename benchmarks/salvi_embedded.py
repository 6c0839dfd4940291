"""Plain training against three contrastive objectives in three settings, on the embedded corpus.

    python benchmarks/salvi_embedded.py --seeds 5

The small log-mel encoder of the recipe `demo`, from scratch, with equal steps in every stage; a control trains plainly
for as many steps as both stages take together. Runs stand in runs/salvi-embedded/; finished ones are taken from there,
a broken one goes on, so the command can be stopped and started again, or run as `--part 1/2` and `--part 2/2` side by
side. Writes benchmarks/salvi_embedded.md, in which cells that are not finished say so.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from reading import write_results

from hf_dialects.cli import shell
from hf_dialects.cli.reproduce import part_of
from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid import run_grid
from hf_dialects.reproduce.grid_splits import load_splits, note_split
from hf_dialects.reproduce.salvi import SETTINGS, table3
from hf_dialects.reproduce.split_baselines import measure_baselines
from hf_dialects.reproduce.summary import summarise
from hf_dialects.reproduce.tables import write_table
from hf_dialects.reproduce.unit import Unit
from hf_dialects.training.recipe import load_recipe

TABLE = "salvi_embedded"


def cells(recipe: str) -> list[Cell]:
    """The rows of table 3 with the encoder of a recipe that trains from scratch, without numbers of the paper."""
    rows = []
    for cell in table3({}, encoder=recipe):
        overrides = [one for one in cell.overrides if not one.startswith("model.encoder=")]
        setting = next((name for name in SETTINGS if cell.name.endswith(f"-{name}")), None)
        if setting:
            overrides.append(f"stages={json.dumps(load_recipe(cell.recipe).stages)}")
        rows.append(replace(cell, recipe=recipe, overrides=tuple(overrides)))
    return rows


def parser_of(text: str, runs: str, seeds: int, *arguments: str) -> argparse.ArgumentParser:
    """The arguments of one benchmark, and those that all grids share."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in arguments:
        parser.add_argument(name)
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as training.max_steps=150")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts, for processes side by side")
    parser.add_argument("--runs", type=Path, default=Path("runs") / runs)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    return parser


def run_and_write(
    table: str, rows: list[Cell], data: Unit, options: argparse.Namespace, shared: tuple[str, ...], note: str
) -> None:
    """Run all cells, and write their table."""
    note_split(data, options.runs / "split-0")
    measure_baselines(data, BASELINES, options.runs / "split-0", progress=False)
    run_grid(rows, [data], options.seeds, options.runs, shared, part=part_of(options.part))
    path = write_table(summarise(table, rows, 1, options.seeds, options.runs), options.runs, [note])
    text = path.read_text(encoding="utf-8")
    write_results(options.out / f"{table}.md", text.splitlines())
    print(text)


def main() -> None:
    options = parser_of(__doc__, "salvi-embedded", 5).parse_intermixed_args()
    shell.start()
    (data,) = load_splits({"source": "demo"}, progress=False)
    command = " ".join(["python benchmarks/salvi_embedded.py", f"--seeds {options.seeds}", *options.overrides])
    voices = len(set(data.splits["test"]["speaker"]))
    note = (
        f"`{command}`: recipe `demo` (log-mel encoder from scratch), equal steps in every stage. Formant-synthesised "
        f"accents, {voices} voices in test: the table compares objectives, it says nothing about real dialects."
    )
    run_and_write(TABLE, cells("demo"), data, options, ("evaluation.baselines=false", *options.overrides), note)


if __name__ == "__main__":
    main()
