"""Global batches drawn from (seed, epoch); every process takes its slice of each."""

import inspect
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

    Here: every example once per epoch, in batches whose sizes differ by at most one. A subclass overrides `_batches`,
    and sets `n_batches` where it needs another number; the number may not change between epochs.

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
        self.n_batches = -(-n_examples // batch_size)
        smallest = batch_size if self.with_replacement else n_examples // self.n_batches
        if smallest < world_size:
            raise RecipeError(
                f"{n_examples} examples in batches of at most {batch_size} leave a batch of {smallest} for "
                f"{world_size} processes; use a larger batch_size or fewer processes"
            )

    @property
    def batch_size(self) -> int:
        """Largest number of examples that a process gets at once."""
        return -(-self.global_batch_size // self.world_size)

    @property
    def sampler(self) -> "GlobalBatches":
        """Itself: accelerate hands `set_epoch` to the `sampler` of a batch sampler that it wrapped to skip batches."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch  # an epoch that is under way keeps its number
        for batch in self.global_batches(epoch):
            start, end = (rank * len(batch) // self.world_size for rank in (self.rank, self.rank + 1))
            yield [(epoch, index) for index in batch[start:end]]

    def global_batches(self, epoch: int) -> list[list[int]]:
        """Dataset indices of all batches of one epoch, the same in every process."""
        batches = self._batches(generator(self.seed, epoch, type(self).__name__, "batches"))
        return [np.asarray(batch).tolist() for batch in batches]

    def _batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        return cut(rng.permutation(self.n_examples), near_equal(self.n_examples, self.n_batches))


class RandomBatches(GlobalBatches):
    """Every example once per epoch, shuffled."""


class Buckets(GlobalBatches):
    """Every example once per epoch, in batches of similar length, to save padding.

    Shuffled, taken `bucket_batches` batches at a time, sorted by length within these and cut; then the batches are
    shuffled, and the examples of each.

    Args:
        lengths: (N,) length of each example, in seconds.
        max_seconds: limit of a global batch including its padding (examples × longest), or None. Batches then differ
            in size; their number is the same in every epoch.
        bucket_batches: number of batches within which examples are sorted: 1 saves nothing, many leave less to chance.
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
                f"row {unknown[0]}, {lengths[unknown[0]]}); fill the column, or take the sampler 'random'"
            )
        if bucket_batches < 1:
            raise RecipeError(f"bucket_batches must be at least 1, got {bucket_batches}")
        if max_seconds is not None:
            self.n_batches = self._n_batches_within_limit()

    def _batches(self, rng):
        if self.max_seconds is not None:
            batches = self._batches_within_limit(rng.permutation(self.n_examples))
        else:
            batches, sizes = [], near_equal(self.n_examples, self.n_batches)
            bucket_sizes = [sum(sizes[i : i + self.bucket_batches]) for i in range(0, len(sizes), self.bucket_batches)]
            for bucket in cut(rng.permutation(self.n_examples), bucket_sizes):
                bucket = bucket[np.argsort(self.lengths[bucket], kind="stable")]
                batches += cut(bucket, sizes[len(batches) : len(batches) + self.bucket_batches])
        return [rng.permutation(batches[i]) for i in rng.permutation(len(batches))]

    def _n_batches_within_limit(self) -> int:
        # `fit` examples always fit. At least half as many go into every batch: a last one that is too small can then
        # borrow from the one before, and among too few batches there is one to halve. No rule looks at world_size,
        # so that any number of processes cuts the same batches.
        fit = min(self.global_batch_size, int(self.max_seconds // self.lengths.max()))
        self.least = (fit + 1) // 2
        smallest = min(self.least, self.n_examples)
        if fit < 1 or smallest < self.world_size:
            raise RecipeError(
                f"with max_seconds={self.max_seconds} and batch_size={self.global_batch_size}, and the longest of "
                f"{self.n_examples} examples of {self.lengths.max():.1f} s, a batch may hold {smallest} examples; for "
                f"{self.world_size} processes raise them, or cut long recordings"
            )
        # the wholly sorted corpus needs the fewest batches; a margin leaves room for chance
        fewest = len(self._cut_within_limit(np.arange(self.n_examples)))
        return min(-(-fewest * 21 // 20), -(-self.n_examples // (2 * self.least - 1)))

    def _cut_within_limit(self, bucket: np.ndarray) -> list[np.ndarray]:
        """Longest first, as many examples to a batch as fit."""
        bucket = bucket[np.argsort(-self.lengths[bucket], kind="stable")]
        sizes, start = [], 0
        while start < len(bucket):
            fit = int(self.max_seconds // self.lengths[bucket[start]])
            sizes.append(min(fit, self.global_batch_size, len(bucket) - start))
            start += sizes[-1]
        lacking = self.least - sizes[-1]
        if lacking > 0 and len(sizes) > 1:
            sizes[-2:] = [sizes[-2] - lacking, self.least]
        return cut(bucket, sizes)

    def _batches_within_limit(self, order: np.ndarray) -> list[np.ndarray]:
        bucket_batches = self.bucket_batches
        while True:  # ends at the latest when one bucket holds everything
            buckets = cut(order, near_equal(self.n_examples, max(1, self.n_batches // bucket_batches)))
            batches = [batch for bucket in buckets for batch in self._cut_within_limit(bucket)]
            if len(batches) <= self.n_batches:
                break
            bucket_batches *= 2
        while len(batches) < self.n_batches:
            largest = max(range(len(batches)), key=lambda i: len(batches[i]))
            batches += np.array_split(batches.pop(largest), 2)
        return batches


class Balanced(GlobalBatches):
    """Every example once per epoch, each batch holding two classes with two examples while the data allow.

    Such a batch gives a contrastive objective positives and negatives. Batches for which no two pairs of different
    classes are left (few classes, or one that dominates) come last; the objective has nothing to do there.

    Args:
        labels: (N,) class of each example.

    Attributes:
        contrastive_batches: number of batches per epoch with two examples of two classes.
        left_over: number of examples per epoch in the other batches.
    """

    def __init__(self, labels: Sequence, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        super().__init__(len(labels), batch_size, seed, rank, world_size)
        if batch_size < 4:
            raise RecipeError(f"balanced batches hold two examples of two classes: batch_size >= 4, got {batch_size}")
        self.labels = np.unique(np.asarray(labels), return_inverse=True)[1]
        sizes = near_equal(self.n_examples, self.n_batches)  # largest first
        self.contrastive_batches = min(sum(size >= 4 for size in sizes), _most_couples(np.bincount(self.labels) // 2))
        self.left_over = sum(sizes[self.contrastive_batches :])

    def _batches(self, rng):
        of_class = [rng.permutation(np.flatnonzero(self.labels == c)).tolist() for c in range(self.labels.max() + 1)]
        pairs = np.array([len(members) // 2 for members in of_class])
        cores = []
        for missing in range(self.contrastive_batches, 0, -1):
            a, b = _draw_couple(pairs, missing, rng)
            cores.append([of_class[c].pop() for c in (a, a, b, b)])
        rest = rng.permutation([index for members in of_class for index in members]).astype(int)
        sizes = near_equal(self.n_examples, self.n_batches)
        fill = cut(rest, [size - 4 * (i < len(cores)) for i, size in enumerate(sizes)])
        batches = [rng.permutation(np.r_[core, some].astype(int)) for core, some in zip(cores, fill, strict=False)]
        return [batches[i] for i in rng.permutation(len(batches))] + fill[len(cores) :]


class ClassesByExamples(GlobalBatches):
    """Batches of `classes` classes with `examples` examples each, drawn with replacement.

    An epoch has as many batches as it takes to draw N examples, but misses some and repeats others, the more the less
    even the classes are: what is recorded per example and epoch (training dynamics) would be incomplete. Within
    a batch an example repeats only if its class has fewer than `examples`.

    Args:
        labels: (N,) class of each example.
        classes, examples: their product is `batch_size`. Without `examples` it follows from `classes`, and the other
            way round; without both, as many classes as divide the batch and leave two examples for each.
    """

    with_replacement = True

    def __init__(
        self,
        labels: Sequence,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        classes: int | None = None,
        examples: int | None = None,
    ):
        super().__init__(len(labels), batch_size, seed, rank, world_size)
        labels = np.asarray(labels)
        self.of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        available = len(self.of_class)
        if classes is None and examples is None:
            fitting = [n for n in range(1, min(available, batch_size // 2) + 1) if batch_size % n == 0]
            classes = max(fitting, default=1)
        classes = classes or batch_size // examples
        examples = examples or batch_size // classes
        if classes * examples != batch_size or not 2 <= classes <= available:
            raise RecipeError(
                f"classes_x_examples cannot make a batch of {batch_size} of {classes} classes x {examples} examples: "
                f"their product must be the batch_size, with 2 to {available} classes"
            )
        self.classes, self.examples = classes, examples

    def _batches(self, rng):
        batches = []
        for _ in range(self.n_batches):
            drawn = [self.of_class[c] for c in rng.choice(len(self.of_class), self.classes, replace=False)]
            # np.resize goes round a class that is too small
            batch = [rng.choice(members, min(len(members), self.examples), replace=False) for members in drawn]
            batches.append(rng.permutation(np.concatenate([np.resize(members, self.examples) for members in batch])))
        return batches


SAMPLERS = {
    "random": RandomBatches,
    "buckets": Buckets,
    "balanced": Balanced,
    "classes_x_examples": ClassesByExamples,
}


def build_sampler(
    name: str,
    batch_size: int,
    n_examples: int | None = None,
    lengths: Sequence[float] | None = None,
    labels: Sequence | None = None,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    **options,
) -> GlobalBatches:
    """Batch sampler by its name in recipes: "random", "buckets", "balanced" or "classes_x_examples".

    What is not needed may be given all the same: `lengths` (N,) in seconds are for "buckets", `labels` (N,) for the
    last two, `n_examples` for "random" (or it is the length of one of them).

    Raises:
        RecipeError: the sampler or an option does not exist, or what the sampler needs is not given.
    """
    if name not in SAMPLERS:
        raise RecipeError(f"there is no sampler {name!r}; choose one of {', '.join(SAMPLERS)}")
    kind = SAMPLERS[name]
    first, *rest = inspect.signature(kind).parameters
    valid = [option for option in rest if option not in ("batch_size", "seed", "rank", "world_size")]
    for option in options.keys() - set(valid):
        nearest = get_close_matches(option, valid, n=1)
        meant = f"; did you mean {nearest[0]!r}?" if nearest else f"; its options: {', '.join(valid) or 'none'}"
        raise RecipeError(f"the sampler {name!r} has no option {option!r}{meant}")
    if n_examples is None:
        n_examples = next((len(values) for values in (labels, lengths) if values is not None), None)
    given = {"n_examples": n_examples, "lengths": lengths, "labels": labels}[first]
    if given is None:
        raise RecipeError(f"the sampler {name!r} needs {first}")
    return kind(given, batch_size, seed=seed, rank=rank, world_size=world_size, **options)


def near_equal(n: int, parts: int) -> list[int]:
    """Sizes of `parts` parts of `n` that differ by at most one, larger ones first."""
    return [n // parts + (i < n % parts) for i in range(parts)]


def cut(order: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Consecutive pieces of `order` of the given sizes."""
    return np.split(order, np.cumsum(sizes)[:-1])


def _most_couples(pairs: np.ndarray) -> int:
    """How often two pairs of different classes can be taken away, given the number of pairs of each class (C,)."""
    return int(min(pairs.sum() // 2, pairs.sum() - pairs.max()))


def _draw_couple(pairs: np.ndarray, missing: int, rng: np.random.Generator) -> np.ndarray:
    """Two classes, by chance in proportion to their pairs where `missing - 1` more couples remain possible after.

    Takes their pairs off `pairs`. Taking the two classes with the most pairs never costs more than one couple, so that
    is what happens where chance would cost more.
    """
    couple = rng.choice(len(pairs), 2, replace=False, p=pairs / pairs.sum())
    pairs[couple] -= 1
    if _most_couples(pairs) < missing - 1:
        pairs[couple] += 1
        couple = np.argsort(-pairs, kind="stable")[:2]
        pairs[couple] -= 1
    return couple
