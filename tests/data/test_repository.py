import os
import sys
from types import SimpleNamespace

import pytest
from datasets import Audio, DatasetDict, IterableDatasetDict
from recordings import corpus, embedded, write

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.errors import AudioError, CorpusError


@pytest.fixture(autouse=True)
def _no_torchcodec(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)


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
