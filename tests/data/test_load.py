import importlib
import inspect
import json
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Audio, ClassLabel, Dataset, DatasetDict, IterableDataset, IterableDatasetDict, Value

from hf_dialects import data
from hf_dialects.data.audio import decode, encode
from hf_dialects.data.load import load_corpus
from hf_dialects.errors import AudioError, CorpusError, MissingExtra


@pytest.fixture(autouse=True)
def _no_torchcodec_no_shared_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def record(path: Path, seed: int = 0) -> Path:
    """A recording of its own length: 100 + seed samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(np.random.default_rng(seed).normal(0, 0.1, 100 + seed), 16000, "wav"))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def corpus(folder: Path, table: str | None = None) -> Path:
    """Four recordings of two dialects, described by metadata.csv."""
    for i in range(4):
        record(folder / "audio" / f"{i}.wav", i)
    lines = [f"audio/{i}.wav,{'south' if i < 2 else 'north'},s{i},00{i},{i / 2}" for i in range(4)]
    write(folder / "metadata.csv", table or "\n".join(["file_name,dialect,speaker,take,latitude", *lines]) + "\n")
    return folder


def names(dataset, column: str = "dialect") -> list[str | None]:
    return [None if code is None else dataset.features[column].names[code] for code in dataset[column]]


def test_the_package_exports_its_functions_also_where_a_module_has_the_same_name():
    importlib.import_module("hf_dialects.data.leakage")
    for name in data.__all__:
        assert inspect.isfunction(getattr(data, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'load_corpora'"):
        _ = data.load_corpora


def test_a_folder_with_metadata(tmp_path):
    dataset = load_corpus(corpus(tmp_path))
    assert isinstance(dataset, Dataset)
    assert dataset.column_names == ["audio", "dialect", "speaker", "latitude", "id", "take"]
    assert dataset.features["audio"] == Audio(sampling_rate=16000, decode=False)
    assert dataset.features["dialect"] == ClassLabel(names=["north", "south"])
    assert dataset.features["latitude"] == Value("float32")
    assert names(dataset) == ["south", "south", "north", "north"]
    assert dataset["id"][:] == ["audio/0", "audio/1", "audio/2", "audio/3"]
    assert dataset["take"][:] == ["000", "001", "002", "003"]  # no number: zeros in front count
    assert dataset["latitude"][:] == [0.0, 0.5, 1.0, 1.5]
    assert dataset[3]["audio"] == {"bytes": None, "path": str(tmp_path / "audio" / "3.wav")}
    assert [len(decode(cell)) for cell in dataset["audio"]] == [100, 101, 102, 103]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "csv with byte order mark"])
def test_every_form_of_table(tmp_path, form):
    corpus(tmp_path)
    rows = [
        {"file_name": f"audio/{i}.wav", "dialect": "ab"[i % 2], "text": 'say "a, b"' if i else None} for i in range(4)
    ]
    (tmp_path / "metadata.csv").unlink()
    if form == "jsonl":
        write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    elif form == "tsv":
        lines = ["\t".join([row["file_name"], row["dialect"], row["text"] or ""]) for row in rows]
        write(tmp_path / "metadata.tsv", "\n".join(["file_name\tdialect\ttext", *lines]))
    else:
        mark = "\ufeff" if "mark" in form else ""
        quoted = '"say ""a, b"""'
        lines = [f"{row['file_name']},{row['dialect']},{quoted if row['text'] else ''}" for row in rows]
        write(tmp_path / "metadata.csv", mark + "\n".join(["file_name,dialect,text", *lines]))
    dataset = load_corpus(tmp_path)
    assert names(dataset) == ["a", "b", "a", "b"]
    assert dataset["text"][:] == [None, *['say "a, b"'] * 3]


@pytest.mark.parametrize("column", ["file_name", "path", "audio"])
def test_a_manifest_is_relative_to_its_folder(tmp_path, column):
    corpus(tmp_path)
    manifest = write(tmp_path / "list.csv", f"{column},dialect\naudio/2.wav,x\n./audio/../audio/0.wav,y\n")
    dataset = load_corpus(manifest)
    assert dataset["id"][:] == ["audio/2", "audio/0"]
    assert len(decode(dataset[0]["audio"])) == 102


