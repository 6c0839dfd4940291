"""Confusion against distance, from a corpus with coordinates."""

import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_dialects.reproduce.figures import centres, geography
from hf_dialects.training.screened import Screened

NAMES = [f"region-{number}" for number in range(6)]


@pytest.fixture
def along_a_coast():
    """Six regions one degree apart; two sites in each, one of them with twice the recordings."""
    rows = [
        {"id": f"{region}-{site}-{take}", "dialect": region, "latitude": 37.0 + region + site / 10, "longitude": 15.0}
        for region in range(6)
        for site in range(2)
        for take in range(1 + site)
    ]
    types = {"id": Value("string"), "dialect": ClassLabel(names=NAMES), "latitude": Value("float64")}
    rows = Dataset.from_list(rows, features=Features(types | {"longitude": Value("float64")}))
    return Screened(DatasetDict(train=rows, test=rows.select([0])), [], ("site",))


def test_a_region_lies_in_the_middle_of_its_sites(along_a_coast):
    assert centres(along_a_coast)[2] == pytest.approx((39.05, 15.0))
    without = DatasetDict(train=along_a_coast.splits["train"].remove_columns("latitude"))
    assert centres(Screened(without, [], ("site",))) == [None] * 6


def test_neighbours_that_are_confused_are_found(along_a_coast, tmp_path):
    steps = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    line = geography(np.round(1000 * 0.3**steps), along_a_coast, tmp_path)
    assert line.startswith("Mantel: confusion against distance of 6 dialects, rank correlation -0.9")
    found = json.loads((tmp_path / "mantel.json").read_text())
    assert found["dialects"] == NAMES
    assert found["p"] == pytest.approx(2 / 720)  # the order and its mirror image
    assert found["exact"]


def test_without_enough_dialects_it_says_so(along_a_coast, tmp_path):
    counts = np.zeros((6, 6))
    counts[:3, :3] = 5
    assert "fewer than four dialects" in geography(counts, along_a_coast, tmp_path)
    assert geography(np.full((6, 6), 3), along_a_coast, tmp_path).startswith("Mantel: not run, all pairs have the same")
