"""Cells of a table: one setting each, run with several seeds on several splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_dialects.training.recipe import Recipe, load_recipe

LENGTHS = ("num_train_epochs", "max_steps")
INTERVALS = ("eval_steps", "save_steps", "logging_steps")


@dataclass(frozen=True)
class Cell:
    """One row of a table.

    Attributes:
        name: of its folder.
        columns: what the table says of it, name of the column → text.
        recipe: name or file of the recipe it is made from.
        overrides: dotted, of that recipe; they win over those of the whole grid.
        length: how many times as long as the recipe says it trains; 2 for the control of settings with two stages.
        baselines: names of the cells it is tested against.
        published: metric → (mean, sd) in percent, a number as the paper prints it, or text.
        missing: why it cannot be run; None where it can.
        inputs: key of the recipe → (cell, file): what it takes from the run of another cell with the same seed and
            split, which must be finished before. The recipe has the path relative to the run's own folder.
        seeds: how many, where they are not as many as the grid's.
        preparation: whether it is only there for other cells, and no row.
        separation: whether its embeddings are measured, too.
    """

    name: str
    columns: Mapping[str, str]
    recipe: str
    overrides: tuple[str, ...] = ()
    length: float = 1
    baselines: tuple[str, ...] = ()
    published: Mapping = field(default_factory=dict)
    missing: str | None = None
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    seeds: int | None = None
    preparation: bool = False
    separation: bool = True

    def resolved(self, seed: int, shared: tuple[str, ...] = ()) -> Recipe:
        """Its recipe for one seed.

        Args:
            shared: overrides of the whole grid.
        """
        taken = [f"{key}=../../{cell}/seed-{seed}/{file}" for key, (cell, file) in self.inputs.items()]
        recipe = load_recipe(self.recipe, [*shared, *self.overrides, *taken, f"seed={seed}"])
        if self.length != 1:
            recipe.training |= _stretched(recipe.training, self.length)
        return recipe


def _stretched(training: Mapping, length: float) -> dict:
    """Lengths times `length`. A training shortened by steps is looked at as often as the whole one, so that every
    setting chooses among as many checkpoints."""
    if length < 1 and training.get("eval_strategy") == "steps":
        looks = training["max_steps"] // training["eval_steps"]
        every = max(1, round(length * training["eval_steps"]))
        return {"max_steps": looks * every, **dict.fromkeys(INTERVALS, every)}
    return {key: length * training[key] for key in LENGTHS if training.get(key, -1) > 0}
