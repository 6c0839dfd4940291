"""The k most similar targets of every query, exactly.

Products in 8 bits tell which targets are likely and, by a bound that holds for every pair, which cannot reach the score
of these; what is left is scored in float32, so that the ranking is that of float32.

Dimensions: N queries, M targets, n queries of a panel and m targets of a tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy
from hf_dialects.retrieval.products import Products
from hf_dialects.retrieval.quantised import Int8, Quantised, is_fast
from hf_dialects.retrieval.scores import harmonic_mean, products_of, seqsim_of
from hf_dialects.retrieval.sequences import Sequences, cuts
from hf_dialects.retrieval.tiles import panels
from hf_dialects.threads import in_threads

TRIAL = 16  # one in so many queries, and so many at most, shows whether 8 bits rule enough out
WORTH = 0.35  # share of targets scored again above which float32 alone is faster


def search(
    queries: Sequence,
    targets: Sequence,
    k: int = 1,
    exact: bool = True,
    candidates=None,
    precision: str | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k targets of highest SeqSim for every query, best first; of equal ones the first.

    Args:
        queries, targets: N and M arrays of frames (T, D), as `seqsim_matrix` takes them.
        k: how many.
        exact: rank as float32 does. Off: take the k best in 8 bits; their scores are those of float32 all the same.
        candidates: score these targets only: numbers (N, c), or a `FrameIndex` over the targets, which is asked for
            the 100 likeliest (10 k if that is more). The ranking among them is exact.
        precision: "int8" rules targets out first, "float32" scores all; None = int8 where the processor has VNNI and it
            rules enough out for the first queries. The ranking is the same.
        device: "cpu", or a torch device, for float32.
        progress: show a bar.

    Returns:
        (indices (N, k) int64, scores (N, k) float32)

    Raises:
        DialectError: as `seqsim_matrix`; k below 1 or above the number of targets or candidates; candidates that are
            no numbers of targets.
    """
    rows = Sequences("queries", queries)
    columns = Sequences("targets", targets, rows.size)
    n_targets = len(columns.number)
    if not 1 <= k <= n_targets:
        raise DialectError(f"k is {k}; expected 1 to the number of targets, {n_targets}")
    ranking = _Ranking(rows, columns, k, device, progress)
    if candidates is not None:
        if hasattr(candidates, "candidates"):
            candidates = candidates.candidates(queries, min(n_targets, max(100, 10 * k)))
        # of equal queries with candidates of their own each is scored
        return ranking.among(rows.number, _checked(candidates, len(queries), n_targets, k))
    if precision is None:
        found = ranking.by_trial(exact) if device == "cpu" and is_fast() else ranking.by_float32(0, len(rows))
    elif precision == "int8":
        found = ranking.by_int8(0, len(rows), exact)[:2]
    else:
        found = ranking.by_float32(0, len(rows), precision)
    indices, scores = found
    return indices[rows.number], scores[rows.number]


