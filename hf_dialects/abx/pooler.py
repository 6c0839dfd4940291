"""Pooling of frames into consecutive snippets while the frames of a recording arrive.

T frames, D channels of a frame, n snippets, P size of a pooled vector.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hf_dialects.errors import DialectError

PARTS = {"max": ("max",), "mean": ("mean",), "statistics": ("mean", "std")}  # pooling → what is put side by side
SMALLEST_VARIANCE = 1e-7  # as in the models' pooling
ROUNDING_S = 1e-6
Length = float | None  # seconds, None = the whole recording


def parts_of(poolings: Sequence[str]) -> tuple[str, ...]:
    """What has to be stored for these poolings, each once: some of "max", "mean" and "std".

    Raises:
        DialectError: an unknown pooling, or none.
    """
    unknown = [name for name in poolings if name not in PARTS]
    if unknown or not poolings:
        raise DialectError(f"pooling is {', '.join(unknown) or 'empty'}; expected some of {', '.join(PARTS)}")
    return tuple(part for part in ("max", "mean", "std") if any(part in PARTS[name] for name in poolings))


def pooled(rows: np.ndarray, parts: Sequence[str], pooling: str) -> np.ndarray:
    """Vectors (n, P) of one pooling out of rows (n, len(parts) · D): P = D, for "statistics" 2D, means first."""
    size = rows.shape[1] // len(parts)
    columns = [rows[:, parts.index(part) * size : (parts.index(part) + 1) * size] for part in PARTS[pooling]]
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)


def spans(n: int, length_s: Length, duration_s: float) -> np.ndarray:
    """(n, 2) start and end in seconds of the first n snippets of a recording."""
    if length_s is None:
        return np.array([[0.0, duration_s]] * n).reshape(n, 2)
    starts = np.arange(n) * length_s
    ends = (np.arange(n) + 1) * length_s
    return np.stack([starts, np.where(ends > duration_s + ROUNDING_S, duration_s, ends)], axis=1)


class SnippetPooler:
    """Pools the frames of one layer of one recording, which arrive piece by piece; holds no more than open snippets.

    Args:
        lengths_s: seconds of a snippet, at least two frames; None = the whole recording.
        frame_rate_hz: frames per second.
        parts: what `parts_of` returns.
        tail: "drop" leaves out the rest of a recording that is shorter than a snippet; "keep" keeps it as a last,
            shorter snippet if it is at least half as long.

    Raises:
        DialectError: lengths that hold no two frames, or stand there twice; another `tail`.
    """

    def __init__(self, lengths_s: Sequence[Length], frame_rate_hz: float, parts: Sequence[str], tail: str = "drop"):
        short = [one for one in lengths_s if one is not None and not one * frame_rate_hz >= 2]
        if short or not lengths_s or len(set(lengths_s)) < len(lengths_s):
            raise DialectError(
                f"snippets are to last {', '.join(map(label, lengths_s)) or 'nothing'}; expected different lengths of "
                f"at least {2 / frame_rate_hz:g} s, two frames"
            )
        if tail not in ("drop", "keep"):
            raise DialectError(f"tail is {tail!r}; expected 'drop' or 'keep'")
        self.lengths_s, self.rate, self.parts, self.tail = tuple(lengths_s), frame_rate_hz, tuple(parts), tail
        self.n_frames = 0
        self._done = dict.fromkeys(lengths_s, 0)
        self._open: dict[Length, list[np.ndarray]] = {}

    def add(self, frames: np.ndarray) -> dict[Length, np.ndarray]:
        """Take the next frames (t, D), t > 0; the snippets that these show to be complete: {length: (n, P)} float32."""
        first, self.n_frames = self.n_frames, self.n_frames + len(frames)
        starts = {length: self._starts(length, first) for length in self.lengths_s}
        of_any = np.unique(np.concatenate([[0], *starts.values()]))
        sums = self._sums(frames, of_any)  # of stretches that no snippet of any length divides
        return {length: self._merge(length, sums, of_any, starts[length]) for length in self.lengths_s}

    def end(self, duration_s: float) -> dict[Length, np.ndarray]:
        """The last snippets, where the recording lasts long enough: {length: (n, P)} float32, n = 0 or 1."""
        return {length: self._last(length, duration_s) for length in self.lengths_s}

    def _starts(self, length_s: Length, first: int) -> np.ndarray:
        """Where snippets after the first one start among the frames from `first` on, counted from there."""
        if length_s is None:
            return np.empty(0, dtype=np.int64)
        frames = length_s * self.rate
        numbers = np.arange(max(1, int(first / frames) - 1), int(self.n_frames / frames) + 2)
        starts = np.floor(numbers * frames + 0.5).astype(np.int64)
        return starts[(starts >= first) & (starts < self.n_frames)] - first

    def _sums(self, frames: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
        """Count, then what the parts are made of, of each stretch: arrays (m, 1), (m, D) …."""
        found = [np.diff(starts, append=len(frames))[:, None].astype(np.float64)]
        if "max" in self.parts:
            found.append(np.maximum.reduceat(frames, starts))
        if "mean" in self.parts:
            exact = frames.astype(np.float64)
            found.append(np.add.reduceat(exact, starts))
            if "std" in self.parts:
                found.append(np.add.reduceat(np.square(exact, out=exact), starts))
        return found

    def _merge(self, length_s: Length, sums: list[np.ndarray], of_any: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Stretches joined into snippets of one length; all but the last one, which stays open, are returned."""
        at = np.searchsorted(of_any, starts)
        begins_anew = len(at) > 0 and at[0] == 0
        at = at if begins_anew else np.concatenate([[0], at]).astype(np.int64)
        joined = [self._reduce(number)(one, at) for number, one in enumerate(sums)]
        if (before := self._open.get(length_s)) is not None:
            if begins_anew:
                joined = [np.concatenate([old, new]) for old, new in zip(before, joined, strict=True)]
            else:
                for number, (old, new) in enumerate(zip(before, joined, strict=True)):
                    new[:1] = self._reduce(number)(np.concatenate([old, new[:1]]), [0])
        self._open[length_s] = [one[-1:] for one in joined]
        self._done[length_s] += len(joined[0]) - 1
        return self._finished([one[:-1] for one in joined])

    def _reduce(self, number: int) -> Callable:
        return (np.maximum if number == 1 and "max" in self.parts else np.add).reduceat

    def _last(self, length_s: Length, duration_s: float) -> np.ndarray:
        if length_s not in self._open:
            raise DialectError(f"a recording of {duration_s:g} s came without a frame; leave it out")
        rest_s = duration_s - self._done[length_s] * (length_s or 0)
        wanted_s = 0.0 if length_s is None else length_s * (1 if self.tail == "drop" else 0.5)
        kept = rest_s >= wanted_s - ROUNDING_S
        return self._finished([one if kept else one[:0] for one in self._open[length_s]])

    def _finished(self, sums: list[np.ndarray]) -> np.ndarray:
        count, *rest = sums
        found = [rest.pop(0)] if "max" in self.parts else []
        if "mean" in self.parts:
            mean = rest[0] / count
            found.append(mean)
            if "std" in self.parts:
                found.append(np.sqrt(np.maximum(rest[1] / count - mean**2, SMALLEST_VARIANCE)))
        return np.concatenate(found, axis=1).astype(np.float32)


def label(length_s: Length) -> str:
    """ "10s" or "whole"."""
    return "whole" if length_s is None else f"{length_s:g}s"
