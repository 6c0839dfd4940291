"""Global batches drawn from (seed, epoch); every process takes its slice of each."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.errors import RecipeError

__all__ = ["Balanced", "Buckets", "ClassesByExamples", "GlobalBatches", "RandomBatches", "build_sampler"]


class GlobalBatches:
    """Base of the batch samplers, for `torch.utils.data.DataLoader(dataset, batch_sampler=...)`.

    Iterating yields this process's slice of each global batch as a list of `(epoch, index)`: the dataset's
    `__getitem__` gets such a pair and can draw crops and augmentation from (seed, epoch, id) in any worker. Of a
    batch of n, rank r takes examples r·n // world_size to (r + 1)·n // world_size, so that 1 and N processes train
    on the same batches. It must not be sharded again: prepare the loader for one process.

    A subclass fills `sizes`, the sizes of the batches of an epoch, which must not change between epochs, and
    `_batches`.

    Args:
        n_examples: number of examples of the dataset.
        batch_size: largest number of examples in a global batch, over all processes.
        seed: seed of the run.
        rank, world_size: this process, and how many there are.

    Raises:
        RecipeError: a batch would hold fewer examples than there are processes.
    """

    with_replacement = False  # whether an epoch may miss or repeat examples
    drop_last = False

    def __init__(self, n_examples: int, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        if n_examples < 1:
            raise RecipeError("there are no examples to draw batches from")
        if batch_size < 1:
            raise RecipeError(f"batch_size must be at least 1, got {batch_size}")
        if not 0 <= rank < world_size:
            raise RecipeError(f"rank must be between 0 and {world_size - 1} for world_size={world_size}, got {rank}")
        self.n_examples, self.global_batch_size = n_examples, batch_size
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch = 0
        self.sizes = near_equal(n_examples, -(-n_examples // batch_size))

    def _check_sizes(self) -> None:
        if min(self.sizes) < self.world_size:
            raise RecipeError(
                f"{self.n_examples} examples in {len(self.sizes)} batches of at most {self.global_batch_size} leave a "
                f"batch of {min(self.sizes)} for {self.world_size} processes; use a larger batch_size or fewer processes"
            )

    @property
    def batch_size(self) -> int:
        """Largest number of examples that a process gets at once."""
        return -(-max(self.sizes) // self.world_size)

    @property
    def sampler(self) -> "GlobalBatches":
        """Itself: accelerate forwards `set_epoch` to the `sampler` of a batch sampler it has wrapped to skip batches."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch  # an epoch that is under way keeps its number
        for batch in self.global_batches(epoch):
            start, end = (r * len(batch) // self.world_size for r in (self.rank, self.rank + 1))
            yield [(epoch, index) for index in batch[start:end]]

    def global_batches(self, epoch: int) -> list[list[int]]:
        """Dataset indices of all batches of one epoch, the same in every process."""
        batches = self._batches(generator(self.seed, epoch, type(self).__name__, "batches"))
        return [np.asarray(batch).tolist() for batch in batches]

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        raise NotImplementedError


class RandomBatches(GlobalBatches):
    """Every example once per epoch, shuffled, in batches whose sizes differ by at most one."""

    def __init__(self, n_examples: int, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        super().__init__(n_examples, batch_size, seed, rank, world_size)
        self._check_sizes()

    def _batches(self, rng):
        return cut(rng.permutation(self.n_examples), self.sizes)


class Buckets(GlobalBatches):
    """Every example once per epoch, in batches of similar length, to save padding.

    Shuffled, taken `bucket_batches` batches at a time, sorted by length within these, cut; then the batches, and the
    examples of each, are shuffled.

    Args:
        lengths: (N,) length of each example, in seconds.
        max_seconds: limit of a global batch including padding (examples × longest), or None. Batches then differ in
            size; their number is the same in every epoch.
        bucket_batches: number of batches among which lengths are sorted: 1 saves nothing, more leaves less to chance.
    """

    def __init__(
        self,
        lengths: Sequence[float],
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        max_seconds: float | None = None,
        bucket_batches: int = 50,
    ):
        super().__init__(len(lengths), batch_size, seed, rank, world_size)
        self.lengths = np.array([np.nan if length is None else length for length in lengths], dtype=np.float64)
        self.max_seconds, self.bucket_batches = max_seconds, bucket_batches
        unknown = np.flatnonzero(~(np.isfinite(self.lengths) & (self.lengths > 0)))
        if len(unknown):
            raise RecipeError(
                f"buckets need the length of every example; {len(unknown)} of {len(lengths)} have none above 0 (first: "
                f"row {unknown[0]}, {self.lengths[unknown[0]]}); fill the column, or take the sampler 'random'"
            )
        if bucket_batches < 1:
            raise RecipeError(f"bucket_batches must be at least 1, got {bucket_batches}")
        if max_seconds is not None:
            self.sizes = self._sizes_within_limit()
        self._check_sizes()

    def _sizes_within_limit(self) -> list[int]:
        # batches of 2·world_size - 1 always fit, so a last one that is too small can borrow from the one before
        least = min(2 * self.world_size - 1, self.n_examples)
        if self.lengths.max() * least > self.max_seconds or self.global_batch_size < least:
            raise RecipeError(
                f"max_seconds={self.max_seconds} and batch_size={self.global_batch_size} must hold {least} of the "
                f"longest examples ({self.lengths.max():.1f} s) for {self.world_size} processes; raise them, or cut "
                "long recordings"
            )
        # a margin over the number that the wholly sorted corpus needs leaves room for chance
        batches = self._greedy(np.argsort(-self.lengths, kind="stable"))
        most = max(len(batches), self.n_examples // max(2, self.world_size))
        return self._split_up(batches, min(most, -(-len(batches) * 21 // 20)))

    def _batches(self, rng):
        if self.max_seconds is None:
            batches = self._sorted_buckets(rng, self.bucket_batches)
        else:
            batches = self._batches_within_limit(rng)
        return [rng.permutation(batches[i]) for i in rng.permutation(len(batches))]

    def _sorted_buckets(self, rng, bucket_batches: int) -> list[np.ndarray]:
        order, batches, start = rng.permutation(self.n_examples), [], 0
        for first in range(0, len(self.sizes), bucket_batches):
            sizes = self.sizes[first : first + bucket_batches]
            bucket = order[start : start + sum(sizes)]
            batches += cut(bucket[np.argsort(self.lengths[bucket], kind="stable")], sizes)
            start += sum(sizes)
        return batches
