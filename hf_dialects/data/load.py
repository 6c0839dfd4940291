"""Any corpus → a dataset in the schema."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hf_dialects.data.audio import duration_s
from hf_dialects.data.folders import canonical_split
from hf_dialects.data.sources import Options, open_source
from hf_dialects.data.union import Part, conformed, joined, sorted_into_splits
from hf_dialects.errors import AudioError, CorpusError

__all__ = ["load_corpus"]

Source = str | os.PathLike


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

            - a folder with `metadata.csv`, `.tsv` or `.jsonl` (column `file_name`; a column `split` splits it), or with
              one folder per dialect, or with folders train, validation and test that hold either ("dev" and "valid"
              mean validation);
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
        labels: keep only these, numbered in this order. Default: all, by name or in `ClassLabel` order.
        columns: column of the schema → column of the source, such as {"speaker": "client_id", "id": "path"}.
        audio_root: folder that the paths in a table start from and may not leave; default its own. "/" accepts any
            absolute path.
        fill_duration: read the headers of recordings without a duration (slow; not when streaming).
        config, revision: of a Hub dataset.
        cache_dir: for what is downloaded or converted.

    Returns:
        `Dataset`, or `DatasetDict` where there are splits and `split` is None; `IterableDataset(Dict)` when streaming.
        Columns are those of the corpus schema that the source has, at least `audio`, `dialect` and `id` (default: the
        file's path within its source, without suffix), then its others, untouched. Files that are listed but missing
        are found when decoded, or by `check_corpus`.

    Raises:
        CorpusError: not a corpus; column, label or split that does not exist; duplicate ids; rows without a label;
            files outside the folder; an empty split; Hub out of reach.
    """
    if fill_duration and streaming:
        raise ValueError("fill_duration reads all recordings, streaming none; use one of them")
    options = Options(streaming, Path(audio_root) if audio_root else None, config, revision, cache_dir)
    asked = dict(columns or {}) | ({"dialect": label} if label != "dialect" else {})
    sources = {name: open_source(one, options) for name, one in _named(source).items()}
    parts = sorted_into_splits(conformed(sources, asked, labels, several=not isinstance(source, Source)))
    _check_ids(parts)
    corpus = joined(parts, streaming)
    if fill_duration:
        corpus = {name: _with_duration(dataset) for name, dataset in corpus.items()}
    return _chosen(corpus, split, streaming)


def _named(source) -> dict[str, Source]:
    """Name → source; the last part of its path, or of the part of a Hub id."""
    if isinstance(source, Mapping):
        named = list(source.items())
    else:
        several = [source] if isinstance(source, Source) else list(source)
        named = [
            (Path(os.path.abspath(one)).stem if os.path.exists(one) else str(one).split("/")[-1], one)
            for one in several
        ]
    if not named:
        raise CorpusError('no source was given; name a folder, a manifest, a Hub dataset or "demo"')
    twice = [name for name, n in Counter(name for name, _ in named).items() if n > 1]
    if twice:
        raise CorpusError(f"two sources are called {twice[0]!r}; give them as a mapping of different names to sources")
    return dict(named)


def _check_ids(parts: Sequence[Part]) -> None:
    """Ids must be unique over all splits; of streams nothing is known."""
    counts = Counter(id for part in parts if not part.streamed for id in part.dataset["id"])
    twice = [id for id, n in counts.items() if n > 1]
    if twice:
        raise CorpusError(
            f"in {' and '.join(dict.fromkeys(part.source for part in parts))} {len(twice)} ids occur more than once: "
            f"{', '.join(twice[:5])}; ids are the paths of the files without suffix unless there is a column id (or "
            "columns={'id': …}) with unique values. List each recording once, or give such a column"
        )


def _with_duration(dataset):
    """The dataset with null durations filled from headers, as far as those can be read."""
    from datasets import Value
    from tqdm.auto import tqdm

    def seconds(row: int) -> float | None:
        try:
            return duration_s(dataset[row]["audio"])
        except AudioError:
            return None

    durations = list(dataset["duration"]) if "duration" in dataset.column_names else [None] * len(dataset)
    rows = [row for row, value in enumerate(durations) if value is None]
    with ThreadPoolExecutor(4) as pool:
        found = tqdm(pool.map(seconds, rows), total=len(rows), desc="reading headers", unit="clip", disable=None)
        for row, value in zip(rows, found, strict=True):
            durations[row] = value
    if "duration" in dataset.column_names:
        dataset = dataset.remove_columns("duration")
    return dataset.add_column("duration", durations, feature=Value("float32"))


def _chosen(corpus: dict, split: str | None, streaming: bool):
    from datasets import DatasetDict, IterableDatasetDict

    if split is None:
        return corpus[None] if None in corpus else (IterableDatasetDict if streaming else DatasetDict)(corpus)
    if None in corpus:
        raise CorpusError(
            f"there is no split {split!r}: the corpus is not split; make splits with group_split, or leave it out"
        )
    if canonical_split(split) not in corpus:
        raise CorpusError(f"there is no split {split!r}; there are {', '.join(corpus)}")
    return corpus[canonical_split(split)]
