"""Arabic Speech Commands: 40 Arabic words, each said ten times by 30 people.

- 12,000 recordings: 40 keywords x 30 contributors x 10 takes, mono WAV at 16 kHz, cut or padded to one second.
- Layout: `dataset/{keyword}/{speaker}_NO_{take}.wav`, keywords in English; `train.csv`, `val.csv` and `test.csv` with
  the columns `file` and `class` hold the authors' split of 18, 6 and 6 contributors: speaker-disjoint, so it is kept.
- Nothing says which variety of Arabic a contributor speaks: `dialect` is "Arabic" throughout. Of use where words count:
  retrieval across speakers and ABX on `sentence_id`, not for dialect identification.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hf_dialects.data.prepare import run_script
from hf_dialects.errors import CorpusError

LICENSE = "CC BY 4.0"
CITATION = (
    "Ghandoura, A., Hjabo, F. and Al Dakkak, O. (2021). Building and Benchmarking an Arabic Speech Commands Dataset "
    "for Small-Footprint Keyword Spotting. Engineering Applications of Artificial Intelligence. "
    "Data: doi:10.5281/zenodo.4662481"
)
RECORDINGS = 12000
SHARING = "allowed"

NAME = re.compile(r"(?P<speaker>\d+)_NO_(?P<take>\d+)\.wav")
SPLIT_FILES = {"train.csv": "train", "val.csv": "validation", "valid.csv": "validation", "test.csv": "test"}


def rows(source: Path) -> Iterator[dict]:
    """Rows of the corpus, sorted by keyword and file name.

    Raises:
        CorpusError: no recordings, a file that is not named as the corpus names its files, or a recording that the
            authors' lists leave out.
    """
    folder = source / "dataset"
    files = sorted(path for path in folder.glob("*/*") if not path.name.startswith("."))
    if not files:
        raise CorpusError(
            f"{folder} holds no {{keyword}}/{{speaker}}_NO_{{take}}.wav: is {source} a copy of the repository?"
        )
    strange = [f"{path.parent.name}/{path.name}" for path in files if not NAME.fullmatch(path.name)]
    if strange:
        raise CorpusError(
            f"{len(strange)} files in {folder} are not named {{speaker}}_NO_{{take}}.wav: "
            f"{', '.join(strange[:10])}; remove them"
        )
    splits = _official_splits(source)
    for path in files:
        name, keyword = NAME.fullmatch(path.name), path.parent.name
        row = {
            "id": f"dataset/{keyword}/{path.stem}",
            "audio": {"bytes": None, "path": str(path)},
            "dialect": "Arabic",
            "speaker": name["speaker"],
            "sentence_id": keyword,
            "keyword": keyword,
            "take": int(name["take"]),
        }
        if splits:
            split = splits.get((keyword, path.name))
            if split is None:
                raise CorpusError(
                    f"{path} is in none of {', '.join(SPLIT_FILES)} of {source}; "
                    "take the files and the lists from one release"
                )
            row["split"] = split
        yield row


def _official_splits(source: Path) -> dict[tuple[str, str], str]:
    """(keyword, file name) -> split; empty where the authors' lists are not there."""
    splits: dict[tuple[str, str], str] = {}
    for name, split in SPLIT_FILES.items():
        path = source / name
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()):
                raise CorpusError(
                    f"{path} has the columns {', '.join(reader.fieldnames or ('none',))}; expected file and class"
                )
            for line in reader:
                key = tuple(line["file"].replace("\\", "/").split("/")[-2:])
                if splits.setdefault(key, split) != split:
                    raise CorpusError(
                        f"{line['file']} is in {splits[key]} and, by {path}, in {split} too; "
                        "take the lists anew from the repository"
                    )
    return splits


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
