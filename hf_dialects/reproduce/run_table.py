"""From the options of `hf-dialects reproduce` to a table on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.baselines import baseline_names
from hf_dialects.reproduce import map_mix, salvi, smoke
from hf_dialects.reproduce.cells import Cell
from hf_dialects.reproduce.grid import run_grid, runs_of
from hf_dialects.reproduce.grid_splits import cut_folds, load_splits, note_split, split_corpus
from hf_dialects.reproduce.map_mix_steps import equal_steps
from hf_dialects.reproduce.map_mix_subsets import describe_overlap, low_resource
from hf_dialects.reproduce.measures import MAP_MIX, SALVI
from hf_dialects.reproduce.split_baselines import measure_baselines
from hf_dialects.reproduce.summary import summarise
from hf_dialects.reproduce.tables import write_table
from hf_dialects.reproduce.unit import Unit, clusters_of, grouped_by, parts_of
from hf_dialects.training.splits_of_run import load_data

TABLES = ("salvi-table2", "salvi-table3", *map_mix.TABLES)
OF_SALVI = ("objectives", "settings")  # options
OF_MAP_MIX = ("rows", "equal", "shares", "preset", "hours")
SMOKE_NOTE = (
    "Smoke run: tiny random encoders, a few steps per stage, the shipped fixture of synthetic voices. These numbers "
    "mean nothing."
)


@dataclass(frozen=True)
class TableOptions:
    """What to run.

    Attributes:
        experiment: of `TABLES`.
        data: source of the corpus; not needed for a smoke run.
        seeds, splits: how many of each.
        folds: instead of three parts, every split is this many folds by whole groups; None for three parts.
        encoders: of SALVI's table 2, or the one of its table 3; none for the paper's. For Map-Mix "NAME=SOURCE" of
            `map_mix.ENCODERS`.
        given: SALVI's encoder → folder or Hub id.
        objectives, settings: of SALVI's table 3, see `salvi.table3`.
        axes: of SALVI's table 3, or of Map-Mix, see `map_mix.map_mix_cells`.
        rows, equal, shares: of Map-Mix, see `map_mix.map_mix_cells`.
        preset: of Map-Mix: "paper" or "released".
        hours: of Map-Mix: splits are low-resource subsets of this many hours for each dialect.
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
    folds: int | None = None
    encoders: tuple[str, ...] = ()
    given: Mapping[str, str | None] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    equal: str = "steps"
    shares: str = map_mix.OUT_OF_FOLD
    preset: str = "paper"
    hours: float | None = None
    overrides: tuple[str, ...] = ()
    figures: bool = False
    smoke: bool = False
    part: tuple[int, int] = (1, 1)
    progress: bool = True

    @property
    def of_map_mix(self) -> bool:
        """Whether the table is one of Map-Mix."""
        return self.experiment in map_mix.TABLES

    @property
    def table(self) -> str:
        """Name of the table on disk."""
        return self.experiment + "-equal-examples" * (self.equal == "examples")


def run_table(options: TableOptions, tell: Callable[[str], None] = print) -> tuple[Path, bool]:
    """Run what is missing and write the table.

    Returns:
        (the Markdown file, whether every run is finished)

    Raises:
        DialectError: an unknown table, options that do not fit it, or no data.
    """
    check_options(options)
    cells = cells_of(options)
    shared = shared_of(options)
    whole = next(cell for cell in cells if cell.length == 1)
    recipe = whole.resolved(0, shared)
    wanted = baseline_names(recipe.evaluation.get("baselines"))
    shared = (*shared, "evaluation.baselines=false")  # they know no seed and no setting: once per split is enough
    n_runs = len(list(runs_of(cells, options.splits, options.seeds, options.out)))
    tell(f"{n_runs} runs: {len(cells)} settings x {options.seeds} seeds x {options.splits} splits, in {options.out}")
    data = splits_of(options, recipe.data)
    tell("\n".join(f"split {number}: {describe_split(one)}" for number, one in enumerate(data)))
    if options.of_map_mix:
        shared = (*shared, *equal_steps(whole.resolved(0, shared).training, data[0]))
    for number, one in enumerate(data):
        folder = options.out / f"split-{number}"
        note_split(one, folder)
        measure_baselines(one, wanted, folder, options.progress)
    run_grid(cells, data, options.seeds, options.out, shared, options.progress, options.part)
    content = summarise(
        options.table,
        cells,
        options.splits,
        options.seeds,
        options.out,
        draws=100 if options.smoke else 2000,
        measures=MAP_MIX if options.of_map_mix else SALVI,
        clusters=clusters_of(data[0]),
    )
    content["subsets"] = options.hours is not None
    notes = [SMOKE_NOTE] if options.smoke else []
    if options.hours and options.splits > 1:
        notes.append(describe_overlap(data))
    if options.figures:
        notes += figures_of(options, cells, data[0], shared)
    path = write_table(content, options.out, notes)
    told = [*content["cells"], *content["preparations"]]
    return path, all(run["state"] == "finished" for cell in told for run in cell["runs"])


