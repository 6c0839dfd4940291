"""Eden: the learning rate falls with batches and with epochs."""

from dataclasses import dataclass, fields

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hf_dialects.errors import RecipeError

__all__ = ["Eden", "build_eden"]


@dataclass
class Eden:
    """Factor of the learning rate, for `torch.optim.lr_scheduler.LambdaLR`.

    Source: Yao et al. 2024, "Zipformer" (arXiv:2310.11230):
    ((b² + B²) / B²)^-1/4 · ((e² + E²) / E²)^-1/4 · warm-up, with b batches and e whole epochs since the start. Without
    epochs it is Eden2, where the first factor has the power -1/2 and there is no second one. The warm-up rises from
    `warmup_start` to 1 over `warmup_batches`.

    Fine-tuning, in icefall: a learning rate of 0.0045 with `batches` 100000 and `epochs` 100.

    Args:
        batches: B.
        epochs: E; None = Eden2.
        warmup_batches: length of the warm-up, 0 for none.
        warmup_start: where it starts; icefall's training scripts take 0.1.
        steps_per_epoch: to tell the epoch of a batch; None = there are no epochs, e stays 0.

    Raises:
        RecipeError: a value below zero, or a `batches` or `epochs` of zero.
    """

    batches: float = 7500.0
    epochs: float | None = 3.5
    warmup_batches: float = 500.0
    warmup_start: float = 0.5
    steps_per_epoch: int | None = None

    def __post_init__(self):
        for name in ("batches", "epochs", "warmup_batches", "warmup_start"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and (value > 0 or (value == 0 and name.startswith("warmup")))
            if not number and not (name == "epochs" and value is None):
                raise RecipeError(f"training.eden.{name} is {value!r}; expected a number above zero")

    def __call__(self, batch: int) -> float:
        """Factor for the batch, in the epoch that it falls in."""
        return self.factor(batch, batch // self.steps_per_epoch if self.steps_per_epoch else 0)

    def factor(self, batch: float, epoch: float = 0) -> float:
        """Factor after so many batches and epochs."""
        falling = 1 + (batch / self.batches) ** 2
        if self.epochs is None:
            falling **= -0.5
        else:
            falling = (falling * (1 + (epoch / self.epochs) ** 2)) ** -0.25
        if batch >= self.warmup_batches:
            return falling
        return falling * (self.warmup_start + (1 - self.warmup_start) * batch / self.warmup_batches)


def build_eden(optimizer: Optimizer, options: dict, steps_per_epoch: int | None) -> LambdaLR:
    """The schedule of `training.eden`; its place is in `state_dict()`.

    Raises:
        RecipeError: an unknown option or a wrong value.
    """
    valid = [one.name for one in fields(Eden) if one.name != "steps_per_epoch"]
    if unknown := sorted(options.keys() - set(valid)):
        raise RecipeError(f"training.eden has no {unknown[0]}; its options are {', '.join(valid)}")
    return LambdaLR(optimizer, Eden(**options, steps_per_epoch=steps_per_epoch))