@dataclass(frozen=True)
class _Ranking:
    """Ways to find the k best targets of consecutive queries: indices (n, k) int64 and scores (n, k) float32."""

    rows: Sequences
    columns: Sequences
    k: int
    device: str
    progress: bool

    def by_trial(self, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Of all queries in 8 bits, unless the first ones show that few targets can be ruled out so."""
        trial = min(TRIAL, -(-len(self.rows) // TRIAL))
        *first, left = self.by_int8(0, trial, exact)
        rest = (trial, len(self.rows))
        if trial == len(self.rows):
            return tuple(first)
        second = self.by_float32(*rest) if left > WORTH else self.by_int8(*rest, exact)[:2]
        return tuple(map(np.concatenate, zip(first, second, strict=True)))

    def by_float32(self, start: int, stop: int, precision: str = "float32") -> tuple[np.ndarray, np.ndarray]:
        """By all their scores."""
        products = products_of(precision, self.rows.size, self.device)
        found = [_best(values[0], self.k) for values in self._panels(start, stop, products, seqsim_of)]
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def by_int8(self, start: int, stop: int, exact: bool) -> tuple[np.ndarray, np.ndarray, float]:
        """By the scores of what 8 bits do not rule out, and the share of that among all targets."""
        products = products_of("int8", self.rows.size, self.device)
        values_of, n_values = (partial(_with_bound, products), 2) if exact else (seqsim_of, 1)
        wanted = []
        for values in self._panels(start, stop, products, values_of, n_values):
            likely = list(np.sort(_best(values[0], self.k)[0], axis=1))
            if exact:  # the k-th score of any k targets is one that the k best reach
                first = start + len(wanted)
                reached = self.among(np.arange(first, first + len(likely)), likely)[1][:, -1]
                likely = [np.flatnonzero(row) for row in values[1] >= reached[:, None]]
            wanted += likely
        share = sum(map(len, wanted)) / (len(wanted) * len(self.columns.number))
        return *self.among(np.arange(start, stop), wanted), share

    def among(self, numbers: np.ndarray, wanted: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Of the distinct queries `numbers` (n,) among the wanted targets of each, sorted, in float32."""
        products = products_of("float32", self.rows.size, self.device)
        columns = self.columns

        def rank(pair: tuple) -> tuple[np.ndarray, np.ndarray]:
            number, targets = pair
            distinct, position = np.unique(columns.number[targets], return_inverse=True)
            x = products.operand(self.rows.load([number]))
            scores = np.empty(len(distinct), dtype=np.float32)
            for start, stop in cuts(columns.lengths[distinct], products.columns):
                y = products.operand(columns.load(distinct[start:stop]))
                scores[start:stop] = harmonic_mean(*products.precision_recall(x, y))[0]
            order, best = _best(scores[position][None], self.k)
            return targets[order[0]], best[0]

        found = in_threads(rank, list(zip(numbers, wanted, strict=True)), products.threads)
        return tuple(map(np.stack, zip(*found, strict=True)))

    def _panels(self, start: int, stop: int, products: Products, values_of, n_values: int = 1) -> Iterator[np.ndarray]:
        """(V, n, M) with copies among the targets put back."""
        part, progress = (start, stop), self.progress
        for *_, values in panels(self.rows, self.columns, products, values_of, n_values, progress=progress, part=part):
            yield values[:, :, self.columns.number]


def _with_bound(products: Int8, x: Quantised, y: Quantised, precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """(2, n, m): SeqSim by 8 bits, and what that of float32 cannot exceed."""
    highest_recall = recall + products.largest_error(x.mean_residual, y.largest_residual)
    highest_precision = precision + products.largest_error(y.mean_residual, x.largest_residual).T
    # SeqSim grows with both where both are positive, and is at most 0 elsewhere
    positive = (highest_precision > 0) & (highest_recall > 0)
    highest = np.where(positive, harmonic_mean(highest_precision, highest_recall), 0)
    return np.stack([harmonic_mean(precision, recall), highest])


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values (n, k) of the highest scores (n, M)."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def _checked(candidates, n_queries: int, n_targets: int, k: int) -> list[np.ndarray]:
    numbers = as_numpy(candidates)
    if numbers.ndim != 2 or len(numbers) != n_queries or numbers.dtype.kind not in "iu":
        raise DialectError(
            f"candidates are {numbers.dtype} {numbers.shape}; expected numbers of targets (N, c) for {n_queries} "
            "queries, or a FrameIndex"
        )
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) >= n_targets:
        raise DialectError(f"candidates hold {numbers.min()} to {numbers.max()}; there are {n_targets} targets")
    wanted = [np.unique(row) for row in numbers]
    fewest = min(map(len, wanted))
    if fewest < k:
        raise DialectError(f"k is {k}, but a query has only {fewest} different candidates")
    return wanted
