"""Dataset repositories on the Hugging Face Hub: Parquet through `datasets`, folders of recordings by ourselves."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from hf_dialects.data.folders import AUDIO_SUFFIXES, METADATA, layout, read_folder
from hf_dialects.data.manifest import read_rows
from hf_dialects.errors import CorpusError

__all__ = ["fetch", "is_repository_id", "open_parquet", "repository_files", "repository_rows"]


def is_repository_id(source: str) -> bool:
    """Whether the text has the form of a Hub id, "owner/name"."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source) is not None


def repository_files(repository: str, revision: str | None = None) -> list[str]:
    """Paths of all files of a dataset repository.

    Raises:
        CorpusError: no such repository or revision, no access, no network.
    """
    from huggingface_hub import HfApi

    with _reaching(repository):
        return HfApi().list_repo_files(repository, repo_type="dataset", revision=revision)


def open_parquet(repository: str, config: str | None, revision: str | None, streaming: bool, cache_dir):
    """`DatasetDict` or `IterableDatasetDict` of a repository of Parquet files, as `datasets` reads it."""
    from datasets import load_dataset

    with _reaching(repository):
        return load_dataset(repository, config, revision=revision, streaming=streaming, cache_dir=cache_dir)


def repository_rows(
    repository: str, files: list[str], revision: str | None, streaming: bool, cache_dir: str | Path | None
) -> list[dict]:
    """Rows of a repository that is a folder of recordings, as of `folders.read_folder`.

    Args:
        files: from `repository_files`.
        streaming: leave the recordings on the Hub: their paths are then hf:// addresses for `fetch`. Else they are
            downloaded into the Hub's cache.
    """
    from huggingface_hub import snapshot_download

    tables = [f"*{name}" for name in METADATA]
    wanted = (
        tables if streaming else tables + [f"*{form}" for suffix in AUDIO_SUFFIXES for form in (suffix, suffix.upper())]
    )
    with _reaching(repository):
        folder = Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision, allow_patterns=wanted, cache_dir=cache_dir
            )
        )
    if not streaming:
        return read_folder(folder, links_to=folder.parent.parent)  # snapshots/{commit}/ links to blobs/
    address = f"hf://datasets/{repository}@{quote(revision or 'main', safe='')}/"
    rows = []
    for file, where, columns in layout(files, lambda table: read_rows(folder / table), repository):
        path = os.path.normpath(file)
        if path.startswith(("..", "/")):
            raise CorpusError(f"{where}: {file!r} lies outside the repository")
        row = {"audio": {"bytes": None, "path": address + path}} | columns
        rows.append(row if row.get("id") is not None else row | {"id": os.path.splitext(path)[0]})
    return rows


def fetch(example: dict) -> dict:
    """The example with the bytes of its recording, read from its hf:// address; without them where it is not there."""
    from huggingface_hub import HfFileSystem

    path = example["audio"]["path"]
    try:
        with _reaching(path):
            data = HfFileSystem().cat_file(path)
    except FileNotFoundError:
        data = None
    return example | {"audio": {"bytes": data, "path": path}}


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    """Whatever a network call raises becomes a `CorpusError`, but for files that are not there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # the HTTP library's own errors share no base class with the Hub's
        why = str(error).strip().split("\n")[0].rstrip(".")
        raise CorpusError(
            f"{what} is no file here, and cannot be read from the Hugging Face Hub: {type(error).__name__}: {why}. "
            "Check the name, the network, and for private or gated data the login (hf auth login)"
        ) from error
