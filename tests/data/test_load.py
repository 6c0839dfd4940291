import importlib
import inspect
import json
import logging
import sys

import pytest
from datasets import Audio, ClassLabel, Dataset, DatasetDict, IterableDataset, Value
from recordings import corpus, names, record, write

from hf_dialects import data
from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.errors import CorpusError, MissingExtra


@pytest.fixture(autouse=True)
def _no_torchcodec(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)


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


def test_local_folders_stream(tmp_path):
    stream = load_corpus(corpus(tmp_path), streaming=True)
    assert isinstance(stream, IterableDataset)
    assert [len(decode(row["audio"])) for row in stream] == [100, 101, 102, 103]
    with pytest.raises(ValueError, match="use one of them"):
        load_corpus(tmp_path, streaming=True, fill_duration=True)


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
