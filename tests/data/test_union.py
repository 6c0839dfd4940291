import json
import logging
import sys

import pytest
from recordings import corpus, names, record, write

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.errors import CorpusError


@pytest.fixture(autouse=True)
def _no_torchcodec(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)


def test_several_sources_are_united(tmp_path):
    corpus(tmp_path / "one")
    table = "file_name,dialect,cluster,mood,source\naudio/0.wav,west,c,glad,theirs\n"
    corpus(tmp_path / "two", table)
    both = load_corpus([tmp_path / "one", tmp_path / "two"])
    assert both.features["dialect"].names == ["north", "south", "west"]
    assert both["id"][:] == [*(f"one/audio/{i}" for i in range(4)), "two/audio/0"]
    assert both["source"][:] == ["one"] * 4 + ["two"]
    assert both["source_original"][:] == [None] * 4 + ["theirs"]
    assert both["mood"][:] == [None] * 4 + ["glad"]
    assert names(both, "cluster") == [None] * 4 + ["c"]
    assert both["speaker"][:] == ["s0", "s1", "s2", "s3", None]
    assert [len(decode(cell)) for cell in both["audio"]] == [100, 101, 102, 103, 100]
    streamed = list(load_corpus([tmp_path / "one", tmp_path / "two"], streaming=True))
    assert streamed == list(both)


def test_sources_of_one_name_need_names_of_their_own(tmp_path):
    corpus(tmp_path / "a" / "x")
    corpus(tmp_path / "b" / "x")
    with pytest.raises(CorpusError, match="two sources are called 'x'"):
        load_corpus([tmp_path / "a" / "x", tmp_path / "b" / "x"])
    both = load_corpus({"first": tmp_path / "a" / "x", "second": tmp_path / "b" / "x"})
    assert both["source"][:] == ["first"] * 4 + ["second"] * 4


def test_types_that_differ_between_sources_meet(tmp_path):
    for name, value in (("one", 1), ("two", 1.5), ("three", "x")):
        record(tmp_path / name / "0.wav")
        row = {"file_name": "0.wav", "dialect": name, "take": value}
        write(tmp_path / name / "metadata.jsonl", json.dumps(row))
    numbers = load_corpus([tmp_path / "one", tmp_path / "two"])
    assert numbers["take"][:] == [1.0, 1.5]
    everything = load_corpus([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    assert everything["take"][:] == ["1", "1.5", "x"]


def test_splits_are_joined_by_name_or_not_at_all(tmp_path, caplog):
    split = "file_name,dialect,split\naudio/0.wav,a,train\naudio/1.wav,b,test\n"
    corpus(tmp_path / "one", split)
    corpus(tmp_path / "two", split.replace("test", "valid"))
    corpus(tmp_path / "three")
    splits = load_corpus([tmp_path / "one", tmp_path / "two"])
    assert {name: part["id"][:] for name, part in splits.items()} == {
        "train": ["one/audio/0", "two/audio/0"],
        "validation": ["two/audio/1"],
        "test": ["one/audio/1"],
    }
    with caplog.at_level(logging.WARNING):
        joined = load_corpus([tmp_path / "one", tmp_path / "three"])
    assert "only some of the sources are split" in caplog.text
    assert joined["source_split"][:] == ["train", "test", None, None, None, None]
    assert set(joined["id"]) == {"one/audio/0", "one/audio/1", *(f"three/audio/{i}" for i in range(4))}
