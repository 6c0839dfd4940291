"""Counts of right triples per cell, context by context: for several labellings of the items, or weighted by draws.

Dimensions: N items, n items of a context, K labels in it, C values of ACROSS in it, R labellings or draws.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hf_dialects.abx.distances import PooledDistances
from hf_dialects.abx.task import Context, Task, combined, mixes
from hf_dialects.errors import DialectError
from hf_dialects.threads import in_threads, n_threads

_BYTES_PER_PAIR = 32  # a block's distances, keys, copies on the way and what is allowed
_FEW_PAIRS = 1 << 16  # below, threads cost more than they bring
_MANY_PAIRS, _LEAST_ROWS = 1 << 17, 256  # of a block: more leaves the cache, fewer make slow products


@dataclass(frozen=True)
class Counts:
    """Of one context.

    Attributes:
        context: its items.
        labels: (K,) int64, the labels that occur.
        wins: (R, K, C, C, K) right triples, ties one half; indexed by label of A and X, ACROSS of X, ACROSS of A and B,
            label of B.
        triples: (R, K, C, C, K) all triples.
    """

    context: Context
    labels: np.ndarray
    wins: np.ndarray
    triples: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """(R, K, C, C, K) float64 share of right triples, NaN without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.triples > 0, self.wins / self.triples, np.nan)


class Counter:
    """Vectors and a task: everything that scores are counted from.

    Args:
        task: the attributes.
        vectors: (N, D), or a list of N sequences, as `checked_vectors` returns them.
        distance: one of `DISTANCES`.
        device: for pooled vectors, "cpu" or a device of torch.
        max_memory_bytes: bound on the distances and counts that are held at a time.
    """

    def __init__(self, task: Task, vectors, distance: str, device: str = "cpu", max_memory_bytes: int = 2**30):
        self.task = task
        self.vectors = vectors
        self.distance = distance
        self.device = device
        self.max_memory_bytes = int(max_memory_bytes)
        self._kept: dict[int, object] = {}  # distances of sequences cost too much to be computed twice
        if isinstance(vectors, list):
            self._check_size()

    def count(self, labels: np.ndarray) -> Iterator[Counts]:
        """Exact counts for every context with two labels in some labelling.

        Args:
            labels: (R, N) int64, values of ON by number.
        """
        from hf_dialects.abx.kernels import count_triples

        for number, context in enumerate(self.task.contexts):
            found, local = _local_labels(labels[:, context.items])
            if len(found) < 2:
                continue
            pools = [pool for pool in context.pools if pool[0] > 0 or mixes(pool[1], local)]

            def walk(keys, start, wins, triples, context=context, local=local, pools=pools):
                for sign, pool in pools:
                    count_triples(keys, start, local, context.across, pool, pool.max() + 1, sign, wins, triples)

            shape = (len(labels), len(found), *(len(context.across_values),) * 2, len(found))
            twice, triples = self._walked(number, shape, np.int64, walk)
            yield Counts(context, found, twice / 2, triples)

    def weigh(self, groups: np.ndarray, weights: np.ndarray) -> Iterator[Counts]:
        """Weighted counts, R draws at once; a triple weighs the product of the weights of the groups it touches.

        Args:
            groups: (N,) int64 number of each item's group.
            weights: (G, R) float64.
        """
        from hf_dialects.abx.kernels import weigh_triples

        weights = np.ascontiguousarray(weights)
        least = min(1.0, weights[weights > 0].min(initial=1.0)) ** 3  # weight of a triple that counts
        on = self.task.on_column.codes
        for number, context in enumerate(self.task.contexts):
            found, local = _local_labels(on[None, context.items])
            if len(found) < 2:
                continue
            group = groups[context.items]
            pools = []
            for sign, pool in context.pools:
                grouped = combined(np.stack([pool, group], axis=1))[0]
                pools += [(sign, pool, False)] if sign > 0 or mixes(pool, local) else []
                pools += [(sign, grouped, True)] if mixes(grouped, local) else []

            def walk(keys, start, wins, triples, context=context, label=local[0], group=group, pools=pools):
                for sign, pool, within in pools:
                    fixed = (keys, start, label, context.across, pool, pool.max() + 1, sign)
                    weigh_triples(*fixed, group, weights, within, wins, triples)

            shape = (len(found), *(len(context.across_values),) * 2, len(found), weights.shape[1])
            wins, triples = (np.moveaxis(sums, -1, 0) for sums in self._walked(number, shape, np.float64, walk))
            triples[triples < least / 2] = 0  # what rounding leaves of sums that were added and taken away
            yield Counts(context, found, wins, triples)

    def portions(self, n: int) -> list[slice]:
        """Parts of n labellings or draws whose counts fit into the memory."""
        most = 0
        for context in self.task.contexts:
            labels = min(len(context), len(self.task.on_column.values))
            most = max(most, (labels * len(context.across_values)) ** 2)
        at_once = max(1, self.max_memory_bytes // (16 * (1 + n_threads()) * most + 8 * self.task.n))
        return [slice(start, min(start + at_once, n)) for start in range(0, n, at_once)]

    def _walked(self, number: int, shape: tuple, dtype, walk: Callable) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `walk(keys, start, wins, triples)` over all X of a context, taken block by block."""
        context = self.task.contexts[number]
        n = len(context)
        distances = self._distances(number)
        at_once = n_threads() if n * n > _FEW_PAIRS else 1
        in_cache = max(_MANY_PAIRS // n, _LEAST_ROWS)
        rows = max(1, min(-(-n // at_once), in_cache, self.max_memory_bytes // (_BYTES_PER_PAIR * n * at_once)))

        def block(start: int) -> tuple[np.ndarray, np.ndarray]:
            stop = min(start + rows, n)
            keys = distances.keys(start, stop, context.allowed(start, stop))
            wins, triples = np.zeros(shape, dtype), np.zeros(shape, dtype)
            walk(keys, start, wins, triples)
            return wins, triples

        starts = range(0, n, rows)
        wins, triples = np.zeros(shape, dtype), np.zeros(shape, dtype)
        for first in range(0, len(starts), at_once):  # no more results than threads wait to be summed
            for part in in_threads(block, starts[first : first + at_once]):
                wins += part[0]
                triples += part[1]
        return wins, triples

    def _distances(self, number: int):
        context = self.task.contexts[number]
        if not isinstance(self.vectors, list):
            return PooledDistances(self.vectors[context.items], self.distance, self.device)
        if number not in self._kept:
            from hf_dialects.abx.dtw import SequenceDistances

            sequences = [self.vectors[item] for item in context.items]
            needed = context.allowed(0, len(context))
            self._kept[number] = SequenceDistances(sequences, self.distance, needed)
        return self._kept[number]

    def _check_size(self) -> None:
        size = sum(8 * len(context) ** 2 for context in self.task.contexts)
        if size > self.max_memory_bytes:
            raise DialectError(
                f"the distances between {self.task.n} sequences take {size / 2**30:.1f} GiB, more than "
                f"max_memory_bytes ({self.max_memory_bytes / 2**30:.1f} GiB); raise it, take fewer snippets, or name "
                "attributes in `by`, which are compared apart"
            )


def _local_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels that occur (K,), and their numbers in the shape of `labels` (R, n)."""
    found, local = np.unique(labels, return_inverse=True)
    return found, np.ascontiguousarray(local.reshape(labels.shape), dtype=np.int64)
