"""Pairs of examples for mixup: who is mixed with whom and by what weight, drawn from (seed, epoch, id).

Pairs belong to global batches, so one and several processes train on the same ones.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from hf_dialects.data.clips import Clips
from hf_dialects.data.randomness import generator
from hf_dialects.data.samplers import GlobalBatches
from hf_dialects.errors import CorpusError, RecipeError

__all__ = ["POOLS", "Pair", "PairBatches", "PairedClips", "Partners", "Placed", "build_partners", "with_partners"]

POOLS = {"easy": "easy", "hard": "hard", "ambiguous_easy": "easy"}  # mixup: region that partners are drawn from
WEIGHTS_PER = ("batch", "pair")


class Pair(NamedTuple):
    """An example and its partner, rows of the dataset; an example that stays unmixed is its own partner."""

    epoch: int
    row: int
    partner: int
    weight: float  # of the example itself; its partner's is 1 - weight


class Placed(NamedTuple):
    """An example and the position of its partner in this process's batch; -1: it is there as a partner only."""

    epoch: int
    row: int
    mixup_index: int
    weight: float


class Partners:
    """Chooses a partner for every example of a global batch, uniformly among those allowed.

    With `in_batch` it is the next allowed example of the batch, the first following the last. Samplers shuffle the
    examples of a batch, so this is a draw, and where all are allowed it is a derangement. It costs no encoder row in
    one process, and about one on each of several: the first of the next slice. Where the batch holds none that is
    allowed, and always without `in_batch`, the partner is drawn from the pool.

    Args:
        ids: N ids of the dataset.
        labels: (N,) dialect of each example.
        allowed: (C, C) bool, [c, d]: whether examples of dialect c may be mixed with those of d.
        pool: rows that partners are drawn from.
        in_batch: whether to look in the batch first.
        seed: seed of the run.
    """

    def __init__(self, ids: Sequence[str], labels, allowed: np.ndarray, pool: np.ndarray, in_batch: bool, seed: int):
        self.ids, self.labels, self.allowed = ids, np.asarray(labels), allowed
        self.in_batch, self.seed = in_batch, seed
        self.candidates = [np.sort(pool[mask[self.labels[pool]]]) for mask in allowed]  # of each dialect

    def exists(self, row: int) -> bool:
        """Whether the pool holds a partner for an example: any but itself."""
        candidates = self.candidates[self.labels[row]]
        return len(candidates) > 1 or (len(candidates) == 1 and candidates[0] != row)

    def of(self, batch: Sequence[int], epoch: int) -> list[int]:
        """The partner of every row of a global batch; the row itself where there is none."""
        partners = []
        for position, row in enumerate(batch):
            partner = self._next(batch, position) if self.in_batch else None
            partners.append(self._drawn(row, epoch) if partner is None else partner)
        return partners

    def _next(self, batch: Sequence[int], position: int) -> int | None:
        own = batch[position]
        for other in (*batch[position + 1 :], *batch[:position]):
            if other != own and self.allowed[self.labels[own], self.labels[other]]:
                return other
        return None

    def _drawn(self, row: int, epoch: int) -> int:
        if not self.exists(row):
            return row
        candidates = self.candidates[self.labels[row]]
        own = np.searchsorted(candidates, row)
        is_candidate = own < len(candidates) and candidates[own] == row
        drawn = int(generator(self.seed, epoch, self.ids[row], "partner").integers(len(candidates) - is_candidate))
        return int(candidates[drawn + (is_candidate and drawn >= own)])


def build_partners(
    mixup: str,
    ids: Sequence[str],
    labels: Sequence[int],
    n_classes: int,
    seed: int,
    clusters: Sequence | None = None,
    regions: np.ndarray | None = None,
) -> tuple[np.ndarray, Partners]:
    """Which examples an epoch runs over, and how their partners are chosen.

    Args:
        mixup: "static" or "random": partners are any other example; "within": of another dialect of the same cluster;
            "across": of another cluster; "easy", "hard": drawn from that region; "ambiguous_easy": the epoch runs over
            the ambiguous examples, partners are easy ones, hard ones do not occur.
        clusters: (C,) cluster of each dialect, for "within" and "across".
        regions: (N,) of "easy", "ambiguous" and "hard", for the last three.

    Returns:
        (rows of an epoch, in order; their `Partners`)

    Raises:
        CorpusError: a region is empty, or no example has a partner.
    """
    rows = pool = np.arange(len(ids))
    allowed = np.ones((n_classes, n_classes), dtype=bool)
    if mixup in ("within", "across"):
        same = np.asarray(clusters)[:, None] == np.asarray(clusters)
        allowed = same & ~np.eye(n_classes, dtype=bool) if mixup == "within" else ~same
    if mixup in POOLS:
        pool = np.flatnonzero(regions == POOLS[mixup])
        rows = np.flatnonzero(regions == "ambiguous") if mixup == "ambiguous_easy" else rows
        for name, found in {POOLS[mixup]: pool, "ambiguous": rows}.items():
            if not len(found):
                raise CorpusError(
                    f"mixup {mixup} needs {name} examples, but the data map has none among {len(ids)}; record the map "
                    "over more epochs, or choose its regions by quantiles"
                )
    partners = Partners(ids, labels, allowed, pool, in_batch=mixup not in POOLS, seed=seed)
    if not any(partners.exists(row) for row in rows):
        why = {
            "within": "every cluster has one dialect only",
            "across": "all dialects are in one cluster",
        }.get(mixup, "there is no other example")
        raise CorpusError(f"mixup {mixup} finds no partner for any of {len(rows)} training examples: {why}")
    return rows, partners


