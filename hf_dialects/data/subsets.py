"""Small training sets drawn from a large corpus, a given number of hours of each dialect."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hf_dialects.data.leakage import column_values
from hf_dialects.data.randomness import generator
from hf_dialects.data.splits import group_split
from hf_dialects.errors import CorpusError

__all__ = ["low_resource_subsets", "subset_overlap"]


def low_resource_subsets(
    dataset,
    hours_per_dialect: float = 5.0,
    n_subsets: int = 3,
    seed: int = 0,
    dev_share: float = 0.1,
    by: Iterable[str] = ("recording", "speaker"),
) -> list:
    """Draw subsets with so many hours of every dialect, each cut into training and validation.

    Examples are drawn one by one without replacement until a dialect has its hours, so the last one goes beyond them; a
    dialect with less gives all it has. Every subset is drawn from everything, independently of the others: they overlap
    (see `subset_overlap`), and results over them spread less than over new data. The validation part is cut off
    the hours by whole groups, as `group_split` does it: no value of a `by` column stands in both parts. A dialect whose
    examples of a subset are all of one group goes into training alone.

    The draw of a dialect depends on the seed, the number of the subset, the dialect's name and its examples, not on the
    other dialects or the order of rows.

    Args:
        dataset: `datasets.Dataset` with `id`, `dialect` and `duration`; the audio is not read. Give the training split
            of a corpus that has splits.
        hours_per_dialect: of training and validation together.
        n_subsets: how many.
        seed: of the draws.
        dev_share: share of the examples that goes to validation, in [0, 1); 0 leaves the split out.
        by: columns that must not cross, those that the corpus has and that hold a value; examples without any are taken
            as unrelated.

    Returns:
        list of `n_subsets` `datasets.DatasetDict` with `train` and `validation`, rows sorted by `id`.

    Warns:
        UserWarning: dialects with fewer hours, and dialects that are absent from a validation part, by name.

    Raises:
        CorpusError: a missing column, an example without duration, label or id, or numbers out of range.
    """
    from datasets import DatasetDict

    if isinstance(dataset, Mapping):
        raise CorpusError(
            f"subsets are drawn from one split, but the corpus has {', '.join(dataset)}; give one, such as "
            "corpus['train']"
        )
    if not (hours_per_dialect > 0 and n_subsets >= 1 and 0 <= dev_share < 1):
        raise CorpusError(
            f"hours_per_dialect is {hours_per_dialect}, n_subsets {n_subsets}, dev_share {dev_share}; expected hours "
            "above 0, at least one subset and a share from 0 to below 1"
        )
    pools = _pools(dataset)
    durations = np.array(column_values(dataset, "duration"), dtype=np.float64)
    wanted_s = 3600 * hours_per_dialect
    _warn_of_small(pools, durations, hours_per_dialect)
    columns = [by] if isinstance(by, str) else list(by)
    known = [name for name in columns if name in dataset.column_names and any(column_values(dataset, name))]
    subsets = []
    for number in range(n_subsets):
        chosen = [
            _draw(pool, durations, wanted_s, generator(seed, number, name, "subset")) for name, pool in pools.items()
        ]
        subset = dataset.select(np.sort(np.concatenate(chosen)))
        sizes = (1 - dev_share, dev_share, 0)
        parts = group_split(subset, by=known, sizes=sizes, seed=seed, allow_missing=True)
        if dev_share:
            _warn_of_absent(parts["validation"], list(pools), number)
        subsets.append(DatasetDict(parts))
    return subsets


def subset_overlap(subsets: Sequence[Mapping]) -> pd.DataFrame:
    """What each two subsets share.

    Returns:
        One row per pair (the index: `a`, `b`, numbers of subsets) with the columns `shared` (examples in both, in
        whatever part), `share` (of the smaller of the two), and `train_in_validation` and `validation_in_train`: those
        that stand in one part of a and the other part of b, which rules out training on one subset and selecting on
        the other's validation.
    """
    ids = [{part: {str(id) for id in rows["id"]} for part, rows in subset.items()} for subset in subsets]
    table = {}
    for a, b in combinations(range(len(ids)), 2):
        of_a, of_b = (set().union(*ids[number].values()) for number in (a, b))
        shared = len(of_a & of_b)
        crossing = [
            len(ids[a].get(one, set()) & ids[b].get(other, set()))
            for one, other in (("train", "validation"), ("validation", "train"))
        ]
        table[a, b] = [shared, shared / min(len(of_a), len(of_b)), *crossing]
    columns = ["shared", "share", "train_in_validation", "validation_in_train"]
    frame = pd.DataFrame.from_dict(table, orient="index", columns=columns)
    frame.index = pd.MultiIndex.from_tuples(list(table), names=["a", "b"])
    return frame


def _pools(dataset) -> dict[str, np.ndarray]:
    """Name of each dialect that occurs → its row numbers in the order of their ids."""
    for name in ("id", "dialect", "duration"):
        values = column_values(dataset, name)
        without = [row for row, value in enumerate(values) if value is None or (name == "dialect" and value == -1)]
        if without or not values:
            where = f"{len(without)} of {len(values)} examples have" if values else "the corpus holds no example and"
            first = f", the first is row {without[0]}" if without else ""
            raise CorpusError(f"{where} no {name}{first}; subsets by hours need id, dialect and duration of every one")
    ids, labels = [str(id) for id in dataset["id"]], list(dataset["dialect"])
    names = getattr(dataset.features["dialect"], "names", None)
    pools: dict[str, list[int]] = {}
    for row in sorted(range(len(ids)), key=ids.__getitem__):
        pools.setdefault(str(names[labels[row]] if names else labels[row]), []).append(row)
    return {name: np.array(pools[name]) for name in sorted(pools)}


def _draw(pool: np.ndarray, durations: np.ndarray, wanted_s: float, random: np.random.Generator) -> np.ndarray:
    """Rows of a dialect in a random order up to the one that reaches the wanted seconds; all where none does."""
    order = random.permutation(pool)
    reached = np.searchsorted(durations[order].cumsum(), wanted_s)
    return order[: reached + 1]


def _warn_of_small(pools: Mapping[str, np.ndarray], durations: np.ndarray, hours: float) -> None:
    found = {name: durations[pool].sum() / 3600 for name, pool in pools.items()}
    small = [f"{name} ({has:.2f} h)" for name, has in found.items() if has < hours]
    if small:
        warnings.warn(
            f"{len(small)} of {len(pools)} dialects have less than {hours:g} h and give all they have to every subset: "
            f"{', '.join(small)}",
            stacklevel=3,
        )


def _warn_of_absent(validation, names: Sequence[str], number: int) -> None:
    class_names = getattr(validation.features["dialect"], "names", None)
    present = {str(class_names[label] if class_names else label) for label in validation["dialect"]}
    absent = [name for name in names if name not in present]
    if absent:
        warnings.warn(
            f"subset {number} has no validation examples of {', '.join(absent)}: what was drawn of it is of one group",
            stacklevel=3,
        )
