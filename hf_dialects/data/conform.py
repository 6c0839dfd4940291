"""A dataset with any columns → one whose columns are those of the corpus schema, others untouched."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hf_dialects.data.schema import COLUMNS, NUMBERS, features
from hf_dialects.errors import CorpusError

__all__ = ["Conversion", "class_names", "conform", "conform_stream", "find_roles"]

DISPLACED = "_original"  # suffix of a column whose name another column needs
STREAM_BATCH = 16  # rows converted at once: their audio is in memory


@dataclass(frozen=True)
class Conversion:
    """How the columns of one source become those of the schema.

    Attributes:
        source: its name, for messages.
        roles: column of the schema → column of the source.
        labels: names of the dialects in label order.
        others: whether rows with another label, or none, may occur (they get a null label), else they are an error.
        clusters: names of the clusters; None = there is no such column.
        paths_from: folder that relative paths of recordings start from; None = recordings must be held as bytes.
    """

    source: str
    roles: Mapping[str, str]
    labels: Sequence[str]
    others: bool = False
    clusters: Sequence[str] | None = None
    paths_from: Path | None = None

    def columns(self, given: Mapping[str, list], types: Mapping, paths: Sequence[str | None]) -> dict[str, list]:
        """The columns of the schema, but for the audio, of some rows.

        Args:
            given: columns of the source.
            types: their features.
            paths: of the recordings; the ids where the source has none.
        """
        if "id" in self.roles:
            ids = _texts(given[self.roles["id"]], types[self.roles["id"]])
        else:
            ids = [os.path.splitext(path)[0] if path else None for path in paths]
        if None in ids:
            raise CorpusError(
                f"{self.source}, row {ids.index(None) + 1}: the recording has neither an id nor a file name; "
                "add a column with unique ids, or name it with columns={'id': …}"
            )
        found = {"id": ids}
        for role, name in self.roles.items():
            if role in NUMBERS:
                found[role] = [_number(value, self, role, id) for value, id in zip(given[name], ids, strict=True)]
            elif role in ("dialect", "cluster"):
                names = self.labels if role == "dialect" else self.clusters
                codes = {name: code for code, name in enumerate(names)}
                found[role] = [codes.get(text) for text in _texts(given[name], types[name])]
            elif role not in ("audio", "id"):
                found[role] = _texts(given[name], types[name])
        if not self.others and None in found["dialect"]:
            without = [id for id, code in zip(ids, found["dialect"], strict=True) if code is None]
            raise CorpusError(
                f"{self.source}: {len(without)} rows have no {self.roles['dialect']}: {', '.join(without[:5])}; fill it in, "
                "or keep only the rows with certain labels (labels=)"
            )
        return found

    def features(self, given):
        """`datasets.Features`: columns of the schema that there are, in its order, then the others of the source."""
        own = {name: type for name, type in given.items() if self.roles.get(name) != name}
        wanted = features(self.labels, self.clusters)
        return type(wanted)({name: wanted[name] for name in COLUMNS if name in self.roles or name == "id"} | own)


def find_roles(columns: Iterable[str], asked: Mapping[str, str], source: str) -> dict[str, str]:
    """Column of the schema → column of the source that plays it: the one asked for, else the one of that name.

    Raises:
        CorpusError: a column that was asked for, or `audio` or `dialect`, is missing; or a role does not exist.
    """
    columns = list(columns)
    unknown = [role for role in asked if role not in COLUMNS]
    if unknown:
        raise CorpusError(f"{unknown[0]!r} is no column of a corpus; those are {', '.join(COLUMNS)}")
    for role in dict.fromkeys(["audio", "dialect", *asked]):
        name = asked.get(role, role)
        if name not in columns:
            advice = "label=" if role == "dialect" else f"columns={{{role!r}: …}}"
            raise CorpusError(
                f"{source} has no column {name!r} to be the {role}; it has {', '.join(columns)}. "
                f"Name the right one with {advice}"
            )
    return {role: asked.get(role, role) for role in COLUMNS if role in asked or role in columns}


def class_names(datasets: Iterable, column: str) -> list[str]:
    """Names of the classes in a column: in the order of the `ClassLabel` on which all datasets agree, else sorted."""
    import pyarrow.compute as pc

    found = []
    for dataset in datasets:
        type = dataset.features[column]
        values = range(type.num_classes) if hasattr(type, "names") else pc.unique(dataset.data.column(column)).to_pylist()
        names = _texts(values, type)
        found.append(names if hasattr(type, "names") else sorted(set(names) - {None}))
    return found[0] if all(names == found[0] for names in found) else sorted({name for names in found for name in names})


def conform(dataset, conversion: Conversion):
    """`Dataset` in the schema, without the rows of other labels. Audio that it holds is not copied.

    Raises:
        CorpusError: a value that fits no label or number, or a recording without the path or bytes it needs.
    """
    dataset, conversion = _named(dataset, conversion)
    given, wanted = dataset.features, conversion.features(dataset.features)
    dataset = dataset.cast_column("audio", wanted["audio"])
    dataset, paths = _with_paths(dataset, conversion)
    columns = {name: dataset.data.column(name).to_pylist() for role, name in conversion.roles.items() if role != "audio"}
    found = conversion.columns(columns, given, paths)
    dataset = dataset.remove_columns([role for role in found if role in dataset.column_names])
    for role, values in found.items():
        dataset = dataset.add_column(role, values, feature=wanted[role])
    dataset = dataset.select_columns(list(wanted))
    if None not in found["dialect"]:
        return dataset
    return dataset.select([row for row, code in enumerate(found["dialect"]) if code is not None])


def conform_stream(dataset, conversion: Conversion):
    """`IterableDataset` in the schema, converted while it is read; errors as of `conform` come then."""
    from datasets import Audio, Value

    dataset, conversion = _named(dataset, conversion)
    given, wanted = dataset.features, conversion.features(dataset.features)
    if isinstance(given["audio"], Audio):
        dataset = dataset.cast_column("audio", wanted["audio"])

    def convert(batch: dict[str, list]) -> dict[str, list]:
        cells = [_cell(value) for value in batch["audio"]]
        paths = [_checked_path(cell["path"], cell["bytes"] is None, conversion) for cell in cells]
        batch = batch | conversion.columns(batch, given, [cell["path"] for cell in cells])
        batch["audio"] = [cell | {"path": path} for cell, path in zip(cells, paths, strict=True)]
        kept = [row for row, code in enumerate(batch["dialect"]) if code is not None]
        return {name: [batch[name][row] for row in kept] for name in wanted}

    plain = wanted.copy()  # encoding into Audio would need torchcodec
    plain["audio"] = {"bytes": Value("binary"), "path": Value("string")}
    converted = dataset.map(convert, batched=True, batch_size=STREAM_BATCH, features=plain, remove_columns=list(given))
    return converted.cast_column("audio", wanted["audio"])


def _named(dataset, conversion: Conversion):
    """Dataset and conversion such that no column of the schema's name plays another role, and the audio is `audio`."""
    roles = conversion.roles
    renamed = {role: role + DISPLACED for role, name in roles.items() if name != role and role in dataset.column_names}
    if roles["audio"] != "audio":
        renamed[roles["audio"]] = "audio"
    if not renamed:
        return dataset, conversion
    roles = {role: renamed.get(name, name) for role, name in roles.items()}
    return dataset.rename_columns(renamed), replace(conversion, roles=roles)


