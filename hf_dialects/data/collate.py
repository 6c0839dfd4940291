"""Clips → one padded batch with its mask, labels and row numbers."""

from collections.abc import Callable, Mapping

import numpy as np
import torch


class Collator:
    """Pads a list of clips into tensors.

    Args:
        batch: list of clips, (S_i,) waveforms or (F_i, M) features → mapping with `input_values` (B, S) or
            `input_features` (B, F, M), and `attention_mask`, 1 = speech, 0 = padding.

    A call takes items of `Clips` and gives that mapping's tensors with `labels` (B,) int64 and `row` (B,) int64, the
    position of every utterance in its dataset.
    """

    def __init__(self, batch: Callable[[list[np.ndarray]], Mapping]):
        self.batch = batch

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        tensors = {name: torch.as_tensor(value) for name, value in self.batch([item["clip"] for item in items]).items()}
        tensors["labels"] = torch.tensor([item["label"] for item in items], dtype=torch.int64)
        tensors["row"] = torch.tensor([item["row"] for item in items], dtype=torch.int64)
        return tensors
