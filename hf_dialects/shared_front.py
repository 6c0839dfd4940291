"""The convolutional front of an encoder, run once over a recording instead of once for every window that overlaps.

A front whose layers normalise every frame on its own (`feat_extract_norm="layer"`) gives a frame that depends on the
samples under it and on nothing else. The frames of a window that starts on the grid of frames are then a slice of the
recording's. S samples, T frames, C channels of the front.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hf_dialects.errors import DialectError
from hf_dialects.frames import encoder_of
from hf_dialects.models.encoder_dialect import frame_stride, input_name, minimum_input

BLOCK = 100  # frames of one pass; larger ones leave the caches of a processor
# torch convolves inputs of up to 20,480 values by another kernel, whose sums round otherwise
SMALL = 20_480


def check_shared_front(model, feature_extractor, window_s: float | None, stride_s: float | None) -> None:
    """Raise where frames of a recording are not those of its windows.

    Raises:
        DialectError: an encoder of spectral features, a front that normalises over time, or windows that start between
            two frames.
    """
    config = encoder_of(model).config
    if input_name(config) != "input_values":
        refuse(f"the {config.model_type} encoder has no convolutional front on samples, so there is nothing to share")
    norm = getattr(config, "feat_extract_norm", None)
    if norm == "group":
        refuse(
            f"the front of the {config.model_type} encoder is group-normalised (feat_extract_norm='group'): every "
            "frame depends on the whole window it stands in"
        )
    if norm != "layer":
        refuse(f"the {config.model_type} encoder does not say that its front normalises every frame on its own")
    stride = round((stride_s or window_s or 0) * feature_extractor.sampling_rate)
    hop = frame_stride(config)
    if window_s is not None and stride % hop:
        rate = feature_extractor.sampling_rate
        near = max(1, round(stride / hop)) * hop / rate
        refuse(
            f"windows start every {stride} samples, but frames every {hop}: most windows would start between two "
            f"frames. Take a stride that is a multiple of {hop / rate:g} s, such as {near:g}"
        )


def refuse(why: str) -> None:
    raise DialectError(f'normalize="recording" cannot be used: {why}; or take normalize="window"')


def frame_span(start: int, end: int, config) -> tuple[int, int]:
    """The frames [first, last) that lie wholly inside the samples [start, end).

    Frame t is made of the samples from t · hop to t · hop + receptive field.
    """
    hop, receptive = frame_stride(config), minimum_input(config)
    first = -(-start // hop)
    return first, max(first, (end - receptive) // hop + 1)


def front_frames(
    front: nn.Module, config, samples: Iterable[torch.Tensor], block: int | None = None
) -> Iterator[torch.Tensor]:
    """What the front gives for a whole recording, block by block.

    Args:
        front: `feature_extractor` of an encoder that `check_shared_front` lets pass.
        config: the encoder's.
        samples: blocks (S_i,) of the normalised recording.
        block: frames of one pass; the last one has up to twice as many. None for `block_frames`.

    Yields:
        (T_i, C), together all frames that lie inside the recording.
    """
    hop, receptive = frame_stride(config), minimum_input(config)
    block = block or block_frames(config)
    held = torch.empty(0)
    for one in samples:
        held = torch.cat([held, one])
        while len(held) >= (2 * block - 1) * hop + receptive:
            yield front_of(front, held[: (block - 1) * hop + receptive])
            held = held[block * hop :]
    if len(held) >= receptive:
        yield front_of(front, held)


def front_of(front: nn.Module, samples: torch.Tensor) -> torch.Tensor:
    """One pass over samples (S,): frames (T, C)."""
    weight = next(front.parameters())
    return front(samples[None].to(weight.device, weight.dtype))[0].T


def block_frames(config) -> int:
    """Frames of one pass: few, but so many that no layer's input is small."""
    fewest, per_frame = BLOCK, 1
    for channels, stride in zip(reversed((1, *config.conv_dim[:-1])), reversed(config.conv_stride), strict=True):
        per_frame *= stride
        fewest = max(fewest, SMALL // (channels * per_frame) + 1)
    return fewest


@contextmanager
def given_frames(model) -> Iterator[nn.Module]:
    """Let a model take frames of its front, (B, C, T), as `input_values`; gives the front itself."""
    encoder = encoder_of(model)
    front = encoder.feature_extractor
    encoder.feature_extractor = nn.Identity()
    try:
        yield front
    finally:
        encoder.feature_extractor = front
