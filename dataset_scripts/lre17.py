"""NIST LRE17: telephone and video speech in 14 closely related languages and dialects, in five clusters.

Publicly documented, by the evaluation plan, by Sadjadi et al. and by published recipes for these files:

- Arabic ara-acm (Iraqi) ara-apc (Levantine) ara-ary (Maghrebi) ara-arz (Egyptian); English eng-gbr eng-usg; Slavic
  qsl-pol (Polish) qsl-rus (Russian); Iberian por-brz spa-car (Caribbean) spa-eur spa-lac (Latin American continental);
  Chinese zho-cmn (Mandarin) zho-nan (Min Nan).
- Three parts, sold or lent by the LDC: training (LDC2017E22, later LDC2022E16), development (LDC2017E23, later
  LDC2022E17) and evaluation. About 16,205, 3,661 and 25,451 segments; some 2,000 hours of training.
- Training comes from earlier corpora of telephone and narrow-band broadcast speech, in whole conversations or pieces.
  Development and evaluation come from MLS14 (8 kHz telephone and broadcast, NIST SPHERE) and VAST (speech of internet
  videos, FLAC). Segments of MLS14 hold about 3, 10 or 30 s of speech; those of VAST are whole recordings.
- The 3 s and 10 s segments of MLS14 are cut out of the 30 s ones, and nothing published says which out of which: a
  split of development or evaluation at random puts the same speech on both sides, and intervals over single segments
  are too narrow.
- Tables of `docs`: training `filename_language_key.tab` (file and language, no header) or `train_info.tab`; development
  `lre17_dev_segments.key` or `dev_info.tab`; evaluation `lre17_eval_segments.key` or `lre17_eval_segment_keys.tsv`;
  the others have a header with segmentid, language_code, data_source and speech_duration or length_condition.
- Audio: training `data[/train]/{language}/{file}`, the others `data/dev/{file}` and `data/eval/{file}`.

Assumed, since no copy of the corpus was at hand:

- The tables' columns are separated by blanks or tabs; a length of 1000, or none, stands for a whole recording.
- The name of a training file up to its first dot says which recording it is cut from; where this groups too much, it
  errs on the safe side. Speakers are unknown throughout. Of the other parts a column `sessionid`, which some keys have
  been given, says it; else it is unknown.

`--source` is a folder with the parts in folders of any name, one or two levels deep, each with its `docs` and `data`.
`split` is train, validation (development) or test (evaluation); `data_source` mls14 or vast, `length_condition` 3, 10,
30 or 1000 s: break a result down by them.
"""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from hf_dialects.dataset_scripts import table

from hf_dialects.data.prepare import run_script
from hf_dialects.errors import CorpusError

LICENSE = "other, see the LDC's user agreement for the 2017 NIST Language Recognition Evaluation"
CITATION = (
    "Sadjadi, S. O., Kheyrkhah, T., Tong, A., Greenberg, C., Reynolds, D., Singer, E., Mason, L. and "
    "Hernandez-Cordero, J. (2018). The 2017 NIST Language Recognition Evaluation. Odyssey 2018, 82-89."
)
RECORDINGS = 16_205 + 3_661 + 25_451
SHARING = "refused: the LDC lends its corpora to those who sign its agreement, and they may not pass them on"

CLUSTER_OF = {row["language_code"]: row["cluster"] for row in table("lre17_languages")}
TABLES = {  # part: its tables, of which a copy has one
    "train": ("filename_language_key.tab", "train_info.tab"),
    "dev": ("lre17_dev_segments.key", "dev_info.tab"),
    "eval": ("lre17_eval_segments.key", "lre17_eval_segment_keys.tsv"),
}
SPLITS = {"train": "train", "dev": "validation", "eval": "test"}
HEADER = ("segmentid", "language_code")
BARE = "filename_language_key.tab"
SUFFIXES = (".sph", ".wav", ".flac")  # what a compressed .sph may have been converted to
WHOLE = 1000  # length_condition of a whole recording


def rows(source: Path) -> Iterator[dict]:
    """Rows of the parts that are there, training first, in the order of their tables.

    Raises:
        CorpusError: no part at all, two tables of one part, a table that cannot be read, an unknown language, audio
            that is missing, or SPHERE files that are compressed with shorten.
    """
    tables = {part: _table_of(part, Path(source)) for part in TABLES}
    missing = [part for part, path in tables.items() if path is None]
    if len(missing) == len(TABLES):
        names = ", ".join(name for names in TABLES.values() for name in names)
        raise CorpusError(f"{source} holds no docs folder with one of {names}: is it a copy of the LDC's releases?")
    if missing:
        warnings.warn(f"{source} lacks the {' and '.join(missing)} part of LRE17", stacklevel=2)
    for part, path in tables.items():
        if path is not None:
            yield from _part(part, path)


