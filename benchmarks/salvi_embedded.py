"""Plain training against three contrastive objectives in three settings, on the embedded corpus.

    python benchmarks/salvi_embedded.py --seeds 5

The small log-mel encoder of the recipe `demo`, from scratch, with equal steps in every stage; a control trains plainly
for as many steps as both stages take together. Runs stand in runs/salvi-embedded/; finished ones are taken from there,
a broken one goes on, so the command can be stopped and started again, or run as `--part 1/2` and `--part 2/2` side by
side. Writes benchmarks/salvi_embedded.md, in which cells that are not finished say so.
"""

import argparse
from dataclasses import replace
from pathlib import Path

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

PRETRAINING = "{name: pretraining, model: {cross_entropy_weight: 0}}"
STAGES = {  # as in the recipes salvi_pretraining and salvi_both
    "auxiliary": "[]",
    "pretraining": f"[{PRETRAINING}, {{name: classification, model: {{objective: null}}}}]",
    "both": f"[{PRETRAINING}, {{name: classification}}]",
}
TABLE = "salvi_embedded"


def cells(recipe: str) -> list[Cell]:
    """The rows of table 3 with the encoder of a recipe that trains from scratch, without numbers of the paper."""
    rows = []
    for cell in table3({}, encoder=recipe):
        overrides = [one for one in cell.overrides if not one.startswith("model.encoder=")]
        setting = next((name for name in SETTINGS if cell.name.endswith(f"-{name}")), None)
        if setting:
            overrides.append(f"stages={STAGES[setting]}")
        rows.append(replace(cell, recipe=recipe, overrides=tuple(overrides)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as training.num_train_epochs=2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts, for processes side by side")
    parser.add_argument("--runs", type=Path, default=Path("runs/salvi-embedded"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_intermixed_args()
    shell.start()
    rows = cells("demo")
    data = load_splits({"source": "demo"}, progress=False)
    note_split(data[0], options.runs / "split-0")
    measure_baselines(data[0], BASELINES, options.runs / "split-0")
    shared = ("evaluation.baselines=false", *options.overrides)
    run_grid(rows, data, options.seeds, options.runs, shared, part=part_of(options.part))
    content = summarise(TABLE, rows, 1, options.seeds, options.runs)
    command = " ".join(["python benchmarks/salvi_embedded.py", f"--seeds {options.seeds}", *options.overrides])
    voices = len(set(data[0].splits["test"]["speaker"]))
    notes = [
        f"`{command}`: recipe `demo` (log-mel encoder from scratch), equal steps in every stage. Formant-synthesised "
        f"accents, {voices} voices in test: the table compares objectives, it says nothing about real dialects."
    ]
    path = write_table(content, options.runs, notes)
    (options.out / f"{TABLE}.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
