"""Corpora in their original layout, one file each: facts on top, then `rows(source)`.

To add a corpus, put a file here (its name is the corpus' name on the command line):

    \"\"\"Title. Then the facts: what, how many files and speakers, sampling rate, layout, official split.\"\"\"
    LICENSE = "CC BY 4.0"
    CITATION = "Author (year). Title. Address."
    RECORDINGS = 1200  # the count that a complete copy holds; None where it grows
    SHARING = "allowed"  # or "refused: why", "with terms: which", "by row: why", where a column `license` decides
    LANGUAGES = ("it",)  # ISO 639; may be left out where rows have a `locale`, or the registry of varieties knows them

    def rows(source: Path) -> Iterator[dict]:
        for path in sorted((source / "wav").glob("*.wav")):  # no network, no writing, the same order every time
            town, speaker, sentence = path.stem.split("_")
            yield {"id": path.stem, "audio": {"bytes": None, "path": str(path)}, "dialect": town, "speaker": speaker}

    def main() -> None:
        run_script(sys.modules[__name__])  # from hf_dialects.data.prepare

Labels that are more than a few stand in a table beside the script, {corpus}_….tsv with a header, read by `table`.

Rows carry the columns of the corpus schema and any others; a row's `split` puts it into a split of that name.
Keyword-only parameters of `rows`, their defaults text, numbers or tuples, are options: KEY=VALUE on the command line.
"""

import csv
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from types import ModuleType

from hf_dialects.errors import CorpusError


def names() -> list[str]:
    """Names of the corpora that can be prepared."""
    return sorted(module.name for module in iter_modules(__path__))


def script(name: str) -> ModuleType:
    """The module of one corpus.

    Raises:
        CorpusError: there is none of that name.
    """
    if name not in names():
        raise CorpusError(
            f"no corpus is called {name!r}; known are {', '.join(names())}. "
            "A new one is one file, see dataset_scripts/__init__.py"
        )
    return import_module(f"{__name__}.{name}")


def table(name: str) -> list[dict[str, str]]:
    """Rows of `{name}.tsv` beside the scripts, by the columns of its header, as text."""
    text = files(__name__).joinpath(f"{name}.tsv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
