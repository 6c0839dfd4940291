"""Splits in which no speaker, place or recording stands on two sides."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise

import numpy as np

from hf_dialects.data.leakage import assert_no_leakage, column_values, label_determined_by, leakage
from hf_dialects.data.randomness import generator
from hf_dialects.errors import CorpusError

__all__ = ["assert_no_leakage", "group_folds", "group_split", "label_determined_by", "leakage", "split_fingerprint"]

SPLITS = ("train", "validation", "test")
PAIRWISE_LIMIT = 600  # groups up to which exchanges of two groups are searched: (groups, groups) matrices
ATTEMPTS = 8  # random starts of the search


def group_split(
    dataset,
    by: Iterable[str] = ("speaker",),
    stratify: str | None = "dialect",
    sizes: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    allow_missing: bool = False,
):
    """Split into training, validation and test so that no value of any `by` column is in two splits.

    Two examples that share a value in one of the columns stay together, and so does whatever is linked through a
    third: groups are the connected components. An example without any value is a group of its own. Whole groups
    are assigned such that the examples of every class, and all examples, divide as nearly by `sizes` as a local
    search (moves and exchanges of groups) gets them. The result depends on the seed and on the set of examples, not on
    their order; the rows of each split are sorted by `id`. Where few groups of unequal size leave one best assignment,
    every seed finds it.

    Args:
        dataset: `datasets.Dataset` with a column `id`; the audio is not read.
        by: columns that must not cross; `()` splits single examples.
        stratify: column whose shares are kept, or None.
        sizes: shares of training, validation and test, summing to 1; a split of size 0 is left out.
        allow_missing: accept classes with fewer groups than splits; they are then absent from some split.

    Returns:
        `datasets.DatasetDict` with `train`, `validation` and `test`.

    Raises:
        CorpusError: a class has fewer groups than there are splits; a column is missing or holds no value; an id
            or a label is missing, or an id occurs twice.
    """
    from datasets import DatasetDict

    sizes = np.asarray(sizes, dtype=float)
    if sizes.shape != (3,) or (sizes < 0).any() or not np.isclose(sizes.sum(), 1):
        raise CorpusError(
            f"sizes must be three shares of train, validation and test that sum to 1, got {sizes.tolist()}"
        )
    names = [name for name, size in zip(SPLITS, sizes, strict=True) if size > 0]
    parts = _assign_rows(dataset, by, stratify, sizes[sizes > 0], seed, allow_missing)
    return DatasetDict({name: dataset.select(rows) for name, rows in zip(names, parts, strict=True)})


def group_folds(
    dataset,
    k: int,
    by: Iterable[str] = ("speaker",),
    stratify: str | None = "dialect",
    seed: int = 0,
    allow_missing: bool = False,
) -> list:
    """`k` splits by the rules of `group_split`, over which every example is in `test` exactly once.

    Split i tests on fold i, validates on fold (i + 1) mod k and trains on the rest. `k` is at least 3.

    Returns:
        list of `k` `datasets.DatasetDict` with `train`, `validation` and `test`.
    """
    from datasets import DatasetDict

    if k < 3:
        raise CorpusError(f"k must be at least 3 (one fold to test, one to validate, the rest to train), got {k}")
    folds = _assign_rows(dataset, by, stratify, np.full(k, 1 / k), seed, allow_missing)
    splits = []
    for i in range(k):
        test, validation = i, (i + 1) % k
        rest = [fold for j, fold in enumerate(folds) if j not in (test, validation)]
        # each fold is sorted by id; training keeps the folds one after the other
        rows = {"train": np.concatenate(rest), "validation": folds[validation], "test": folds[test]}
        splits.append(DatasetDict({name: dataset.select(rows[name]) for name in SPLITS}))
    return splits


def split_fingerprint(dataset) -> str:
    """SHA-256 (hex) of the sorted ids: equal exactly for splits that hold the same examples, in whatever order."""
    digest = sha256()
    for id in sorted(str(id) for id in list(dataset["id"])):
        digest.update(id.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _assign_rows(dataset, by, stratify, sizes: np.ndarray, seed: int, allow_missing: bool) -> list[np.ndarray]:
    """Row numbers of each split, in the order of their ids."""
    by = (by,) if isinstance(by, str) else tuple(by)
    order = _order_by_id(dataset)
    columns = {name: column_values(dataset, name) for name in by}
    if by and all(value is None for values in columns.values() for value in values):
        raise CorpusError(
            f"no example has a value in {', '.join(by)}, so nothing says what belongs together; split by another "
            "column, or by=() to split single examples knowingly"
        )
    groups = _connected_components([[values[row] for row in order] for values in columns.values()], len(order))
    labels, names = _labels(dataset, stratify)
    counts = np.zeros((groups.max() + 1, len(names)), dtype=np.int64)  # (groups, classes), examples
    np.add.at(counts, (groups, labels[order]), 1)
    if not allow_missing:
        _check_groups_per_class((counts > 0).sum(0), names, len(sizes), by, stratify)
    splits, missing = _assign_groups(counts, sizes, seed)
    if missing.any() and not allow_missing:
        lacking = ", ".join(repr(names[c]) for c in np.flatnonzero(missing))
        raise CorpusError(
            f"no assignment was found with {lacking} in each of {len(sizes)} splits, because groups over "
            f"{', '.join(by)} hold several classes; use fewer splits, another `by`, or allow_missing=True"
        )
    return [order[splits[groups] == s] for s in range(len(sizes))]


def _order_by_id(dataset) -> np.ndarray:
    ids = column_values(dataset, "id")
    if not ids:
        raise CorpusError("the corpus holds no examples; there is nothing to split")
    if None in ids:
        raise CorpusError(f"row {ids.index(None)} of the corpus has no id; every example needs one to be split")
    ids = [str(id) for id in ids]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for row, following in pairwise(order):
        if ids[row] == ids[following]:
            raise CorpusError(f"id {ids[row]!r} stands in rows {row} and {following}; ids must be unique")
    return np.array(order)


def _connected_components(columns: list[list], n_rows: int) -> np.ndarray:
    """Group number of each row (n_rows,), groups being rows linked by equal values; `None` links nothing."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, nodes, n_nodes = [], [], n_rows  # a graph of rows and values
    for values in columns:
        node_of = {}
        for row, value in enumerate(values):
            if value is not None:
                rows.append(row)
                nodes.append(n_nodes + node_of.setdefault(value, len(node_of)))
        n_nodes += len(node_of)
    graph = coo_matrix((np.ones(len(rows)), (rows, nodes)), shape=(n_nodes, n_nodes))
    return np.unique(connected_components(graph, directed=False)[1][:n_rows], return_inverse=True)[1]


