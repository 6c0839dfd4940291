"""Recipes of several stages: each trains in a folder of its own, the last one's model is the run's."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from datasets import DatasetDict

from hf_dialects.data.splits import assert_no_leakage
from hf_dialects.errors import RecipeError
from hf_dialects.models.encoder_dialect import MAY_BE_MISSING
from hf_dialects.saving import load_for_inference
from hf_dialects.training.dynamics import DYNAMICS
from hf_dialects.training.fit import fit
from hf_dialects.training.recipe import Recipe, make_recipe
from hf_dialects.training.run_folder import open_run, selection
from hf_dialects.training.screened import Screened, splits_of_recipe

SECTIONS = ("data", "model", "training", "evaluation")
PREVIOUS = "previous"  # as training.datamap: the map that the stage before recorded
MAP_MIX = "map_mix"
SOFT = {"label_smoothing": 0}  # it and soft targets exclude each other


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe.

    Attributes:
        folder: its name within the run folder, "stage-1-pretraining".
        recipe: what it trains, without stages.
        start: "previous" takes encoder, pooling and layer weights of the stage before, "original" those of the recipe.
        head: "new", or "keep" to take the classifier and the projection, too.
    """

    folder: str
    recipe: Recipe
    start: str
    head: str


def stages_of(recipe: Recipe) -> list[Stage]:
    """The stages of a recipe, each with the recipe's sections overridden key by key.

    Raises:
        RecipeError: the last stage has other data than the recipe, or does not train its classifier; the first one has
            nothing to keep.
    """
    stages = []
    for number, stage in enumerate(recipe.stages, start=1):
        name = stage.get("name") or "training"
        sections = {section: getattr(recipe, section) | (stage.get(section) or {}) for section in SECTIONS}
        own = Recipe(**sections, seed=recipe.seed, description=f"stage {number}, {name}: {recipe.description}")
        start = stage.get("from") or ("original" if number == 1 else "previous")
        stages.append(Stage(f"stage-{number}-{name}", own, start, stage.get("head") or "new"))
    if stages:
        _check(stages, recipe)
    return stages


def _check(stages: Sequence[Stage], recipe: Recipe) -> None:
    first, last = stages[0], stages[-1]
    if first.start == "previous":
        raise RecipeError(f"{first.folder} starts from the previous stage, but it is the first; remove stages.from")
    if first.recipe.training.get("datamap") == PREVIOUS:
        raise RecipeError(f"{first.folder} takes the data map of the previous stage, but it is the first")
    for before, stage in pairwise(stages):
        if stage.recipe.training.get("datamap") == PREVIOUS and not before.recipe.training.get("record_dynamics"):
            raise RecipeError(
                f"{stage.folder} takes its data map from {before.folder}, which records none; "
                "set training.record_dynamics: training there"
            )
    for stage in stages:
        if stage.head == "keep" and stage.start == "original":
            raise RecipeError(f"{stage.folder} keeps a head, but starts from the original encoder, which has none")
    if last.recipe.data != recipe.data:
        raise RecipeError(
            f"{last.folder} has data of its own; the last stage trains on the recipe's, which the run is evaluated on"
        )
    if last.recipe.model.get("cross_entropy_weight", 1) == 0:
        raise RecipeError(
            f"{last.folder} has model.cross_entropy_weight 0, so its classifier would never be trained: "
            "add a stage that trains it"
        )


def with_mixup(recipe: Recipe, mixup: str | None = None, targets: str | None = None) -> Recipe:
    """A recipe with other mixup and targets.

    Args:
        mixup: of `MapMixTrainer`; or "map_mix", which makes two stages: a plain training that records the data map,
            then, from the original encoder, ambiguous_easy with the targets "confidence" learnt out of fold.

    Raises:
        RecipeError: "map_mix" of a recipe that has stages.
    """
    chosen = {"mixup": mixup, "targets": targets}
    if mixup != MAP_MIX:
        return replace(recipe, training=recipe.training | {key: one for key, one in chosen.items() if one is not None})
    if recipe.stages:
        raise RecipeError("mixup map_mix makes two stages, but the recipe has stages of its own; take another recipe")
    mixing = {"mixup": "ambiguous_easy", "targets": targets or "confidence", "datamap": PREVIOUS}
    if targets is None:
        mixing |= {"confidence_from": recipe.training.get("confidence_from", "out_of_fold")}
    stages = [
        {"name": "map", "model": SOFT, "training": {"record_dynamics": "training"}},
        {"name": "mixing", "from": "original", "model": SOFT, "training": mixing},
    ]
    return make_recipe(recipe.to_dict() | {"stages": stages})


