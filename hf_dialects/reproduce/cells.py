"""Cells of a table: one setting each, run with several seeds on several splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_dialects.training.recipe import Recipe, load_recipe

LENGTHS = ("num_train_epochs", "max_steps")


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
        published: metric → (mean, sd) in percent, or text.
        missing: why it cannot be run; None where it can.
    """

    name: str
    columns: Mapping[str, str]
    recipe: str
    overrides: tuple[str, ...] = ()
    length: int = 1
    baselines: tuple[str, ...] = ()
    published: Mapping = field(default_factory=dict)
    missing: str | None = None

    def resolved(self, seed: int, shared: tuple[str, ...] = ()) -> Recipe:
        """Its recipe for one seed.

        Args:
            shared: overrides of the whole grid.
        """
        recipe = load_recipe(self.recipe, [*shared, *self.overrides, f"seed={seed}"])
        if self.length != 1:
            lengths = {key: self.length * recipe.training[key] for key in LENGTHS if recipe.training.get(key, -1) > 0}
            recipe.training |= lengths
        return recipe