def check_options(options: TableOptions) -> None:
    """Raises `DialectError` where options do not fit the table, or each other."""
    if options.experiment not in TABLES:
        raise DialectError(f"there is no experiment {options.experiment!r}; choose one of: {', '.join(TABLES)}")
    if options.data is None and not options.smoke:
        raise DialectError("give the corpus with --data, or --smoke for a trial run on the shipped fixture")
    defaults = TableOptions.__dataclass_fields__
    for name in OF_SALVI if options.of_map_mix else OF_MAP_MIX:
        if getattr(options, name) != defaults[name].default:
            tables = ", ".join(one for one in TABLES if (one in map_mix.TABLES) != options.of_map_mix)
            raise DialectError(f"--{name} is not for {options.experiment}; it is for {tables}")
    if options.preset not in map_mix.PRESETS:
        raise DialectError(f"--preset is {options.preset!r}; it must be {' or '.join(map_mix.PRESETS)}")
    if options.folds and options.hours:
        raise DialectError(
            "--hours draws subsets for training and tests on the corpus' own test split; leave --folds out"
        )


def cells_of(options: TableOptions) -> list[Cell]:
    """The rows of the table, and what prepares them."""
    given = dict(options.given)
    if options.smoke:
        given = smoke.tiny_encoders(options.out / "encoders")
    if options.of_map_mix:
        named = dict(one.partition("=")[::2] for one in options.encoders)
        sources = {name: given[name] for name in map_mix.ENCODERS} if options.smoke else named
        recipe = map_mix.PRESETS[options.preset]
        return map_mix.map_mix_cells(
            options.experiment, recipe, options.rows, options.equal, options.axes, sources, options.shares
        )
    if options.experiment == "salvi-table2":
        if options.axes or options.objectives or options.settings or options.figures:
            raise DialectError("--axes, --objectives, --settings and --figures are for table 3")
        return salvi.table2(given, options.encoders)
    if len(options.encoders) > 1:
        raise DialectError(f"table 3 is of one encoder, got {', '.join(options.encoders)}")
    encoder = options.encoders[0] if options.encoders else salvi.OF_TABLE_3
    return salvi.table3(given, encoder, options.axes, options.objectives, options.settings)


def shared_of(options: TableOptions) -> tuple[str, ...]:
    """Overrides of all recipes."""
    if not options.smoke:
        return (f"data.source={options.data}", *options.overrides)
    shared = ("data.source=fixture", *(smoke.MAP_MIX_OVERRIDES if options.of_map_mix else smoke.OVERRIDES))
    if options.of_map_mix:
        shared += (f"model.encoder={smoke.tiny_encoders(options.out / 'encoders')['xls-r-300m']}",)
    return (*shared, *options.overrides)


def splits_of(options: TableOptions, section: dict) -> list[Unit]:
    """The splits of the grid; a smoke run draws its own, with at least two voices in test."""
    if options.folds:
        if options.figures:
            raise DialectError("--figures show one test split; leave --folds out")
        corpus = load_fixture() if options.smoke else load_data(section)
        return cut_folds(corpus, section, options.folds, options.splits, options.progress)
    if options.hours:
        corpus = load_fixture() if options.smoke else load_data(section)
        return low_resource(corpus, section, options.hours, options.splits, options.progress)
    if options.smoke:
        sizes = [1 / 2, 1 / 6, 1 / 3] if options.of_map_mix else [1 / 3] * 3
        own = {"split_by": ["speaker"], "split_sizes": sizes}
        return split_corpus(join_splits(load_fixture()), section | own, options.splits, progress=False)
    return load_splits(section, options.splits, options.progress)


def figures_of(options: TableOptions, cells: list[Cell], data: Unit, shared: tuple[str, ...]) -> list[str]:
    """Make the figures; returns lines for the table."""
    if options.of_map_mix:
        from hf_dialects.reproduce.map_mix_figures import make_figures

        return make_figures(options.table, cells, data, options.splits, options.seeds, options.out)
    from hf_dialects.reproduce.figures import make_figures

    return make_figures(cells, data, options.seeds, options.out, shared)


def describe_split(data: Unit) -> str:
    """ "train 81279, validation 8242, test 8241 recordings, divided by site" """
    sizes = ", ".join(f"{name} {len(rows)}" for name, rows in parts_of(data).items())
    return f"{sizes} recordings, divided by {', '.join(grouped_by(data))}"
