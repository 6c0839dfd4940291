"""Dynamic time warping of frame sequences, without padding.

The distance of two sequences is the sum of frame distances along the cheapest path (steps: one frame on in either
sequence or in both) over the number of pairs of frames on the path; of equally cheap paths the shortest is taken, so
that the distance is symmetric.

Frame distances are integers of at most 31 bits and a path is one integer, its sum above its length: the smaller of two
is the better path, and sums and ties are exact. Products of frames are taken in float32 where the frames are float32
(distances then are rounded to 2^-20 of the largest possible one), else and for Euclidean distances in float64 (2^-30).

Dimensions: n sequences, T frames of one, D channels.
"""

import math
from itertools import pairwise

import numpy as np
from numba import njit

from hf_dialects.abx.distances import Repeats, centred, sorted_keys, unit_rows
from hf_dialects.errors import DialectError
from hf_dialects.threads import in_threads

LENGTH_BITS = 16
LENGTH_MASK = (1 << LENGTH_BITS) - 1
LONGEST = 4096  # frames of a sequence, for the memory of all frame distances of a pair
TILE = 512  # frames on each side of a block of frame distances, or one sequence if it is longer
SQUARE_STEPS = 2.0**36  # of squared distances, rounded before the root is taken: equal frames are at distance 0


class SequenceDistances:
    """Distances between the frame sequences of a context, all computed at once and kept.

    Args:
        sequences: n arrays (T, D), checked.
        distance: between frames.
        needed: (n, n) bool, the pairs that are looked at, in either order.
    """

    def __init__(self, sequences: list[np.ndarray], distance: str, needed: np.ndarray):
        kept, place = np.unique(Repeats(sequences).first, return_inverse=True)
        wanted = np.zeros((len(kept), len(kept)), dtype=bool)
        wanted[tuple(place[numbers] for numbers in np.nonzero(needed))] = True
        unlike = dtw_distances([sequences[number] for number in kept], distance, wanted)
        self.distances = unlike[np.ix_(place, place)]
        largest = self.distances.max(initial=0.0)
        if largest > 1:
            self.distances /= 2.0 ** math.ceil(math.log2(largest))  # exact, so that ties stay ties

    def keys(self, start: int, stop: int, allowed: np.ndarray) -> np.ndarray:
        """As `PooledDistances.keys`."""
        return sorted_keys(self.distances[start:stop].copy(), allowed)


def dtw(x: np.ndarray, y: np.ndarray, distance: str = "cosine") -> float:
    """Distance of two sequences (T, D) and (T', D) after warping.

    >>> import numpy as np
    >>> east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    >>> dtw(np.stack([east, north]), np.stack([east, east, north]))  # warped onto each other
    0.0
    >>> dtw(np.stack([east, north]), np.stack([east]))  # a path of two pairs, 0 and 1 apart
    0.5
    """
    return float(dtw_distances([x, y], distance, np.array([[False, True], [False, False]]))[0, 1])


