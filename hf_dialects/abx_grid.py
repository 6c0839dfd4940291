"""One ABX question asked of many representations: layers × snippet lengths × poolings, as one table.

S settings, R permutations.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hf_dialects.abx.pooler import Length, label
from hf_dialects.abx.result import ABXResult
from hf_dialects.abx.score import abx
from hf_dialects.abx.task import END, RECORDING, START
from hf_dialects.disk import disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy
from hf_dialects.times import told

COLUMNS = (
    *("layer", "snippet", "pooling", "score", "error_rate", "low", "high", "null_low", "null_high", "p", "p_adjusted"),
    *("items", "groups", "cells", "triples", "warning"),
)


@dataclass(frozen=True)
class Setting:
    """A representation.

    Attributes:
        layer: 0 is the input of the first block.
        length_s: seconds of a snippet; None = whole recordings.
        pooling: "max", "mean", "statistics"; "model" for vectors that a model pooled itself; "frames" for sequences.
    """

    layer: int
    length_s: Length
    pooling: str

    def __str__(self) -> str:
        """Like "9,10s,max"."""
        return f"{self.layer},{label(self.length_s)},{self.pooling}"


def setting_named(settings: Sequence[Setting], text: str) -> Setting:
    """ "9,10s,max" or "9,10,max" → the setting of that name.

    Raises:
        DialectError: there is none.
    """
    words = [word.strip() for word in text.split(",")]
    for setting in settings:
        if words in (str(setting).split(","), str(setting).replace("s,", ",").split(",")):
            return setting
    listed = "; ".join(map(str, settings[:8])) + ("; …" if len(settings) > 8 else "")
    raise DialectError(f"there is no setting {text!r} of layer, length and pooling; there are {listed}")


@dataclass(frozen=True)
class Question:
    """What `abx` is asked, see there."""

    on: str
    by: tuple[str, ...] = ()
    across: tuple[str, ...] = ()
    differ: tuple[str, ...] = ()
    min_gap_s: float = 0.0
    distance: str = "cosine"
    weighted: bool = False

    @property
    def attributes(self) -> list[str]:
        """The columns it reads."""
        gap = (RECORDING, START, END) if self.min_gap_s else ()
        return list(dict.fromkeys((self.on, *self.by, *self.across, *self.differ, *gap)))


@dataclass(frozen=True)
class Items:
    """What is compared: vectors (N, D) or N sequences (T, D), and their attributes, N rows."""

    vectors: np.ndarray | Sequence[np.ndarray]
    attributes: pd.DataFrame


@dataclass
class Grid:
    """The answers.

    Attributes:
        settings: S.
        entries: per setting, the columns of `table` but for `p_adjusted`; "values" and "scores", the matrix of pairs of
            values (value of A and X in rows, None without a cell); "null", R scores of permuted labels. Of a setting
            that could not be scored everything is None but "warning".
    """

    settings: list[Setting]
    entries: list[dict] = field(default_factory=list)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per setting; `p_adjusted` is corrected for the choice among all of them, see `max_statistic`."""
        null = [entry["null"] or [] for entry in self.entries]
        adjusted = max_statistic([entry["score"] for entry in self.entries], null)
        rows = [
            entry | {"p_adjusted": None if np.isnan(p) else p} for entry, p in zip(self.entries, adjusted, strict=True)
        ]
        return pd.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], columns=COLUMNS)

    def matrix(self, setting: Setting) -> pd.DataFrame:
        """(K, K) scores of pairs of values, that of A and X in rows, that of B in columns.

        Raises:
            DialectError: the setting has no score.
        """
        entry = self.entries[self.settings.index(setting)]
        if entry["scores"] is None:
            raise DialectError(f"setting {setting} has no score: {entry['warning']}")
        return pd.DataFrame(entry["scores"], index=entry["values"], columns=entry["values"], dtype=float)


