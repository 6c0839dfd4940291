"""A split on disk: Parquet that loads like any corpus, and tables of what went where and what the splits share."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hf_dialects.data.leakage import GROUPS, column_values, leakage
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.disk import disk_space
from hf_dialects.errors import CorpusError

SHARED = (*GROUPS, "sentence_id")


def join_splits(corpus):
    """The rows of all splits, in their order; a corpus or stream without splits as it is."""
    from datasets import DatasetDict, IterableDatasetDict, concatenate_datasets

    split = isinstance(corpus, DatasetDict | IterableDatasetDict)
    return concatenate_datasets(list(corpus.values())) if split else corpus


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder` at the end, and is removed where an error ends it.

    Raises:
        CorpusError: something lies in `folder`; a split on disk is never mixed with another.
        DialectError: the disk is full.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CorpusError(f"{folder} exists and is not empty; name a new folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}-{os.getpid()}")
    building.mkdir()
    try:
        with disk_space(folder, "nothing half-written stays"):
            yield building
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def write_fold(splits, folder: Path, embed: bool = False, progress: bool = True) -> None:
    """Write `{split}.parquet` for each split.

    Audio that lies in files is pointed to by absolute paths, so the files must stay where they are; audio that the
    corpus holds as bytes, as Parquet and the Hub do, is copied.

    Args:
        splits: `datasets.DatasetDict`.
        embed: copy the audio of files, too.
    """
    from datasets.table import embed_table_storage
    from tqdm.auto import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    for name, dataset in tqdm(splits.items(), desc="writing", unit="split", disable=not progress):
        if embed:
            columns = dataset.with_format("arrow")
            dataset = columns.map(embed_table_storage, batched=True, batch_size=100).with_format(None)
        dataset.to_parquet(str(folder / f"{name}.parquet"))


def write_records(folds: Sequence, folder: Path, options: dict, table_of: Callable = leakage) -> dict:
    """Write splits.csv (id, split, fold), leakage.csv and split.json.

    Args:
        folds: one `DatasetDict` for a plain split, k for k folds.
        options: how the split was made; kept in split.json.
        table_of: makes the table of what the splits share: `leakage` or `place_split.place_leakage`.

    Returns:
        the content of split.json: the options, and of each fold the counts and the fingerprint of every split, and what
        the splits share.
    """
    import pandas as pd

    source = ["source"] if "source" in next(iter(folds[0].values())).column_names else []
    by = tuple(dict.fromkeys((*options["by"], *SHARED, *source)))
    places, tables, records = [], [], []
    for number, splits in enumerate(folds):
        table = table_of(splits, by=by)
        tables.append(table.reset_index().assign(fold=number))
        places += [{"id": id, "split": name, "fold": number} for name in splits for id in splits[name]["id"]]
        records.append(
            {
                "splits": {name: _counts(dataset) for name, dataset in splits.items()},
                "leakage": json.loads(table.to_json(orient="index")),
            }
        )
    places, shared = pd.DataFrame(places), pd.concat(tables)
    if len(folds) == 1:
        places, shared = places.drop(columns="fold"), shared.drop(columns="fold")
    places.to_csv(folder / "splits.csv", index=False)
    shared.to_csv(folder / "leakage.csv", index=False)
    content = {**options, "folds": records}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / "split.json").write_text(text, encoding="utf-8")
    return content


def describe(records: dict) -> str:
    """What `write_records` found, as tables for people."""
    import pandas as pd

    lines = []
    for number, fold in enumerate(records["folds"]):
        if len(records["folds"]) > 1:
            lines.append(f"\nfold {number}")
        counts = pd.DataFrame.from_dict(fold["splits"], orient="index")
        counts["sha256"] = counts["sha256"].str[:12]
        shared = pd.DataFrame.from_dict(fold["leakage"], orient="index")
        lines += [counts.to_string(), "", "shared between the splits", shared.to_string()]
    return "\n".join(lines).strip()


def _counts(dataset) -> dict:
    """Rows, hours and speakers, where the corpus states them, dialects, and the fingerprint of a split."""
    columns = {name: column_values(dataset, name) for name in ("duration", "speaker") if name in dataset.column_names}
    seconds = [value for value in columns.get("duration", ()) if value is not None]
    speakers = {value for value in columns.get("speaker", ()) if value is not None}
    return {
        "n": len(dataset),
        "hours": round(sum(seconds) / 3600, 4) if len(seconds) == len(dataset) else None,
        "speakers": len(speakers) or None,
        "dialects": len(set(dataset["dialect"])),
        "sha256": split_fingerprint(dataset),
    }
