"""The end of a training whose loss or gradient is no longer finite."""

import math

import torch
from torch import nn

from hf_dialects.errors import DialectError

__all__ = ["FiniteCheck", "advice"]

TOLERATED = 20  # steps in a row


class FiniteCheck:
    """Looks at the norm of the gradient of every step, before it changes the weights.

    Where a step that is not finite is left out anyway (ScaledAdam, the loss scaling of float16) only many of them in a
    row end the training.
    """

    def __init__(self, args):
        self.args = args
        self.tolerated = TOLERATED if args.fp16 or args.optimiser == "scaled_adam" else 0
        self.in_a_row = 0

    def step(self, norm, loss: torch.Tensor, model: nn.Module, step: int) -> None:
        """Raise where too many gradients in a row, this one included, are not finite.

        Args:
            norm: of the gradient of all processes, float or (); None = unknown.
            loss: () of the last batch of this process, for the message.
            step: number of this step, from 1.

        Raises:
            DialectError: the message says what was found and what to do.
        """
        if norm is None or math.isfinite(norm):
            self.in_a_row = 0
            return
        self.in_a_row += 1
        if self.in_a_row <= self.tolerated:
            return
        loss = float(loss)
        found = f"the gradient is not finite at step {step}, while the loss is {loss:.4g}"
        if not math.isfinite(loss):
            found = f"the training loss is {loss} at step {step}"
        if self.in_a_row > 1:
            found += f" (number {self.in_a_row} in a row)"
        message = f"{found}: {advice(self.args)}"
        if wrong := [name for name, value in model.named_parameters() if not value.isfinite().all()]:
            message += f". Weights were not finite before it ({len(wrong)} tensors, such as {wrong[0]})"
        raise DialectError(message)


def advice(args) -> str:
    """What to do about a training that diverges."""
    warmup = "training.warmup_steps" if args.eden is None else "training.eden.warmup_batches"
    return f"lower training.learning_rate (now {args.learning_rate}), lengthen {warmup}, or train in float32"