def test_folders_as_labels(tmp_path):
    record(tmp_path / "north" / "deep" / "a.WAV")
    record(tmp_path / "south" / "a.flac")
    record(tmp_path / "south" / "._a.wav")
    write(tmp_path / "south" / "notes.txt", "")
    dataset = load_corpus(tmp_path)
    assert dataset["id"][:] == ["north/deep/a", "south/a"]
    assert names(dataset) == ["north", "south"]


def test_split_folders_of_label_folders(tmp_path):
    for i, split in enumerate(("train", "dev", "test")):
        record(tmp_path / split / "north" / "a.wav", i)
        record(tmp_path / split / "south" / "a.wav", i)
    splits = load_corpus(tmp_path)
    assert isinstance(splits, DatasetDict)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["validation"]["id"][:] == ["dev/north/a", "dev/south/a"]
    assert load_corpus(tmp_path, split="dev")["id"][:] == load_corpus(tmp_path, split="validation")["id"][:]


def test_split_folders_with_metadata_each(tmp_path):
    for i, split in enumerate(("train", "test")):
        record(tmp_path / split / "clips" / "a.wav", i)
        write(tmp_path / split / "metadata.csv", f"file_name,dialect\nclips/a.wav,{'xy'[i]}\n")
    splits = load_corpus(tmp_path)
    assert {name: split["id"][:] for name, split in splits.items()} == {
        "train": ["train/clips/a"],
        "test": ["test/clips/a"],
    }
    assert splits["test"].features["dialect"].names == ["x", "y"]
    assert len(decode(splits["test"][0]["audio"])) == 101


def test_a_split_column(tmp_path):
    lines = [f"audio/{i}.wav,{'ab'[i % 2]},{split}" for i, split in enumerate(("train", "test", "valid", "train"))]
    corpus(tmp_path, "\n".join(["file_name,dialect,split", *lines]))
    splits = load_corpus(tmp_path)
    assert {name: split["id"][:] for name, split in splits.items()} == {
        "train": ["audio/0", "audio/3"],
        "validation": ["audio/2"],
        "test": ["audio/1"],
    }
    assert "split" not in splits["train"].column_names
    with pytest.raises(CorpusError, match="there is no split 'dev2'; there are train, validation, test"):
        load_corpus(tmp_path, split="dev2")


def test_rows_without_a_split_among_others(tmp_path):
    corpus(tmp_path, "file_name,dialect,split\naudio/0.wav,a,train\naudio/1.wav,b,\n")
    with pytest.raises(CorpusError, match="1 rows have no split, such as audio/1"):
        load_corpus(tmp_path)


def test_another_column_as_label(tmp_path):
    corpus(tmp_path, "file_name,dialect,accent\naudio/0.wav,d,x\naudio/1.wav,e,y\n")
    dataset = load_corpus(tmp_path, label="accent")
    assert names(dataset) == dataset["accent"][:] == ["x", "y"]
    assert dataset["dialect_original"][:] == ["d", "e"]
    with pytest.raises(CorpusError, match=r"has no column 'native'.*it has .*accent.*label="):
        load_corpus(tmp_path, label="native")


def test_other_columns_of_the_schema_under_other_names(tmp_path):
    corpus(tmp_path, "file_name,dialect,client,n\naudio/0.wav,d,x,1\naudio/1.wav,e,y,2\n")
    dataset = load_corpus(tmp_path, columns={"speaker": "client", "id": "n"})
    assert dataset["speaker"][:] == dataset["client"][:] == ["x", "y"]
    assert dataset["id"][:] == ["1", "2"]
    with pytest.raises(CorpusError, match="'voice' is no column of a corpus"):
        load_corpus(tmp_path, columns={"voice": "client"})


def test_labels_select_and_order(tmp_path):
    table = "file_name,dialect\n" + "".join(f"audio/{i}.wav,{label}\n" for i, label in enumerate(["c", "a", "b", ""]))
    corpus(tmp_path, table)
    with pytest.raises(CorpusError, match="1 rows have no dialect: audio/3; fill it in"):
        load_corpus(tmp_path)
    dataset = load_corpus(tmp_path, labels=["c", "a"])
    assert dataset.features["dialect"].names == ["c", "a"]
    assert (dataset["id"][:], dataset["dialect"][:]) == (["audio/0", "audio/1"], [0, 1])
    with pytest.raises(CorpusError, match="no label is called 'C'; there are a, b, c"):
        load_corpus(tmp_path, labels=["C"])


