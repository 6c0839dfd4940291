"""Balancer and Whiten: in training they bend the gradients of a Zipformer's activations, and do nothing else.

Both are hooks on modules. In the forward pass they do nothing; in the backward pass they add the gradient of a penalty
on the activations of one place, small beside the gradient that is there. They have no weights and no state, and a model
in eval mode or without gradients does not notice them.

Source: Yao et al. 2023, "Zipformer: a faster and better encoder for automatic speech recognition" (arXiv:2310.11230),
appendix A.3. By its ablation they are worth little in errors (2.25 and 5.07 % of words without them, 2.21 and 4.91 %
with them on LibriSpeech's two test sets), but without Balancer a training in half precision is likelier to diverge.
"""

from functools import partial

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from hf_dialects.data.randomness import generator
from hf_dialects.errors import RecipeError
from hf_dialects.models.layers_zipformer import precise
from hf_dialects.models.modeling_zipformer import ZipformerModel, groups, padding_of
from hf_dialects.training.activation_penalties import Balancer, Whiten, scheduled
from hf_dialects.training.activation_places import Place, places

__all__ = ["Regularisers", "build_regularisers"]

OPTIONS = ("balancer", "whiten", "first_batch")
REFERENCE_SECONDS = 600.0  # of one batch, as schedules count batches


class _Regularised(torch.autograd.Function):
    """The values; their gradient gains what the regulariser adds, at frames that are not padding."""

    @staticmethod
    def forward(ctx, values: torch.Tensor, place: Place, frames, batch: float) -> torch.Tensor:
        ctx.save_for_backward(values)
        ctx.options = place, frames, batch
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor):
        (values,), (place, frames, batch) = ctx.saved_tensors, ctx.options
        gradient = gradient.clone()
        values, there = (one.movedim(place.channel_dim, -1)[..., slice(*place.part)] for one in (values, gradient))
        found = there[frames]  # (N, C), or (·, F, C) of which every bin is a frame
        with torch.enable_grad(), torch.autocast(values.device.type, enabled=False):
            flat = precise(values[frames]).flatten(0, -2).requires_grad_()
            added = place.regulariser.added(flat, precise(found).flatten(0, -2), batch)
        there[frames] = (precise(found) + added.view_as(found)).to(gradient.dtype)
        return gradient, None, None, None


class Regularisers:
    """The hooks of Balancer and Whiten, there between `with` and its end: `with Regularisers(model): train(model)`.

    What is drawn depends on the seed, the step and the place, and nothing is kept from one step to the next, so that a
    resumed training goes on as it would have. Padding, by the attention mask that the encoder is given, does not count.

    Args:
        model: a `ZipformerModel`, or a model that holds one.
        seed: of the draws.
        balancer, whiten: which of the two.
        first_batch: where schedules start; with 100000, for fine-tuning, they stand at their end.
        batches_per_step: how far a step carries them; icefall counts batches of 600 s.

    Attributes:
        step: of the training, to be set before every forward pass.

    Raises:
        RecipeError: a model without a Zipformer, or an option of a wrong kind.
    """

    def __init__(
        self,
        model: nn.Module,
        seed: int = 0,
        balancer: bool = True,
        whiten: bool = True,
        first_batch: float = 0.0,
        batches_per_step: float = 1.0,
    ):
        self.encoder = next((one for one in model.modules() if isinstance(one, ZipformerModel)), None)
        if self.encoder is None:
            raise RecipeError(f"training.regularisers are for Zipformers, and {type(model).__name__} holds none")
        for name, value in (("balancer", balancer), ("whiten", whiten)):
            if not isinstance(value, bool):
                raise RecipeError(f"training.regularisers.{name} is {value!r}; it must be true or false")
        if isinstance(first_batch, bool) or not isinstance(first_batch, (int, float)) or first_batch < 0:
            raise RecipeError(f"training.regularisers.first_batch is {first_batch!r}; expected a number from 0 on")
        kinds = (Balancer,) * balancer + (Whiten,) * whiten
        self.places = [place for place in places(self.encoder) if isinstance(place.regulariser, kinds)]
        self.seed, self.first_batch, self.batches_per_step = seed, first_batch, batches_per_step
        self.step = 0
        self._lengths: torch.Tensor | None = None
        self._frames: dict = {}
        self._hooks: list = []

    def __enter__(self) -> "Regularisers":
        self._hooks = [self.encoder.register_forward_pre_hook(self._see_mask, with_kwargs=True)]
        for place in self.places:
            if place.at_input:
                self._hooks.append(place.module.register_forward_pre_hook(partial(self._at_input, place)))
            else:
                self._hooks.append(place.module.register_forward_hook(partial(self._at_output, place)))
        return self

    def __exit__(self, *error) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._lengths, self._frames = [], None, {}

    def _see_mask(self, module, inputs, options) -> None:
        mask = inputs[1] if len(inputs) > 1 else options.get("attention_mask")
        self._lengths, self._frames = None if mask is None else mask.sum(-1), {}

    def _at_input(self, place: Place, module, inputs):
        return (self._regularised(place, inputs[0]), *inputs[1:])

    def _at_output(self, place: Place, module, inputs, output):
        return self._regularised(place, output)

    def _regularised(self, place: Place, values: torch.Tensor) -> torch.Tensor:
        if not (place.module.training and values.requires_grad):
            return values
        batch = self.first_batch + self.batches_per_step * self.step
        draw = generator(self.seed, self.step, place.name, type(place.regulariser).__name__).random()
        if draw >= scheduled(place.regulariser.probability, batch):
            return values
        n_frames = values.movedim(place.channel_dim, -1).shape[1]
        return _Regularised.apply(values, place, self._frames_at(place.rate, n_frames), batch)

    def _frames_at(self, rate: tuple[int, int, int], n_frames: int):
        """Index of the frames (B, T) that are not padding."""
        if self._lengths is None:
            return ...
        if rate not in self._frames:
            lost, stride, factor = rate
            lengths = groups(((self._lengths - lost) // stride).clamp(min=0), factor)
            self._frames[rate] = (~padding_of(lengths, n_frames)).nonzero(as_tuple=True)
        return self._frames[rate]


def build_regularisers(model: nn.Module, options: dict, seed: int, seconds_per_step: float) -> Regularisers:
    """The regularisers of `training.regularisers`.

    Raises:
        RecipeError: an unknown option or a wrong value.
    """
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise RecipeError(f"training.regularisers has no {unknown[0]}; its options are {', '.join(OPTIONS)}")
    return Regularisers(model, seed, **options, batches_per_step=seconds_per_step / REFERENCE_SECONDS)
