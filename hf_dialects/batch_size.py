"""How many windows go through a model at once: a given number, or what is fastest here."""

from collections.abc import Sequence, Sized

import torch

SIZES = (1, 2, 4, 8)
ROUNDS = 2  # in which every size is timed once; the faster one counts
ON_ACCELERATOR = 16
WORTH = 0.97  # share of the time per window that a larger batch may take at most to be chosen over a smaller one
_chosen: dict[tuple, int] = {}


class BatchSize:
    """Windows of one pass.

    On a processor larger batches can be slower than single windows, by how much depends on the model, the threads and
    the caches: where no number is given, the first windows are run in batches of 1, 2, 4 and 8, twice each, and the
    fastest size is kept for this kind of model until the process ends. Nothing is run twice for it. Results of other
    sizes differ by rounding.

    Args:
        given: a number that is taken as it is; None to measure (16 on an accelerator).
        device: of the model.
        kind: what the time depends on, such as the class and size of the model and the length of its windows.
    """

    def __init__(self, given: int | None, device: torch.device | str = "cpu", kind: tuple = ()):
        self._key = (*kind, torch.get_num_threads())
        self._seconds: dict[int, list[float]] = {size: [] for size in SIZES}
        self._waiting = [SIZES[0], *ROUNDS * SIZES]  # the first pass warms up
        self._lengths: set[int] = set()
        self._fixed = given
        if given is None and torch.device(device).type != "cpu":
            self._fixed = ON_ACCELERATOR

    @classmethod
    def of(cls, model, given: int | None, *settings) -> "BatchSize":
        """The one for a model, and settings that change its time."""
        return cls(given, model.device, (type(model).__name__, model.num_parameters(), *settings))

    @property
    def current(self) -> int:
        """For the next batch."""
        if self._fixed is not None:
            return self._fixed
        return _chosen.get(self._key) or self._waiting[0]

    def took(self, windows: Sequence[Sized], seconds: float) -> None:
        """Record a pass; it counts where the windows are as long as those of the first."""
        n, lengths = len(windows), {len(window) for window in windows}
        if self._fixed is not None or self._key in _chosen or n != self._waiting[0]:
            return
        self._lengths = self._lengths or lengths
        if lengths != self._lengths:
            return
        if len(self._waiting) <= ROUNDS * len(SIZES):
            self._seconds[n].append(seconds)
        self._waiting.pop(0)
        if not self._waiting:
            _chosen[self._key] = fastest({size: min(found) / size for size, found in self._seconds.items()})


def fastest(seconds: dict[int, float]) -> int:
    """The smallest size, of those whose time per window is known, that no larger one beats clearly."""
    best, *larger = sorted(seconds)
    for size in larger:
        if seconds[size] < WORTH * seconds[best]:
            best = size
    return best