class PairBatches:
    """The global batches of a sampler with a partner and a weight for every example; every process takes its slice.

    Iterating yields lists of `Pair`, or of `Placed` with the partners from outside the slice at its end. Batches are
    those of `batches`, so a resumed run skips by index and several processes see the same ones as one.

    Args:
        batches: sampler over the examples of an epoch, numbered 0 … len(rows) - 1.
        rows: their rows in the dataset.
        partners: chooses partners.
        alpha: weights are drawn from Beta(alpha, alpha).
        weight_per: one weight for the "batch", or one for each "pair".
        place: whether partners are put into the batch.

    Raises:
        RecipeError: alpha is not above 0, or `weight_per` is unknown.
    """

    drop_last = False

    def __init__(
        self,
        batches: GlobalBatches,
        rows: np.ndarray,
        partners: Partners,
        alpha: float = 0.5,
        weight_per: str = "batch",
        place: bool = True,
    ):
        if not alpha > 0:
            raise RecipeError(f"training.mixup_alpha must be above 0, found {alpha}; for no mixing set mixup: none")
        if weight_per not in WEIGHTS_PER:
            raise RecipeError(f"training.mixup_weight_per is {weight_per!r}; choose one of {', '.join(WEIGHTS_PER)}")
        self.batches, self.rows, self.partners = batches, rows, partners
        self.alpha, self.weight_per, self.place = alpha, weight_per, place

    @property
    def batch_size(self) -> int:
        """Largest number of examples of a process, partners not counted."""
        return self.batches.batch_size

    @property
    def with_replacement(self) -> bool:
        """Whether an epoch may miss or repeat examples."""
        return self.batches.with_replacement

    @property
    def sampler(self) -> "PairBatches":
        """Itself: accelerate hands `set_epoch` to the `sampler` of a batch sampler that it wrapped to skip batches."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Pair] | list[Placed]]:
        epoch, rank, world_size = self.batches.epoch, self.batches.rank, self.batches.world_size
        for number, batch in enumerate(self.batches.global_batches(epoch)):
            start, end = (one * len(batch) // world_size for one in (rank, rank + 1))
            pairs = self.pairs(batch, number, epoch)[start:end]
            yield with_partners(pairs) if self.place else pairs

    def pairs(self, batch: Sequence[int], number: int, epoch: int) -> list[Pair]:
        """The pairs of one global batch, which is the `number`-th of its epoch."""
        rows = self.rows[batch].tolist()
        partners = self.partners.of(rows, epoch)
        common = self._weight(epoch, number) if self.weight_per == "batch" else None
        pairs = []
        for row, partner in zip(rows, partners, strict=True):
            weight = self._weight(epoch, self.partners.ids[row]) if common is None else common
            pairs.append(Pair(epoch, row, partner, 1.0 if partner == row else weight))
        return pairs

    def _weight(self, epoch: int, of: object) -> float:
        rng = generator(self.partners.seed, epoch, of, f"mixing weight of {self.weight_per}")
        return float(rng.beta(self.alpha, self.alpha))


def with_partners(pairs: Sequence[Pair]) -> list[Placed]:
    """Put partners that are not among the examples of a batch at its end, each once, and number them by position."""
    position: dict[int, int] = {}
    for place, pair in enumerate(pairs):
        position.setdefault(pair.row, place)
    placed, extra = [], []
    for place, (epoch, row, partner, weight) in enumerate(pairs):
        if partner not in position:
            position[partner] = len(pairs) + len(extra)
            extra.append(Placed(epoch, partner, -1, 1.0))
        placed.append(Placed(epoch, row, place if partner == row else position[partner], weight))
    return placed + extra


class PairedClips(Dataset):
    """Clips addressed by `Placed`, for mixing after the encoder.

    Items:
        those of `Clips`, "mixup_index": int and "mixup_weight": float
    """

    def __init__(self, clips: Clips):
        self.clips = clips
        self.dataset, self.ids, self.labels, self.prepare = clips.dataset, clips.ids, clips.labels, clips.prepare

    def __len__(self) -> int:
        return len(self.clips)

    def plain(self) -> Clips:
        """The same recordings unmixed, see `Clips.plain`."""
        return self.clips.plain()

    def __getitem__(self, key: Placed) -> dict:
        item = self.clips[(key.epoch, key.row)]
        return item | {"mixup_index": key.mixup_index, "mixup_weight": key.weight}