def run_grid(
    read: Callable[[Setting], Items],
    settings: Iterable[Setting],
    question: Question,
    groups: str | None = "speaker",
    crossed: str | None = None,
    draws: int = 2000,
    permutations: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
    device: str = "cpu",
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Grid:
    """Score every setting, with its interval and the band of permuted labels.

    Items that lack one of the attributes are left out and counted in the warning. A setting without any triple, such as
    snippets longer than the recordings, has an entry without a score.

    Args:
        read: the items of a setting; called setting by setting, so that memory holds those of one.
        settings: what to score.
        question: the ABX test.
        groups: attribute whose values are resampled and permuted whole; None = neither interval nor band.
        crossed: attribute of BY that is resampled along, such as the sentence where all speakers read the same.
        draws: of the interval; 0 = none.
        permutations: of the labels, the same for settings with the same groups; 0 = none.
        seed: of draws and permutations.
        folder: entries are kept here, one file per setting, and taken from it where items and question are the same.
        device: of the distances, see `abx`.
        tell: is told once how long the grid will take.

    Raises:
        DialectError: no setting can be scored (the first one's reason); attributes that do not exist.
    """
    grid, first_error, scored = Grid(list(settings)), None, 0
    options = {"groups": groups, "crossed": crossed, "draws": draws, "permutations": permutations, "seed": seed}
    for setting in tqdm(grid.settings, desc="ABX", unit="setting", disable=not progress):
        items, left_out = complete(read(setting), [*question.attributes, *filter(None, [groups, crossed])])
        path = None if folder is None else Path(folder) / f"{setting}.json"
        key = _key(items, question, options)
        entry = _read(path, key)
        if entry is None:
            started = perf_counter()
            try:
                entry = _score(items, question, options, device)
            except DialectError as error:
                first_error = first_error or error
                entry = _empty(len(items.attributes), str(error))
            scored += 1
            if path is not None:
                with disk_space(path, "the settings that are scored stay"):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_json(path, {"key": key, "entry": entry})
        named = {"layer": setting.layer, "snippet": label(setting.length_s), "pooling": setting.pooling}
        warning = "; ".join(filter(None, [left_out, entry["warning"]])) or None
        grid.entries.append(named | entry | {"warning": warning})
        if scored == 2 and tell is not None and (left := len(grid.settings) - len(grid.entries)):
            # the first one took longer, compilation included
            tell(f"about {told((perf_counter() - started) * left)} for the {left} settings that are left")
            tell = None
    if not any(entry["score"] is not None for entry in grid.entries):
        raise first_error or DialectError(grid.entries[0]["warning"] if grid.entries else "the grid has no setting")
    return grid


def max_statistic(scores: Sequence[float | None], null: Sequence[Sequence[float]]) -> np.ndarray:
    """P-values (S,) of scores, corrected for looking at all of them; NaN where there is nothing to compare with.

    Scores are measured in standard deviations from the mean of their permutations, and compared with the largest of
    each permutation over all settings. Settings whose permutations were drawn apart are taken as if together, which
    makes the values larger, not smaller.

    Args:
        scores: S, None where a setting could not be scored.
        null: for each setting R scores of permuted labels, NaN where a permutation left no triple; or none.

    Source: Westfall and Young 1993, "Resampling-based multiple testing", single step.
    """
    adjusted = np.full(len(scores), np.nan)
    tested = [number for number, one in enumerate(null) if scores[number] is not None and len(one)]
    if not tested:
        return adjusted
    drawn = np.array([null[number] for number in tested], dtype=np.float64)
    mean, deviation = np.nanmean(drawn, axis=1), np.nanstd(drawn, axis=1)
    moves = deviation > 1e-12
    distance = np.array([scores[number] for number in tested]) - mean
    largest = np.full(drawn.shape[1], -np.inf)
    if moves.any():
        of_null = (drawn[moves] - mean[moves, None]) / deviation[moves, None]
        largest = np.nan_to_num(of_null, nan=-np.inf).max(axis=0)
    for number, far, spread, is_testable in zip(tested, distance, deviation, moves, strict=True):
        as_large = (largest >= far / spread - 1e-9).sum() if is_testable else len(largest)
        adjusted[number] = (1 + as_large) / (1 + len(largest))
    return adjusted


def _score(items: Items, question: Question, options: dict, device: str) -> dict:
    if not len(items.attributes):
        raise DialectError("there are no items: no recording is long enough, or none has all attributes")
    result = abx(items.vectors, items.attributes, **asdict(question), device=device)
    by, seed = options["groups"], options["seed"]
    warnings, found = [result.warning, _never_tested(result, question.on)], {}
    if by and options["draws"]:
        interval = result.interval(by=by, crossed=options["crossed"], n=options["draws"], seed=seed)
        found = {"low": interval.low, "high": interval.high}
        warnings.append(interval.warning)
    null = None
    if by and options["permutations"]:
        band = result.permutation_band(by=by, n=options["permutations"], seed=seed)
        found |= {"null_low": band.low, "null_high": band.high, "p": band.p}
        null = [None if np.isnan(one) else one for one in band.null.tolist()]
        warnings.append(band.warning)
    said = list(dict.fromkeys(part for one in warnings if one for part in one.split("; ")))
    matrix = result.matrix
    return _empty(len(items.attributes), "; ".join(said) or None) | {
        "score": result.score,
        "error_rate": result.error_rate,
        **{name: float(value) if np.isfinite(value) else None for name, value in found.items()},
        "groups": int(items.attributes[by].nunique()) if by else None,
        "cells": int((result.cells["triples"] > 0).sum()),
        "triples": int(result.cells["triples"].sum()),
        "values": [str(value) for value in matrix.index],
        "scores": [[None if np.isnan(one) else one for one in row] for row in matrix.to_numpy().tolist()],
        "null": null,
    }


def _empty(n_items: int, warning: str | None) -> dict:
    names = ("score", "error_rate", "low", "high", "null_low", "null_high", "p", "groups")
    zero = {"items": n_items, "cells": 0, "triples": 0}
    return dict.fromkeys(names) | zero | {"warning": warning, "values": None, "scores": None, "null": None}


def _never_tested(result: ABXResult, on: str) -> str | None:
    """Values that have no A beside an X, such as those of a single item or, with DIFFER, of a single speaker."""
    known = result.matrix.notna().any(axis=1)
    names = [str(value) for value in known.index[~known]]
    return f"never A and X for want of a second item: {on} {', '.join(names)}" if names else None


def complete(items: Items, names: Sequence[str]) -> tuple[Items, str | None]:
    """Items that have all attributes, and how many have not.

    Raises:
        DialectError: an attribute that does not exist.
    """
    for name in names:
        if name not in items.attributes.columns:
            found = ", ".join(sorted(items.attributes.columns))
            raise DialectError(f"there is no attribute {name!r}; the corpus has {found}")
    columns = items.attributes[list(dict.fromkeys(names))]
    missing = (columns.isna() | columns.eq("")).to_numpy()
    bad = missing.any(axis=1)
    if not bad.any():
        return items, None
    counts = ", ".join(f"{name} {count}" for name, count in zip(columns, missing.sum(axis=0), strict=True) if count)
    kept = np.flatnonzero(~bad)
    some = isinstance(items.vectors, (list, tuple))
    vectors = [items.vectors[row] for row in kept] if some else as_numpy(items.vectors)[kept]
    left = Items(vectors, items.attributes.iloc[kept].reset_index(drop=True))
    return left, f"{bad.sum()} of {len(bad)} items left out, without {counts}"


def _key(items: Items, question: Question, options: dict) -> str:
    """Checksum of everything that an entry depends on."""
    digest = sha256(json.dumps([asdict(question), options], sort_keys=True).encode())
    names = [name for name in (*question.attributes, options["groups"], options["crossed"]) if name]
    digest.update(items.attributes[list(dict.fromkeys(names))].to_csv(index=False).encode())
    sequences = isinstance(items.vectors, (list, tuple))
    for one in items.vectors if sequences else [as_numpy(items.vectors)]:
        digest.update(f"{one.shape} {one.dtype}".encode())
        digest.update(np.ascontiguousarray(one).data)
    return digest.hexdigest()


def _read(path: Path | None, key: str) -> dict | None:
    """The entry of a finished setting; None where there is none, or one of something else."""
    if path is None or not path.is_file():
        return None
    content = json.loads(path.read_text("utf-8"))
    return content["entry"] if content["key"] == key else None
