import sys

import pytest
from datasets import Audio, ClassLabel, Dataset, DatasetDict, IterableDataset
from recordings import embedded, names, write

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.errors import CorpusError


@pytest.fixture(autouse=True)
def _no_torchcodec_no_shared_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["struct", "decoded", "binary", "relative path", "absolute path"])
def test_parquet_with_bytes_or_paths(tmp_path, form, streaming):
    dataset = embedded(tmp_path)
    cells = list(dataset["audio"])
    dataset = dataset.remove_columns(["audio", "speaker"])
    if form in ("struct", "decoded"):
        dataset = dataset.add_column("audio", cells, feature=Audio(sampling_rate=8000, decode=form == "struct"))
    else:
        values = {
            "binary": [cell["bytes"] for cell in cells],
            "relative path": [f"audio/{cell['path']}" for cell in cells],
            "absolute path": [str(tmp_path / "audio" / cell["path"]) for cell in cells],
        }[form]
        dataset = dataset.add_column("audio", values)
    dataset.to_parquet(tmp_path / "all.parquet")
    found = load_corpus(tmp_path / "all.parquet", streaming=streaming)
    assert isinstance(found, IterableDataset if streaming else Dataset)
    assert found.features["audio"] == Audio(sampling_rate=16000, decode=False)
    rows = list(found)
    assert [row["id"] for row in rows] == ["audio/0", "audio/1", "audio/2", "audio/3"]
    assert [len(decode(row["audio"])) for row in rows] == [100, 101, 102, 103]
    assert [row["dialect"] for row in rows] == [1, 1, 0, 0]


def test_parquet_ids_default_to_file_names_and_never_to_row_numbers(tmp_path):
    dataset = embedded(tmp_path).remove_columns("id")
    dataset.to_parquet(tmp_path / "a.parquet")
    assert load_corpus(tmp_path / "a.parquet")["id"][:] == ["0", "1", "2", "3"]  # their names, 0.wav …
    bytes_only = [{"bytes": cell["bytes"], "path": None} for cell in dataset["audio"]]
    bare = dataset.remove_columns("audio").add_column("audio", bytes_only, feature=dataset.features["audio"])
    bare.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(CorpusError, match="row 1: the recording has neither an id nor a file name"):
        load_corpus(tmp_path / "b.parquet")


def test_parquet_paths_must_stay_inside(tmp_path):
    table = Dataset.from_dict({"audio": ["../outside.wav"], "dialect": ["a"], "id": ["1"]})
    (tmp_path / "in").mkdir()
    table.to_parquet(tmp_path / "in" / "a.parquet")
    with pytest.raises(CorpusError, match=r"'../outside.wav' lies outside"):
        load_corpus(tmp_path / "in")


@pytest.mark.parametrize("folder", [".", "data"])
def test_parquet_folders_are_split_by_name(tmp_path, folder):
    dataset = embedded(tmp_path / "source")
    (tmp_path / "out" / folder).mkdir(parents=True, exist_ok=True)
    for name, rows in (("train-00000-of-00002", [0]), ("train-00001-of-00002", [1]), ("dev", [2]), ("test", [3])):
        dataset.select(rows).to_parquet(tmp_path / "out" / folder / f"{name}.parquet")
    splits = load_corpus(tmp_path / "out")
    assert {name: split["id"][:] for name, split in splits.items()} == {
        "train": ["audio/0", "audio/1"],
        "validation": ["audio/2"],
        "test": ["audio/3"],
    }
    one = tmp_path / "one"
    one.mkdir()
    dataset.to_parquet(one / "corpus-00000-of-00001.parquet")
    assert isinstance(load_corpus(one), Dataset)
    own = tmp_path / "own"
    own.mkdir()
    for name, rows in (("sentences-00000-of-00001", [0, 1]), ("recordings-00000-of-00001", [2, 3])):
        dataset.select(rows).to_parquet(own / f"{name}.parquet")
    assert load_corpus(own, split="recordings")["id"][:] == ["audio/2", "audio/3"]


def test_label_order_of_parquet_is_kept_and_its_audio_not_copied(tmp_path):
    south_first = ClassLabel(names=["south", "north"])
    dataset = embedded(tmp_path).remove_columns("dialect").add_column("dialect", [0, 0, 1, 1], feature=south_first)
    dataset.to_parquet(tmp_path / "a.parquet")
    found = load_corpus(tmp_path / "a.parquet", labels=None)
    assert found.features["dialect"].names == ["south", "north"]
    assert names(found) == ["south", "south", "north", "north"]
    kept = load_corpus(tmp_path / "a.parquet", labels=["north"])
    assert kept["id"][:] == ["audio/2", "audio/3"]
    assert type(found.data.blocks[0][0]).__name__ == "MemoryMappedTable"  # new columns stand beside those on disk


def test_parquet_that_cannot_be_read(tmp_path):
    write(tmp_path / "a.parquet", "PAR1 no")
    with pytest.raises(CorpusError, match="its Parquet files cannot be read"):
        load_corpus(tmp_path)


def test_streamed_text_labels_need_names(tmp_path):
    table = Dataset.from_dict({"audio": ["a.wav", "b.wav"], "dialect": ["x", "y"], "id": ["1", "2"]})
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match="not all values are known before the end; give their names with labels="):
        load_corpus(tmp_path, streaming=True)
    stream = load_corpus(tmp_path, streaming=True, labels=["y"])
    assert [(row["id"], row["dialect"]) for row in stream] == [("2", 0)]


def test_saved_datasets(tmp_path):
    dataset = embedded(tmp_path / "source")
    dataset.save_to_disk(tmp_path / "one")
    found = load_corpus(tmp_path / "one")
    assert [len(decode(cell)) for cell in found["audio"]] == [100, 101, 102, 103]
    DatasetDict(train=dataset.select([0, 1]), dev=dataset.select([2])).save_to_disk(tmp_path / "two")
    assert list(load_corpus(tmp_path / "two")) == ["train", "validation"]
    for file in (tmp_path / "one").glob("*.arrow"):
        file.write_bytes(b"broken")
    with pytest.raises(CorpusError, match="looks like a saved dataset but cannot be read"):
        load_corpus(tmp_path / "one")


def test_an_empty_split_is_an_error(tmp_path):
    dataset = embedded(tmp_path / "source")
    splits = DatasetDict(train=dataset, test=dataset.select([]))
    splits.save_to_disk(tmp_path / "saved")
    with pytest.raises(CorpusError, match="saved holds a split without rows"):
        load_corpus(tmp_path / "saved")
    (tmp_path / "parquet").mkdir()
    for name, split in splits.items():
        split.to_parquet(tmp_path / "parquet" / f"{name}.parquet")
    with pytest.raises(CorpusError, match='cannot be read: Instruction "test" corresponds to no data'):
        load_corpus(tmp_path / "parquet")