def test_a_split_that_loses_all_rows_is_an_error(tmp_path):
    corpus(tmp_path, "file_name,dialect,split\naudio/0.wav,a,train\naudio/1.wav,b,test\n")
    with pytest.raises(CorpusError, match=r"the split 'test' of .* holds no recording with one of the labels wanted"):
        load_corpus(tmp_path, labels=["a"])


def test_clusters_are_classes_that_may_be_missing(tmp_path):
    corpus(tmp_path, "file_name,dialect,cluster\naudio/0.wav,a,z\naudio/1.wav,b,\naudio/2.wav,b,y\n")
    dataset = load_corpus(tmp_path)
    assert dataset.features["cluster"] == ClassLabel(names=["y", "z"])
    assert names(dataset, "cluster") == ["z", None, "y"]


@pytest.mark.parametrize(
    "file", ["../outside.wav", "/etc/passwd", "audio/../../outside.wav", "link/x.wav", "link.wav", "."]
)
def test_files_outside_the_folder_are_refused(tmp_path, file):
    record(tmp_path / "outside.wav")
    record(tmp_path / "elsewhere" / "x.wav")
    folder = corpus(tmp_path / "in", f"file_name,dialect\naudio/0.wav,a\n{file},b\n")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    with pytest.raises(CorpusError, match=r"metadata.csv, row 2: .* lies outside .*audio_root="):
        load_corpus(folder)


def test_a_root_that_holds_the_recordings_allows_them(tmp_path):
    corpus(tmp_path / "in")
    manifest = write(tmp_path / "lists" / "a.csv", f"path,dialect\n{tmp_path}/in/audio/1.wav,a\nin/audio/2.wav,b\n")
    dataset = load_corpus(manifest, audio_root=tmp_path)
    assert dataset["id"][:] == ["in/audio/1", "in/audio/2"]
    assert len(decode(dataset[1]["audio"])) == 102


def test_links_inside_the_folder_are_followed_once(tmp_path):
    record(tmp_path / "north" / "a.wav")
    (tmp_path / "north" / "again").symlink_to(tmp_path)
    assert load_corpus(tmp_path)["id"][:] == ["north/a"]


def test_some_missing_files_load_but_not_all(tmp_path):
    corpus(tmp_path, "file_name,dialect\naudio/0.wav,a\naudio/gone.wav,b\n")
    assert load_corpus(tmp_path)["id"][:] == ["audio/0", "audio/gone"]
    (tmp_path / "audio" / "0.wav").unlink()
    with pytest.raises(
        CorpusError, match=r"none of the 2 recordings of .*metadata.csv exists; the first would be .*0.wav"
    ):
        load_corpus(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file_name,dialect\naudio/0.wav,a\naudio/0.wav,b\n", "1 ids occur more than once: audio/0;"),
        ("file_name,dialect,id\naudio/0.wav,a,x\naudio/1.wav,b,x\n", "1 ids occur more than once: x;"),
        ("wav,dialect\naudio/0.wav,a\n", "has none of the columns file_name, path, audio; it has wav, dialect"),
        ("file_name,label\naudio/0.wav,a\n", "has no column 'dialect' to be the dialect; it has audio, label, id"),
        ("file_name,dialect\n", "holds no rows"),
        ("file_name,dialect\naudio/0.wav,a,b\n", "line 2: more values than the 2 columns"),
        ("file_name,dialect,dialect\naudio/0.wav,a,b\n", "has the column 'dialect' more than once"),
        ('file_name,dialect\n"audio/0.wav,a\n', "is a quotation mark missing?"),
        ("file_name,dialect\n,a\n", "row 1: file_name is None, the name of a file is expected"),
        ("file_name,dialect,latitude\naudio/0.wav,a,12N\n", "audio/0: latitude is '12N', a number is expected"),
    ],
)
def test_broken_tables_say_what_is_wrong(tmp_path, table, message):
    corpus(tmp_path, table)
    with pytest.raises(CorpusError) as caught:
        load_corpus(tmp_path)
    assert message in str(caught.value)


