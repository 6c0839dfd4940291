"""Equal trainings for every setting of Map-Mix: as many steps, and as many looks at validation after the same ones."""

from collections.abc import Mapping

from hf_dialects.reproduce.unit import Unit
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.screened import Screened


def equal_steps(training: Mapping, unit: Unit) -> tuple[str, ...]:
    """Overrides that count a training in steps, which mean the same however many examples an epoch has.

    Args:
        training: section of the recipe of plain training. Its `max_steps`, else its epochs over the training split (of
            the first fold, where there are folds), are the length; its `eval_steps`, else an epoch, the time between
            two looks. The length is rounded down to whole looks, so that the last state is looked at, too.
    """
    fields = DialectTrainingArguments.__dataclass_fields__
    first = unit if isinstance(unit, Screened) else unit[0]
    per_epoch = -(-len(first.splits["train"]) // training.get("batch_size", fields["batch_size"].default))
    steps = training.get("max_steps", -1)
    if steps <= 0:
        steps = round(per_epoch * training.get("num_train_epochs", fields["num_train_epochs"].default))
    every = per_epoch
    if training.get("eval_strategy") == "steps" and training.get("eval_steps"):
        every = training["eval_steps"]
    every = steps // max(1, round(steps / every))
    steps = steps // every * every
    intervals = (f"training.{name}={every}" for name in ("eval_steps", "save_steps", "logging_steps"))
    return (f"training.max_steps={steps}", "training.eval_strategy=steps", "training.save_strategy=steps", *intervals)
