"""What the splits of a corpus share, and which columns give its labels away."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from hf_dialects.errors import CorpusError

__all__ = ["assert_no_leakage", "column_values", "label_determined_by", "leakage"]

GROUPS = ("speaker", "site", "recording", "session")
# sentences read by everybody are a property of parallel corpora; worth knowing, no defect
INFORMATION = ("sentence_id", "text")
# columns that name a group or a place, or say what was said: they may follow the label
SOURCE = "source"  # `load_corpus` fills it where it joins corpora
EXPLAINED = {*GROUPS, *INFORMATION, "audio", "id", "cluster", "latitude", "longitude", "duration"}


def column_values(dataset, name: str) -> list:
    """Values of one column in row order, with `None` for null, NaN and empty text.

    Raises:
        CorpusError: there is no such column.
    """
    if name not in dataset.column_names:
        raise CorpusError(f"the corpus has no column {name!r}; it has {', '.join(sorted(dataset.column_names))}")
    return [None if value is None or value == "" or value != value else value for value in dataset[name][:]]


def _splits_of_values(splits: Mapping, name: str) -> tuple[dict, dict, int]:
    """For one column: value -> names of its splits, value -> number of examples, number of examples without a value."""
    where, examples, unknown = {}, {}, 0
    for split, dataset in splits.items():
        values = column_values(dataset, name) if name in dataset.column_names else [None] * len(dataset)
        for value in values:
            if value is None:
                unknown += 1
            else:
                where.setdefault(value, {})[split] = None
                examples[value] = examples.get(value, 0) + 1
    return where, examples, unknown


def leakage(splits: Mapping, by: Iterable[str] | None = None, label: str = "dialect") -> pd.DataFrame:
    """What is found in more than one split, and whether it gives the label away.

    Args:
        splits: name -> `datasets.Dataset`, such as a `DatasetDict`.
        by: columns to look at. One that does not exist counts as unknown for every example. Default: speaker, site,
            recording, session, sentence_id, and source where sources were joined.
        label: column with the classes.

    Returns:
        One row per column of `by` (the index), with the columns `values` (how many there are), `crossing` (values
        in more than one split), `examples` (examples with such a value, over all splits), `unknown` (examples
        without a value, about which nothing can be said), `leaks` (whether the crossing spoils the split: True
        for groups of recordings, always False for `sentence_id`, `text` and `source`) and `determines_label` (whether
        the column is one that `label_determined_by` names).
    """
    if by is None:
        joined = any(SOURCE in dataset.column_names for dataset in splits.values())
        by = (*GROUPS, "sentence_id", *([SOURCE] if joined else []))
    by = [by] if isinstance(by, str) else list(by)
    telling = _determined(list(splits.values()), label, [name for name in by if name not in EXPLAINED], "speaker")
    table = {}
    for name in by:
        where, examples, unknown = _splits_of_values(splits, name)
        crossing = [value for value, names in where.items() if len(names) > 1]
        table[name] = {
            "values": len(where),
            "crossing": len(crossing),
            "examples": sum(examples[value] for value in crossing),
            "unknown": unknown,
            "leaks": bool(crossing) and name not in (*INFORMATION, SOURCE),
            "determines_label": name in telling,
        }
    columns = ["values", "crossing", "examples", "unknown", "leaks", "determines_label"]
    return pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("column")


def assert_no_leakage(splits: Mapping, by: Iterable[str] = GROUPS) -> None:
    """Raise where a value of one of the columns stands in more than one split.

    Raises:
        CorpusError: naming the columns, the first values and the splits that share them.
    """
    found = []
    for name in [by] if isinstance(by, str) else by:
        where, examples, _ = _splits_of_values(splits, name)
        crossing = sorted(
            (str(value), list(names), examples[value]) for value, names in where.items() if len(names) > 1
        )
        if crossing:
            shown = "; ".join(f"{value!r} in {' and '.join(names)} ({n} examples)" for value, names, n in crossing[:10])
            more = f"; and {len(crossing) - 10} more" if len(crossing) > 10 else ""
            found.append(f"{len(crossing)} values of {name!r} are in more than one split: {shown}{more}")
    if found:
        names = ", ".join(repr(name) for name in ([by] if isinstance(by, str) else by))
        raise CorpusError(
            ". ".join(found) + f". Split again with group_split(dataset, by=({names},)) or hf-dialects split"
        )


def label_determined_by(
    dataset, label: str = "dialect", columns: Iterable[str] | None = None, group: str = "speaker"
) -> dict[str, int]:
    """Columns that settle the label though they have fewer values than there are speakers.

    Such a column (one `source` or one recording device per dialect) cannot be told from the dialect: a classifier
    may answer by the channel alone, and its accuracy means nothing. A missing value counts as a value, since a
    column filled for one dialect only gives that dialect away too. The column `source` of joined corpora also counts
    where it settles the label in part: when no label is found in two sources, what tells two corpora apart tells
    their labels apart.

    Args:
        columns: columns to look at; default all of a single value per row that the corpus schema does not explain.
        group: column whose number of values is the bound; the number of examples where it is absent or empty.

    Returns:
        column -> number of its values. Empty for a corpus with one label.
    """
    column_values(dataset, label)  # must be there
    if columns is None:
        columns = [name for name in dataset.column_names if name not in EXPLAINED | {label}]
        columns = [name for name in columns if hasattr(dataset.features[name], "dtype")]
        columns = [name for name in columns if dataset.features[name].dtype not in ("dict", "list", "binary")]
    return _determined([dataset], label, columns, group)


def _determined(datasets: Sequence, label: str, columns: Iterable[str], group: str) -> dict[str, int]:
    """`label_determined_by` over several datasets; a column that one of them lacks is empty there."""

    def values(name: str) -> list:
        return [
            value
            for dataset in datasets
            for value in (column_values(dataset, name) if name in dataset.column_names else [None] * len(dataset))
        ]

    labels = values(label)
    bound = len(set(values(group)) - {None}) or len(labels)
    found = {}
    for name in columns if len(set(labels)) > 1 else ():
        labels_of = {}
        for value, gold in zip(values(name), labels, strict=True):
            labels_of.setdefault(value, set()).add(gold)
        whole = all(len(gold) == 1 for gold in labels_of.values())
        apart = name == SOURCE and len(labels_of) > 1 and sum(map(len, labels_of.values())) == len(set(labels))
        if len(labels_of) < bound and (whole or apart):
            found[name] = len(labels_of)
    return found
