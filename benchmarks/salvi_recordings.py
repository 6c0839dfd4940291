"""Plain training against three contrastive objectives in three settings, on real recordings by speaker folds.

    python benchmarks/salvi_recordings.py DATA --labels Hindi,Marathi,Chinese,English --seeds 3

As salvi_embedded.py, with the recipe `small`: every arm sees the same folds, crops, order and, stage by stage,
number of steps. Runs stand in runs/salvi-recordings/; the command can be stopped and started again. Writes
benchmarks/salvi_recordings.md, in which cells that are not finished say so.
"""

from pathlib import Path

from salvi_embedded import cells, parser_of, run_and_write

from hf_dialects.cli import shell
from hf_dialects.reproduce.grid_splits import load_folds

TABLE = "salvi_recordings"


def main() -> None:
    parser = parser_of(__doc__, "salvi-recordings", 3, "data")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_intermixed_args()
    shell.start()
    rows = cells("small")
    source = (f"data.source={options.data}", f"data.labels=[{options.labels}]")
    shared = (*source, "evaluation.baselines=false", *options.overrides)
    (folds,) = load_folds(rows[0].resolved(0, shared).data, options.folds, progress=False)
    arguments = [Path(options.data).name, f"--labels {options.labels} --seeds {options.seeds}", *options.overrides]
    speakers = len({speaker for fold in folds for speaker in fold.splits["test"]["speaker"]})
    note = (
        f"`python benchmarks/salvi_recordings.py {' '.join(arguments)}`: recipe `small` (log-mel encoder from "
        f"scratch), {options.folds} folds by speaker, {speakers} speakers, every recording predicted by a model that "
        "never heard its speaker; equal steps in every stage. Purity is within the folds."
    )
    run_and_write(TABLE, rows, folds, options, shared, note)


if __name__ == "__main__":
    main()
