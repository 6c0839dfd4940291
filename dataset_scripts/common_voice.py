"""Common Voice: sentences read by volunteers who say themselves which accent they have.

- Releases grow, so no count is expected but those of a release's own tables: every clip they list has to be there.
  Clips are MP3; a client reads any number of sentences.
- Layout: `[{locale}/]{validated,train,dev,test}.tsv` beside `clips/*.mp3`. Columns, tab-separated, without quoting:
  client_id, path, sentence_id, sentence, sentence_domain, up_votes, down_votes, age, gender, accents, variant, locale,
  segment; older releases lack some and have `accent` for `accents`. Others are not needed.
- `accents` is what contributors chose from a list or wrote, several parted by "|"; `variant` is chosen from a list, in
  the locales that have one. Most clips have none of them: they are left out, and how many is told.
- English accents of the contributors' list stand in common_voice_accents.tsv, by their text and, for older releases,
  by their code. What somebody wrote otherwise is not guessed at: it is left out, as are two accents of the list
  in one clip. Where the list names one and more is written, such as "United States English|Midwestern", the clip is
  left out too, unless `additions=keep`. In other locales an accent counts as it is written, if it stands alone.
- `speaker` is the client: one account, as a rule one person. Contributors may not be identified: nothing but their own
  declarations is kept. train, dev and test share no client and hold a part of what is validated: `official_split`.
- The recordings are in the public domain (CC0). Copies fetched from the Mozilla Data Collective, which alone gives out
  releases since October 2025, come under terms of that platform: nobody may try to find out who speaks, and the data
  may not be hosted again elsewhere.

Options: locale=en, needed where the folder holds several; label=accents (or variant); additions=leave (or keep);
minimum=1 clips that a label needs; clips=validated (or official: train, dev and test as `split`).
"""

import csv
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hf_dialects.dataset_scripts import table

from hf_dialects.data.prepare import run_script
from hf_dialects.errors import CorpusError

LICENSE = "CC0 1.0"
CITATION = (
    "Ardila, R., Branson, M., Davis, K., Kohler, M., Meyer, J., Henretty, M., Morais, R., Saunders, L., Tyers, F. and "
    "Weber, G. (2020). Common Voice: A Massively-Multilingual Speech Corpus. LREC 2020, 4218-4222."
)
RECORDINGS = None  # it grows, and depends on the options
SHARING = (
    "with terms: copies fetched from the Mozilla Data Collective may not be hosted again elsewhere, only older ones "
    "may; and nobody may try to find out who speaks"
)

VALIDATED = "validated.tsv"
OFFICIAL = {"train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test"}
NEEDED = ("client_id", "path", "sentence")
LABELS, ADDITIONS, CLIPS = ("accents", "variant"), ("leave", "keep"), ("validated", "official")
ABOUT = ("age", "gender", "accents", "variant", "locale")


def rows(
    source: Path,
    *,
    locale: str = "",
    label: str = "accents",
    additions: str = "leave",
    minimum: int = 1,
    clips: str = "validated",
) -> Iterator[dict]:
    """Rows in the order of the tables, validated or, split, train, dev and test.

    Args:
        source: folder of a locale, or the one above it.
        locale: code such as "en".
        label: column that becomes the dialect.
        additions: whether clips stay whose contributor wrote more beside an accent of the list.
        minimum: clips that a label needs; others are left out.
        clips: "validated", or "official" for the clips of train, dev and test in these splits.

    Raises:
        CorpusError: an unknown option, several locales, a table that is missing or has not the columns, clips of it
            that are not there, a client on two sides of the official split, or no clip with a label.
    """
    for name, given, known in (("label", label, LABELS), ("additions", additions, ADDITIONS), ("clips", clips, CLIPS)):
        if given not in known:
            raise CorpusError(f"{name}={given}: expected is {' or '.join(known)}")
    folder = _folder(Path(source), locale)
    official = _official(folder)
    if clips == "official" and not official:
        raise CorpusError(f"{folder} has none of {', '.join(OFFICIAL)}; fetch them, or take clips=validated")
    counts, lost = Counter(), Counter()
    for line in _clips(folder, clips):
        found, why = label_of(line, label, additions)
        counts.update([found] if found else [])
        lost.update([] if found else [why])
    kept = {one for one, n in counts.items() if n >= minimum}
    _tell(folder, official, counts, lost, minimum)
    if not kept:
        raise CorpusError(f"{folder}: no clip has a label by {label}, with {minimum} clips each; {_listed(lost)}")
    for line in _clips(folder, clips):
        dialect, _ = label_of(line, label, additions)
        if dialect in kept:
            split = official.get(line["path"])
            yield {
                "id": line["path"].removesuffix(".mp3"),
                "audio": {"bytes": None, "path": str(folder / "clips" / line["path"])},
                "dialect": dialect,
                "speaker": line["client_id"],
                "sentence_id": line.get("sentence_id") or line["sentence"],
                "text": line["sentence"],
                **{name: line.get(name) or None for name in ABOUT},
                "official_split": split,
                **({"split": split} if clips == "official" else {}),
            }


