"""Opened sources → one corpus: equal columns and labels, rows sorted into splits, sources joined."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_dialects.data.conform import Conversion, class_names, common_features, conform, conform_stream, find_roles
from hf_dialects.data.folders import canonical_split
from hf_dialects.data.sources import Opened
from hf_dialects.errors import CorpusError

__all__ = ["Part", "conformed", "joined", "sorted_into_splits"]

logger = logging.getLogger(__name__)

SPLIT = "split"  # column that splits a source
SOURCE_SPLIT = "source_split"  # column that remembers it where sources are joined without splits


@dataclass(frozen=True)
class Part:
    """One split of one source; `split` is None where the source is not split."""

    source: str
    split: str | None
    dataset: Any
    fetch: Callable[[dict], dict] | None = None

    @property
    def streamed(self) -> bool:
        """Whether `dataset` is an `IterableDataset`, of which neither length nor values are known."""
        return not hasattr(self.dataset, "num_rows")


def conformed(
    sources: Mapping[str, Opened], asked: Mapping[str, str], labels: Sequence[str] | None, several: bool
) -> list[Part]:
    """All splits of all sources in the schema, with the same columns and numbers of labels.

    Args:
        sources: name → source.
        asked: column of the schema → column of the sources.
        labels: names to keep, in order; None = all.
        several: put the source's name before the ids and into a column `source`.
    """
    parts = [
        Part(name, split, dataset, opened.fetch)
        for name, opened in sources.items()
        for split, dataset in opened.splits.items()
    ]
    for part in parts:
        if not part.streamed and not len(part.dataset):
            raise CorpusError(f"{_named(part.split, [part])} holds no recording; fill it, or leave it out")
    roles = [find_roles(part.dataset.features, asked, part.source) for part in parts]
    names = _names(parts, roles, "dialect", labels)
    clusters = _names(parts, roles, "cluster", None)
    conversions = [
        Conversion(
            source=part.source,
            roles=found,
            labels=names,
            others=labels is not None,
            clusters=clusters if "cluster" in found else None,
            paths_from=sources[part.source].paths_from,
            prefix=f"{part.source}/" if several else "",
            constants={"source": part.source} if several else {},
        )
        for part, found in zip(parts, roles, strict=True)
    ]
    pairs = list(zip(parts, conversions, strict=True))
    wanted = common_features([conversion.features(part.dataset.features) for part, conversion in pairs])
    return [
        replace(part, dataset=(conform_stream if part.streamed else conform)(part.dataset, conversion, wanted))
        for part, conversion in pairs
    ]


def sorted_into_splits(parts: Sequence[Part]) -> list[Part]:
    """Parts divided by their column `split`, without the rows that have no label.

    Where some sources are split and others not, none is: a column `source_split` then keeps what the first said.

    Raises:
        CorpusError: some rows of a source have a split, and others none.
    """
    from datasets import Value

    values = [_splits_of_rows(part) for part in parts]
    named = {name is not None for names in values for name in names}
    if len(named) > 1:
        if any(part.streamed for part in parts):
            raise CorpusError("only some of the sources are split; such sources cannot be streamed together")
        logger.warning("only some of the sources are split: joined without splits, see the column %s", SOURCE_SPLIT)
    result = []
    for part, names in zip(parts, values, strict=True):
        if part.streamed:
            result.append(part)
            continue
        dataset = part.dataset
        if part.split is None and SPLIT in dataset.column_names:
            dataset = dataset.remove_columns(SPLIT)
        if len(named) > 1:
            dataset = dataset.add_column(SOURCE_SPLIT, names, feature=Value("string"))
            names = [None] * len(names)
        rows: dict[str | None, list[int]] = {name: [] for name in dict.fromkeys(names or [part.split])}
        for row, (name, code) in enumerate(zip(names, dataset.data.column("dialect").to_pylist(), strict=True)):
            if code is not None:
                rows[name].append(row)
        for name, kept in rows.items():
            whole = len(kept) == len(dataset)
            result.append(replace(part, split=name, dataset=dataset if whole else dataset.select(kept)))
    return result


def _splits_of_rows(part: Part) -> list[str | None]:
    """Split of every row, of a stream only once."""
    if part.streamed:
        return [part.split]
    if part.split is not None or SPLIT not in part.dataset.column_names:
        return [part.split] * len(part.dataset)
    names = [canonical_split(str(name)) if name else None for name in part.dataset.data.column(SPLIT).to_pylist()]
    if None in names and any(names):
        id = part.dataset[names.index(None)]["id"]
        raise CorpusError(f"{part.source}: {names.count(None)} rows have no split, such as {id}; give all rows one")
    return names


def joined(parts: Sequence[Part], streaming: bool) -> dict:
    """Split → dataset of the rows of all sources; the only key is None where nothing is split.

    Raises:
        CorpusError: a split holds no rows.
    """
    from datasets import concatenate_datasets

    order = ["train", "validation", "test"]
    names = {part.split for part in parts}
    result = {}
    for name in sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name)):
        here = [part for part in parts if part.split == name]
        if not any(part.streamed or len(part.dataset) for part in here):
            raise CorpusError(f"{_named(name, here)} holds no recording with one of the labels wanted; name others")
        datasets = [_stream(part) if streaming else part.dataset for part in here]
        result[name] = concatenate_datasets(datasets) if len(datasets) > 1 else datasets[0]
    return result


def _names(parts: Sequence[Part], roles: Sequence[Mapping], role: str, wanted: Sequence[str] | None) -> list[str]:
    """Names of the classes of all parts; only the wanted ones, in their order, if any are."""
    columns = [(part, found[role]) for part, found in zip(parts, roles, strict=True) if role in found]
    for part, column in columns:
        if part.streamed and not hasattr(part.dataset.features[column], "names"):
            if wanted is not None:
                return list(wanted)
            advice = "give their names with labels=" if role == "dialect" else "leave streaming out"
            raise CorpusError(
                f"{part.source}: {column!r} holds text, of which not all values are known before the end; {advice}"
            )
    names = class_names([(part.dataset, column) for part, column in columns])
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        sources = " and ".join(dict.fromkeys(part.source for part in parts))
        advice = f"there are {', '.join(names)}; choose from these with labels="
        raise CorpusError(f"in {sources} no label is called {unknown[0]!r}; {advice}")
    return names if wanted is None else list(dict.fromkeys(wanted))


def _named(split: str | None, parts: Sequence[Part]) -> str:
    sources = " and ".join(dict.fromkeys(part.source for part in parts))
    return f"the split {split!r} of {sources}" if split else sources


def _stream(part: Part):
    from datasets import Value

    if part.streamed:
        return part.dataset
    stream = part.dataset.to_iterable_dataset()
    if part.fetch is None:
        return stream
    plain = stream.features.copy()  # encoding into Audio would need torchcodec
    audio, plain["audio"] = plain["audio"], {"bytes": Value("binary"), "path": Value("string")}
    return stream.map(part.fetch, features=plain).cast_column("audio", audio)