def _labels(dataset, stratify: str | None) -> tuple[np.ndarray, list[str]]:
    """Class number of each row (N,), and the names of the classes that occur."""
    if stratify is None:
        return np.zeros(len(dataset), dtype=int), ["all"]
    values = column_values(dataset, stratify)
    class_names = getattr(dataset.features[stratify], "names", None)
    unlabelled = [row for row, value in enumerate(values) if value is None or (class_names is not None and value < 0)]
    if unlabelled:
        shown = ", ".join(repr(id) for id in dataset.select(unlabelled[:5])["id"])
        raise CorpusError(
            f"{len(unlabelled)} examples have no value in {stratify!r} (ids {shown}); drop them, or stratify=None"
        )
    present = sorted(set(values))
    number = {value: i for i, value in enumerate(present)}
    names = [str(class_names[value] if class_names else value) for value in present]
    return np.array([number[value] for value in values]), names


def _check_groups_per_class(n_groups: np.ndarray, names: list[str], n_splits: int, by, stratify) -> None:
    few = [f"{names[c]!r} has {n_groups[c]}" for c in np.flatnonzero(n_groups < n_splits)]
    if few:
        what = f"groups over {' + '.join(by)}" if by else "examples"
        raise CorpusError(
            f"{n_splits} splits need at least {n_splits} {what} in every class of {stratify or 'the corpus'}, but "
            f"{', '.join(few)}. Use fewer splits (a size of 0, or fewer folds), drop the class, split by another "
            "`by`, or pass allow_missing=True to leave the class out of some splits"
        )


