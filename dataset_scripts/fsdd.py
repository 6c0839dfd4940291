"""Free Spoken Digit Dataset (FSDD): English digits in four accents.

- 3,000 recordings of 6 men: 10 digits x 50 takes each, mono WAV at 8 kHz, trimmed to the word.
- Layout: `recordings/{digit}_{speaker}_{take}.wav`, and `metadata.py` with gender, accent and language of each speaker.
- `dialect` is the accent: USA/neutral and DEU/German have two speakers each, BEL/French and GRC/Greek one. A
  speaker-disjoint split can hold only the first two on both sides.
- The official test set is takes 0-4 of every speaker, so it is NOT speaker-disjoint; it stands in `official_split`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hf_dialects.data.prepare import run_script
from hf_dialects.errors import CorpusError

LICENSE = "CC BY-SA 4.0"
CITATION = "Jackson, Z. et al. (2018). Free Spoken Digit Dataset, v1.0.8. doi:10.5281/zenodo.1342401"
RECORDINGS = 3000
SHARING = "allowed"
LANGUAGES = ("en",)

NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)\.wav")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OFFICIAL_TEST_TAKES = range(5)


def rows(source: Path) -> Iterator[dict]:
    """Rows of the corpus, sorted by file name.

    Raises:
        CorpusError: no recordings, a file not named as the corpus names its files, or a speaker without metadata.
    """
    folder = source / "recordings"
    files = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    if not files:
        raise CorpusError(
            f"{folder} holds no {{digit}}_{{speaker}}_{{take}}.wav: is {source} a copy of the repository?"
        )
    strange = [path.name for path in files if not NAME.fullmatch(path.name)]
    if strange:
        raise CorpusError(
            f"{len(strange)} files in {folder} are not named {{digit}}_{{speaker}}_{{take}}.wav: "
            f"{', '.join(strange[:10])}; remove them"
        )
    speakers = _speakers(source / "metadata.py")
    for path in files:
        name = NAME.fullmatch(path.name)
        if name["speaker"] not in speakers:
            raise CorpusError(
                f"{path} is by {name['speaker']!r}, of whom {source / 'metadata.py'} says nothing; "
                f"it has {', '.join(sorted(speakers))}"
            )
        about = speakers[name["speaker"]]
        digit, take = int(name["digit"]), int(name["take"])
        yield {
            "id": f"recordings/{path.stem}",
            "audio": {"bytes": None, "path": str(path)},
            "dialect": about["accent"],
            "speaker": name["speaker"],
            "sentence_id": f"digit_{digit}",
            "text": WORDS[digit],
            "gender": about["gender"],
            "take": take,
            "official_split": "test" if take in OFFICIAL_TEST_TAKES else "train",
        }


def _speakers(path: Path) -> dict[str, dict[str, str]]:
    """The dictionary that `metadata.py` assigns, read without running the file."""
    if not path.is_file():
        raise CorpusError(f"{path} is missing; it names the accent of each speaker and comes with the recordings")
    try:
        assignment = next(
            node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)
        )
        speakers = ast.literal_eval(assignment.value)
        return {name: {key: str(about[key]) for key in ("accent", "gender")} for name, about in speakers.items()}
    except (SyntaxError, ValueError, StopIteration, AttributeError, TypeError, KeyError) as error:
        raise CorpusError(
            f"{path} is not as expected, one dictionary speaker -> {{'gender', 'accent', 'language'}}: {error!r}"
        ) from error


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
