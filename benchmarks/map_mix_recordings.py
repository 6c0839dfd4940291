"""Plain training, random latent mixup and Map-Mix on real recordings, by speaker folds.

    python benchmarks/map_mix_recordings.py DATA --labels Hindi,Marathi,Chinese,English

As map_mix_embedded.py, with the recipe `small`: every setting sees the same folds and crops and has as many steps;
every fold has a data map and confidence labels of its own training part. Runs stand in runs/map-mix-recordings/; the
command can be stopped and started again. Writes benchmarks/map_mix_recordings.md, in which cells that are not finished
say so.
"""

from dataclasses import replace
from pathlib import Path

from datasets import ClassLabel, DatasetDict
from map_mix_embedded import run_and_write
from salvi_embedded import parser_of

from hf_dialects.cli import shell
from hf_dialects.reproduce.grid_splits import load_folds
from hf_dialects.reproduce.map_mix import PLAIN, RANDOM, map_mix_cells
from hf_dialects.training.screened import Screened

TABLE = "map_mix_recordings"
RECIPE = "small"
CHOSEN = (PLAIN, RANDOM, "map_mix")


def in_one_cluster(fold: Screened) -> Screened:
    """All dialects as siblings, for corpora of accents of one language."""
    splits = {}
    for name, rows in fold.splits.items():
        rows = rows.remove_columns([one for one in rows.column_names if one == "cluster"])
        splits[name] = rows.add_column("cluster", [0] * len(rows)).cast_column("cluster", ClassLabel(names=["all"]))
    return replace(fold, splits=DatasetDict(splits))


def main() -> None:
    parser = parser_of(__doc__, "map-mix-recordings", 3, "data")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--clusters", choices=("corpus", "one"), default="corpus", help="those of the corpus, or all dialects in one"
    )
    options = parser.parse_intermixed_args()
    shell.start()
    rows = map_mix_cells("map-mix-table1", RECIPE, CHOSEN)
    shared = (f"data.source={options.data}", f"data.labels=[{options.labels}]", *options.overrides)
    folds = load_folds(rows[0].resolved(0, shared).data, options.folds, progress=False)[0]
    if options.clusters == "one":
        folds = [in_one_cluster(fold) for fold in folds]
    arguments = [f"--labels {options.labels} --seeds {options.seeds} --clusters {options.clusters}", *options.overrides]
    speakers = len({speaker for fold in folds for speaker in fold.splits["test"]["speaker"]})
    note = (
        f"`python benchmarks/map_mix_recordings.py {' '.join([Path(options.data).name, *arguments])}`: recipe "
        f"`{RECIPE}` (log-mel encoder from scratch), {options.folds} folds by speaker, {speakers} speakers, every "
        "recording predicted by a model that never heard its speaker; equal steps."
    )
    run_and_write({TABLE: rows}, folds, options, shared, [note], options.out / f"{TABLE}.md")


if __name__ == "__main__":
    main()
