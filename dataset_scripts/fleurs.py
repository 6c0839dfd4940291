"""FLEURS: the sentences of FLoRes read aloud in 102 languages, parallel by their id.

- Some 2,009 sentences, about 12 hours in each language, at 16 kHz; a sentence is read by several people, three as a
  rule, and not every sentence is there in every language. Readers of train are none of dev and test; beyond that, and
  beyond their gender, nothing says who reads: `speaker` is not known.
- Layout, as on the Hub (google/fleurs, and google/fleurs-r alike): `[data/]{language}/{train,dev,test}.tsv` beside
  `{language}/audio/{train,dev,test}.tar.gz`, or these unpacked, `{language}/audio/{train,dev,test}/*.wav`, as in the
  archive of a whole language, {language}.tar.gz, which is unpacked first.
- The tables have no header and no quoting; columns, separated by tabs: id (of the sentence, the same in all languages),
  file_name, raw_transcription, transcription (normalised, here `text`), characters, num_samples, gender.
- Archives are read without being unpacked: nothing in them can reach another place. Of their files those count whose
  names stand in the table; links do not.
- Of the readings of a sentence one is drawn, for each language and split, by the seed; the others are left out. Some
  are known to break off early: `hf-dialects check` shows recordings that are much too short.
- `dialect` is the language, such as cmn_hans_cn or yue_hant_hk, `cluster` its area, `split` train, validation (dev) or
  test. Retrieval is asked with `--between dialect`; a language then stands for a site.

Options: languages=en_us,fr_fr (all that are there), splits=test (all that are there; also train, validation),
readings=all (one), seed=0.
"""

import gzip
import sys
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath

from hf_dialects.dataset_scripts import table

from hf_dialects.data.folders import canonical_split
from hf_dialects.data.prepare import run_script
from hf_dialects.data.randomness import generator
from hf_dialects.errors import CorpusError

LICENSE = "CC BY 4.0"
CITATION = (
    "Conneau, A., Ma, M., Khanuja, S., Zhang, Y., Axelrod, V., Dalmia, S., Riesa, J., Rivera, C. and Bapna, A. (2023). "
    "FLEURS: Few-shot Learning Evaluation of Universal Representations of Speech. SLT 2022, 798-805. arXiv:2205.12446"
)
RECORDINGS = None  # it depends on the options
SHARING = "allowed"

AREA_OF = {row["language"]: row["area"] for row in table("fleurs_languages")}
PARTS = {"train": "train", "dev": "validation", "test": "test"}  # as the corpus names it: our split
COLUMNS = ("id", "file_name", "raw_transcription", "transcription", "characters", "num_samples", "gender")
READINGS = ("one", "all")
BLOCK = 2**20  # bytes


def rows(
    source: Path,
    *,
    languages: tuple[str, ...] = (),
    splits: tuple[str, ...] = (),
    readings: str = "one",
    seed: int = 0,
) -> Iterator[dict]:
    """Rows by language and split; within them by file name, or in the order of the archive.

    Args:
        source: folder of the languages' folders, or the one above it that holds `data`.
        languages: codes such as "en_us"; all that are there without.
        splits: of train, validation and test; all that are there without.
        readings: "one" draws one of each sentence, for each language and split; "all" keeps them.
        seed: of the draw. It depends on this, the language, the split, the sentence and its readings alone.

    Raises:
        CorpusError: an unknown or absent language or split, a table without audio or audio without its table, a line
            that has not the columns, or an archive that is broken.
    """
    if readings not in READINGS:
        raise CorpusError(f"readings={readings}: expected is {' or '.join(READINGS)}")
    asked = {canonical_split(one) for one in splits}
    if unknown := sorted(asked - set(PARTS.values())):
        raise CorpusError(f"splits={','.join(unknown)}: FLEURS has {', '.join(PARTS.values())}")
    for folder in _folders(Path(source), languages):
        parts = [part for part in PARTS if not asked or PARTS[part] in asked]
        there = [part for part in parts if _is_there(folder, part, bool(asked))]
        if not there:
            raise CorpusError(f"{folder} holds none of {', '.join(f'{part}.tsv' for part in parts)}; fetch them")
        if absent := [PARTS[part] for part in parts if part not in there]:
            warnings.warn(f"{folder} lacks {' and '.join(absent)}", stacklevel=2)
        for part in there:
            yield from _part(folder, part, None if readings == "all" else seed)


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """File name → its line by column. A file that stands beside two sentences is left out, which is a warning.

    Raises:
        CorpusError: no lines, not seven columns, an id that is no number, or a name that is a path.
    """
    found: dict[str, dict[str, str]] = {}
    doubtful = set()
    with path.open(encoding="utf-8-sig", newline="\n") as file:  # transcriptions may hold other line separators
        for number, line in enumerate(file, start=1):
            cells = line.rstrip("\r\n").split("\t")
            row = dict(zip(COLUMNS, cells, strict=False))
            if len(cells) != len(COLUMNS) or not row["id"].isdecimal() or "/" in row["file_name"]:
                raise CorpusError(
                    f"{path}, line {number}: {line.rstrip()[:80]!r} has {len(cells)} columns; expected, without a "
                    f"header, are the {len(COLUMNS)} columns {', '.join(COLUMNS)}, separated by tabs, the id a number"
                )
            if found.setdefault(row["file_name"], row)["id"] != row["id"]:
                doubtful.add(row["file_name"])
    if not found:
        raise CorpusError(f"{path} is empty; fetch it again")
    if doubtful:
        warnings.warn(f"{path} gives {_few(doubtful)} to two sentences; they are left out", stacklevel=2)
    return {name: row for name, row in found.items() if name not in doubtful}


