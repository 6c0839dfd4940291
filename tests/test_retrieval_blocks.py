import numpy as np
import pytest

from hf_dialects import retrieval_blocks
from hf_dialects.retrieval_blocks import all_pairs
from hf_dialects.times import told


@pytest.fixture
def small(monkeypatch):
    """Blocks of 4 rows."""
    monkeypatch.setattr(retrieval_blocks, "ROWS", 4)


def products(values, calls):
    """A symmetric table of products; `calls` takes what was asked for."""

    def compute(members, n_rows):
        calls.append((members.tolist(), n_rows))
        return np.outer(values[members[:n_rows]], values[members]).astype(np.float32)

    return compute


def test_blocks_make_the_whole_table_and_are_computed_once(small, tmp_path):
    values, calls = np.random.default_rng(0).normal(size=10), []
    lengths = np.ones(10, dtype=int)
    options = {"progress": False}
    found = all_pairs(products(values, calls), lengths, tmp_path, "of these", {"a": 1}, **options)
    assert np.array_equal(found, np.outer(values, values).astype(np.float32))
    assert [rows for _, rows in calls] == [4, 4, 2], "a block is of the rows and all that follow"
    assert calls[1][0] == list(range(4, 10))
    again = []
    (tmp_path / sorted(path.name for path in tmp_path.iterdir())[1]).unlink()
    found = all_pairs(products(values, again), lengths, tmp_path, "of these", {"a": 1}, **options)
    assert np.array_equal(found, np.outer(values, values).astype(np.float32))
    assert again == calls[1:2], "an interrupted run computes what is missing"
    other = []
    all_pairs(products(2 * values, other), lengths, tmp_path, "of these", {"a": 2}, **options)
    assert len(other) == 3, "blocks of another key are not taken"


def test_a_long_time_is_told_beforehand(monkeypatch, tmp_path):
    clock = iter([0.0, 8.0])
    monkeypatch.setattr(retrieval_blocks, "perf_counter", lambda: next(clock))
    said, calls = [], []
    lengths = np.full(160, 10)
    all_pairs(products(np.ones(160), calls), lengths, tmp_path, "SeqSim", {}, False, said.append)
    # the sample of 8 × 16 pairs took 8 s; 128 × 160 and 32 × 32 are left
    assert told(8 / 128 * (128 * 160 + 32 * 32)) == "22 min"
    assert said == ["SeqSim of 160 utterances: about 22 min, 0 MiB of memory for the table"]
    assert [(len(members), rows) for members, rows in calls] == [(16, 8)] * 2 + [(160, 128), (32, 32)]
    all_pairs(products(np.ones(160), calls), lengths, tmp_path, "SeqSim", {}, False, said.append)
    assert len(said) == 1, "nothing is left to be done"
    assert told(3 * 3600) == "3.0 h"
