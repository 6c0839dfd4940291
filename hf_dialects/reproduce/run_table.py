"""From the options of `hf-dialects reproduce` to a table on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.baselines import baseline_names
from hf_dialects.reproduce import salvi, smoke
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid import run_grid, runs_of
from hf_dialects.reproduce.grid_splits import load_splits, note_split, split_corpus
from hf_dialects.reproduce.split_baselines import measure_baselines
from hf_dialects.reproduce.summary import summarise
from hf_dialects.reproduce.tables import write_table
from hf_dialects.training.screened import Screened

TABLES = ("salvi-table2", "salvi-table3")
SMOKE_NOTE = (
    "Smoke run: tiny random encoders, two steps per stage, the shipped fixture of synthetic voices. These numbers mean "
    "nothing."
)


@dataclass(frozen=True)
class TableOptions:
    """What to run.

    Attributes:
        experiment: of `TABLES`.
        data: source of the corpus; not needed for a smoke run.
        seeds, splits: how many of each.
        encoders: of table 2, or the one of table 3; none for the paper's.
        given: encoder → folder or Hub id.
        objectives, settings, axes: of table 3, see `salvi.table3`.
        overrides: dotted, of all recipes.
        figures: whether the paper's figures are made, too.
        smoke: tiny encoders, few steps, the fixture.
        out: folder of the runs.
        part: (k, n), see `run_grid`.
        progress: whether bars are shown.
    """

    experiment: str
    out: Path
    data: str | None = None
    seeds: int = 3
    splits: int = 1
    encoders: tuple[str, ...] = ()
    given: Mapping[str, str | None] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    figures: bool = False
    smoke: bool = False
    part: tuple[int, int] = (1, 1)
    progress: bool = True


def run_table(options: TableOptions, tell: Callable[[str], None] = print) -> tuple[Path, bool]:
    """Run what is missing and write the table.

    Returns:
        (the Markdown file, whether every run is finished)

    Raises:
        DialectError: an unknown table, options that do not fit it, or no data.
    """
    if options.experiment not in TABLES:
        raise DialectError(f"there is no experiment {options.experiment!r}; choose one of: {', '.join(TABLES)}")
    if options.data is None and not options.smoke:
        raise DialectError("give the corpus with --data, or --smoke for a trial run on the shipped fixture")
    cells = cells_of(options)
    section = {"source": "fixture" if options.smoke else options.data}
    shared = (f"data.source={section['source']}", *(smoke.OVERRIDES if options.smoke else ()), *options.overrides)
    section = cells[0].resolved(0, shared).data
    wanted = baseline_names(cells[0].resolved(0, shared).evaluation.get("baselines"))
    shared = (*shared, "evaluation.baselines=false")  # they know no seed and no setting: once per split is enough
    n_runs = len(list(runs_of(cells, options.splits, options.seeds, options.out)))
    tell(f"{n_runs} runs: {len(cells)} rows x {options.seeds} seeds x {options.splits} splits, in {options.out}")
    data = splits_of(options, section)
    tell("\n".join(f"split {number}: {describe_split(one)}" for number, one in enumerate(data)))
    for number, one in enumerate(data):
        folder = options.out / f"split-{number}"
        note_split(one, folder)
        measure_baselines(one, wanted, folder, options.progress)
    run_grid(cells, data, options.seeds, options.out, shared, options.progress, options.part)
    content = summarise(
        options.experiment, cells, options.splits, options.seeds, options.out, draws=100 if options.smoke else 2000
    )
    notes = [SMOKE_NOTE] if options.smoke else []
    if options.figures:
        from hf_dialects.reproduce.figures import make_figures

        notes += make_figures(cells, data[0], options.seeds, options.out, shared)
    path = write_table(content, options.out, notes)
    return path, all(run["state"] == "finished" for cell in content["cells"] for run in cell["runs"])


def cells_of(options: TableOptions) -> list[Cell]:
    """The rows of the table."""
    given = dict(options.given)
    if options.smoke:
        given = smoke.tiny_encoders(options.out / "encoders")
    if options.experiment == "salvi-table2":
        if options.axes or options.objectives or options.settings or options.figures:
            raise DialectError("--axes, --objectives, --settings and --figures are for table 3")
        return salvi.table2(given, options.encoders)
    if len(options.encoders) > 1:
        raise DialectError(f"table 3 is of one encoder, got {', '.join(options.encoders)}")
    encoder = options.encoders[0] if options.encoders else salvi.OF_TABLE_3
    return salvi.table3(given, encoder, options.axes, options.objectives, options.settings)


def splits_of(options: TableOptions, section: dict) -> list[Screened]:
    """The splits of the grid; a smoke run draws its own, with two voices in each part."""
    if options.smoke:
        thirds = {"split_by": ["speaker"], "split_sizes": [1 / 3] * 3}
        return split_corpus(join_splits(load_fixture()), section | thirds, options.splits, progress=False)
    return load_splits(section, options.splits, options.progress)


def describe_split(data: Screened) -> str:
    """ "train 81279, validation 8242, test 8241 recordings, divided by site" """
    sizes = ", ".join(f"{name} {len(rows)}" for name, rows in data.splits.items())
    return f"{sizes} recordings, divided by {', '.join(data.by)}"
