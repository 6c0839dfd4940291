"""Which triples (A, B, X) are compared: ON, BY, ACROSS, DIFFER and the gap between snippets of one recording.

Dimensions: N items, n items of a context, r rows of it that are X in turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy

RECORDING, START, END = "recording", "start_s", "end_s"  # the columns that `min_gap_s` looks at
RESERVED = {"on_a", "on_b", "score", "triples"}  # columns of the table of cells
_ROUNDING_S = 1e-6  # sums of snippet lengths are off by less


@dataclass(frozen=True)
class Column:
    """One attribute: the number of each item's value, and the sorted values."""

    codes: np.ndarray  # (N,) int64
    values: np.ndarray


@dataclass(frozen=True)
class Context:
    """The items that share their values of BY: A, B and X of a triple come from one context.

    Attributes:
        items: (n,) int64 numbers of the items, sorted.
        by: their values of BY.
        across: (n,) int64 number of each item's values of ACROSS within the context; zeros without ACROSS.
        across_values: those values, one tuple per number (C).
        across_apart: (C, C) bool, whether they differ in every attribute of ACROSS; true without any.
        apart: (m, n) int64 attributes in which both A and B are unlike X: those of DIFFER and of ACROSS.
        differ: (m', n) int64 attributes in which A and B are unlike as well: those of DIFFER.
        spans: recording, start and end (3, n) float64 where a gap is asked for.
        min_gap_s: that gap in seconds.
    """

    items: np.ndarray
    by: tuple
    across: np.ndarray
    across_values: list[tuple]
    across_apart: np.ndarray
    apart: np.ndarray
    differ: np.ndarray
    spans: np.ndarray | None = None
    min_gap_s: float = 0.0

    def __len__(self) -> int:
        return len(self.items)

    def allowed(self, start: int, stop: int) -> np.ndarray:
        """(r, n) bool: whether an item may be A or B beside the X of that row, the rows being start to stop."""
        allowed = np.ones((stop - start, len(self)), dtype=bool)
        rows = np.arange(start, stop)
        allowed[rows - start, rows] = False
        for codes in self.apart:
            allowed &= codes[rows, None] != codes
        if self.spans is not None:
            recording, begin, end = self.spans
            gap = np.maximum(begin[rows, None] - end, begin - end[rows, None])
            allowed &= (recording[rows, None] != recording) | (gap >= self.min_gap_s - _ROUNDING_S)
        return allowed

    @cached_property
    def pools(self) -> list[tuple[int, np.ndarray]]:
        """Signs and codes (n,) such that sign x (A and B have one code), summed, tells whether the pair (A, B) counts.

        A and B share the values of ACROSS and differ in every attribute of DIFFER: of the pairs that share ACROSS,
        those that also share an attribute of DIFFER are taken away, by inclusion and exclusion.
        """
        found = []
        for size in range(len(self.differ) + 1):
            for subset in combinations(self.differ, size):
                found.append(((-1) ** size, combined(np.stack([self.across, *subset], axis=1))[0]))
        return found


