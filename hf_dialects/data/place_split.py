"""Splits by place: every place in one split, every region in every split."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from hf_dialects.data import place_search
from hf_dialects.data.leakage import GROUPS, column_values, leakage
from hf_dialects.data.randomness import generator
from hf_dialects.data.splits import SPLITS, _labels, _order_by_id
from hf_dialects.errors import CorpusError

__all__ = ["PlaceSplit", "place_leakage", "place_split"]

ROUNDINGS = ("nearest", "down")


@dataclass(frozen=True)
class PlaceSplit:
    """How a split by place came out; the attribute `info` of what `place_split` returns.

    Attributes:
        left_out: region → its number of places, of the regions that were left out.
        places: split → its places, sorted.
        examples: split → number of examples.
        targets: split → number of examples aimed at; no whole number.
        deviation: Σ over splits of |examples - target|.
        bound: proven lower bound of the deviation over all splits with every place in one split and every region in
            every split. With "down" the targets follow the rounded numbers of places.
    """

    left_out: dict[str, int]
    places: dict[str, list[str]]
    examples: dict[str, int]
    targets: dict[str, float]
    deviation: float
    bound: float

    @property
    def gap(self) -> float:
        """Examples by which the totals may be off the best possible; 0 = proven best."""
        return max(0.0, round(self.deviation - self.bound, 5))


def place_split(
    dataset,
    site: str = "site",
    region: str = "dialect",
    sizes: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    min_sites: int = 3,
    repeats: int = 1,
    rounding: str = "nearest",
):
    """Split such that every place is in one split, every region in every split, and sizes are as near as places allow.

    With "nearest", numbers of examples are as near to `sizes` as whole places allow: a seeded search looks for a split
    that reaches the least deviation that whole examples could have, and where it finds none, which is usual with few
    places only, an integer programme finds the least that the places allow, or bounds it. `info.gap` says what is left
    unproven, in examples. Regions keep their share of places up to rounding, unless the totals need otherwise.

    With "down", every region gives its share of places rounded down, but at least one, to validation and test, as in
    the published split of VIVALDI: sizes 0.8, 0.1, 0.1 of its 285 places give 237, 24 and 24. Examples are then as near
    as possible to the shares of places.

    `repeats` gives several splits. In each, those places of a region are tested that were least often in test before,
    and of the others those are preferred for validation that were least often in it: the times that two places of one
    region were in test differ by one at most. From the second split on this comes before sizes, whose gap is still
    told against the best of all splits.

    Results depend on the seed, which chooses among equally good splits, and on the set of examples, not on their order.
    The rows of each split are sorted by `id`.

    Args:
        dataset: `datasets.Dataset` with a column `id`; the audio is not read.
        site: column of places.
        region: column of regions; where it is a `ClassLabel`, the regions left out lose their label.
        sizes: shares of training, validation and test, summing to 1; a split of size 0 is left out.
        seed: of all choices between equally good splits.
        min_sites: regions with fewer places are left out, with a warning that names them.
        repeats: number of splits.
        rounding: "nearest" or "down".

    Returns:
        `datasets.DatasetDict` with `train`, `validation` and `test`, its attribute `info` a `PlaceSplit`; with
        `repeats` above 1 a list of such.

    Raises:
        CorpusError: an argument is not valid, a value is missing, a place lies in two regions, or no region has places
            enough.
    """
    sizes = np.asarray(sizes, dtype=float)
    if sizes.shape != (3,) or (sizes < 0).any() or sizes[0] == 0 or not np.isclose(sizes.sum(), 1):
        raise CorpusError(
            "sizes must be three shares of train, validation and test that sum to 1, some of it for train, "
            f"got {sizes.tolist()}"
        )
    names = [name for name, size in zip(SPLITS, sizes, strict=True) if size > 0]
    sizes = sizes[sizes > 0]
    if min_sites < len(names) or repeats < 1 or rounding not in ROUNDINGS:
        raise CorpusError(
            f"min_sites must be at least {len(names)} (a place for each split), repeats at least 1 and rounding one of "
            f"{', '.join(ROUNDINGS)}, got {min_sites}, {repeats} and {rounding!r}"
        )
    order = _order_by_id(dataset)
    sites, regions, left_out = _places(dataset, site, region, min_sites)
    kept = np.array([row for row in order if sites[row] is not None], dtype=int)
    dataset = _without_labels(dataset, region, left_out)
    place_names, place_of = np.unique([sites[row] for row in kept], return_inverse=True)
    _, region_of = np.unique([regions[str(name)] for name in place_names], return_inverse=True)
    n = np.bincount(place_of)

    used, seen, found = np.zeros(len(n), dtype=int), np.zeros(len(n), dtype=int), []
    exact = cache(lambda: place_search.solve(n, region_of, n.sum() * sizes))  # the same for every repeat
    for repeat in range(repeats):
        split_of, targets, bound = _assign(n, region_of, sizes, used, seen, seed, repeat, rounding, exact)
        used += split_of == len(names) - 1
        seen += (split_of > 0) & (split_of < len(names) - 1)
        found.append(_result(dataset, kept, place_of, place_names, split_of, names, n, targets, bound, left_out))
    if left_out:
        shown = ", ".join(f"{name} ({count})" for name, count in left_out.items())
        warnings.warn(f"regions with fewer than {min_sites} places are left out: {shown}", stacklevel=2)
    return found[0] if repeats == 1 else found


def place_leakage(
    splits: Mapping, by: Iterable[str] = (*GROUPS, "sentence_id"), region: str = "dialect"
) -> pd.DataFrame:
    """What splits share, and how many regions each of them judges on one speaker, one place and so on.

    A score over regions that are each heard from one speaker says how well these speakers are told apart: its spread
    over splits is wide.

    Args:
        splits: name → `datasets.Dataset`.
        by: columns to look at.

    Returns:
        the table of `leakage`, and for each split a column "{split}: regions on one": regions with a single value of
        the row's column in that split; null where the column is absent.
    """
    by = [by] if isinstance(by, str) else list(by)
    table = leakage(splits, by=by)
    for split, dataset in splits.items():
        labels, counts = column_values(dataset, region), []
        for name in by:
            if name not in dataset.column_names:
                counts.append(None)
                continue
            pairs = {(label, value) for label, value in zip(labels, column_values(dataset, name), strict=True)}
            known = pd.Series([label for label, value in pairs if value is not None], dtype=object)
            counts.append(int((known.value_counts() == 1).sum()))
        table[f"{split}: regions on one"] = pd.array(counts, dtype="Int64")
    return table


def _places(dataset, site: str, region: str, min_sites: int) -> tuple[list, dict, dict]:
    """Place of each row, None where its region is left out; region of each place; regions left out with their count."""
    sites = column_values(dataset, site)
    missing = [row for row, value in enumerate(sites) if value is None]
    if missing:
        shown = ", ".join(repr(id) for id in dataset.select(missing[:5])["id"])
        raise CorpusError(
            f"{len(missing)} examples have no value in {site!r} (ids {shown}); fill it in, or drop them: nothing says "
            "which place they belong to"
        )
    codes, names = _labels(dataset, region)
    sites, regions = [str(value) for value in sites], {}
    for name, code in zip(sites, codes, strict=True):
        if regions.setdefault(name, names[code]) != names[code]:
            raise CorpusError(
                f"the place {name!r} lies in two regions, {regions[name]!r} and {names[code]!r}; give places of the "
                "same name names of their own"
            )
    counts = dict.fromkeys(getattr(dataset.features[region], "names", None) or names, 0)
    for name in regions.values():
        counts[name] += 1
    left_out = {name: count for name, count in counts.items() if count < min_sites}
    if len(left_out) == len(counts):
        found = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise CorpusError(f"no region has {min_sites} places: {found}; lower min_sites, or split by something else")
    return [None if regions[name] in left_out else name for name in sites], regions, left_out


def _without_labels(dataset, region: str, left_out: Mapping[str, int]):
    """The dataset with its class labels renumbered without those left out; their rows get no label."""
    from datasets import ClassLabel

    feature = dataset.features[region]
    if not left_out or not isinstance(feature, ClassLabel):
        return dataset
    kept = [name for name in feature.names if name not in left_out]
    codes = {feature.str2int(name): code for code, name in enumerate(kept)}
    values = [codes.get(code) for code in dataset[region][:]]
    columns = dataset.column_names
    dataset = dataset.remove_columns(region).add_column(region, values, feature=ClassLabel(names=kept))
    return dataset.select_columns(columns)


def _assign(n, regions, sizes, used, seen, seed: int, repeat: int, rounding: str, exact: Callable):
    """Split (G,) of each place, targets (S,) and the proven lower bound of the deviation from them."""
    n_places = np.bincount(regions)
    targets = n.sum() * sizes
    if rounding == "down":
        given = place_search.quotas_down(n_places, sizes)
        if (given[:, 0] < 1).any():
            raise CorpusError(f"sizes {sizes.tolist()} leave a region without a place to train on; give train more")
        targets = n.sum() * given.sum(0) / given.sum()
    bound, best = place_search.rounding_bound(targets), None
    for attempt in range(place_search.ATTEMPTS):
        rng = generator(seed, repeat, str(attempt), "place")
        if rounding == "nearest":
            given = place_search.quotas(n_places, sizes, rng)
        start = place_search.draw(regions, given, used, seen, rng)
        for moves in (False, True) if rounding == "nearest" else (False,):
            start = place_search.improve(start, n, regions, targets, used, moves)
            cost = place_search.deviation(start, n, targets)
            if best is None or cost < best[0] - place_search.TOLERANCE:
                best = cost, start
            if cost < bound + place_search.TOLERANCE:
                return start, targets, bound
    if rounding == "nearest":
        solution, proven = exact()
        bound = max(bound, proven)
        if repeat == 0 and solution is not None:
            cost = place_search.deviation(solution, n, targets)
            if cost < best[0] - place_search.TOLERANCE:
                best = cost, solution
    return best[1], targets, bound


def _result(dataset, kept, place_of, place_names, split_of, names, n, targets, bound, left_out):
    from datasets import DatasetDict

    splits = DatasetDict(
        {name: dataset.select(kept[split_of[place_of] == number]) for number, name in enumerate(names)}
    )
    splits.info = PlaceSplit(
        left_out=dict(left_out),
        places={name: [str(one) for one in place_names[split_of == number]] for number, name in enumerate(names)},
        examples={name: len(splits[name]) for name in names},
        targets={name: float(target) for name, target in zip(names, targets, strict=True)},
        deviation=place_search.deviation(split_of, n, targets),
        bound=bound,
    )
    return splits