def train_stages(data: Screened, recipe: Recipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> bool:
    """Train the stages of a recipe one after the other; writes RUN_DIR/model and RUN_DIR/history.json.

    A finished stage is not trained again, a broken one goes on from its last checkpoint. Every stage starts from the
    recipe's seed: its head, order and crops are those of a plain run.

    Args:
        data: of the recipe; a stage with data of its own loads them.

    Returns:
        whether this is the process that goes on with the evaluation.

    Raises:
        RecipeError: stages that do not fit each other.
        CorpusError: a stage trains on speakers (or sites …) that the run is tested on.
    """
    stages = stages_of(recipe)
    previous, is_first_process = None, True
    for stage in stages:
        folder = run_dir / stage.folder
        open_run(stage.recipe, folder)
        if not (folder / "model" / "config.json").is_file():
            prepare = None
            if stage.start == "previous":
                prepare = partial(carry_over, folder=previous / "model", head=stage.head, stage=stage.folder)
            if progress:
                print(stage.folder)
            own = stage.recipe
            if own.training.get("datamap") == PREVIOUS:
                own = replace(own, training=own.training | {"datamap": str(previous)})
            is_first_process = fit(_data(stage, recipe, data, progress), own, folder, progress, callbacks, prepare)
        previous = folder
    if is_first_process:
        shutil.copy2(previous / "history.json", run_dir)
        if (previous / DYNAMICS).is_file():
            shutil.copy2(previous / DYNAMICS, run_dir)
        copy = run_dir / ".model"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(previous / "model", copy)
        copy.rename(run_dir / "model")
    return is_first_process


def carry_over(model, folder: Path, head: str = "new", stage: str = "the stage") -> None:
    """Give a new model the encoder, pooling and layer weights of a saved one; with head "keep" also its head.

    Raises:
        RecipeError: the two models differ in what is carried over.
    """
    source, _ = load_for_inference(folder)
    theirs, own = source.state_dict(), model.state_dict()
    carried = {name for name in theirs if name.startswith("dialect.")}
    expected = {name for name in own if name.startswith("dialect.")}
    wrong = {name for name in carried ^ expected if not name.endswith(MAY_BE_MISSING)}
    carried &= expected
    if head == "keep":
        if source.config.id2label != model.config.id2label:
            raise RecipeError(f"{stage} keeps the head of the stage before, which knows other dialects; take head: new")
        carried |= {name for name in theirs if name in own}
    wrong |= {name for name in carried if theirs[name].shape != own[name].shape}
    if wrong:
        raise RecipeError(
            f"{stage} starts from the stage before, but its model differs in {len(wrong)} parameters, the first: "
            f"{min(wrong)}; keep model.encoder, model.pooling and model.layer, or take from: original"
        )
    model.load_state_dict({name: theirs[name] for name in carried}, strict=False)


def stage_selections(recipe: Recipe, run_dir: Path) -> dict[str, dict]:
    """Folder of every stage → which checkpoint of it validation chose, and by what."""
    return {stage.folder: selection(stage.recipe, run_dir / stage.folder) for stage in stages_of(recipe)}


def _data(stage: Stage, recipe: Recipe, data: Screened, progress: bool) -> Screened:
    """What a stage trains on; never on what the run is tested on."""
    if stage.recipe.data == recipe.data:
        return data
    other = splits_of_recipe(stage.recipe, progress)
    if stage.recipe.data.get("source") == recipe.data.get("source"):
        assert_no_leakage(DatasetDict(train=other.splits["train"], test=data.splits["test"]), data.by)
    return other
