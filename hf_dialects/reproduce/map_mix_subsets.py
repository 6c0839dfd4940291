"""Low-resource subsets of a large corpus as the splits of a grid; all are tested on the same recordings."""

from collections.abc import Sequence

from datasets import Dataset, DatasetDict, concatenate_datasets

from hf_dialects.data.leakage import assert_no_leakage
from hf_dialects.data.subsets import low_resource_subsets, subset_overlap
from hf_dialects.errors import CorpusError
from hf_dialects.training.screened import Screened, screen_splits
from hf_dialects.training.splits_of_run import grouping


def low_resource(
    corpus: Dataset | DatasetDict, section: dict, hours: float, n: int, progress: bool = True
) -> list[Screened]:
    """Draw n subsets of what the corpus trains and validates on; its test split stays whole.

    Source: Rajaa et al. 2023 (arXiv:2302.08229), section 3.1: three subsets of LRE 2017 with 5 h of each dialect, each
    drawn from the whole corpus, and the whole evaluation set.

    Args:
        hours: of each dialect, training and validation together; dialects with less give all they have.
        n: how many subsets.

    Raises:
        CorpusError: the corpus has no splits to train and to test on, or they share groups.
    """
    if not isinstance(corpus, DatasetDict) or not {"train", "test"} <= set(corpus):
        found = ", ".join(corpus) if isinstance(corpus, DatasetDict) else "none"
        raise CorpusError(
            "low-resource subsets are drawn from the training split of the corpus and tested on its test split; "
            f"its splits: {found}"
        )
    pool = concatenate_datasets([corpus[name] for name in ("train", "validation") if name in corpus])
    by = grouping(pool, section)
    assert_no_leakage(DatasetDict(train=pool, test=corpus["test"]), by)
    subsets = low_resource_subsets(pool, hours, n, seed=section.get("split_seed", 0))
    return [screen_splits(DatasetDict(**one, test=corpus["test"]), by, progress) for one in subsets]


def describe_overlap(data: Sequence[Screened]) -> str:
    """How much the subsets share, as a line for the table."""
    parts = [{name: one.splits[name] for name in ("train", "validation")} for one in data]
    shares = subset_overlap(parts)["share"]
    low, high = (f"{share:.1%}" for share in (shares.min(), shares.max()))
    return f"Two of the subsets share {low if low == high else f'{low} to {high}'} of their recordings."