def test_tables_that_are_no_text(tmp_path):
    corpus(tmp_path)
    (tmp_path / "metadata.csv").write_bytes("file_name,dialect\naudio/0.wav,é\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="is not UTF-8 text"):
        load_corpus(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    write(tmp_path / "metadata.jsonl", '{"file_name": "audio/0.wav", "dialect": "a"}\n{"file_name"\n')
    with pytest.raises(CorpusError, match="line 2: no JSON"):
        load_corpus(tmp_path)
    write(
        tmp_path / "metadata.jsonl",
        '{"file_name": "audio/0.wav", "dialect": 1}\n{"file_name": "audio/1.wav", "dialect": "a"}',
    )
    with pytest.raises(CorpusError, match="column 'dialect' mixes types"):
        load_corpus(tmp_path)
    write(tmp_path / "metadata.csv", "file_name,dialect\n")
    with pytest.raises(CorpusError, match=r"holds metadata.csv and metadata.jsonl; keep one"):
        load_corpus(tmp_path)


def test_what_is_no_corpus(tmp_path):
    with pytest.raises(CorpusError, match=r"/nowhere does not exist; a folder"):
        load_corpus(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"holds no recordings. Expected: metadata.csv or"):
        load_corpus(tmp_path)
    record(tmp_path / "north" / "b.wav")
    record(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match=r"1 recordings in no dialect's folder, such as a.wav"):
        load_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"a.wav is no corpus"):
        load_corpus(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="no source was given"):
        load_corpus([])


def test_whole_numbers_and_truth_values_can_be_labels_but_fractions_cannot(tmp_path):
    corpus(tmp_path).joinpath("metadata.csv").unlink()
    rows = [{"file_name": f"audio/{i}.wav", "dialect": i % 2, "native": bool(i), "age": i + 0.5} for i in range(4)]
    write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert load_corpus(tmp_path).features["dialect"].names == ["0", "1"]
    assert load_corpus(tmp_path, label="native").features["dialect"].names == ["False", "True"]
    with pytest.raises(CorpusError, match=r"0.5 \(float\) cannot name anything"):
        load_corpus(tmp_path, label="age")


def test_durations_from_headers(tmp_path):
    corpus(tmp_path, "file_name,dialect,duration\naudio/0.wav,a,9\naudio/1.wav,b,\naudio/gone.wav,b,\n")
    assert load_corpus(tmp_path)["duration"][:] == [9, None, None]
    filled = load_corpus(tmp_path, fill_duration=True)
    assert filled["duration"][:] == [9, pytest.approx(101 / 16000), None]


def embedded(folder: Path):
    """The corpus of `corpus` with its recordings as bytes."""
    dataset = load_corpus(corpus(folder))
    cells = [{"bytes": Path(cell["path"]).read_bytes(), "path": Path(cell["path"]).name} for cell in dataset["audio"]]
    return dataset.remove_columns("audio").add_column("audio", cells, feature=Audio(sampling_rate=16000, decode=False))


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


def test_local_folders_stream(tmp_path):
    stream = load_corpus(corpus(tmp_path), streaming=True)
    assert isinstance(stream, IterableDataset)
    assert [len(decode(row["audio"])) for row in stream] == [100, 101, 102, 103]
    with pytest.raises(ValueError, match="use one of them"):
        load_corpus(tmp_path, streaming=True, fill_duration=True)


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


def test_the_demo_falls_back_to_the_small_corpus(monkeypatch, caplog):
    def absent(**options):
        raise MissingExtra("espeakng_loader is not installed")

    monkeypatch.setattr("hf_dialects.data.synthetic.load_embedded", absent)
    with caplog.at_level(logging.WARNING):
        splits = load_corpus("demo", labels=["pt-br", "es"])
    assert "espeakng_loader is not installed" in caplog.text
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"].features["dialect"].names == ["pt-br", "es"]
    assert len(splits["train"]) == 64
    assert len(decode(splits["test"][0]["audio"])) > 8000


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A dataset repository me/data: its files lie in `hub`, and reach the Hub's cache as links to blobs, as on disk."""
    repository = tmp_path / "repository"
    cache = tmp_path / "datasets--me--data"

    def files(self, repo_id, *, repo_type, revision):
        assert (repo_id, repo_type) == ("me/data", "dataset")
        return [path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()]

    def snapshot(repo_id, *, repo_type, revision, allow_patterns, cache_dir):
        for number, path in enumerate(sorted(repository.rglob("*"))):
            if any(path.match(pattern) for pattern in allow_patterns):
                blob = cache / "blobs" / str(number)
                link = cache / "snapshots" / "commit" / path.relative_to(repository)
                blob.parent.mkdir(parents=True, exist_ok=True)
                link.parent.mkdir(parents=True, exist_ok=True)
                blob.write_bytes(path.read_bytes())
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.relpath(blob, link.parent))
        (cache / "snapshots" / "commit").mkdir(parents=True, exist_ok=True)
        return str(cache / "snapshots" / "commit")

    def read(self, address):
        path = repository / address.removeprefix("hf://datasets/me/data@main/")
        reads.append(path.name)
        return path.read_bytes()

    reads = []
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", files)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.HfFileSystem.cat_file", read)
    return SimpleNamespace(folder=repository, reads=reads)


