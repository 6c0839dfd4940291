"""A dataset with any columns → one whose columns are those of the corpus schema, others untouched."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hf_dialects.data.schema import COLUMNS, NUMBERS, features
from hf_dialects.errors import CorpusError

__all__ = ["Conversion", "class_names", "common_features", "conform", "conform_stream", "find_roles"]

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
        prefix: put before every id.
        constants: columns with one value in all rows.
    """

    source: str
    roles: Mapping[str, str]
    labels: Sequence[str]
    others: bool = False
    clusters: Sequence[str] | None = None
    paths_from: Path | None = None
    prefix: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)

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
        found = {"id": [self.prefix + id for id in ids]}
        found |= {name: [value] * len(ids) for name, value in self.constants.items()}
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
                f"{self.source}: {len(without)} rows have no {self.roles['dialect']}: {', '.join(without[:5])}; "
                "fill it in, or keep only the rows with certain labels (labels=)"
            )
        return found

    def features(self, given):
        """`datasets.Features`: columns of the schema that there are, in its order, then the others of the source."""
        from datasets import Value

        named = {
            name: _displaced(name, self)
            for name in given
            if self.roles.get(name) != name and name != self.roles["audio"]
        }
        wanted = features(self.labels, self.clusters)
        found = {name: wanted[name] for name in COLUMNS if name in self.roles or name == "id"}
        found |= {name: Value("string") for name in self.constants}
        return type(wanted)(found | {named[name]: given[name] for name in named})


def common_features(several: Sequence):
    """`datasets.Features` with the columns of all: types that differ become one that holds both, at last text."""
    merged = {}
    for given in several:
        for name, feature in given.items():
            merged[name] = _common_type(name, merged[name], feature) if name in merged else feature
    order = [name for name in COLUMNS if name in merged] + [name for name in merged if name not in COLUMNS]
    return type(several[0])({name: merged[name] for name in order})


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


def class_names(columns: Iterable[tuple]) -> list[str]:
    """Names of the classes in some columns: in the order of the `ClassLabel` on which all agree, else sorted.

    Args:
        columns: pairs of dataset and column; where it is a `ClassLabel`, the dataset may be a stream.
    """
    import pyarrow.compute as pc

    found = []
    for dataset, column in columns:
        feature = dataset.features[column]
        if hasattr(feature, "names"):
            found.append(list(feature.names))
        else:
            found.append(sorted(set(_texts(pc.unique(dataset.data.column(column)).to_pylist(), feature)) - {None}))
    if all(names == found[0] for names in found):
        return found[0] if found else []
    return sorted({name for names in found for name in names})


def conform(dataset, conversion: Conversion, wanted):
    """`Dataset` in the schema. Audio that it holds is not copied. Rows of other labels have a null label.

    Args:
        wanted: `datasets.Features` of the result, from `Conversion.features` or `common_features`.

    Raises:
        CorpusError: a value that fits no label or number, or a recording without the path or bytes it needs.
    """
    dataset, conversion = _named(dataset, conversion)
    given = dataset.features
    dataset, paths = _with_paths(dataset.cast_column("audio", wanted["audio"]), conversion)
    columns = {
        name: dataset.data.column(name).to_pylist() for role, name in conversion.roles.items() if role != "audio"
    }
    found = conversion.columns(columns, given, paths)
    for name, feature in wanted.items():
        if name not in given:
            found.setdefault(name, [None] * len(dataset))
        elif name not in found and name != "audio" and given[name] != feature:
            found[name] = _converted(dataset.data.column(name).to_pylist(), given[name], feature)
    dataset = dataset.remove_columns([name for name in found if name in given])
    for name, values in found.items():
        dataset = dataset.add_column(name, values, feature=wanted[name])
    return dataset.select_columns(list(wanted))


def conform_stream(dataset, conversion: Conversion, wanted):
    """`IterableDataset` in the schema, without the rows of other labels. Rows are converted when they are read."""
    from datasets import Audio, Value

    dataset, conversion = _named(dataset, conversion)
    given = dataset.features
    if isinstance(given["audio"], Audio):
        dataset = dataset.cast_column("audio", wanted["audio"])

    def convert(batch: dict[str, list]) -> dict[str, list]:
        cells = [_cell(value) for value in batch["audio"]]
        found = conversion.columns(batch, given, [cell["path"] for cell in cells])
        found["audio"] = [
            cell | {"path": _checked_path(cell["path"], cell["bytes"] is None, conversion)} for cell in cells
        ]
        for name, feature in wanted.items():
            if name not in found:
                absent = name not in given
                found[name] = [None] * len(cells) if absent else _converted(batch[name], given[name], feature)
        kept = [row for row, code in enumerate(found["dialect"]) if code is not None]
        return {name: [found[name][row] for row in kept] for name in wanted}

    plain = wanted.copy()  # encoding into Audio would need torchcodec
    plain["audio"] = {"bytes": Value("binary"), "path": Value("string")}
    converted = dataset.map(convert, batched=True, batch_size=STREAM_BATCH, features=plain, remove_columns=list(given))
    return converted.cast_column("audio", wanted["audio"])


def _displaced(name: str, conversion: Conversion) -> str:
    """The name that a column of the source has afterwards."""
    taken = conversion.roles.get(name, name) != name or name in conversion.constants
    return name + DISPLACED if taken else name


def _named(dataset, conversion: Conversion):
    """Dataset and conversion such that no column has a name that another needs, and the audio is called `audio`."""
    roles = conversion.roles
    renamed = {name: _displaced(name, conversion) for name in dataset.features if _displaced(name, conversion) != name}
    if roles["audio"] != "audio":
        renamed[roles["audio"]] = "audio"
    if not renamed:
        return dataset, conversion
    roles = {role: renamed.get(name, name) for role, name in roles.items()}
    return dataset.rename_columns(renamed), replace(conversion, roles=roles)


def _common_type(name: str, one, other):
    from datasets import ClassLabel, Value

    if one == other:
        return one
    if not isinstance(one, Value | ClassLabel) or not isinstance(other, Value | ClassLabel):
        raise CorpusError(f"column {name!r} holds {one} in one source and {other} in another; rename or drop it in one")
    types = {one.dtype, other.dtype}
    numeric = not isinstance(one, ClassLabel) and not isinstance(other, ClassLabel) and "bool" not in types
    if numeric and all(dtype.startswith(("int", "uint")) for dtype in types):
        return Value("int64")
    return Value(
        "float64" if numeric and all(dtype.startswith(("int", "uint", "float")) for dtype in types) else "string"
    )


def _converted(values: list, given, wanted) -> list:
    """Values of one column as those of another type, as `_common_type` chose it."""
    if getattr(wanted, "dtype", None) != "string" or given == wanted:
        return values
    return [
        None if value is None else str(value)
        for value in (_texts(values, given) if hasattr(given, "names") else values)
    ]


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
            f"{conversion.source}: the recording {path!r} is a path without its bytes, and the file is not part of the "
            "data; embed the audio when writing Parquet"
        )
    if path is None or os.path.isabs(path) or "://" in path:
        return path  # without any the recording counts as missing
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
        raise CorpusError(
            f"{value!r} ({value.__class__.__name__}) cannot name anything; text or a whole number is expected"
        )
    return str(value)


def _number(value, conversion: Conversion, role: str, id: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{conversion.source}, {id}: {role} is {value!r}, a number is expected") from error
