"""The utterances among which is retrieved: what a corpus says of them, checked before an encoder runs for hours."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hf_dialects.abx_items import corpus_attributes
from hf_dialects.errors import CorpusError
from hf_dialects.retrieval.parallel import Parallel

GROUP = "cluster"


@dataclass(frozen=True)
class Question:
    """What is asked of a corpus.

    Attributes:
        parallel: column; the same value means the same content.
        between: column of the places, or people, between which is retrieved.
        group: column of groups of these; None = `cluster` where every utterance has one, else one group of all; "none"
            = one group of all.
    """

    parallel: str = "sentence_id"
    between: str = "site"
    group: str | None = None


@dataclass(frozen=True)
class Pool:
    """Utterances with their attributes, in the order of their ids.

    Attributes:
        rows: (N,) int64, where they stand in the corpus.
        attributes: DataFrame with N rows.
        group: column of groups; None = one group.
        notes: what was left out, in sentences.
    """

    rows: np.ndarray
    attributes: pd.DataFrame
    group: str | None
    notes: tuple[str, ...] = ()

    def of(self, ids: list[str], question: Question) -> "Pool":
        """Those of these ids, checked again; the others are counted in the notes.

        Raises:
            CorpusError: none of them, or nothing to retrieve.
        """
        kept = np.flatnonzero(self.attributes["id"].isin(ids).to_numpy())
        if not len(kept):
            raise CorpusError(
                f"none of the {len(ids)} embedded recordings is among the {len(self.rows)} of the corpus, the first: "
                f"{ids[0]}; name the corpus that was embedded with --data"
            )
        note = f"{len(self.rows) - len(kept)} of {len(self.rows)} utterances are not embedded."
        notes = self.notes if len(kept) == len(self.rows) else (*self.notes, note)
        attributes = self.attributes.iloc[kept].reset_index(drop=True)
        _check(attributes, question, self.group)
        return Pool(self.rows[kept], attributes, self.group, notes)


def pool_of(dataset, question: Question) -> Pool:
    """The utterances of a corpus of which the parallel sentence and the place are known.

    Args:
        dataset: rows with a unique `id`.

    Raises:
        CorpusError: columns that do not exist or are known nowhere, a single place, a group that is not known.
        DialectError: a place in several groups, or no two places with two sentences in common.
    """
    attributes = corpus_attributes(dataset)
    for option, name in (("parallel", question.parallel), ("between", question.between), ("group", question.group)):
        if name not in (None, "none") and name not in attributes:
            there = ", ".join(sorted(attributes.columns))
            raise CorpusError(f"the corpus has no column {name!r}; it has {there}. Name one of them with --{option}")
    named = attributes[[question.parallel, question.between]]
    known = (named.notna() & named.ne("")).all(axis=1).to_numpy()
    if not known.any():
        raise CorpusError(
            f"no recording has both {question.parallel} and {question.between}: name columns that are filled in, with "
            "--parallel and --between"
        )
    notes = () if known.all() else (f"{(~known).sum()} of {len(known)} utterances have no {' or no '.join(named)}.",)
    rows = np.flatnonzero(known)
    rows = rows[np.argsort(attributes["id"].to_numpy(dtype=str)[rows], kind="stable")]
    attributes = attributes.iloc[rows].reset_index(drop=True)
    group = _group(attributes, question)
    _check(attributes, question, group)
    return Pool(rows, attributes, group, notes)


def _group(attributes: pd.DataFrame, question: Question) -> str | None:
    if question.group == "none":
        return None
    group = question.group or GROUP
    if group not in attributes:
        return None
    unknown = attributes.index[attributes[group].isna() | attributes[group].eq("")]
    if not len(unknown):
        return group
    if question.group is None:
        return None
    raise CorpusError(
        f"{group} is unknown for {len(unknown)} of {len(attributes)} utterances, the first: "
        f"{attributes['id'][unknown[0]]}; fill it in, name another column with --group, or none with --group none"
    )


def _check(attributes: pd.DataFrame, question: Question, group: str | None) -> None:
    places = attributes[question.between].unique()
    if len(places) < 2:
        raise CorpusError(
            f"all {len(attributes)} utterances have the same {question.between}, {places[0]!r}: retrieval is between "
            "two or more; name another column with --between"
        )
    Parallel(attributes, len(attributes), question.between, question.parallel, group)
