"""Frames moved to the centre of a named set, or whitened, with statistics that are kept with the model.

T frames, D channels of a frame.
"""

from collections.abc import Mapping

import torch
from torch import nn


class FrameCentring(nn.Module):
    """Statistics of the frames of some layers: float32 buffers `mean_{layer}` (D,) and `whitening_{layer}` (D, D).

    Args:
        settings: what `settings_of` returns, a field of the model's configuration.
    """

    def __init__(self, settings: Mapping):
        super().__init__()
        for layer, size in settings["sizes"].items():
            self.register_buffer(f"mean_{layer}", torch.zeros(size))
            if settings["whitened"]:
                self.register_buffer(f"whitening_{layer}", torch.eye(size))

    def forward(self, frames: torch.Tensor, layer: int | None) -> torch.Tensor:
        """(T, D) frames of a layer, 0 to n → (T, D) float32.

        Raises:
            ValueError: there are no statistics of this layer.
        """
        mean = getattr(self, f"mean_{layer}", None)
        if mean is None:
            known = ", ".join(name.removeprefix("mean_") for name, _ in self.named_buffers() if "mean_" in name)
            raise ValueError(f"layer {layer} has no frame statistics, the model holds those of: {known}")
        moved = frames.double() - mean.to(frames.device).double()  # in double: the mean may dwarf the differences
        whitening = getattr(self, f"whitening_{layer}", None)
        return (moved if whitening is None else moved @ whitening.to(frames.device).double()).float()


def settings_of(statistics: Mapping[int, object]) -> dict:
    """Layer → statistics as the field `frame_statistics` of a configuration, without their values.

    Raises:
        ValueError: nothing, statistics of several sets, or some whitened and others not.
    """
    sources = {one.source for one in statistics.values()}
    whitened = {one.whitening is not None for one in statistics.values()}
    if len(sources) != 1 or len(whitened) != 1:
        found = ", ".join(sorted(map(repr, sources))) or "nothing"
        some = ", some of them whitened" * (len(whitened) > 1)
        raise ValueError(f"statistics are of {found}{some}; expected those of one set, all whitened or none")
    sizes = {str(layer): len(one.mean) for layer, one in sorted(statistics.items())}
    return {"source": sources.pop(), "whitened": whitened.pop(), "sizes": sizes}


def filled(statistics: Mapping[int, object]) -> FrameCentring:
    """The module with the values of `statistics`: layer, 0 to n → what has `source`, `mean` (D,) and `whitening`
    (D, D) or None."""
    centring = FrameCentring(settings_of(statistics))
    for layer, one in statistics.items():
        for name, values in (("mean", one.mean), ("whitening", one.whitening)):
            if values is not None:
                getattr(centring, f"{name}_{layer}").copy_(torch.as_tensor(values))
    return centring
