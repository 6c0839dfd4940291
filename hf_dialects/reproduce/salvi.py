"""The tables of SALVI (La Quatra et al. 2024) as cells: encoders, and contrastive objectives in three settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from hf_dialects.errors import DialectError
from hf_dialects.reproduce.cells import Cell

ENCODERS = {  # name: (title, after Italian speech recognition or not, Hub id)
    "wavlm-large": ("WavLM-L", "no", "microsoft/wavlm-large"),
    "xlsr-53": ("XLSR-53", "no", "facebook/wav2vec2-large-xlsr-53"),
    "xls-r-300m": ("XLSR-128", "no", "facebook/wav2vec2-xls-r-300m"),
    "xlsr-53-ita": ("XLSR-53-ITA", "yes", None),
    "xls-r-300m-ita": ("XLSR-128-ITA", "yes", None),
    "ecapa": ("ECAPA-TDNN", "no", None),
}
GIVEN_BY = {  # no id is known for these: the paper names no Italian checkpoint, and the ECAPA weights must be converted
    "xlsr-53-ita": "--ita-xlsr53",
    "xls-r-300m-ita": "--ita-xlsr128",
    "ecapa": "--ecapa",
}
OWN_POOLING = {"ecapa": ("model.pooling=ecapa",)}  # its released weights hold one
OF_TABLE_3 = "xlsr-53-ita"
OBJECTIVES = {"supcon": "supervised contrastive", "triplet": "triplet margin", "multi_similarity": "multi-similarity"}
SETTINGS = {  # name: (contrastive pre-training, contrastive fine-tuning)
    "auxiliary": ("no", "yes"),
    "pretraining": ("yes", "no"),
    "both": ("yes", "yes"),
}
PLAIN, LONG = "plain", "plain-long"
AXES = {  # name: (values: overrides, what it changes)
    "pooling": (
        {name: (f"model.pooling={name}",) for name in ("attention", "statistics", "attentive_statistics", "max")},
        "every arm",
    ),
    "sampler": ({"balanced": ("training.sampler=balanced",)}, "every arm"),
    "projection": ({"256": ("model.projection_size=256",)}, "arms with an objective"),
    "denominator": ({"negatives": ("model.objective_options.denominator=negatives",)}, "arms with supcon"),
}


def published(table: str) -> dict[str, dict]:
    """Cell → metric → (mean, sd) in percent, as the paper prints them."""
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))[table]


def table2(given: Mapping[str, str | None], chosen: Sequence[str] = ()) -> list[Cell]:
    """Encoders with plain fine-tuning.

    Args:
        given: encoder → folder or Hub id, instead of the one above or where there is none.
        chosen: encoders; none for all.

    Raises:
        DialectError: an encoder that the table does not have.
    """
    unknown = [name for name in chosen if name not in ENCODERS]
    if unknown:
        raise DialectError(f"table 2 has no encoder {unknown[0]!r}; it has: {', '.join(ENCODERS)}")
    numbers = published("salvi-table2")
    cells = []
    for name in chosen or ENCODERS:
        title, italian, id = ENCODERS[name]
        source = given.get(name) or id
        cells.append(
            Cell(
                name=name,
                columns={"encoder": title, "Italian ASR": italian},
                recipe="salvi_plain",
                overrides=(f"model.encoder={source}", *OWN_POOLING.get(name, ())),
                published=numbers[name],
                missing=None if source else f"give {GIVEN_BY[name]}",
            )
        )
    reference = "xlsr-53" if any(cell.name == "xlsr-53" for cell in cells) else cells[0].name
    return [cell if cell.name == reference else replace(cell, baselines=(reference,)) for cell in cells]


def table3(
    given: Mapping[str, str | None],
    encoder: str = OF_TABLE_3,
    axes: Sequence[str] = (),
    objectives: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> list[Cell]:
    """Plain fine-tuning, and three objectives in three settings, with a plain control as long as both stages.

    Args:
        encoder: one of table 2, or any Hub id or folder.
        axes: of `AXES`; the rows that an axis changes are added for each of its values.
        objectives, settings: only these; none for all.

    Raises:
        DialectError: an unknown axis, objective or setting, or no source for the encoder.
    """
    for what, wanted, valid in (
        ("axis", axes, AXES),
        ("objective", objectives, OBJECTIVES),
        ("setting", settings, SETTINGS),
    ):
        if unknown := [name for name in wanted if name not in valid]:
            raise DialectError(f"there is no {what} {unknown[0]!r}; choose from: {', '.join(valid)}")
    source = given.get(encoder) or ENCODERS.get(encoder, (None, None, encoder))[2]
    if source is None:
        raise DialectError(
            f"table 3 of the paper fine-tunes {encoder}, whose checkpoint it does not name: give {GIVEN_BY[encoder]} "
            "PATH, or another encoder with --encoders"
        )
    of_paper = published("salvi-table3") if encoder == OF_TABLE_3 else {}
    cells = _rows(source, of_paper, objectives or list(OBJECTIVES), settings or list(SETTINGS))
    for axis in axes:
        values, changed = AXES[axis]
        for value, overrides in values.items():
            cells += [_variant(cell, axis, value, overrides) for cell in cells if _changes(cell, changed)]
    return cells


def _rows(source: str, of_paper: Mapping, objectives: Sequence[str], settings: Sequence[str]) -> list[Cell]:
    encoder = f"model.encoder={source}"

    def columns(pretraining: str, fine_tuning: str, objective: str = "–", note: str = "–") -> dict[str, str]:
        return {"objective": objective, "Ctrl-PT": pretraining, "Ctrl-FT": fine_tuning, "variant": note}

    cells = [Cell(PLAIN, columns("no", "no"), "salvi_plain", (encoder,), published=of_paper.get(PLAIN, {}))]
    staged = [name for name in settings if SETTINGS[name][0] == "yes"]
    if staged:
        note = "twice the steps"
        cells.append(Cell(LONG, columns("no", "no", note=note), "salvi_plain", (encoder,), 2, baselines=(PLAIN,)))
    for objective in objectives:
        for setting in settings:
            name = f"{objective}-{setting}"
            cells.append(
                Cell(
                    name,
                    columns(*SETTINGS[setting], OBJECTIVES[objective]),
                    f"salvi_{setting}",
                    (encoder, f"model.objective={objective}"),
                    baselines=(PLAIN, LONG) if setting in staged else (PLAIN,),
                    published=of_paper.get(name, {}),
                )
            )
    return cells


def _changes(cell: Cell, changed: str) -> bool:
    """Whether an axis concerns a row; rows of other axes are left alone."""
    if "+" in cell.name:
        return False
    return {
        "every arm": True,
        "arms with an objective": not cell.name.startswith(PLAIN),
        "arms with supcon": cell.name.startswith("supcon"),
    }[changed]


def _variant(cell: Cell, axis: str, value: str, overrides: tuple[str, ...]) -> Cell:
    """A row with another value of an axis; tested against the plain rows that have it too, where it concerns them."""
    suffix = f"+{axis}-{value}"
    with_plain = AXES[axis][1] == "every arm"
    return replace(
        cell,
        name=cell.name + suffix,
        columns={**cell.columns, "variant": f"{axis} {value}" + "; twice the steps" * cell.name.startswith(LONG)},
        overrides=(*cell.overrides, *overrides),
        baselines=tuple(name + suffix * with_plain for name in cell.baselines),
        published={},
    )
