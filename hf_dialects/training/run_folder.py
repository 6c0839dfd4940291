"""The folder of a run: which recipe it belongs to, and what is already in it."""

import json
from pathlib import Path

import yaml

from hf_dialects.data.corrections import read_corrections
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.results import read_results
from hf_dialects.training.fit import selecting_metric
from hf_dialects.training.recipe import Recipe

CORRECTIONS = "corrections.csv"


def open_run(recipe: Recipe, run_dir: Path) -> None:
    """Make the run folder, or make sure that it belongs to this recipe.

    Raises:
        RecipeError: it holds a run of another recipe, or of other corrections of labels.
        CorpusError: the corrections cannot be read.
    """
    corrections = recipe.data.get("corrections")
    if corrections and not (run_dir / CORRECTIONS).is_file():
        read_corrections(corrections)  # what is wrong with them is said before there is a folder
    kept = run_dir / "recipe.yaml"
    if kept.is_file():
        found = yaml.safe_load(kept.read_text(encoding="utf-8"))
        if found != recipe.to_dict():
            changed = sorted(key for key in recipe.to_dict() if found.get(key) != recipe.to_dict()[key])
            raise RecipeError(
                f"{run_dir} holds a run of another recipe (different: {', '.join(changed)}); "
                "give the old recipe to resume it, or another --out for a new run"
            )
    else:
        run_dir.mkdir(parents=True, exist_ok=True)
        recipe.write(kept)
    if corrections:
        _keep_corrections(Path(corrections), run_dir / CORRECTIONS)


def _keep_corrections(source: Path, kept: Path) -> None:
    """Copy the corrections into the run, or make sure that they are those of the copy; people go on editing theirs."""
    if not source.is_file():  # a finished run does not need them; another says so when it reads them
        return
    content = source.read_bytes()
    if not kept.is_file():
        with disk_space(kept, KEPT):
            kept.write_bytes(content)
    elif kept.read_bytes() != content:
        raise RecipeError(
            f"{source} has changed since the run in {kept.parent} was started, which keeps its own {CORRECTIONS}; "
            "give another --out for a new run"
        )


def read_finished(run_dir: Path) -> dict | None:
    """results.json of a finished run."""
    return read_results(run_dir) if (run_dir / "results.json").is_file() else None


def selection(recipe: Recipe, run_dir: Path) -> dict:
    """The checkpoint that validation chose, and by what."""
    best = json.loads((run_dir / "history.json").read_text(encoding="utf-8"))["best"]
    return {"by": selecting_metric(recipe), "checkpoint": best}
