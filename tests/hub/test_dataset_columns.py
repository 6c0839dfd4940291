"""Coordinates are found by their names, rounded, or refused where they cannot be."""

import pyarrow as pa
import pytest
from datasets import ClassLabel, Features, Value

from hf_dialects.errors import CorpusError
from hf_dialects.hub.dataset_columns import Columns


def columns(**given) -> Columns:
    """Columns of values and their features."""
    features = Features({name: feature for name, (_, feature) in given.items()})
    table = pa.table({name: pa.array(values, features[name].pa_type) for name, (values, _) in given.items()})
    return Columns(table, features)


@pytest.mark.parametrize("name", ["latitude", "lat", "birth_lon", "homeLat", "LNG", "gps_longitude"])
def test_degrees_are_rounded_to_a_tenth(name):
    found = columns(**{name: ([46.1234, None, -0.04], Value("float64")), "flat": ([1.234] * 3, Value("float64"))})
    assert found.coordinates() == [name]
    assert found.rounded().values(name) == [46.1, None, 0.0]
    assert found.rounded().values("flat") == [1.234] * 3


@pytest.mark.parametrize(
    ("name", "values"), [("latitude", ["46.1234"]), ("gps", ["46.1234, 7.9876"]), ("coordinates", ["N46"])]
)
def test_coordinates_that_cannot_be_rounded_are_refused(name, values):
    with pytest.raises(CorpusError, match=f"column {name} may hold exact coordinates, and as string it cannot be"):
        columns(**{name: (values, Value("string"))}).rounded()
    empty = columns(**{name: ([None], Value("string"))})
    assert empty.rounded().values(name) == [None]


def test_labels_are_read_by_their_names():
    found = columns(who=([1, None, 0, -1], ClassLabel(names=["ann", "bo"])), dialect=(["a"] * 4, Value("string")))
    assert found.values("who") == ["bo", None, "ann", None]
    assert found.values("none") is None
