"""The tables of Map-Mix (Rajaa et al. 2023) as cells: encoders, mixups, and each part of Map-Mix by itself.

All settings train for the same number of optimiser steps. Those that need a data map take that of the plain run of the
same seed and split; confidence labels are learnt once per seed and split, too.

A second set of cells, `equal="examples"`, gives every setting as many encoded examples as plain training has, what
prepares it counted. Settings that need no preparation and encode each example once are the same runs as before. Of
the others, a plain run of a third of the steps records the map, and mixing with partners from a region, which encodes
up to two examples for each of a batch, has another third: 1/3 + 2 · 1/3 = 1. Confidence labels learnt out of fold
would cost more than that alone, so here their shares are uniform.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from hf_dialects.data.pairs import POOLS
from hf_dialects.errors import DialectError
from hf_dialects.reproduce.cells import Cell
from hf_dialects.training.dynamics import DYNAMICS

PRESETS = {"paper": "map_mix_paper", "released": "map_mix_released"}  # recipes with the encoder of the paper
EQUAL = ("steps", "examples")
PLAIN, RANDOM, LABELS, SHORT = "plain", "random", "labels", "plain+short"
ENCODERS = {"wav2vec2": "facebook/wav2vec2-base", "hubert": "facebook/hubert-base-ls960"}  # beside the recipe's
THIRD = 1 / 3
OUT_OF_FOLD, *OTHER_SHARES = "out_of_fold", "uniform", "frequency"


@dataclass(frozen=True)
class Setting:
    """Who is mixed with whom, and on which targets."""

    title: str
    mixup: str = "none"
    targets: str = "one_hot"
    overrides: tuple[str, ...] = ()
    of_map: bool = False  # whether it needs a data map

    @property
    def regions(self) -> bool:
        """Whether partners come from a region of the map, so that up to twice the examples are encoded."""
        return self.mixup in POOLS


SETTINGS = {
    "wav2vec2": Setting("wav2vec2"),
    "hubert": Setting("HuBERT"),
    PLAIN: Setting("XLSR"),
    "static": Setting("static mixup", "static"),
    RANDOM: Setting("latent mixup (random)", "random"),
    "within": Setting("latent mixup (within)", "within"),
    "across": Setting("latent mixup (across)", "across"),
    "easy": Setting("easy mixup", "easy", of_map=True),
    "hard": Setting("hard mixup", "hard", of_map=True),
    "ambiguous_easy": Setting("ambiguous + easy mixup", "ambiguous_easy", of_map=True),
    "map_mix": Setting("Map-Mix", "ambiguous_easy", "confidence", of_map=True),
    "none-confidence": Setting("confidence labels alone", "none", "confidence"),
    "none-smoothing": Setting("label smoothing alone", "none", "smoothing"),
    "random-confidence": Setting("latent mixup (random), confidence labels", "random", "confidence"),
    "random-subset": Setting(
        "latent mixup (random), as many examples as are ambiguous or easy",
        "random",
        overrides=("training.train_subset=like_ambiguous_easy",),
        of_map=True,
    ),
}
ABLATIONS = ("none-confidence", "none-smoothing", "random-confidence", "random-subset")  # not in the paper
TABLES = {
    "map-mix-table1": (*ENCODERS, PLAIN, "static", RANDOM, "within", "across", "map_mix", *ABLATIONS),
    "map-mix-table2": (PLAIN, RANDOM, "easy", "hard", "ambiguous_easy", "map_mix", *ABLATIONS),
}
AXES = {  # name: (value: (overrides, length)), settings it is of)
    "regions": ({"quantiles": (("training.regions.by=quantiles",), 1)}, ("map_mix",)),
    "length": ({"short": ((), THIRD)}, (PLAIN, RANDOM, "map_mix")),
    "shares": ({name: ((f"training.confidence_from={name}",), 1) for name in ("uniform", "frequency")}, ("map_mix",)),
}

VARIANTS = {
    "quantiles": "regions by quantiles",
    "short": "a third of the steps",
    "uniform": "uniform shares",
    "frequency": "shares by frequency",
}
UNIFORM = "training.confidence_from=uniform"


def published(table: str) -> dict[str, dict[str, float]]:
    """Cell → metric → value, as the paper prints them."""
    numbers = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return numbers[table] | {name: row for name, row in numbers["map-mix-table1"].items() if name in TABLES[table]}


def map_mix_cells(
    table: str,
    recipe: str = "map_mix_paper",
    chosen: Sequence[str] = (),
    equal: str = "steps",
    axes: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    shares: str = OUT_OF_FOLD,
) -> list[Cell]:
    """The rows of a table, and what prepares them.

    Args:
        table: of `TABLES`.
        recipe: gives everything but mixing, targets and encoders; its stages are left out.
        chosen: settings; none for all of the table.
        equal: "steps", or "examples" with the preparing runs counted.
        axes: of `AXES`; rows of their values are added.
        given: encoder of `ENCODERS` → folder or Hub id, instead of the one above.
        shares: of confidence labels: "out_of_fold", "uniform", "frequency", or a table (CSV or JSON).

    Raises:
        DialectError: a setting that the table does not have, an unknown axis, `equal` or encoder.
    """
    for what, wanted, valid in (
        ("row", chosen, TABLES[table]),
        ("axis", axes, AXES),
        ("kind of equality", (equal,), EQUAL),
        ("encoder", given or (), ENCODERS),
    ):
        if unknown := [name for name in wanted if name not in valid]:
            raise DialectError(f"{table} has no {what} {unknown[0]!r}; choose from: {', '.join(valid)}")
    names = [name for name in TABLES[table] if name in (chosen or TABLES[table])]
    sources = ENCODERS | dict(given or {})
    cells = [_cell(name, recipe, sources, shares) for name in names]
    numbers = published(table) if recipe in PRESETS.values() else {}
    if equal == "examples":
        cells = _equal_examples(cells)
    else:
        cells = [replace(cell, published=numbers.get(cell.name, {})) for cell in cells]
        for axis in axes:
            cells += [_variant(cell, axis, value) for value in AXES[axis][0] for cell in cells if _concerns(axis, cell)]
    cells = _with_baselines(_with_preparations(cells, recipe, sources))
    return [replace(cell, columns={"cell": cell.name, **cell.columns}) for cell in cells]


def _cell(name: str, recipe: str, sources: Mapping[str, str], shares: str) -> Cell:
    setting = SETTINGS[name]
    overrides = [
        *((f"model.encoder={sources[name]}",) if name in sources else ()),
        "stages=[]",
        "model.label_smoothing=0",  # it and soft targets exclude each other, and settings differ in nothing else
        f"training.mixup={setting.mixup}",
        f"training.targets={setting.targets}",
        *setting.overrides,
    ]
    inputs = {"training.datamap": (PLAIN, DYNAMICS)} if setting.of_map else {}
    if name == PLAIN:
        overrides.append("training.record_dynamics=training")
    if setting.targets == "confidence" and shares == OUT_OF_FOLD:
        inputs["training.confidence_from"] = (LABELS, "confidence_labels.csv")
    elif setting.targets == "confidence":
        overrides.append(f"training.confidence_from={shares if shares in OTHER_SHARES else Path(shares).resolve()}")
    title = "plain training" if name == PLAIN and recipe not in PRESETS.values() else setting.title
    columns = {"model": title, "mixup": setting.mixup, "targets": setting.targets, "variant": "–"}
    return Cell(name, columns, recipe, tuple(overrides), inputs=inputs, separation=False)


def _equal_examples(cells: Sequence[Cell]) -> list[Cell]:
    """The rows with as many encoded examples as plain training; without those that take from a map only how many
    examples are ambiguous or easy."""
    found = []
    for cell in cells:
        setting, inputs, notes = SETTINGS[cell.name], dict(cell.inputs), []
        if setting.of_map and not setting.regions:
            continue
        if inputs.pop("training.confidence_from", None):
            cell = replace(cell, name=f"{cell.name}+uniform", overrides=(*cell.overrides, UNIFORM))
            notes.append("uniform shares")
        if setting.regions:
            inputs["training.datamap"] = (SHORT, DYNAMICS)
            cell = replace(cell, name=f"{cell.name}+examples", length=THIRD)
            notes.append("a third of the steps, map of as many")
        found.append(replace(cell, inputs=inputs, columns={**cell.columns, "variant": "; ".join(notes) or "–"}))
    if any(SHORT in dict(cell.inputs.values()) for cell in found):
        plain = next((cell for cell in found if cell.name == PLAIN), None)
        found += [_variant(plain, "length", "short")] if plain else []
    return found


def _concerns(axis: str, cell: Cell) -> bool:
    """Whether an axis varies a row; rows of other axes are left alone."""
    return cell.name in AXES[axis][1]


def _variant(cell: Cell, axis: str, value: str) -> Cell:
    """A row with another value of an axis."""
    overrides, length = AXES[axis][0][value]
    inputs = dict(cell.inputs)
    if axis == "shares":
        inputs.pop("training.confidence_from", None)
    return replace(
        cell,
        name=f"{cell.name}+{value}",
        columns={**cell.columns, "variant": VARIANTS[value]},
        overrides=(*cell.overrides, *overrides),
        length=length,
        inputs=inputs,
        published={},
    )


def _with_preparations(cells: Sequence[Cell], recipe: str, sources: Mapping[str, str]) -> list[Cell]:
    """The rows, and before them what they take something from and that is no row itself."""
    plain = _cell(PLAIN, recipe, sources, OUT_OF_FOLD)
    labels = _cell("none-confidence", recipe, sources, OUT_OF_FOLD)
    of_labels = (*labels.overrides, f"training.confidence_from={OUT_OF_FOLD}")
    makers = {  # a third of the steps is enough to see which dialects are taken for each other
        PLAIN: plain,
        LABELS: replace(labels, name=LABELS, overrides=of_labels, length=THIRD, inputs={}),
        SHORT: _variant(plain, "length", "short"),
    }
    names = {cell.name for cell in cells}
    wanted = {name for cell in cells for name, _ in cell.inputs.values()} - names
    return [*(replace(one, preparation=True) for name, one in makers.items() if name in wanted), *cells]


def _with_baselines(cells: Sequence[Cell]) -> list[Cell]:
    """Every row is tested against plain training and random mixup, encoders and random mixup against the former."""
    found = []
    for cell in cells:
        against = (PLAIN,) if cell.name in (*ENCODERS, RANDOM) else (PLAIN, RANDOM)
        names = [one.name for one in cells if not one.preparation]
        against = () if cell.preparation or cell.name == PLAIN else against
        found.append(replace(cell, baselines=tuple(name for name in against if name in names)))
    return found
