"""The splits that a grid runs on: the corpus's own, or several drawn from it, noted on disk so that they stay."""

import json
from collections import defaultdict
from pathlib import Path

from datasets import Dataset, DatasetDict

from hf_dialects.data.leakage import column_values
from hf_dialects.data.place_split import place_split
from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.splits import group_split, split_fingerprint
from hf_dialects.disk import whole_file
from hf_dialects.errors import CorpusError
from hf_dialects.reproduce.unit import Unit, grouped_by, parts_of
from hf_dialects.training.folds import fold_corpus
from hf_dialects.training.screened import Screened, screen_splits
from hf_dialects.training.splits_of_run import NAMES, grouping, load_data, three_splits

PLACES = 3  # of a region, so that every split has one
NOTE = "split.json"


def load_splits(section: dict, n: int = 1, progress: bool = True) -> list[Screened]:
    """The corpus of a recipe's `data` section, split n times and screened.

    One split is the corpus's own where it has train, validation and test. Else, and for several, it is drawn with seeds
    0 … n - 1: by place where the corpus names places, as the published split of VIVALDI, otherwise by whole speakers
    (or what else the section names).
    """
    return split_corpus(load_data(section), section, n, progress)


def split_corpus(corpus: Dataset | DatasetDict, section: dict, n: int = 1, progress: bool = True) -> list[Screened]:
    """As `load_splits`, of a corpus that is loaded already."""
    if n == 1 and isinstance(corpus, DatasetDict) and set(NAMES) <= set(corpus):
        return [screen_splits(*three_splits(corpus, section), progress)]
    whole = join_splits(corpus)
    if "split_by" not in section and has_places(whole):
        drawn = place_split(whole, repeats=n, rounding="down")
        return [screen_splits(splits, ("site",), progress) for splits in (drawn if n > 1 else [drawn])]
    by = grouping(whole, section)
    sizes = tuple(section.get("split_sizes") or (0.8, 0.1, 0.1))
    return [
        screen_splits(group_split(whole, by=by, sizes=sizes, seed=seed), by, progress)
        for seed in range(section.get("split_seed", 0), section.get("split_seed", 0) + n)
    ]


def load_folds(section: dict, k: int, n: int = 1, progress: bool = True) -> list[list[Screened]]:
    """The corpus of a recipe's `data` section, cut n times into k folds by whole groups; drawn with seeds 0 … n - 1."""
    return cut_folds(load_data(section), section, k, n, progress)


def cut_folds(
    corpus: Dataset | DatasetDict, section: dict, k: int, n: int = 1, progress: bool = True
) -> list[list[Screened]]:
    """As `load_folds`, of a corpus that is loaded already."""
    first = section.get("split_seed", 0)
    return [fold_corpus(corpus, section | {"split_seed": seed}, k, progress) for seed in range(first, first + n)]


def has_places(corpus: Dataset) -> bool:
    """Whether every utterance names its place, and two regions have places enough for three splits."""
    if "site" not in corpus.column_names:
        return False
    sites = column_values(corpus, "site")
    if None in sites:
        return False
    of_region = defaultdict(set)
    for region, site in zip(corpus["dialect"], sites, strict=True):
        of_region[region].add(site)
    return sum(len(found) >= PLACES for found in of_region.values()) >= 2


def note_split(data: Unit, folder: Path) -> None:
    """Write what each split holds, or make sure that runs in this folder had the same splits.

    Raises:
        CorpusError: the folder holds runs on other recordings.
    """
    found = {
        name: {"n": len(rows), "sha256": split_fingerprint(rows), **_values(rows, grouped_by(data))}
        for name, rows in parts_of(data).items()
    }
    note = folder / NOTE
    if note.is_file():
        if json.loads(note.read_text(encoding="utf-8")) != found:
            raise CorpusError(
                f"{folder} holds runs on other recordings than the corpus gives now; "
                "take the corpus they were made with, or another --out"
            )
        return
    with whole_file(note) as unfinished:
        unfinished.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _values(rows: Dataset, by: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: sorted({str(value) for value in column_values(rows, name) if value is not None}) for name in by}
