"""Clips → one padded batch with its mask, labels and row numbers."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

MIXING = {  # what items may hold beside clip, label and row
    "mixup_index": torch.int64,
    "mixup_weight": torch.float32,
    "partner_label": torch.int64,
    "own_weight": torch.float32,
    "recordable": torch.bool,
}


class Collator:
    """Pads a list of clips into tensors.

    Args:
        batch: list of clips, (S_i,) waveforms or (F_i, M) features → mapping with `input_values` (B, S) or
            `input_features` (B, F, M), and `attention_mask`, 1 = speech, 0 = padding.

    A call takes items of `Clips` and gives that mapping's tensors with `labels` (B,) int64 and `row` (B,) int64, the
    position of every utterance in its dataset; of mixed ones also, (B,) each, what `PairedClips` (mixup_index,
    mixup_weight) or `StaticMixing` (partner_label, own_weight, recordable) add.
    """

    def __init__(self, batch: Callable[[list[np.ndarray]], Mapping]):
        self.batch = batch

    def __call__(self, items: list[dict]) -> dict[str, torch.Tensor]:
        tensors = {name: torch.as_tensor(value) for name, value in self.batch([item["clip"] for item in items]).items()}
        tensors["labels"] = torch.tensor([item["label"] for item in items], dtype=torch.int64)
        tensors["row"] = torch.tensor([item["row"] for item in items], dtype=torch.int64)
        for name in MIXING.keys() & items[0].keys():
            tensors[name] = torch.tensor([item[name] for item in items], dtype=MIXING[name])
        return tensors
