"""Nuisance profile: how much of what separates the dialects is dialect, and what else the same layers tell apart.

The dialect is tested twice: with nothing held apart, so that A and X may share a speaker or a sentence that B does not
have, and strictly, with other speakers and sentences. Beside it stand the speaker, and the session, device or recording
where the corpus names them. K values of ON, C of ACROSS.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx.score import abx
from hf_dialects.abx.task import Task
from hf_dialects.abx_grid import Grid, Items, Question, Setting, run_grid
from hf_dialects.errors import DialectError

DIALECT, ANYHOW, SPEAKER = "dialect", "dialect, anyhow", "speaker"
PLACES = ("session", "recording", "device", "microphone", "room", "condition")  # columns, tested where they vary
MOST_CELLS = 2_000_000  # K² C² of one context; above, sentences are kept different instead of paired
MOST_PAIRS = 10**8  # that are looked at beforehand
CHANCE, LEAST = 0.5, 0.02  # below this much above chance there is nothing to take a share of
SETTING = ["layer", "snippet", "pooling"]


@dataclass(frozen=True)
class Aspect:
    """One thing that representations may tell apart, and how it is tested.

    Attributes:
        name: "dialect", "dialect, anyhow", "speaker", or a column of `PLACES`.
        question: the ABX test.
        groups, crossed: what is resampled for the interval, see `run_grid`; None = no interval.
    """

    name: str
    question: Question
    groups: str | None = None
    crossed: str | None = None


@dataclass
class Profile:
    """Scores of several aspects in the same settings.

    Attributes:
        aspects: those that have scores, in order.
        grids: theirs.
        left_out: name of an aspect → why it has none.
    """

    aspects: list[Aspect]
    grids: list[Grid]
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row per aspect and setting: aspect, the columns of `Grid.table` but for permutations."""
        unused = ["null_low", "null_high", "p", "p_adjusted"]
        tables = [
            grid.table.drop(columns=unused).assign(aspect=aspect.name)
            for aspect, grid in zip(self.aspects, self.grids, strict=True)
        ]
        table = pd.concat([one.astype(object) for one in tables], ignore_index=True)
        return table[["aspect", *(name for name in table if name != "aspect")]]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per setting: layer, snippet, pooling, the score of every aspect, and `dialect_share`.

        `dialect_share` is the part of the dialect score above chance that is left when A, B and X share no speaker and
        sentence unless they all do: (strict - 0.5) / (anyhow - 0.5). Below 1, speakers or sentences helped; above 1,
        which crossed corpora show, they hid the dialect. NaN where the dialects are not told apart anyhow.
        """
        names = [aspect.name for aspect in self.aspects]
        columns = {
            name: grid.table.set_index(SETTING)["score"].astype(float)
            for name, grid in zip(names, self.grids, strict=True)
        }
        table = pd.DataFrame(columns).reset_index()
        if {DIALECT, ANYHOW} <= set(names):
            above = table[ANYHOW] - CHANCE
            table["dialect_share"] = (table[DIALECT] - CHANCE) / above.where(above >= LEAST)
        return table


def aspects_of(
    attributes: pd.DataFrame, cut: bool = False, min_gap_s: float = 0.0, distance: str = "cosine"
) -> tuple[list[Aspect], dict[str, str]]:
    """What a corpus allows to test, each in the strictest way that it has triples for.

    - dialect: speakers are crossed with dialects if most of them have several, then X differs from A and B in the
      speaker (ACROSS); else all three differ (DIFFER). Sentences: A and B share one that X has not; else all three
      differ; else all three share it; else as they come.
    - speaker: within a dialect if possible, sentences alike.
    - session, recording, device, microphone, room, condition: within a speaker if possible, else within a dialect with
      three different speakers.

    Args:
        attributes: a row per item, None where unknown; a column `dialect`.
        cut: whether items are to be cut into snippets; recordings can then be tested themselves.
        min_gap_s, distance: of all questions; see `abx`.

    Returns:
        (aspects, name of an aspect that is left out → why)

    Raises:
        DialectError: the dialects cannot be tested at all.
    """
    items = pd.concat([attributes, attributes], ignore_index=True) if cut else attributes
    base = Question(DIALECT, min_gap_s=min_gap_s if cut else 0.0, distance=distance)
    known = {name for name in attributes if attributes[name].notna().any()}
    found, left_out = [], {}
    named = [(ANYHOW, [base]), (DIALECT, _dialect(base, items, known)), (SPEAKER, _speaker(base, known))]
    named += [(name, _place(base, name, known)) for name in PLACES]
    for name, candidates in named:
        why = _untestable(name, items, known)
        question = None if why else next((one for one in candidates if _possible(one, items)), None)
        if question is None:
            left_out[name] = why or "no triple, even with nothing held fixed but what it is nested in"
        else:
            found.append(Aspect(name, question, *_resampled(question, known)))
    if not {DIALECT, ANYHOW} & {aspect.name for aspect in found}:
        raise DialectError(f"dialects cannot be tested: {left_out[ANYHOW]}")
    left_out = {name: why for name, why in left_out.items() if why != "unknown"}
    return found, left_out


def profile(
    read: Callable[[Setting], Items],
    settings: Iterable[Setting],
    aspects: Sequence[Aspect],
    draws: int = 2000,
    seed: int = 0,
    folder: str | Path | None = None,
    device: str = "cpu",
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Profile:
    """Score every aspect in every setting.

    Args:
        read: the items of a setting, with all columns that the aspects need.
        settings: layers, lengths of snippets and poolings.
        aspects: of `aspects_of`, or one's own.
        draws, seed, folder, device, progress, tell: see `run_grid`; each aspect has its folder within `folder`.

    Raises:
        DialectError: no aspect can be scored in any setting.
    """
    settings, done = list(settings), Profile([], [])
    for aspect in aspects:
        where = None if folder is None else Path(folder) / aspect.name.replace(", ", "-")
        options = {"groups": aspect.groups, "crossed": aspect.crossed, "draws": draws, "permutations": 0, "seed": seed}
        options |= {"folder": where, "device": device, "progress": progress, "tell": tell}
        try:
            grid = run_grid(read, settings, aspect.question, **options)
        except DialectError as error:
            done.left_out[aspect.name] = str(error)
            continue
        done.aspects.append(aspect)
        done.grids.append(grid)
    if not done.grids:
        raise DialectError(f"nothing can be scored; {next(iter(done.left_out.values()), 'no aspect was given')}")
    return done


def _dialect(base: Question, items: pd.DataFrame, known: set[str]) -> Iterator[Question]:
    if SPEAKER not in known:
        yield from _with_sentences(base, known)
        return
    spoken = items.dropna(subset=[SPEAKER, DIALECT]).groupby(SPEAKER)[DIALECT].nunique()
    how = "across" if (spoken > 1).mean() > 0.5 else "differ"
    yield from _with_sentences(replace(base, **{how: (SPEAKER,)}), known)


def _speaker(base: Question, known: set[str]) -> Iterator[Question]:
    for by in ((DIALECT,), ()):
        yield from _with_sentences(replace(base, on=SPEAKER, by=by), known)


def _place(base: Question, name: str, known: set[str]) -> Iterator[Question]:
    ways = [{"by": (SPEAKER,)}, {"by": (DIALECT,), "differ": (SPEAKER,)}] if SPEAKER in known else [{"by": (DIALECT,)}]
    for way in ways:
        yield from _with_sentences(replace(base, on=name, **way), known)


def _with_sentences(question: Question, known: set[str]) -> Iterator[Question]:
    """The question with other sentences, from strict to lenient."""
    if "sentence_id" in known:
        for how in ("across", "differ", "by"):
            yield replace(question, **{how: (*getattr(question, how), "sentence_id")})
    yield question


def _untestable(name: str, items: pd.DataFrame, known: set[str]) -> str | None:
    """Why an attribute cannot be tested; None if it may be."""
    if name in (DIALECT, ANYHOW):
        return None
    if name not in known:
        return "unknown"
    values = items[name].dropna()
    if values.nunique() < 2:
        return f"the same everywhere, {values.iloc[0]!r}"
    if values.value_counts().max() < 2:
        return "every item has its own"
    if name in PLACES and SPEAKER in known:
        pairs = items[[name, SPEAKER]].dropna().drop_duplicates()
        if pairs[name].is_unique and pairs[SPEAKER].is_unique:
            return "one per speaker: not to be told from the speaker"
    return None


def _possible(question: Question, items: pd.DataFrame) -> bool:
    """Whether there are triples, and not too many cells; two items of every kind stand for all."""
    names = list(dict.fromkeys((question.on, *question.by, *question.across, *question.differ)))
    complete = items[names].replace("", None).dropna()
    few = complete[complete.groupby(names).cumcount() < 2].reset_index(drop=True)
    asked = {"on": question.on, "by": question.by, "across": question.across, "differ": question.differ}
    if few[question.on].nunique() < 2:
        return False
    task = Task(few, len(few), **asked)
    on = task.on_column.codes
    cells = (len(np.unique(on[one.items])) ** 2 * len(one.across_values) ** 2 for one in task.contexts)
    if max(cells) > MOST_CELLS:
        return False
    if sum(len(context) ** 2 for context in task.contexts) > MOST_PAIRS:
        return True
    try:
        abx(np.random.default_rng(0).normal(size=(len(few), 1)), few, **asked, distance="euclidean")
    except DialectError:
        return False
    return True


def _resampled(question: Question, known: set[str]) -> tuple[str | None, str | None]:
    """Groups of the interval, and the attribute that is drawn along."""
    order = ("sentence_id", "recording") if question.on == SPEAKER else (SPEAKER, "recording", "session", "site")
    used = (*question.by, *question.across, *question.differ)
    for name in order:
        if name in known and name != question.on and (name != "sentence_id" or name in used):
            crossed = "sentence_id" if name == SPEAKER and "sentence_id" in question.by else None
            return name, crossed
    return None, None
