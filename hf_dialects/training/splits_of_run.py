"""The splits that a run trains, selects and tests on."""

from datasets import Dataset, DatasetDict

from hf_dialects.data.load import load_corpus
from hf_dialects.data.schema import GROUPING
from hf_dialects.data.splits import assert_no_leakage, group_split
from hf_dialects.errors import CorpusError

NAMES = ("train", "validation", "test")


def load_data(section: dict) -> Dataset | DatasetDict:
    """The corpus that a recipe's `data` section names."""
    if not section.get("source"):
        raise CorpusError('data.source is missing: give a folder, a manifest, a Hub id or "demo"')
    options = {key: section[key] for key in ("label", "labels") if section.get(key) is not None}
    return load_corpus(section["source"], **options)


def grouping(corpus: Dataset, section: dict) -> tuple[str, ...]:
    """Columns that must not cross a split: those asked for, else speaker, else the first known one of the corpus.

    Raises:
        CorpusError: a column is missing, or nothing says which recordings belong together.
    """
    asked = section.get("split_by")
    columns = (asked,) if isinstance(asked, str) else tuple(asked or ())
    missing = [column for column in columns if column not in corpus.column_names]
    if missing:
        raise CorpusError(
            f"data.split_by names {missing[0]!r}; the corpus has the columns {', '.join(corpus.column_names)}"
        )
    if columns:
        return columns
    for column in GROUPING:
        if column in corpus.column_names and any(value is not None for value in corpus[column]):
            return (column,)
    raise CorpusError(
        f"the corpus has none of the columns {', '.join(GROUPING)}: without them one speaker may land in both "
        "training and test. "
        "Add a speaker column, or name another with data.split_by "
        "(data.split_by=id treats every recording as its own speaker)"
    )


def three_splits(corpus: Dataset | DatasetDict, section: dict) -> tuple[DatasetDict, tuple[str, ...]]:
    """Train, validation and test: those of the corpus as they are, missing ones cut off by whole groups.

    Returns:
        (splits, the columns that do not cross them)

    Raises:
        CorpusError: a group crosses the splits, or the corpus has no training split.
    """
    by = grouping(corpus["train"] if isinstance(corpus, DatasetDict) and "train" in corpus else _any(corpus), section)
    sizes, stratify = tuple(section.get("split_sizes") or (0.8, 0.1, 0.1)), section.get("stratify", "dialect")
    seed = section.get("split_seed", 0)
    if isinstance(corpus, Dataset):
        splits = group_split(corpus, by=by, stratify=stratify, sizes=sizes, seed=seed)
    elif "train" not in corpus:
        raise CorpusError(f"the corpus has the splits {', '.join(corpus)}, none is called train")
    elif set(NAMES) <= set(corpus):
        splits = DatasetDict({name: corpus[name] for name in NAMES})
    elif held_out := next((name for name in ("test", "validation") if name in corpus), None):
        # the corpus' held-out split is for testing; the split that selects is cut off training
        share = sizes[1] / (sizes[0] + sizes[1])
        parts = group_split(corpus["train"], by=by, stratify=stratify, sizes=(1 - share, share, 0), seed=seed)
        splits = DatasetDict(train=parts["train"], validation=parts["validation"], test=corpus[held_out])
    else:
        splits = group_split(corpus["train"], by=by, stratify=stratify, sizes=sizes, seed=seed)
    assert_no_leakage(splits, by)
    return splits, by


def _any(corpus: Dataset | DatasetDict) -> Dataset:
    return corpus if isinstance(corpus, Dataset) else next(iter(corpus.values()))
