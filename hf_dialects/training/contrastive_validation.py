"""The contrastive loss of a validation split, over batches that are the same at every evaluation and in every run."""

from collections.abc import Sequence

import numpy as np
import torch

from hf_dialects.data.samplers import Balanced
from hf_dialects.models.objectives_dialect import build_objective

SEED = 0  # of the batches, whatever the run's: values of all runs are of the same batches


def validation_batches(labels: Sequence[int], batch_size: int) -> list[list[int]]:
    """Rows of every batch that holds two dialects with two examples each; an example is in one batch at most."""
    sampler = Balanced(labels, batch_size, seed=SEED)
    return sampler.global_batches(epoch=0)[: sampler.contrastive_batches]


def contrastive_loss(
    vectors: np.ndarray, labels: np.ndarray, batch_size: int, objective: str, options: dict | None = None
) -> float | None:
    """Mean of an objective over `validation_batches`; None where no batch can hold two dialects twice.

    Args:
        vectors: (N, P), what the objective compares; of a model in eval mode, so that batches do not change them.
        labels: (N,) int.
        batch_size: of training, on which the value of a contrastive loss depends.
        objective, options: as in the model's configuration.
    """
    loss = build_objective(objective, **(options or {}))
    vectors, labels = torch.as_tensor(vectors), torch.as_tensor(labels)
    values = [loss(vectors[batch], labels[batch]).item() for batch in validation_batches(labels.tolist(), batch_size)]
    return float(np.mean(values)) if values else None