def _with_paths(dataset, conversion: Conversion):
    """Dataset whose recordings without bytes have absolute paths, and the paths as they were."""
    import pyarrow as pa

    cells = dataset.data.column("audio")
    old, new, changed = [], [], []
    for chunk in cells.chunks:
        held = chunk.field("bytes")
        paths = chunk.field("path").to_pylist()
        old += paths
        without = held.is_null().to_pylist()
        new = [_checked_path(path, absent, conversion) for path, absent in zip(paths, without, strict=True)]
        changed.append(pa.StructArray.from_arrays([held, pa.array(new, pa.string())], ["bytes", "path"]))
    if all(chunk.field("path").equals(was.field("path")) for chunk, was in zip(changed, cells.chunks, strict=True)):
        return dataset, old
    type = dataset.features["audio"]
    dataset = dataset.remove_columns("audio").add_column("audio", pa.chunked_array(changed), feature=type)
    return dataset, old


def _checked_path(path: str | None, needed: bool, conversion: Conversion) -> str | None:
    """The path made absolute, where the recording has no bytes."""
    if not needed:
        return path
    if conversion.paths_from is None:
        raise CorpusError(
            f"{conversion.source}: the recording {path!r} is a path without its bytes, and the file is not part of the data; "
            "embed the audio when writing Parquet"
        )
    if path is None or os.path.isabs(path):
        return path  # without either the recording counts as missing
    folder = os.path.realpath(conversion.paths_from)
    found = os.path.realpath(os.path.join(folder, path))
    if os.path.commonpath([found, folder]) != folder:
        raise CorpusError(f"{conversion.source}: the recording {path!r} lies outside {folder}; move it there")
    return found


def _cell(value) -> dict:
    """{"bytes", "path"} of what an audio column holds."""
    if isinstance(value, dict):
        return {"bytes": value.get("bytes"), "path": value.get("path")}
    return {"bytes": value, "path": None} if isinstance(value, bytes) else {"bytes": None, "path": value}


def _texts(values: Iterable, type) -> list[str | None]:
    """Names of classes, strings, whole numbers and truth values as text; empty text is null."""
    if hasattr(type, "names"):
        return [None if value is None or value < 0 else type.names[value] for value in values]
    return [None if value is None or value == "" or value != value else _text(value) for value in values]


def _text(value) -> str:
    if isinstance(value, float) and value.is_integer():  # integers with gaps become floats in many tables
        value = int(value)
    if not isinstance(value, (str, int)):
        raise CorpusError(f"{value!r} ({value.__class__.__name__}) cannot name anything; text or a whole number is expected")
    return str(value)


def _number(value, conversion: Conversion, role: str, id: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{conversion.source}, {id}: {role} is {value!r}, a number is expected") from error
