"""Any corpus → a dataset in the schema."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_dialects.data import repository
from hf_dialects.data.conform import Conversion, class_names, common_features, conform, conform_stream, find_roles
from hf_dialects.data.folders import canonical_split, read_folder, read_manifest
from hf_dialects.data.manifest import SUFFIXES
from hf_dialects.errors import AudioError, CorpusError, MissingExtra

__all__ = ["load_corpus"]

logger = logging.getLogger(__name__)

Source = str | os.PathLike


@dataclass
class Opened:
    """A source that was opened: its datasets by split (None = not split), as they are.

    Attributes:
        paths_from: folder that relative paths of recordings start from; None = no paths are accepted.
        fetch: what brings the bytes into a streamed example, where they are not in the data.
    """

    splits: dict
    paths_from: Path | None = None
    fetch: Callable | None = None


def load_corpus(
    source: Source | Sequence[Source] | Mapping[str, Source],
    split: str | None = None,
    label: str = "dialect",
    streaming: bool = False,
    *,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    audio_root: Source | None = None,
    fill_duration: bool = False,
    config: str | None = None,
    revision: str | None = None,
    cache_dir: Source | None = None,
):
    """Load a corpus.

    Args:
        source: one of

            - a folder with `metadata.csv`, `.tsv` or `.jsonl` (column `file_name`; a column `split` splits it), with one
              folder per dialect, or with folders train, validation and test ("dev" and "valid" mean validation) holding
              either;
            - a CSV, TSV or JSON lines file with a column `file_name`, `path` or `audio`, relative to it;
            - a Parquet file or a folder of them, audio as bytes or path; a folder written by `save_to_disk`;
            - a dataset of the Hugging Face Hub ("owner/name"), of Parquet files or a folder as above;
            - "demo", the embedded corpus;

            or several, in a list or as name → source. Their labels are united, ids start with the source's name
            ("name/id"), a column `source` holds it, and columns that one of them lacks are null there. Sources with
            splits are only joined split by split if all have some; otherwise all rows make one dataset, and a column
            `source_split` keeps what they said.
        split: only this one.
        label: column that names the dialect. It is kept beside `dialect`; a `dialect` of another meaning becomes
            `dialect_original`.
        streaming: read recordings only when they are reached; string labels in Parquet then need `labels`.
        labels: keep only these, numbered in this order. Default: all, sorted by name, or in the order of a `ClassLabel`.
        columns: column of the schema → column of the source, such as {"speaker": "client_id", "id": "path"}.
        audio_root: folder that the paths in a table start from and may not leave; default its own. "/" accepts any
            absolute path.
        fill_duration: read the headers of recordings without a duration (slow; not when streaming).
        config, revision: of a Hub dataset.
        cache_dir: for what is downloaded or converted.

    Returns:
        `Dataset`, or `DatasetDict` where there are splits and `split` is None; `IterableDataset(Dict)` when streaming. Columns
        are those of the corpus schema that the source has, at least `audio`, `dialect` and `id` (default: the file's path
        within its source, without suffix), then its others, untouched. Files that are listed but missing are found
        when decoded, or by `check_corpus`.

    Raises:
        CorpusError: not a corpus; column, label or split that does not exist; duplicate ids; rows without a label; files
            outside the folder; an empty split; Hub out of reach.
    """
    if fill_duration and streaming:
        raise ValueError("fill_duration reads all recordings, streaming none; use one of them")
    options = {"streaming": streaming, "audio_root": audio_root, "config": config, "revision": revision, "cache_dir": cache_dir}
    named = _named(source)
    opened = {name: _open(one, **options) for name, one in named.items()}
    asked = dict(columns or {}) | ({"dialect": label} if label != "dialect" else {})
    several = not isinstance(source, Source)
    parts = _conform(opened, asked, labels, several)
    if not streaming:
        parts = {name: _by_column(splits, name) for name, splits in parts.items()}
    corpus = _joined(parts)
    if not streaming:
        corpus = {name: _without_null_labels(dataset, name, labels) for name, dataset in corpus.items()}
        _check_ids(corpus)
    if fill_duration:
        corpus = {name: _with_duration(dataset) for name, dataset in corpus.items()}
    return _chosen(corpus, split, streaming)