def test_hub_folders_are_downloaded_and_read_like_local_ones(hub):
    corpus(hub.folder)
    write(hub.folder / "README.md", "# Data")
    dataset = load_corpus("me/data")
    assert dataset["id"][:] == ["audio/0", "audio/1", "audio/2", "audio/3"]
    assert [len(decode(cell)) for cell in dataset["audio"]] == [100, 101, 102, 103]
    assert not hub.reads


@pytest.mark.parametrize("layout", ["metadata", "folders"])
def test_hub_folders_stream_one_recording_at_a_time(hub, layout):
    corpus(hub.folder)
    if layout == "folders":
        (hub.folder / "metadata.csv").unlink()
        (hub.folder / "audio").rename(hub.folder / "north")
    stream = iter(load_corpus("me/data", streaming=True))
    assert hub.reads == []
    row = next(stream)
    assert row["id"] == ("audio/0" if layout == "metadata" else "north/0")
    assert len(decode(row["audio"])) == 100
    assert "3.wav" not in hub.reads
    assert len(list(stream)) == 3


def test_files_that_a_hub_folder_lacks_are_missing_and_those_outside_refused(hub):
    corpus(hub.folder, "file_name,dialect\naudio/0.wav,a\naudio/gone.wav,b\n")
    found = list(load_corpus("me/data", streaming=True))
    assert found[1]["audio"]["bytes"] is None
    with pytest.raises(AudioError, match=r"gone.wav is missing"):
        decode(found[1]["audio"])
    write(hub.folder / "metadata.csv", "file_name,dialect\n../secret.wav,a\n")
    with pytest.raises(CorpusError, match=r"row 1: '../secret.wav' lies outside the repository"):
        load_corpus("me/data", streaming=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_hub_parquet_goes_through_datasets(hub, monkeypatch, tmp_path, streaming):
    dataset = embedded(tmp_path / "source")
    dataset = dataset.cast_column("audio", Audio())  # as the Hub has it: to be decoded
    write(hub.folder / "data" / "train-00000-of-00001.parquet", "")
    asked = []

    def load_dataset(name, config, **options):
        asked.append((name, config, options["revision"], options["streaming"]))
        parts = {"train": dataset.select([0, 1, 2]), "dev": dataset.select([3])}
        if streaming:
            return IterableDatasetDict({name: part.to_iterable_dataset() for name, part in parts.items()})
        return DatasetDict(parts)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    splits = load_corpus("me/data", config="small", revision=None, streaming=streaming)
    assert asked == [("me/data", "small", None, streaming)]
    assert {name: [row["id"] for row in split] for name, split in splits.items()} == {
        "train": ["audio/0", "audio/1", "audio/2"],
        "validation": ["audio/3"],
    }
    assert [len(decode(row["audio"])) for row in splits["train"]] == [100, 101, 102]


def test_hub_parquet_may_not_point_to_files_of_this_machine(hub, monkeypatch, tmp_path):
    dataset = load_corpus(corpus(tmp_path / "source"))
    write(hub.folder / "a.parquet", "")
    monkeypatch.setattr("datasets.load_dataset", lambda *arguments, **options: DatasetDict(train=dataset))
    with pytest.raises(CorpusError, match="is a path without its bytes, and the file is not part of the data"):
        load_corpus("me/data")


def test_an_unreachable_hub_is_one_clear_error(monkeypatch):
    def unreachable(self, *arguments, **options):
        raise ConnectionError("[Errno -2] Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", unreachable)
    with pytest.raises(
        CorpusError, match=r"me/data is no file here, and cannot be read from .* Name or service not known"
    ):
        load_corpus("me/data")
