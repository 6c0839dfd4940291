"""What is in a corpus, what is wrong with it, and whether there is enough of each dialect."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b

import pandas as pd
from tqdm.auto import tqdm

from hf_dialects.data import audio
from hf_dialects.data.leakage import GROUPS, column_values, label_determined_by, leakage
from hf_dialects.errors import AudioError, CorpusError

__all__ = ["CorpusCheck", "Problem", "check_corpus"]

ENOUGH_SPEAKERS = 3  # per dialect: one to train on, one to select on, one to test on
ENOUGH_MINUTES = 10  # per dialect
CLIPPED_SHARE = 1e-3  # of the samples of a recording; a recording that is only normalised has a few
COUNTED = ("dialect", "split", "speaker", "site", "source")
SHOWN = 15  # rows of a table, and problems of a kind, for people


@dataclass(frozen=True)
class Problem:
    """Something to repair ("error") or to know about ("warning").

    Attributes:
        kind: of recordings "missing", "empty", "corrupt", "not finite", "silent", "clipped", "duplicate", "wrong
            duration"; of dialects "one dialect", "no recordings", "one recording", "few speakers", "too little", "two
            clusters", "similar labels"; of columns "no speaker", "crossing", "shortcut", "same names".
        id: recording, label or column.
        message: the sentence.
        severity: "error" or "warning".
    """

    kind: str
    id: str | None
    message: str
    severity: str = "warning"


@dataclass(frozen=True)
class CorpusCheck:
    """Findings of `check_corpus`.

    Attributes:
        counts: "dialect", "split" and, where known, "speaker", "site" and "source" → table by name, largest first, with
            the columns `clips`, `hours` (of readable recordings), where known `speakers`, and the clips in each split.
        problems: errors first.
    """

    counts: dict[str, pd.DataFrame]
    problems: list[Problem]

    def to_dict(self) -> dict:
        """For JSON: {"counts": {table: {name: {column: number}}}, "problems": [{"kind", "id", …}]}."""
        counts = {
            name: {str(key): row for key, row in table.to_dict("index").items()} for name, table in self.counts.items()
        }
        return {"counts": counts, "problems": [asdict(problem) for problem in self.problems]}

    def text(self) -> str:
        """Tables and findings for people."""
        blocks = []
        for name, table in self.counts.items():
            shown = table.head(SHOWN)
            unit, factor = ("hours", 1) if table["hours"].max() >= 1 else ("minutes", 60)
            times = [f"{hours * factor:,.1f}" for hours in shown["hours"]]
            shown = shown.assign(hours=times).rename(columns={"hours": unit})
            lines = shown.rename_axis(name).reset_index().to_string(index=False).splitlines()
            rest = len(table) - len(shown)
            lines += [f"… and {rest} more, with {table['clips'].iloc[SHOWN:].sum():,} clips"] if rest else []
            blocks.append("\n".join(lines))
        kinds = Counter((problem.severity, problem.kind) for problem in self.problems)
        for (severity, kind), n in kinds.items():
            found = [
                problem.message for problem in self.problems if (problem.severity, problem.kind) == (severity, kind)
            ]
            more = [f"  … and {n - SHOWN} more"] if n > SHOWN else []
            blocks.append(
                "\n".join([f"{severity}: {kind} ({n})", *(f"  {message}" for message in found[:SHOWN]), *more])
            )
        if not self.problems:
            blocks.append("nothing wrong was found")
        return "\n\n".join(blocks)


@dataclass(frozen=True)
class Clip:
    """What one recording turned out to be; of an unreadable one only `error` is known."""

    seconds: float = 0.0
    silent: bool = False
    clipped: float = 0.0
    digest: bytes | None = None
    error: AudioError | None = None


def check_corpus(
    dataset, label: str = "dialect", decode: bool = True, workers: int = 4, progress: bool = True
) -> CorpusCheck:
    """Count a corpus and look for what would spoil training or scores.

    Enough to train on and to score means at least 3 speakers and 10 minutes of each dialect; less is a warning. A
    recording counts as clipped when over 0.1 % of its samples reach full scale, and as a duplicate when its samples
    at 16 kHz equal those of another. Errors are: recordings that cannot be read, speakers or other groups in several
    splits, duplicates across splits or dialects, a dialect that a split train lacks, and fewer than two dialects.

    Args:
        dataset: `Dataset` in the corpus schema, or name of the split → `Dataset`.
        label: column with the classes.
        decode: read all recordings; else only their headers, and only where `duration` is not given. Silence, clipping
            and duplicates are then not looked for.
        workers: threads that decode.

    Raises:
        CorpusError: there is no column `label`, `audio` or `id`.
    """
    splits = dict(dataset) if isinstance(dataset, Mapping) else {"all": dataset}
    for name in ("audio", "id", label):
        for split in splits.values():
            if not hasattr(split, "num_rows"):
                raise CorpusError("a stream cannot be checked; load the corpus without streaming")
            if name not in split.column_names:
                raise CorpusError(f"the corpus has no column {name!r}; it has {', '.join(split.column_names)}")
    rows = pd.concat([_table(split, name, label) for name, split in splits.items()], ignore_index=True)
    clips = [clip for name, split in splits.items() for clip in _examined(split, name, decode, workers, progress)]
    rows["seconds"] = [clip.seconds for clip in clips]
    problems = [
        *_recordings(rows, clips),
        *_duplicates(rows, clips),
        *_classes(rows, splits, label),
        *_groups(rows, splits, label),
    ]
    return CorpusCheck(_counts(rows), sorted(problems, key=lambda problem: problem.severity != "error"))


def _table(dataset, split: str, label: str) -> pd.DataFrame:
    """Columns id, dialect, split, stated duration, and cluster, speaker, site and source where they are known."""
    feature = dataset.features[label]
    values = {"id": column_values(dataset, "id"), "dialect": column_values(dataset, label)}
    if hasattr(feature, "names"):
        values["dialect"] = [None if code is None else feature.names[code] for code in values["dialect"]]
    for name in ("speaker", "site", "source", "cluster", "duration"):
        values[name] = column_values(dataset, name) if name in dataset.column_names else [None] * len(dataset)
    return pd.DataFrame(values).assign(split=split)


def _examined(dataset, name: str, decode: bool, workers: int, progress: bool) -> list[Clip]:
    stated = (
        column_values(dataset, "duration")
        if "duration" in dataset.column_names and not decode
        else [None] * len(dataset)
    )
    examine = partial(_examine, dataset, stated, decode)
    with ThreadPoolExecutor(workers) as pool:
        clips = pool.map(examine, range(len(dataset)))
        return list(
            tqdm(clips, total=len(dataset), desc=f"checking {name}", unit="clip", disable=None if progress else True)
        )


def _examine(dataset, stated: list, decode: bool, row: int) -> Clip:
    if stated[row] is not None:
        return Clip(seconds=stated[row])
    try:
        if not decode:
            return Clip(seconds=audio.duration_s(dataset[row]["audio"]))
        waveform = audio.decode(dataset[row]["audio"])
    except AudioError as error:
        return Clip(error=error)
    return Clip(
        seconds=len(waveform) / audio.SAMPLING_RATE,
        silent=audio.is_silent(waveform),
        clipped=audio.clipped_share(waveform),
        digest=blake2b(waveform.tobytes(), digest_size=16).digest(),
    )


def _counts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tables = {}
    for name in COUNTED:
        if rows[name].notna().any() and (name != "split" or rows["split"].nunique() > 1):
            groups = rows.groupby(name)
            table = pd.DataFrame({"clips": groups.size(), "hours": groups["seconds"].sum() / 3600})
            if name != "speaker" and rows["speaker"].notna().any():
                table["speakers"] = groups["speaker"].nunique()
            if name != "split" and rows["split"].nunique() > 1:
                table = table.join(pd.crosstab(rows[name], rows["split"])[list(dict.fromkeys(rows["split"]))])
            tables[name] = table.sort_values("clips", ascending=False, kind="stable")
    return tables


def _recordings(rows: pd.DataFrame, clips: list[Clip]) -> Iterator[Problem]:
    for id, stated, clip in zip(rows["id"], rows["duration"], clips, strict=True):
        if clip.error is not None:
            yield Problem(clip.error.reason, id, f"{id}: {clip.error}", "error")
            continue
        if clip.silent:
            yield Problem("silent", id, f"{id} holds no sound in its {clip.seconds:.2f} s; leave it out")
        if clip.clipped > CLIPPED_SHARE:
            yield Problem("clipped", id, f"{id}: {clip.clipped:.1%} of its samples reach full scale")
        if pd.notna(stated) and abs(stated - clip.seconds) > max(0.1, 0.02 * clip.seconds):
            yield Problem("wrong duration", id, f"{id} lasts {clip.seconds:.2f} s, its duration says {stated:.2f} s")


def _duplicates(rows: pd.DataFrame, clips: list[Clip]) -> Iterator[Problem]:
    """One problem for each set of recordings with equal samples; silence is reported as such."""
    same: dict[bytes, list[int]] = {}
    for row, clip in enumerate(clips):
        if clip.digest is not None and not clip.silent:
            same.setdefault(clip.digest, []).append(row)
    for found in same.values():
        if len(found) > 1:
            group = rows.iloc[found]
            across = [name for name in ("split", "dialect") if group[name].nunique() > 1]
            where = "".join(f", in the {name}s {' and '.join(group[name].unique())}" for name in across)
            ids = ", ".join(group["id"].head(5)) + (" …" if len(group) > 5 else "")
            message = f"{len(group)} recordings hold the same samples{where}: {ids}"
            yield Problem("duplicate", group["id"].iloc[0], message, "error" if across else "warning")


def _classes(rows: pd.DataFrame, splits: Mapping, label: str) -> Iterator[Problem]:
    names = getattr(next(iter(splits.values())).features[label], "names", None) or sorted(
        rows["dialect"].dropna().unique()
    )
    if rows["dialect"].nunique() < 2:
        found = ", ".join(rows["dialect"].dropna().unique()) or "none"
        yield Problem(
            "one dialect", label, f"there is one dialect only ({found}); a classifier needs at least two", "error"
        )
    known = rows["speaker"].notna().any()
    if not known:
        yield Problem(
            "no speaker",
            "speaker",
            "there is no column speaker: splits cannot keep a voice out of training and test at once",
        )
    for name in names:
        own = rows[rows["dialect"] == name]
        speakers, minutes = own["speaker"].nunique(), own["seconds"].sum() / 60
        if own.empty:
            yield Problem("no recordings", name, f"{name} is a label without a recording")
            continue
        if len(own) == 1:
            yield Problem("one recording", name, f"{name} has one recording; it cannot be in training and test")
        if known and speakers < ENOUGH_SPEAKERS:
            few = "speaker, who cannot be told from the dialect" if speakers == 1 else "speakers"
            yield Problem("few speakers", name, f"{name} has {speakers} {few}; at least {ENOUGH_SPEAKERS} are enough")
        if minutes < ENOUGH_MINUTES:
            yield Problem("too little", name, f"{name} has {minutes:.1f} minutes; at least {ENOUGH_MINUTES} are enough")
        if "train" in splits and not (own["split"] == "train").any():
            yield Problem("no recordings", name, f"{name} has no recording in the split train", "error")
        clusters = own["cluster"].dropna().unique()
        if len(clusters) > 1:
            yield Problem("two clusters", name, f"{name} is in {len(clusters)} clusters; one is expected")
    plain = Counter(" ".join(str(name).casefold().split()) for name in names)
    alike = [name for name in names if plain[" ".join(str(name).casefold().split())] > 1]
    if alike:
        yield Problem(
            "similar labels", alike[0], f"labels differ by case or spaces only: {', '.join(map(repr, alike))}"
        )


def _groups(rows: pd.DataFrame, splits: Mapping, label: str) -> Iterator[Problem]:
    """Groups that cross splits, and columns that give the label away."""
    from datasets import concatenate_datasets

    if len(splits) > 1:
        for name, found in leakage(splits, by=GROUPS).iterrows():
            if found["leaks"]:
                message = f"{found['crossing']} of {found['values']} values of {name} are in more than one split"
                yield Problem("crossing", name, f"{message} ({found['examples']} recordings)", "error")
    whole = concatenate_datasets(list(splits.values()))
    finer = [name for name in ("recording", "session") if name in whole.column_names]  # usually finer than speakers
    for name, n in (label_determined_by(whole, label) | label_determined_by(whole, label, columns=finer)).items():
        message = (
            f"the {n} values of the column {name} settle the dialect: what tells them apart may be all a model learns"
        )
        in_part = name == "source" and rows.groupby(name, dropna=False)["dialect"].nunique().max() > 1
        yield Problem("shortcut", name, _of_sources(rows, n) if in_part else message)
    if rows["source"].nunique() > 1:
        sources = rows.groupby("speaker")["source"].nunique()
        both = list(sources[sources > 1].index)
        if both:
            shown = ", ".join(both[:5])
            yield Problem(
                "same names", "speaker", f"{len(both)} speakers occur in several sources: {shown}; the same people?"
            )


def _of_sources(rows: pd.DataFrame, n_sources: int) -> str:
    """What it means that no dialect is found in two sources, of which some hold several."""
    labelled = rows[rows["dialect"].notna()]
    with_source = labelled.groupby("source", dropna=False)["dialect"].agg(lambda names: names.value_counts().iloc[0])
    right, plain = with_source.sum() / len(labelled), labelled["dialect"].value_counts().iloc[0] / len(labelled)
    return (
        f"no dialect is found in two of the {n_sources} sources, so the source determines the label as far as they "
        f"go: the commonest dialect of its source is the right answer for {right:.0%} of the recordings, the commonest "
        f"of all for {plain:.0%}. What tells the sources apart may be all a model learns; compare dialects within one"
    )