def dtw_distances(sequences: list[np.ndarray], distance: str, needed: np.ndarray | None = None) -> np.ndarray:
    """(n, n) float64 distances between all sequences; zero where a pair is not needed.

    Args:
        sequences: n arrays (T, D), finite, for angles without a frame of zeros.
        distance: between frames: "cosine" (1 - cosine), "angular" (the angle over pi) or "euclidean".
        needed: (n, n) bool, a pair is computed if it is needed in either order; None = all.

    Raises:
        DialectError: a sequence of more than 4096 frames.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    if lengths.max() > LONGEST:
        raise DialectError(
            f"sequence {lengths.argmax()} has {lengths.max()} frames; at most {LONGEST} can be warped: cut snippets"
        )
    n = len(sequences)
    needed = np.ones((n, n), dtype=bool) if needed is None else needed | needed.T
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    frames, scale = _prepared(np.concatenate(sequences), distance)
    tiles = list(pairwise(_tile_bounds(lengths)))
    found = np.zeros((n, n))

    def compute(pair: tuple) -> None:
        (a, b), (c, d) = pair
        wanted = needed[a:b, c:d]
        if (a, b) == (c, d):
            wanted = np.triu(wanted)
        if wanted.any():
            costs, steps = _frame_costs(frames[offsets[a] : offsets[b]], frames[offsets[c] : offsets[d]], distance)
            warped = np.zeros(wanted.shape)
            _warp(costs, offsets[a : b + 1] - offsets[a], offsets[c : d + 1] - offsets[c], wanted, warped)
            found[a:b, c:d] = warped * (scale / steps)

    in_threads(compute, [(one, other) for i, one in enumerate(tiles) for other in tiles[i:]])
    return np.triu(found) + np.triu(found, 1).T


def _tile_bounds(lengths: np.ndarray) -> list[int]:
    """Cuts (k + 1) of consecutive sequences into tiles of at most `TILE` frames, or of one sequence."""
    bounds, total = [0], 0
    for number, length in enumerate(lengths):
        if total and total + length > TILE:
            bounds.append(number)
            total = 0
        total += length
    return [*bounds, len(lengths)]


def _prepared(frames: np.ndarray, distance: str) -> tuple[np.ndarray, float]:
    """Frames whose distances lie in [0, 1], and what these are multiplied with in the end."""
    if distance == "euclidean":
        return centred(frames)
    units = unit_rows(frames)
    return units.astype(frames.dtype, copy=False), 2.0 if distance == "cosine" else 1.0


def _frame_costs(x: np.ndarray, y: np.ndarray, distance: str) -> tuple[np.ndarray, float]:
    """Distances (T, T') int32 between frames, in steps, and how many steps make up 1."""
    steps = 2.0**20 if x.dtype == np.float32 else 2.0**30
    costs = x @ y.T
    if distance == "euclidean":
        costs *= -2
        costs += (x**2).sum(axis=1, keepdims=True)
        costs += (y**2).sum(axis=1)
        _round(costs, SQUARE_STEPS)
        np.sqrt(costs, out=costs)
    else:
        costs -= 1
        costs *= -0.5  # half the cosine distance
        if distance == "angular":
            _round(costs, steps)
            costs = np.arccos(1 - 2 * costs) / np.pi
    costs *= steps
    np.rint(costs, out=costs)
    return np.clip(costs, 0, steps).astype(np.int32), steps


def _round(values: np.ndarray, steps: float) -> None:
    """Round to multiples of 1 / steps within [0, 1], in place."""
    values *= steps
    np.rint(values, out=values)
    values /= steps
    np.clip(values, 0, 1, out=values)


@njit(nogil=True, cache=True)
def _warp(costs, x_offsets, y_offsets, wanted, warped):
    """Mean cost along the best path for the wanted pairs of a block of frame costs.

    costs (ΣT, ΣT') int32, offsets (p + 1,) and (q + 1,) int64, wanted (p, q) bool, warped (p, q) float64, written.
    """
    longest = 0
    for j in range(len(y_offsets) - 1):
        longest = max(longest, y_offsets[j + 1] - y_offsets[j])
    best = np.empty(longest, dtype=np.int64)  # of paths to the frames of y in the current row
    for i in range(wanted.shape[0]):
        for j in range(wanted.shape[1]):
            if wanted[i, j]:
                first, last = y_offsets[j], y_offsets[j + 1]
                path = np.int64(0)
                for column in range(last - first):
                    path += (np.int64(costs[x_offsets[i], first + column]) << LENGTH_BITS) + 1
                    best[column] = path
                for row in range(x_offsets[i] + 1, x_offsets[i + 1]):
                    diagonal = best[0]
                    left = diagonal + (np.int64(costs[row, first]) << LENGTH_BITS) + 1
                    best[0] = left
                    for column in range(1, last - first):
                        above = best[column]
                        # what does not wait for the neighbour on the left comes first
                        nearest = min(diagonal, above)
                        step = (np.int64(costs[row, first + column]) << LENGTH_BITS) + 1
                        left = min(nearest, left) + step
                        best[column] = left
                        diagonal = above
                path = best[last - first - 1]
                warped[i, j] = (path >> LENGTH_BITS) / (path & LENGTH_MASK)
