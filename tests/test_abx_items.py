import json

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_dialects.abx.pooler import spans
from hf_dialects.abx_grid import Question, Setting
from hf_dialects.abx_items import EmbeddingItems, check_gap, corpus_attributes, default_groups
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.snippet_files import RowFile


def corpus(**columns) -> Dataset:
    rows = {"id": ["a", "b", "c"], "dialect": [1, 0, None], "speaker": ["x", "", "y"], "take": [1, 2, 3]} | columns
    kinds = {name: Value("string" if isinstance(values[0], str) else "float32") for name, values in rows.items()}
    kinds |= {"dialect": ClassLabel(names=["north", "south"]), "take": Value("int64")}
    return Dataset.from_dict(rows, features=Features(kinds))


@pytest.fixture
def folder(tmp_path):
    """Snippets of 1 s of one layer with two channels: three of "a", one of "b", max and mean of frames side by side."""
    file = RowFile(tmp_path / "snippets-2-1s.npy")
    file.append(np.arange(16).reshape(4, 4))
    file.close()
    seconds = np.concatenate([spans(3, 1.0, 3.2), spans(1, 1.0, 1.0)])
    table = pd.DataFrame({"id": ["a", "a", "a", "b"], "start_s": seconds[:, 0], "end_s": seconds[:, 1]})
    table.to_parquet(tmp_path / "snippets-1s.parquet")
    settings = {"layers": [2], "lengths_s": [1.0], "parts": ["max", "mean"]}
    (tmp_path / "manifest.json").write_text(json.dumps({"complete": True, "n_layers": 3, "settings": settings}))
    return tmp_path


def test_attributes_are_all_columns_but_the_audio():
    found = corpus_attributes(corpus())
    assert found.astype(object).where(found.notna(), None).to_dict("list") == {
        "id": ["a", "b", "c"],
        "dialect": ["south", "north", None],
        "speaker": ["x", None, "y"],
        "take": [1, 2, 3],
        "recording": ["a", "b", "c"],
    }
    known = corpus_attributes(corpus(recording=["r", "", "r"]))
    assert known["recording"].tolist() == ["r", "b", "r"]


def test_snippets_have_the_attributes_of_their_recording(folder):
    items = EmbeddingItems(folder, corpus_attributes(corpus()))
    assert items.settings() == [Setting(2, 1.0, "max"), Setting(2, 1.0, "mean")]
    assert items.settings(layers=[-2], poolings=["mean"]) == [Setting(2, 1.0, "mean")]
    found = items.read(Setting(2, 1.0, "mean"))
    assert found.vectors.tolist() == [[2, 3], [6, 7], [10, 11], [14, 15]]
    table = found.attributes
    assert table["id"].tolist() == ["a", "a", "a", "b"]
    assert table["dialect"].tolist() == ["south"] * 3 + ["north"]
    assert table[["start_s", "end_s"]].to_numpy().tolist() == [[0, 1], [1, 2], [2, 3], [0, 1]]


def test_files_that_were_cut_out_of_recordings_keep_their_place(folder):
    attributes = corpus_attributes(corpus(recording=["r", "r", "r"], start_s=[10.0, 60.0, 0.0]))
    table = EmbeddingItems(folder, attributes).read(Setting(2, 1.0, "max")).attributes
    assert table["start_s"].tolist() == [10, 11, 12, 60]
    assert table["end_s"].tolist() == [11, 12, 13, 61]
    check_gap(attributes, Question("dialect", min_gap_s=1.0))


def test_a_gap_between_files_of_unknown_place_is_refused():
    attributes = corpus_attributes(corpus(recording=["r", "s", "r"]))
    with pytest.raises(DialectError, match="'r' has 2 files and the corpus no column start_s"):
        check_gap(attributes, Question("dialect", min_gap_s=1.0))
    check_gap(attributes, Question("dialect"))
    check_gap(corpus_attributes(corpus()), Question("dialect", min_gap_s=1.0))


def test_recordings_outside_the_corpus_are_left_out(folder):
    attributes = corpus_attributes(corpus())
    found = EmbeddingItems(folder, attributes[attributes["id"] != "a"]).read(Setting(2, 1.0, "max"))
    assert (found.vectors.tolist(), found.attributes["id"].tolist()) == ([[12, 13]], ["b"])
    with pytest.raises(CheckpointError, match=r"none of the 2 recordings in .* is in the corpus, the first: a"):
        EmbeddingItems(folder, attributes[attributes["id"] == "c"]).read(Setting(2, 1.0, "max"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layers": [1, 2]}, "has no layer 1; it holds: 2"),
        ({"lengths_s": [1.0, None]}, "has no snippets of whole; it holds: 1s"),
        ({"poolings": ["statistics"]}, "has no pooling statistics; it holds: max, mean"),
    ],
)
def test_what_the_folder_lacks_is_named(folder, asked, message):
    with pytest.raises(DialectError, match=message):
        EmbeddingItems(folder, corpus_attributes(corpus())).settings(**asked)
    with pytest.raises(CheckpointError, match="holds no frames: leave --frames"):
        EmbeddingItems(folder, corpus_attributes(corpus()), frames=True)


def test_groups_are_those_that_are_known_and_not_tested():
    full = corpus_attributes(corpus(speaker=["x", "y", "y"]))
    assert default_groups(full, Question("dialect")) == "speaker"
    assert default_groups(full, Question("speaker")) == "recording"
    assert default_groups(corpus_attributes(corpus()), Question("dialect")) == "recording", "a speaker is unknown"