def label_of(line: dict[str, str], label: str, additions: str = "leave") -> tuple[str | None, str]:
    """The dialect of a line, or None and why there is none."""
    if label == "variant":
        return line.get("variant") or None, "without a variant"
    written = [one.strip() for one in (line.get("accents") or "").split("|") if one.strip()]
    if not written:
        return None, "without an accent"
    known = accents(line.get("locale") or "")
    if not known:
        return (written[0], "") if len(written) == 1 else (None, "with several accents")
    listed = {known[one] for one in written if one in known}
    if len(listed) > 1:
        return None, "with several accents"
    if not listed:
        return None, "with an accent that is not on the list"
    if additions == "leave" and any(one not in known for one in written):
        return None, "with additions to their accent"
    return listed.pop(), ""


@cache
def accents(locale: str) -> dict[str, str]:
    """Text or code of an accent on the contributors' list of a locale → its name; empty for locales without a table."""
    known = [row for row in table("common_voice_accents") if row["locale"] == locale]
    return {row[key]: row["name"] for row in known for key in ("accent", "code")}


def _folder(source: Path, locale: str) -> Path:
    """The folder of the locale."""
    if (source / VALIDATED).is_file():
        there = next(_lines(source / VALIDATED), {}).get("locale") or locale
        named = [source] if locale in ("", there) else []
    else:
        folders = sorted(path.parent for path in source.glob(f"*/{VALIDATED}"))
        named = [folder for folder in folders if locale in ("", folder.name)]
        there = ", ".join(folder.name for folder in folders) or f"none with {VALIDATED}"
    if len(named) != 1:
        raise CorpusError(f"{source} holds the locales {there}; name one that is there, such as locale=en")
    return named[0]


def _official(folder: Path) -> dict[str, str]:
    """Path of a clip → split of the release. No client and no clip stands in two."""
    split_of: dict[str, str] = {}
    side: dict[str, str] = {}
    for name, split in OFFICIAL.items():
        for line in _lines(folder / name) if (folder / name).is_file() else ():
            if side.setdefault(line["client_id"], split) != split:
                raise CorpusError(
                    f"{folder / name}: a client of {line['path']} is in {side[line['client_id']]} too; take all tables "
                    "from one release"
                )
            split_of[line["path"]] = split
    return split_of


def _clips(folder: Path, clips: str) -> Iterator[dict[str, str]]:
    names = [VALIDATED] if clips == "validated" else [name for name in OFFICIAL if (folder / name).is_file()]
    for name in names:
        yield from _lines(folder / name)


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := [name for name in NEEDED if name not in (table.fieldnames or ())]:
            raise CorpusError(f"{path} has no column {missing[0]}; it has {', '.join(table.fieldnames or ('none',))}")
        for line in table:
            if None in line.values() or None in line or "/" in line["path"]:
                raise CorpusError(f"{path}, line {table.line_num}: not the columns of the header; fetch it again")
            if "accents" not in line:
                line["accents"] = line.get("accent", "")
            yield line


def _tell(folder: Path, official: dict[str, str], counts: Counter, lost: Counter, minimum: int) -> None:
    """Compare the tables with each other and with the clips, and tell what is left out."""
    listed = {line["path"] for line in _lines(folder / VALIDATED)}
    there = {path.name for path in (folder / "clips").glob("*.mp3")}
    if missing := sorted((listed | set(official)) - there):
        raise CorpusError(f"{len(missing)} clips of the tables are not in {folder / 'clips'}: {', '.join(missing[:5])}")
    if strange := sorted(set(official) - listed):
        warnings.warn(f"{len(strange)} clips of train, dev and test are not in {VALIDATED}: {strange[0]}", stacklevel=3)
    few = {one: n for one, n in counts.items() if n < minimum}
    if lost or few:
        few_listed = f"; labels with fewer than {minimum} clips: {', '.join(sorted(few))}" if few else ""
        warnings.warn(f"clips left out: {_listed(lost) or 0}{few_listed}", stacklevel=3)


def _listed(lost: Counter) -> str:
    return ", ".join(f"{n:,} {why}" for why, n in lost.most_common())


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
