"""The splits of a run without the recordings that cannot be used."""

from dataclasses import dataclass, replace

from datasets import DatasetDict

from hf_dialects.data.corrections import Applied, apply_corrections, check_corrections, read_corrections
from hf_dialects.data.screen import Skipped, screen
from hf_dialects.errors import CorpusError
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.splits_of_run import load_data, three_splits


@dataclass
class Screened:
    """Splits without the recordings that cannot be used.

    Attributes:
        splits: train, validation, test, with durations.
        skipped: what was left out.
        by: columns that do not cross the splits.
        corrections: of labels that were applied to the training split; None where the recipe names none.
    """

    splits: DatasetDict
    skipped: list[Skipped]
    by: tuple[str, ...]
    corrections: Applied | None = None

    @property
    def labels(self) -> list[str]:
        """Names of the dialects in label order."""
        return self.splits["train"].features["dialect"].names

    @property
    def clusters(self) -> dict[str, str] | None:
        """Dialect → cluster, where the corpus says so."""
        return cluster_of_each(self.splits)


def splits_of_recipe(recipe: Recipe, progress: bool = True) -> Screened:
    """The corpus of a recipe, split, its training labels corrected, and screened.

    Corrections never change which recordings are in which split.
    """
    splits, by = three_splits(load_data(recipe.data), recipe.data)
    if not recipe.data.get("corrections"):
        return screen_splits(splits, by, progress)
    corrections = read_corrections(recipe.data["corrections"])
    check_corrections(corrections, splits.values())
    train, applied = apply_corrections(splits["train"], corrections)
    if progress:
        print(applied)
    screened = screen_splits(DatasetDict(splits | {"train": train}), by, progress)
    return replace(screened, corrections=applied)


def screen_splits(
    splits: DatasetDict, by: tuple[str, ...], progress: bool = True, minimum_s: float = 0.035
) -> Screened:
    """Leave out recordings that cannot be used, and check what is left.

    Raises:
        CorpusError: fewer than two dialects to learn, or a dialect that is tested but never trained.
    """
    kept, skipped = {}, []
    for name, split in splits.items():
        kept[name], out = screen(split, minimum_s=minimum_s, progress=progress, name=f"{name} recordings")
        skipped += out
    names = kept["train"].features["dialect"].names
    present = {name: {names[label] for label in split["dialect"]} for name, split in kept.items()}
    if len(present["train"]) < 2:
        raise CorpusError(
            f"the training split holds one dialect only ({', '.join(present['train'])}); "
            "a classifier needs at least two. "
            "Is data.label the right column?"
        )
    unseen = sorted(present["test"] - present["train"])
    if unseen:
        raise CorpusError(
            f"{len(unseen)} dialects are tested but have no training recording: {', '.join(unseen[:5])}; "
            "split anew (hf-dialects split), or keep only the others with data.labels"
        )
    return Screened(DatasetDict(kept), skipped, by)


def cluster_of_each(splits: DatasetDict) -> dict[str, str] | None:
    """Dialect → cluster over all splits.

    Raises:
        CorpusError: a dialect that belongs to two clusters.
    """
    found: dict[str, str] = {}
    for split in splits.values():
        if "cluster" not in split.column_names:
            return None
        dialects, clusters = split.features["dialect"], split.features["cluster"]
        for dialect, cluster in set(zip(split["dialect"], split["cluster"], strict=True)):
            if cluster is None or cluster < 0:
                continue
            name, group = dialects.int2str(dialect), clusters.int2str(cluster)
            if found.setdefault(name, group) != group:
                raise CorpusError(
                    f"dialect {name!r} is in two clusters, {found[name]!r} and {group!r}; every dialect has one"
                )
    return found if found and len(found) == len(splits["train"].features["dialect"].names) else None
