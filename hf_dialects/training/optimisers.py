"""ScaledAdam: Adam whose steps are relative to the size of each tensor."""

import math

import torch
from torch import nn
from torch.optim import Optimizer

from hf_dialects.errors import DialectError, RecipeError

__all__ = ["ScaledAdam", "build_scaled_adam"]

EARLY = (10, 20, 40)  # steps at which the threshold of clipping is estimated from what there is
EARLY_SLACK = 2.0
LARGEST_SCALING = 0.1  # of a tensor, in one update of its scale


class ScaledAdam(Optimizer):
    """Adam for Zipformer.

    Source: Yao et al. 2024, "Zipformer" (arXiv:2310.11230), with the details of icefall. Every tensor with more than
    one element moves by `lr` times its root mean square, and its scale is learnt, too, from the sums of
    `size_update_period` steps. Single elements (biases of one unit, learnt scales) move by `lr * scalar_lr_scale` and
    stay within `scalar_max`. There is no bias correction of the momentum: first steps are small. A parameter without
    gradient counts as one whose gradient is zero.

    Gradients of a group are clipped by the median of their own recent norms: a step whose norm, relative to the sizes
    of the tensors, is above `clipping_scale` times the median is scaled down to it. A step whose gradient is not finite
    counts as a step with a gradient of zero.

    Everything a resumed run needs is in `state_dict()`: tensors by parameter, step and norms in the groups. Sizes and
    norms are those of whole tensors: under DDP every process has them, under FSDP and ZeRO-3 none has.

    Args:
        params: tensors, or dicts of groups; learning rate and clipping are those of the group.
        lr: of `Eden`, at which the published models are trained; much larger than those of Adam.
        betas: of momentum and of squared gradients.
        eps: added to the root of squared gradients.
        clipping_scale: None = no clipping.
        scalar_lr_scale: learning rate of scales and of single elements, as a share of `lr`.
        min_rms, max_rms: a tensor below the first is taken to be as large and is not shrunk any more, scales do not
            grow a tensor beyond the second.
        scalar_max: bound of single elements.
        size_update_period: steps between updates of scales.
        clipping_update_period: steps between estimates of the median, and the number of norms it is taken of.

    Raises:
        DialectError: from `step`, where more than half of the recent gradients were not finite.
    """

    def __init__(
        self,
        params,
        lr: float = 0.045,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        clipping_scale: float | None = 2.0,
        scalar_lr_scale: float = 0.1,
        min_rms: float = 1e-5,
        max_rms: float = 3.0,
        scalar_max: float = 10.0,
        size_update_period: int = 4,
        clipping_update_period: int = 100,
    ):
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "clipping_scale": clipping_scale,
            "scalar_lr_scale": scalar_lr_scale,
            "min_rms": min_rms,
            "max_rms": max_rms,
            "scalar_max": scalar_max,
            "size_update_period": size_update_period,
            "clipping_update_period": clipping_update_period,
        }
        super().__init__(params, options | {"step": 0, "norms": (), "threshold": None})

    @torch.no_grad()
    def step(self, closure=None):
        """One update of all groups; gradients are clipped in place."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict) -> None:
        params, step = group["params"], group["step"]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        if step == 0:
            for p, rms in zip(params, _root_mean_squares(params), strict=True):
                self.state[p] = _new_state(p, rms)
        states = [self.state[p] for p in params]

        products = [p.flatten().dot(g.flatten()) for p, g in zip(params, grads, strict=True)]
        measured = torch.stack([*torch._foreach_norm(grads), *products]).tolist()  # the step waits for the device here
        norms, products = measured[: len(params)], measured[len(params) :]
        factor = self._clipping_factor(group, _relative_norm(group, norms, states))
        if factor == 0:
            torch._foreach_zero_(grads)
        elif factor < 1:
            torch._foreach_mul_(grads, factor)
        for state, product in zip(states, products, strict=True):
            if "products" in state:
                state["products"] = (*state["products"], product * factor if factor else 0.0)

        momentum, squares = [state["momentum"] for state in states], [state["squares"] for state in states]
        beta1, beta2 = group["betas"]
        torch._foreach_mul_(momentum, beta1)
        if (step + 1) % group["size_update_period"] == 0:
            for state, rms in zip(states, _root_mean_squares(params), strict=True):
                if "rms" in state:
                    state["rms"] = rms
            scales = [(1 - beta1) * _scale_step(group, state) if "rms" in state else 0.0 for state in states]
            torch._foreach_add_(momentum, torch._foreach_mul(params, scales))

        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        bias = 1 - beta2 ** (step + 1)
        roots = torch._foreach_sqrt(squares)
        # once it hardly matters the correction is left out, but not for single elements
        torch._foreach_div_(roots, [1.0 if "rms" in state and bias >= 0.99 else math.sqrt(bias) for state in states])
        torch._foreach_add_(roots, group["eps"])
        sizes = [
            max(state["rms"], group["min_rms"]) if "rms" in state else group["scalar_lr_scale"] for state in states
        ]
        torch._foreach_addcdiv_(momentum, grads, roots, [-group["lr"] * (1 - beta1) * size for size in sizes])
        torch._foreach_add_(params, momentum)
        for p in params:
            if p.numel() == 1:
                p.clamp_(-group["scalar_max"], group["scalar_max"])
        group["step"] = step + 1

    def _clipping_factor(self, group: dict, norm: float) -> float:
        """What the gradients are multiplied by, from 0 to 1; keeps the norm and, at times, renews the threshold."""
        step, period, scale = group["step"], group["clipping_update_period"], group["clipping_scale"]
        if scale is not None and step > 0:
            group["norms"] = (*group["norms"], norm if math.isfinite(norm) else math.inf)[-period:]
            early = step in EARLY and step < period
            if early or step % period == 0:
                ordered = sorted(group["norms"])
                median = ordered[2 * (len(ordered) // 4)]
                if math.isinf(median):
                    raise DialectError(
                        f"more than half of the last {len(ordered)} gradients were not finite at step {step + 1}: "
                        f"lower the learning rate (now {group['lr']:.3g}), lengthen the warm-up, or train in float32"
                    )
                group["threshold"] = scale * median * (EARLY_SLACK if early else 1)
        if not math.isfinite(norm):
            return 0.0
        return 1.0 if group["threshold"] is None else min(1.0, group["threshold"] / (norm + 1e-20))


def _new_state(p: torch.Tensor, rms: float) -> dict:
    """Of a tensor also its root mean square, the products with its gradients since the last update of its scale, and
    their mean square."""
    state = {name: torch.zeros_like(p, memory_format=torch.preserve_format) for name in ("momentum", "squares")}
    return state if p.numel() == 1 else state | {"rms": rms, "products": (), "product_squares": 0.0}


def _scale_step(group: dict, state: dict) -> float:
    """Relative change of a tensor's scale: Adam's, from the products of the tensor and its gradients."""
    products, rms, period = state["products"], state["rms"], group["size_update_period"]
    state["products"] = ()
    beta = group["betas"][1] ** period
    mean_square = sum(product * product for product in products) / period
    state["product_squares"] = beta * state["product_squares"] + (1 - beta) * mean_square
    if rms < group["min_rms"]:
        return 0.0
    bias = 1 - beta ** ((group["step"] + 1) // period)
    rate = group["lr"] * group["scalar_lr_scale"] * math.sqrt(bias)
    change = -rate * sum(products) / (math.sqrt(state["product_squares"]) + group["eps"])
    return min(max(change, -LARGEST_SCALING), LARGEST_SCALING, (group["max_rms"] - rms) / rms)


def _relative_norm(group: dict, norms: list[float], states: list[dict]) -> float:
    """Norm of all gradients together, each relative to the size of its tensor."""
    sizes = [state.get("rms", group["scalar_lr_scale"]) for state in states]
    return math.hypot(*(norm * size for norm, size in zip(norms, sizes, strict=True)))


def _root_mean_squares(params: list[torch.Tensor]) -> list[float]:
    norms = torch.stack(torch._foreach_norm(params)).tolist()
    return [norm / math.sqrt(p.numel()) for norm, p in zip(norms, params, strict=True)]


def build_scaled_adam(model: nn.Module, learning_rate: float, options: dict) -> ScaledAdam:
    """Of the weights that are trained, as one group.

    Raises:
        RecipeError: an unknown option.
    """
    try:
        return ScaledAdam([p for p in model.parameters() if p.requires_grad], lr=learning_rate, **options)
    except TypeError as error:
        raise RecipeError(f"training.optimiser_options {options} do not fit scaled_adam: {error}") from error
