"""Plain training against three contrastive objectives in three settings, on real recordings by speaker folds.

    python benchmarks/salvi_recordings.py DATA --labels Hindi,Marathi,Chinese,English --seeds 3

As salvi_embedded.py, with the recipe `small`: every arm sees the same folds, crops, order and, stage by stage,
number of steps. Runs stand in runs/salvi-recordings/; the command can be stopped and started again. Writes
benchmarks/salvi_recordings.md, in which cells that are not finished say so.
"""

import argparse
from pathlib import Path

from salvi_embedded import cells

from hf_dialects.cli import shell
from hf_dialects.cli.reproduce import part_of
from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.reproduce.grid import run_grid
from hf_dialects.reproduce.grid_splits import load_folds, note_split
from hf_dialects.reproduce.split_baselines import measure_baselines
from hf_dialects.reproduce.summary import summarise
from hf_dialects.reproduce.tables import write_table

TABLE = "salvi_recordings"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as training.num_train_epochs=2")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--part", default="1/1", help="2/4: the second of four parts, for processes side by side")
    parser.add_argument("--runs", type=Path, default=Path("runs/salvi-recordings"))
    options = parser.parse_intermixed_args()
    shell.start()
    rows = cells("small")
    source = (f"data.source={options.data}", f"data.labels=[{options.labels}]")
    shared = (*source, "evaluation.baselines=false", *options.overrides)
    data = load_folds(rows[0].resolved(0, shared).data, options.folds, progress=False)
    note_split(data[0], options.runs / "split-0")
    measure_baselines(data[0], BASELINES, options.runs / "split-0", progress=False)
    run_grid(rows, data, options.seeds, options.runs, shared, part=part_of(options.part))
    content = summarise(TABLE, rows, 1, options.seeds, options.runs)
    arguments = [Path(options.data).name, f"--labels {options.labels} --seeds {options.seeds}", *options.overrides]
    speakers = len({speaker for fold in data[0] for speaker in fold.splits["test"]["speaker"]})
    note = (
        f"`python benchmarks/salvi_recordings.py {' '.join(arguments)}`: recipe `small` (log-mel encoder from "
        f"scratch), {options.folds} folds by speaker, {speakers} speakers, every recording predicted by a model that "
        "never heard its speaker; equal steps in every stage. Purity is within the folds."
    )
    path = write_table(content, options.runs, [note])
    (Path(__file__).parent / f"{TABLE}.md").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
