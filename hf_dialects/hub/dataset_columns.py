"""A corpus in Parquet without its audio: the columns of each split, and what of them others may see."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_dialects.data.folders import canonical_split
from hf_dialects.data.shard_plan import REQUIRED, UNSPLIT
from hf_dialects.data.sources import SHARD
from hf_dialects.data.splits import SPLITS
from hf_dialects.errors import CorpusError
from hf_dialects.hub.dataset_pseudonyms import Pseudonyms

DEGREES = re.compile(r"(^|_)(lat|latitude|lon|lng|longitude)(_|$)")  # in the names of columns
PLACES = re.compile(r"(^|_)(gps|coords?|coordinates?|geometry|geojson|wkt)(_|$)")
DECIMALS = 1  # of a degree: some 11 km to the north


@dataclass(frozen=True)
class Columns:
    """Rows without their audio.

    Attributes:
        table: `pyarrow.Table` without metadata.
        features: `datasets.Features` of the rows with it.
    """

    table: object
    features: object

    def values(self, name: str) -> list | None:
        """Values in row order, labels by their names; None where there is no such column."""
        if name not in self.table.column_names:
            return None
        values, names = self.table[name].to_pylist(), getattr(self.features[name], "names", None)
        return [None if one is None or one < 0 else names[one] for one in values] if names else values

    def with_column(self, name: str, values: list, feature) -> "Columns":
        """With other values in a column that is there."""
        import pyarrow as pa
        from datasets import Features

        array = pa.array(values, feature.pa_type)
        table = self.table.set_column(self.table.column_names.index(name), name, array)
        return Columns(table, Features({**self.features, name: feature}))

    def kept(self, rows: np.ndarray) -> "Columns":
        """Only the rows of a mask (N,) bool."""
        import pyarrow as pa

        return Columns(self.table.filter(pa.array(rows)), self.features)

    def pseudonymised(self, names: Iterable[str], pseudonyms: Pseudonyms) -> "Columns":
        """With pseudonyms in these columns, which become strings."""
        from datasets import Value

        found = self
        for name in names:
            values = [pseudonyms.of(name, one) for one in self.values(name)]
            found = found.with_column(name, values, Value("string"))
        return found

    def coordinates(self) -> list[str]:
        """Columns that hold degrees, by their names and types.

        Raises:
            CorpusError: a column seems to hold coordinates in a form that cannot be rounded.
        """
        found = []
        for name, feature in self.features.items():
            words = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).casefold()
            if not DEGREES.search(words) and not PLACES.search(words):
                continue
            if DEGREES.search(words) and getattr(feature, "dtype", "").startswith("float"):
                found.append(name)
            elif any(one is not None for one in self.values(name)):
                raise CorpusError(
                    f"column {name} may hold exact coordinates, and as {getattr(feature, 'dtype', 'a structure')} it "
                    "cannot be rounded: put them into the columns latitude and longitude, or share with --exact-places"
                )
        return found

    def rounded(self) -> "Columns":
        """With coordinates to a tenth of a degree.

        Raises:
            CorpusError: see `coordinates`.
        """
        found = self
        for name in self.coordinates():
            values = [None if one is None else float(np.round(one, DECIMALS)) for one in self.values(name)]
            found = found.with_column(name, values, self.features[name])
        return found

    def dataset(self):
        """`datasets.Dataset`, without audio."""
        from datasets import Dataset, Features

        features = Features({name: one for name, one in self.features.items() if name != "audio"})
        return Dataset(self.table.select(list(features)).cast(features.arrow_schema))


def parquet_files(folder: Path) -> dict[str, list[Path]]:
    """Split → its files, train, validation and test first.

    Args:
        folder: that `hf-dialects prepare` or `hf-dialects split --embed` wrote.

    Raises:
        CorpusError: it holds no Parquet.
    """
    splits: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*.parquet")):
        name = re.sub(SHARD, "", file.stem)
        splits.setdefault("train" if name == UNSPLIT else canonical_split(name), []).append(file)
    if not splits:
        raise CorpusError(f"{folder} holds no Parquet: give a folder that hf-dialects prepare wrote")
    order = {name: number for number, name in enumerate(SPLITS)}
    return dict(sorted(splits.items(), key=lambda split: order.get(split[0], len(order))))


def read_columns(files: Iterable[Path]) -> Columns:
    """The rows of some files, in order.

    Raises:
        CorpusError: a column of the corpus schema is missing, or a file is no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    tables = []
    for file in files:
        try:
            schema = pq.read_schema(file)
            tables.append(pq.read_table(file, columns=[name for name in schema.names if name != "audio"]))
        except (OSError, pa.ArrowException) as error:
            raise CorpusError(f"{file} cannot be read as Parquet ({error}); prepare the corpus again") from error
        if missing := [name for name in REQUIRED if name not in schema.names]:
            raise CorpusError(f"{file} has no column {missing[0]}; every corpus has {', '.join(REQUIRED)}")
    return Columns(pa.concat_tables(tables).replace_schema_metadata(None), Features.from_arrow_schema(schema))