def _table_of(part: str, source: Path) -> Path | None:
    """The table of one part, in a `docs` folder up to two levels below the source."""
    found = [
        path for name in TABLES[part] for above in ("", "*/", "*/*/") for path in source.glob(f"{above}docs/{name}")
    ]
    if len(found) > 1:
        listed = " and ".join(str(path) for path in sorted(found))
        raise CorpusError(f"{listed} both list the {part} part; keep one release of it")
    return found[0] if found else None


def _part(part: str, table: Path) -> Iterator[dict]:
    for given in _read(table):
        dialect, segment = given["language_code"], given["segmentid"]
        if dialect not in CLUSTER_OF:
            raise CorpusError(f"{table}: {segment} is of {dialect!r}; LRE17 has {', '.join(sorted(CLUSTER_OF))}")
        path = _audio(part, table.parents[1] / "data", dialect, segment)
        name = segment.rsplit("/", 1)[-1]
        recording = name.split(".", 1)[0] if part == "train" else given.get("sessionid")
        length = given.get("length_condition") or given.get("speech_duration")
        yield {
            "id": f"{part}/{dialect}/{name}" if part == "train" else f"{part}/{name}",
            "audio": {"bytes": None, "path": str(path)},
            "dialect": dialect,
            "cluster": CLUSTER_OF[dialect],
            "recording": f"{part}/{recording}" if recording else None,
            "split": SPLITS[part],
            "data_source": (given.get("data_source") or "").lower() or None,
            "length_condition": None if part == "train" else _seconds(length, table, segment),
        }


def _read(table: Path) -> Iterator[dict[str, str]]:
    """Lines of a table by column; empty cells of tab-separated ones are left out."""
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    lines = [line for line in lines if line.strip()]
    separator = "\t" if lines and "\t" in lines[0] else None  # without tabs blanks, however many
    if table.name == BARE:
        names = list(HEADER)
    else:
        names = [name.strip() for name in lines.pop(0).split(separator)] if lines else []
    absent = [name for name in HEADER if name not in names]
    if absent or not lines:
        raise CorpusError(
            f"{table} has {len(lines)} rows and the columns {', '.join(names) or 'none'}; expected rows with "
            f"{' and '.join(HEADER)}, separated by tabs or blanks"
        )
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(separator)]
        row = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        if len(cells) > len(names) or any(name not in row for name in HEADER):
            raise CorpusError(f"{table}, row {number}: {line!r}; expected a value for each of {', '.join(names)}")
        yield row


def _seconds(value: str | None, table: Path, segment: str) -> int:
    try:
        return WHOLE if value is None else int(float(value))
    except ValueError as error:
        raise CorpusError(f"{table}: the length of {segment} is {value!r}; 3, 10, 30 or 1000 is expected") from error


def _audio(part: str, data: Path, dialect: str, segment: str) -> Path:
    """The file of a segment, itself or converted; never one that soundfile cannot decompress."""
    folders = [data / dialect, data / "train" / dialect] if part == "train" else [data / part, data]
    given = [folder / segment for folder in folders]
    others = [path.with_suffix(suffix) for path in given for suffix in SUFFIXES if suffix != path.suffix]
    found = [path for path in (*others, *given) if path.is_file()]
    if not found:
        raise CorpusError(f"{segment} of the {part} part is missing: neither {' nor '.join(map(str, given))} is there")
    path = found[0]
    coding = _sample_coding(path) if path.suffix == ".sph" else ""
    if "shorten" in coding:
        raise CorpusError(
            f"{path} is compressed ({coding}), which no audio library reads. Convert it and all like it with the LDC's "
            f"sph2pipe, beside the original: sph2pipe -p -f wav {path.name} {path.with_suffix('.wav').name}"
        )
    return path


def _sample_coding(path: Path) -> str:
    """`sample_coding` of a NIST SPHERE header, "" where it states none."""
    with path.open("rb") as file:
        header = file.read(1024)
    if not header.startswith(b"NIST_1A"):
        raise CorpusError(f"{path} is no NIST SPHERE file; it starts with {header[:8]!r}. Copy it again")
    for line in header.split(b"end_head")[0].splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == b"sample_coding":
            return words[2].decode("ascii", "replace")
    return ""


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
