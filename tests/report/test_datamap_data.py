"""What the page of a data map gets: which recordings, their curves, their numbers."""

from base64 import b64decode

import mapped
import numpy as np
import pytest

from hf_dialects.data.load import load_corpus
from hf_dialects.data.split_folder import join_splits
from hf_dialects.errors import CorpusError
from hf_dialects.report.datamap_data import (
    MISSING,
    audible,
    chosen,
    curves_of,
    page_data,
    rows_of,
    speakers_of_map,
)
from hf_dialects.report.datamap_table import read_table


@pytest.fixture(scope="module")
def table(corpus, tmp_path_factory):
    return read_table(mapped.folded_run(tmp_path_factory.mktemp("runs") / "folded", corpus))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return read_table(mapped.large_run(tmp_path_factory.mktemp("runs") / "large", 6000))


def test_curves_have_gaps_where_an_epoch_saw_nothing():
    rows = [("a", 0, 0, 0.0, False, "training"), ("a", 2, 0, 1.0, True, "training"), ("b", 1, 0, 0.5, True, "training")]
    epochs, curves = curves_of(mapped.frame(rows), ["b", "a"])
    assert epochs == [0, 1, 2]
    assert curves.dtype == np.uint8
    assert curves.tolist() == [[MISSING, 127, MISSING], [0, MISSING, 254]]


def test_columns_are_those_of_the_map(table):
    rows = np.arange(0, 96, 2)
    speakers = [id.split("/")[1][:-2] for id in table.map.ids]
    data = page_data(table, rows, speakers)
    assert data["id"] == table.map.ids[rows].tolist()
    assert [data["speakers"][number] for number in data["speaker"]] == [speakers[row] for row in rows]
    assert data["confidence"] == pytest.approx(table.map.confidence[rows], abs=1e-4)
    assert data["doubt"] == pytest.approx(table.confident.score[rows], abs=1e-4)
    assert [data["regions"][number] for number in data["region"]] == table.regions[rows].tolist()
    curves = np.frombuffer(b64decode(data["curves"]), dtype=np.uint8).reshape(len(rows), mapped.EPOCHS)
    assert curves.mean(1) / 254 == pytest.approx(table.map.confidence[rows], abs=0.003)
    for name, order in table.orders.items():
        assert [data["id"][place] for place in data["orders"][name]] == [
            id for id in table.map.ids[order] if id in set(data["id"])
        ]
    assert data["borders"] == {"easy": (0.6, 0.3), "hard": (0.3, 0.2)}


def test_unknown_speakers_and_a_missing_ranking(large):
    data = page_data(large, np.arange(10), [None] * 6000)
    assert data["speakers"] == []
    assert set(data["speaker"]) == {-1}
    assert "doubt" not in data
    assert list(data["orders"]) == ["map"]


def test_decisions_are_kept_apart_by_recordings_and_labels(table):
    speakers = [None] * 96
    key = page_data(table, np.arange(96), speakers)["key"]
    assert page_data(table, np.arange(96), speakers)["key"] == key
    assert page_data(table, np.arange(95), speakers)["key"] != key


def test_of_many_recordings_the_doubtful_and_some_others_are_shown(large):
    assert chosen(large, 6000).tolist() == list(range(6000))
    rows = chosen(large, 3000, seed=1)
    assert len(rows) == len(set(rows)) == 3000
    assert set(large.orders["map"][:2000]) <= set(rows)
    assert set(rows) != set(large.orders["map"][:3000])
    assert rows.tolist() == chosen(large, 3000, seed=1).tolist() != chosen(large, 3000, seed=2).tolist()


def test_clips_to_hear_are_mostly_doubtful_ones(table):
    rows = np.arange(96)
    heard = audible(table, rows, 30)
    assert len(heard) == 30
    for order in table.orders.values():
        assert set(order[:10]) <= set(heard)
    assert audible(table, rows, 96).tolist() == rows.tolist()


def test_speakers_come_from_the_corpus(table, corpus):
    whole = join_splits(load_corpus(corpus))
    speakers = dict(zip(table.map.ids, speakers_of_map(table, whole), strict=True))
    assert speakers["audio/train-0-1-3"] == "train-0-1"
    assert speakers_of_map(table, whole.remove_columns("speaker")) == [None] * 96
    with pytest.raises(CorpusError, match="not the corpus of this run: 64 of 96 of its recordings are missing"):
        rows_of(table, load_corpus(corpus)["train"])