class Task:
    """Checked attributes of N items, and their contexts.

    Raises:
        DialectError: columns that are missing, named twice, reserved, of another length, or with missing values; a
            negative gap; a single value of ON.
    """

    def __init__(self, attributes, n: int, on: str, by=(), across=(), differ=(), min_gap_s: float = 0.0):
        self.n = n
        self.attributes = _table(attributes)
        self.on, self.by, self.across, self.differ = on, names(by), names(across), names(differ)
        self.min_gap_s = float(min_gap_s)
        self._check_names()
        self.on_column = self.column(on)
        if len(self.on_column.values) < 2:
            (value,) = self.on_column.values.tolist()
            raise DialectError(f"all {n} items have the same {on}, {value!r}; expected at least two values")
        self.contexts = self._contexts()

    def column(self, name: str) -> Column:
        """The attribute `name`, without missing values."""
        if name not in self.attributes:
            found = ", ".join(self.attributes) or "none"
            raise DialectError(f"there is no attribute {name!r}; found: {found}")
        return _column(name, self.attributes[name], self.n)

    def _check_names(self) -> None:
        named = [self.on, *self.by, *self.across, *self.differ]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise DialectError(
                f"{', '.join(twice)} is named more than once among on, by, across and differ; an attribute is tested, "
                "shared, crossed or kept different, and only one of these"
            )
        if taken := RESERVED & set(named):
            raise DialectError(f"the table of cells has columns of its own named {', '.join(sorted(taken))}; rename it")
        if not self.min_gap_s >= 0:
            raise DialectError(f"min_gap_s is {self.min_gap_s}; expected seconds, 0 or more")

    def _contexts(self) -> list[Context]:
        by = {name: self.column(name) for name in self.by}
        across = {name: self.column(name) for name in self.across}
        differ = np.array([self.column(name).codes for name in self.differ], dtype=np.int64).reshape(-1, self.n)
        crossed = np.array([column.codes for column in across.values()], dtype=np.int64).reshape(-1, self.n)
        spans = self._spans() if self.min_gap_s > 0 else None
        of_item, kinds = combined(_stacked(by, self.n))
        order = np.argsort(of_item, kind="stable")
        ends = np.cumsum(np.bincount(of_item))
        contexts = []
        for items, kind in zip(np.split(order, ends[:-1]), kinds, strict=True):
            codes, found = combined(crossed[:, items].T)
            contexts.append(
                Context(
                    items=items,
                    by=_values(by, kind),
                    across=codes,
                    across_values=[_values(across, row) for row in found],
                    across_apart=(found[:, None] != found).all(axis=2),
                    apart=np.concatenate([differ, crossed])[:, items],
                    differ=differ[:, items],
                    spans=None if spans is None else spans[:, items],
                    min_gap_s=self.min_gap_s,
                )
            )
        return contexts

    def _spans(self) -> np.ndarray:
        missing = [name for name in (RECORDING, START, END) if name not in self.attributes]
        if missing:
            raise DialectError(
                f"min_gap_s needs the attributes {RECORDING}, {START} and {END} of every snippet; missing: "
                f"{', '.join(missing)}"
            )
        try:
            start, end = (np.asarray(self.attributes[name], dtype=np.float64) for name in (START, END))
        except (TypeError, ValueError) as error:
            raise DialectError(f"{START} or {END} is not a number: {error}") from None
        wrong = [] if {start.shape, end.shape} != {(self.n,)} else np.flatnonzero(~(end > start))
        if {start.shape, end.shape} != {(self.n,)} or len(wrong):
            where = f", first in item {wrong[0]}" if len(wrong) else ""
            raise DialectError(f"expected {self.n} values of {START} and of {END}, each end after its start{where}")
        return np.stack([self.column(RECORDING).codes, start, end])

    def no_triple(self) -> DialectError:
        """Why there is nothing to compare, and what to do."""
        on = self.on_column.codes
        for name in self.across:
            codes = self.column(name).codes
            if not mixes(codes, on[None]):
                return DialectError(
                    f"no triple: every {name} has a single {self.on}, so no A and B share one. For attributes nested "
                    f"in {self.on} use differ=({name!r},), which keeps A, B and X of three different values"
                )
        mixed = sum(len(np.unique(on[context.items])) > 1 for context in self.contexts)
        asked = {"by": self.by, "across": self.across, "differ": self.differ, "min_gap_s": self.min_gap_s}
        asked = ", ".join(f"{key}={value!r}" for key, value in asked.items() if value) or "no further condition"
        return DialectError(
            f"no triple among {self.n} items with {asked}: {mixed} of {len(self.contexts)} contexts have two values of "
            f"{self.on}, and none of these has an A beside an X that satisfies the rest; ask for less"
        )


def names(given) -> tuple[str, ...]:
    """A name, or several, as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def combined(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row of `table` (n, m) among the distinct ones (n,), and these (k, m); all zero for m = 0."""
    if table.shape[1] == 0:
        return np.zeros(len(table), dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    found, codes = np.unique(table, axis=0, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), found


def mixes(codes: np.ndarray, labels: np.ndarray) -> bool:
    """Whether items of one code (n,) have several labels in some row of `labels` (R, n)."""
    first = np.unique(codes, return_index=True)[1]
    representative = first[np.unique(codes, return_inverse=True)[1]]
    return bool((labels != labels[:, representative]).any())


def _table(attributes) -> dict[str, np.ndarray]:
    if not isinstance(attributes, (Mapping, pd.DataFrame)):
        raise DialectError(f"attributes is a {type(attributes).__name__}; expected a DataFrame or a dict of columns")
    return {str(name): as_numpy(attributes[name]) for name in attributes}


def _column(name: str, values: np.ndarray, n: int) -> Column:
    if values.shape != (n,):
        raise DialectError(f"{name} has shape {values.shape}; expected one value for each of the {n} items")
    try:
        codes, found = pd.factorize(values, sort=True)
    except TypeError:  # values of several types have no order
        codes, found = pd.factorize(values)
    missing = codes < 0
    if values.dtype.kind in "OUS":
        missing |= values == ""
    if missing.any():
        raise DialectError(
            f"{name} is missing in {missing.sum()} of {n} items, first in item {missing.argmax()}; leave these out"
        )
    return Column(codes.astype(np.int64), np.asarray(found))


def _stacked(columns: dict[str, Column], n: int) -> np.ndarray:
    return np.array([column.codes for column in columns.values()], dtype=np.int64).reshape(-1, n).T


def _values(columns: dict[str, Column], codes: np.ndarray) -> tuple:
    return tuple(column.values[code] for column, code in zip(columns.values(), codes, strict=True))