def draw(lines: Sequence[Mapping[str, str]], seed: int, place: str) -> set[str]:
    """Names of the files of one reading of each sentence.

    Args:
        lines: with `id` and `file_name`, in any order.
        place: language and split, of which the draw depends.
    """
    ordered = sorted(lines, key=itemgetter("id", "file_name"))
    chosen = set()
    for sentence, group in groupby(ordered, itemgetter("id")):
        names = [line["file_name"] for line in group]
        chosen.add(names[generator(seed, 0, f"{place}/{sentence}", "reading").integers(len(names))])
    return chosen


def _folders(source: Path, languages: Sequence[str]) -> list[Path]:
    base = source / "data" if (source / "data").is_dir() else source
    if unknown := [one for one in languages if one not in AREA_OF]:
        raise CorpusError(f"languages={','.join(unknown)}: none of the 102 of FLEURS, which are {', '.join(AREA_OF)}")
    there = sorted(path.name for path in base.iterdir() if path.is_dir() and path.name in AREA_OF)
    if absent := [one for one in languages or () if one not in there]:
        raise CorpusError(f"{base} has no folder {', '.join(absent)}; it has {_few(there) or 'no language'}")
    if not there:
        packed = " Unpack the archives of whole languages first." if any(base.glob("*_*.tar.gz")) else ""
        raise CorpusError(f"{base} holds no folder of a language, such as en_us, with train.tsv and audio/.{packed}")
    return [base / one for one in sorted(set(languages)) or there]


def _is_there(folder: Path, part: str, asked: bool) -> bool:
    """Whether a split is there, whole: its table and its audio."""
    table, audio = folder / f"{part}.tsv", folder / "audio" / part
    packed = audio.with_name(f"{part}.tar.gz")
    if table.is_file() != (audio.is_dir() or packed.is_file()):
        absent, given = (f"{packed} (or {audio})", table) if table.is_file() else (table, folder / "audio")
        others = ", or take the splits that are there with splits=…" if not asked else ""
        raise CorpusError(f"{absent} is missing beside {given}; fetch it{others}")
    return table.is_file()


def _part(folder: Path, part: str, seed: int | None) -> Iterator[dict]:
    """Rows of one language and split; of every sentence one reading, or all without a seed."""
    place, lines = f"{folder.name}/{part}", read_table(folder / f"{part}.tsv")
    audio = folder / "audio" / part
    audio = audio if audio.is_dir() else audio.with_name(f"{part}.tar.gz")
    names = [name for name, _ in _recordings(audio)]
    if len(names) > len(set(names)):
        raise CorpusError(f"{audio} holds recordings of one name in different folders; fetch it again")
    if missing := lines.keys() - set(names):
        warnings.warn(f"{place}: {len(missing)} recordings are not there: {_few(missing)}", stacklevel=3)
    if spare := set(names) - lines.keys():
        warnings.warn(f"{place}: {len(spare)} recordings are not in the table: {_few(spare)}", stacklevel=3)
    present = [lines[name] for name in names if name in lines]
    if not present:
        raise CorpusError(f"none of the {len(lines)} recordings of {folder / f'{part}.tsv'} is in {audio}")
    kept = {line["file_name"] for line in present} if seed is None else draw(present, seed, place)
    for name, cell in _recordings(audio, kept):
        line = lines[name]
        yield {
            "id": f"{place}/{PurePosixPath(name).stem}",
            "audio": cell,
            "dialect": folder.name,
            "cluster": AREA_OF[folder.name],
            "sentence_id": line["id"],
            "text": line["transcription"] or None,
            "raw_transcription": line["raw_transcription"] or None,
            "gender": line["gender"].strip().lower() or None,
            "split": PARTS[part],
        }


def _recordings(audio: Path, kept: set[str] | None = None) -> Iterator[tuple[str, dict | None]]:
    """Name and cell of the recordings of a folder or an archive, in its order; without `kept` of all, without cells.

    An archive is gone through as it comes, since going back in it means to unpack it anew from its start.
    """
    if audio.is_dir():
        for path in sorted(audio.rglob("*.wav")):
            if _wanted(path.name, kept):
                yield path.name, {"bytes": None, "path": str(path)}
        return
    try:
        with gzip.open(audio) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and _wanted(name, kept):  # a link could name any place
                    yield name, None if kept is None else {"bytes": archive.extractfile(member).read(), "path": name}
            while stream.read(BLOCK):  # the checksum stands at the end
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        with audio.open("rb") as file:
            start = file.read(12)  # where the Hub's large files were not fetched it is a few lines of text
        packed = start.startswith(b"\x1f\x8b")
        found = f"breaks off or is damaged ({error})" if packed else f"is no archive; it starts with {start!r}"
        raise CorpusError(f"{audio} {found}: fetch it again") from error


def _wanted(name: str, kept: set[str] | None) -> bool:
    return name in kept if kept is not None else name.endswith(".wav") and not name.startswith(".")


def _few(names) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
