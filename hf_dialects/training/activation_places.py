"""Where Balancer and Whiten act in a Zipformer, and within which limits: the settings with which icefall trains it.

The paper (arXiv:2310.11230, appendix A.3) has no rule for the places: each was found where a training had gone wrong.
B utterances, T frames, C channels, F mel bins.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from hf_dialects.models.layers_zipformer import ZipformerLayer
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.training.activation_penalties import Balancer, Schedule, Whiten

__all__ = ["Place", "places"]


@dataclass(frozen=True, eq=False)
class Place:
    """Where activations are regularised.

    Attributes:
        module: what computes, or with `at_input` takes, values (B, T, C), or with `channel_dim` 1 (B, C, T) or
            (B, C, T, F).
        part: the channels that count, from the first number to before the second.
        rate: (a, b, c): of f feature frames come ceil(((f - a) // b) / c) frames.
    """

    module: nn.Module
    regulariser: Balancer | Whiten
    part: tuple[int, int | None] = (0, None)
    channel_dim: int = -1
    at_input: bool = False
    rate: tuple[int, int, int] = (7, 2, 1)
    name: str = ""


def places(encoder: ZipformerModel) -> Iterator[Place]:
    """All places of an encoder, with icefall's settings."""
    names = {module: name for name, module in encoder.named_modules()}
    factors = {}
    for factor, stack in zip(encoder.config.downsampling_factors, encoder.encoder.encoders, strict=True):
        factors |= dict.fromkeys((stack if factor == 1 else stack.encoder).layers, factor)
    for place in _front_places(encoder):
        yield replace(place, name=names[place.module])
    for layer, factor in factors.items():
        for place in _layer_places(layer):
            yield replace(place, name=names[place.module], rate=(7, 2, factor))


def _front_places(encoder: ZipformerModel) -> Iterator[Place]:
    front = encoder.encoder_embed
    first, second, third = front.conv.values()
    yield Place(first, Balancer(max_abs=1.0), channel_dim=1, rate=(2, 1, 1))
    yield Place(second, Balancer(max_abs=4.0), channel_dim=1, rate=(3, 2, 1))
    yield Place(third, Balancer(max_abs=4.0), channel_dim=1)
    yield Place(front.convnext.pointwise_conv1, Balancer(0.3, 1.0, 0.75, 5.0), channel_dim=1)
    yield Place(front.convnext, Balancer(0.4, 0.6, 1.0, 6.0), channel_dim=1)
    yield Place(front.convnext, Whiten(5.0), channel_dim=1)
    yield Place(front.out, Whiten(_rising(4.0), scale=0.02))


def _layer_places(layer: ZipformerLayer) -> Iterator[Place]:
    attention, gated = layer.self_attn_weights, layer.nonlin_attention
    queries, keys, _ = attention.sizes
    keys = (queries, queries + keys)
    yield Place(attention.in_proj, Balancer(0.4, 0.6, 0.0, 100.0, probability=0.025), part=keys)
    yield Place(attention.in_proj, Whiten(_rising(3.0), groups=attention.num_heads, scale=0.025), part=keys)
    for module in (layer.feed_forward1, layer.feed_forward2, layer.feed_forward3):
        yield Place(module.in_proj, Balancer(0.3, 1.0, 0.75, 5.0))
        yield Place(module, Whiten(_rising(7.5)))
    yield Place(layer.feed_forward2, Balancer(0.3, 0.7, ((0, 0.0), (4000, 0.1)), 2.0, probability=0.05))
    yield Place(layer.feed_forward3, Balancer(0.3, 0.7, ((0, 0.0), (4000, 0.2)), 4.0, probability=0.05))
    hidden = gated.out_proj.in_features
    positive = ((0, 0.25), (20000, 0.05)), ((0, 0.75), (20000, 0.95))
    yield Place(gated.in_proj, Balancer(*positive, 0.5, 5.0), part=(0, hidden))  # before the tanh
    yield Place(gated.in_proj, Whiten(_rising(5.0)), part=(hidden, 2 * hidden))
    yield Place(gated, Whiten(_rising(5.0, 3)))
    yield Place(gated, Balancer(0.3, 0.7, ((0, 0.004), (4000, 0.02)), probability=0.05))
    for module in (layer.self_attn1, layer.self_attn2):
        yield Place(module, Whiten(_rising(7.5, 3)))
    for module in (layer.conv_module1, layer.conv_module2):
        gate = (module.out_proj.in_features, None)  # before the sigmoid
        positive, sizes = ((0, 0.05), (8000, 0.025)), (1.5, ((0, 5.0), (8000, 10.0)))
        yield Place(module.in_proj, Balancer(positive, 1.0, *sizes), part=gate)
        positive, sizes = ((0, 0.1), (8000, 0.05)), (((0, 0.2), (20000, 0.5)), 10.0)
        yield Place(module.depthwise_conv, Balancer(positive, 1.0, *sizes), channel_dim=1)
        yield Place(module.depthwise_conv, Whiten(_rising(7.5)), channel_dim=1)
    yield Place(layer.norm, Balancer(0.45, 0.55, 0.2, 4.0), at_input=True)
    yield Place(layer.bypass, Balancer(0.45, 0.55, 0.1, 4.0))
    yield Place(layer.bypass, Whiten(_rising(4.0, 3)))


def _rising(limit: float, times: float = 2) -> Schedule:
    return ((0, limit), (20000, times * limit))