def _assign_groups(counts: np.ndarray, sizes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split of each group (G,), and which classes (C,) are absent from a split though they have groups enough.

    Minimises, over splits and classes, the squared difference between the share of the class in the split and the
    split's size, all examples counting as one more class; a class absent from a split outweighs any difference.
    """
    enough = (counts > 0).sum(0) >= len(sizes)
    has = ((counts > 0) & enough).astype(float)  # (G, C)
    share = np.c_[counts / counts.sum(0), counts.sum(1) / counts.sum()]  # (G, C + 1)
    penalty = 4.0 * share.shape[1]  # above the largest sum of squared differences
    best = None
    for attempt in range(ATTEMPTS):
        splits = _greedy(share, sizes, generator(seed, attempt, "groups", "split"))
        while (step := _best_step(splits, share, has, sizes, penalty)) is not None:
            splits[step[0]] = step[1]
        member = np.eye(len(sizes))[splits].T  # (S, G)
        missing = enough & (member @ has == 0).any(0)
        cost = np.square(member @ share - sizes[:, None]).sum() + penalty * missing.sum()
        if best is None or cost < best[0] - 1e-12:
            best = cost, splits, missing
        if len(counts) > PAIRWISE_LIMIT and not missing.any():
            break  # with many groups every start ends within a group or two of the sizes
    return best[1], best[2]


def _greedy(share: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Large groups first, in a random order, each where its classes are furthest below their shares."""
    order = np.argsort(-share.sum(1) * rng.uniform(0.5, 1.5, len(share)))
    difference = np.repeat(-sizes[:, None], share.shape[1], axis=1)  # (S, C + 1)
    splits = np.empty(len(share), dtype=int)
    for group in order:
        splits[group] = np.argmin(np.round(difference @ share[group], 9))  # ties must not hang on the last bit
        difference[splits[group]] += share[group]
    return splits


def _best_step(splits, share, has, sizes, penalty):
    """The move of one group, or else the exchange of two, that lowers the cost most: (groups, their splits) or None."""
    member = np.eye(len(sizes))[splits].T  # (S, G)
    groups = np.arange(len(splits))
    size = np.square(share).sum(1)  # (G,)
    toward = share @ (member @ share - sizes[:, None]).T  # (G, S), product with each split's differences
    here = toward[groups, splits]
    holders = member @ has  # (S, C), groups that bring the class into the split
    last = has * (holders[splits] == 1)  # (G, C), classes lost to the split when the group leaves it
    gained = has @ (holders == 0).T  # (G, S)

    move = 2 * (size[:, None] + toward - here[:, None]) + penalty * (last.sum(1)[:, None] - gained)
    move[groups, splits] = 0
    group, split = np.unravel_index(np.argmin(np.round(move, 9)), move.shape)
    if move[group, split] < -1e-9:
        return group, split
    if len(splits) > PAIRWISE_LIMIT:
        return None

    there = toward[:, splits] - here[:, None] - share @ share.T  # (G, G)
    lost = last @ (1 - has).T - gained[:, splits]  # the other group may bring the class back
    exchange = 2 * (size[:, None] + size + there + there.T) + penalty * (lost + lost.T)
    exchange[splits[:, None] == splits] = 0
    a, b = np.unravel_index(np.argmin(np.round(exchange, 9)), exchange.shape)
    return (np.array([a, b]), splits[[b, a]]) if exchange[a, b] < -1e-9 else None
