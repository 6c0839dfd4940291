"""Timing several ways of doing the same thing against each other, within one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was timed, and against what.
        ratio: its time over that of the reference.
        note: in absolute terms.
        at_most, at_least: the goal, if there is one.
    """

    name: str
    ratio: float
    note: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def goal(self) -> str:
        """Such as "at most 1.05: held"."""
        if self.at_most is None and self.at_least is None:
            return ""
        held = self.ratio <= self.at_most if self.at_least is None else self.ratio >= self.at_least
        bound = f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"
        return f"{bound}: {'held' if held else 'MISSED'}"


@dataclass(frozen=True)
class Timing:
    """Of one way of doing it.

    Attributes:
        seconds: processor time, median over rounds.
        ratio: median over rounds of its time over the reference's in the same round.
        difference: the same, in seconds more than the reference.
    """

    seconds: float
    ratio: float
    difference: float


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int = 9, warm_up: int = 1) -> dict[str, Timing]:
    """Time every way once per round, in an order that turns from round to round; the first one is the reference.

    The time is that of the processor for this process and all its threads, so that other work on a shared machine
    counts little; what it still disturbs (caches, clock rate) falls on all ways alike. Run with one thread: of several,
    the times add up.
    """
    names = list(ways)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.process_time()
            ways[name]()
            if number >= 0:
                times[name].append(time.process_time() - start)
    reference = times[names[0]]
    return {
        name: Timing(
            seconds=median(found),
            ratio=median(one / other for one, other in zip(found, reference, strict=True)),
            difference=median(one - other for one, other in zip(found, reference, strict=True)),
        )
        for name, found in times.items()
    }
