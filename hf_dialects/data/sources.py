"""What a corpus can be read from, opened: datasets with the columns they came with."""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hf_dialects.data.folders import canonical_split, read_folder, read_manifest
from hf_dialects.data.manifest import SUFFIXES
from hf_dialects.data.repository import fetch, is_repository_id, open_parquet, repository_files, repository_rows
from hf_dialects.errors import CorpusError, MissingExtra

__all__ = ["Opened", "Options", "open_source"]

logger = logging.getLogger(__name__)

SHARD = r"-\d+-of-\d+$"  # at the end of a Parquet file's name


@dataclass(frozen=True)
class Options:
    """How sources are opened; see `load_corpus`."""

    streaming: bool = False
    audio_root: Path | None = None
    config: str | None = None
    revision: str | None = None
    cache_dir: str | None = None


@dataclass(frozen=True)
class Opened:
    """A source as it is.

    Attributes:
        splits: name → `Dataset`, or `IterableDataset` for streamed Parquet; the name is None where nothing is split.
        paths_from: folder that relative paths of recordings start from; None = only bytes are accepted.
        fetch: brings the bytes into an example of which only the address is known.
    """

    splits: dict
    paths_from: Path | None = None
    fetch: Callable[[dict], dict] | None = None


def open_source(source: str | os.PathLike, options: Options) -> Opened:
    """Open a folder, a manifest, Parquet, a saved dataset, a Hub dataset or "demo".

    Raises:
        CorpusError: it is none of these, or broken.
    """
    if source == "demo":
        return Opened(_demo(options))
    path = Path(source)
    if path.is_dir():
        return _open_folder(path, options)
    if path.is_file():
        return _open_file(path, options)
    if isinstance(source, str) and is_repository_id(source):
        return _open_repository(source, options)
    raise CorpusError(
        f"{source!s} does not exist; a folder, a {', '.join(SUFFIXES)} or .parquet file, a Hub dataset (owner/name) or "
        '"demo" is expected'
    )


def _demo(options: Options) -> dict:
    from hf_dialects.data.synthetic import load_embedded, load_fixture

    try:
        return dict(load_embedded(cache_dir=options.cache_dir))
    except MissingExtra as error:
        logger.warning("%s. Until then the demo is the small corpus that comes with the package", error)
        return dict(load_fixture())


def _open_folder(folder: Path, options: Options) -> Opened:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return Opened(_saved(folder), folder)
    for files in (sorted(folder.glob("*.parquet")), sorted(folder.glob("data/*.parquet"))):
        if files:
            return Opened(_parquet(files, options), folder)
    return Opened({None: _of_rows(read_folder(folder, options.audio_root))}, folder)


def _open_file(path: Path, options: Options) -> Opened:
    if path.suffix == ".parquet":
        return Opened(_parquet([path], options), path.parent)
    if path.suffix in SUFFIXES:
        return Opened({None: _of_rows(read_manifest(path, options.audio_root))}, path.parent)
    raise CorpusError(f"{path} is no corpus; a folder or a file {', '.join(SUFFIXES)} or .parquet is expected")


def _open_repository(repository: str, options: Options) -> Opened:
    files = repository_files(repository, options.revision)
    if any(file.endswith(".parquet") for file in files):
        splits = open_parquet(repository, options.config, options.revision, options.streaming, options.cache_dir)
        return Opened({canonical_split(str(name)): split for name, split in splits.items()})
    rows = repository_rows(repository, files, options.revision, options.streaming, options.cache_dir)
    # the paths are absolute: of files in the cache, or addresses
    return Opened({None: _of_rows(rows)}, Path("/"), fetch if options.streaming else None)


def _saved(folder: Path) -> dict:
    from datasets import DatasetDict, load_from_disk

    try:
        found = load_from_disk(str(folder))
    except IndexError as error:
        raise CorpusError(f"{folder} holds a split without rows, which cannot be loaded; save it without") from error
    except (OSError, ValueError, KeyError) as error:  # of Arrow, too
        raise CorpusError(f"{folder} looks like a saved dataset but cannot be read: {error}; save it again") from error
    splits = found if isinstance(found, DatasetDict) else {None: found}
    return {name if name is None else canonical_split(name): split for name, split in splits.items()}


def _parquet(files: list[Path], options: Options) -> dict:
    """Datasets of Parquet files by split: "train.parquet", "train-00000-of-00002.parquet". Other names do not split,
    unless all files are numbered shards of several names."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    splits: dict[str, list[str]] = {}
    for file in files:
        name = canonical_split(re.sub(SHARD, "", file.stem))
        splits.setdefault(name, []).append(str(file))
    shards = len(splits) > 1 and all(re.search(SHARD, file.stem) for file in files)
    split = shards or bool({"train", "validation", "test"} & set(splits))
    if not split:
        splits = {"train": [str(file) for file in files]}
    try:
        found = load_dataset("parquet", data_files=splits, streaming=options.streaming, cache_dir=options.cache_dir)
    except (DatasetGenerationError, OSError, ValueError) as error:
        why = error.__cause__ or error
        raise CorpusError(f"{files[0].parent}: its Parquet files cannot be read: {why}") from error
    return dict(found) if split else {None: found["train"]}


def _of_rows(rows: list[dict]):
    """Dataset of rows, with every column that one of them has; `audio` as {"bytes", "path"}, other types as found."""
    import pyarrow as pa
    from datasets import Dataset

    cell = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            values = pa.array([row.get(name) for row in rows], cell if name == "audio" else None)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise CorpusError(f"column {name!r} mixes types: {error}; write its values alike") from error
        columns[name] = values.cast(pa.string()) if pa.types.is_null(values.type) else values
    return Dataset(pa.table(columns))
