"""Losses over the batch of all processes.

Both functions fit trainers that average gradients over processes, as DistributedDataParallel does: value and gradient
are those of one process with the global batch. They use the default process group, and none where there is none.
"""

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable


def world_size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_with_gradient(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The embeddings and labels of all processes, in order of rank. Every process must call it.

    A loss of the result is the same on every process. Its gradient reaches the embeddings of every process, summed over
    the equal losses; the trainer's average then leaves the gradient of one.

    Args:
        embeddings: (B, P); B may differ between processes.
        labels: (B,) int.

    Returns:
        (ΣB, P), in float32 where the input is of lower precision, so that gradients are summed in it; (ΣB,).
    """
    if world_size() == 1:
        return embeddings, labels
    embeddings = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    own = torch.tensor([len(labels)], device=labels.device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    sizes = torch.cat(sizes).tolist()
    return _Gather.apply(embeddings, sizes), _gather(labels, sizes)


def global_mean(values: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The part of this process in Σ w v / Σ w over the batches of all processes. Every process must call it.

    It is Σ_own w v · processes / Σ_all w: the mean over processes is the global mean, whatever share of the batch
    and of the weights each of them holds.

    Args:
        values: (B,).
        weights: (B,) at least 0, or bool; None for equal ones. A row of weight 0 does not count, whatever its value.

    Returns:
        () float32 or float64; 0 with a gradient path where no row counts.
    """
    values = values if values.dtype == torch.float64 else values.float()
    weights = torch.ones_like(values) if weights is None else weights.detach().to(values.dtype)
    total = (torch.where(weights > 0, values, 0) * weights).sum()
    count = weights.sum()
    if world_size() > 1:
        dist.all_reduce(count)
    return total * world_size() / torch.where(count > 0, count, 1)


def _gather(rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """(sizes[rank], …) of every process → (Σ sizes, …). Collectives need equal shapes: rows are padded and cut."""
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Gather(torch.autograd.Function):
    """`_gather` whose backward pass sums the gradients of all processes and keeps the own rows."""

    @staticmethod
    def forward(ctx, rows, sizes):
        ctx.sizes = sizes
        return _gather(rows, sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.split(ctx.sizes)[dist.get_rank()], None
