"""The ABX test: exact counts over all triples, from a sort of every X's distances."""

from hf_dialects.abx.counts import Counter
from hf_dialects.abx.distances import checked_device, checked_vectors
from hf_dialects.abx.result import ABXResult
from hf_dialects.abx.task import Task


def abx(
    vectors,
    attributes,
    on: str,
    by=(),
    across=(),
    differ=(),
    min_gap_s: float = 0.0,
    distance: str = "cosine",
    weighted: bool = False,
    device: str = "cpu",
    max_memory_bytes: int = 2**30,
) -> ABXResult:
    """How often is X nearer to A, which shares its value of ON, than to B, which does not.

    All triples are counted exactly, ties one half, in O(n² log n) time for the n items that share BY and O(n²) memory,
    block by block above `max_memory_bytes`. Distances are computed in float64 and count as equal if they are within
    about 2^-35 of the largest possible one, so that ties hold whatever the order of summation.

    Source: Schatz et al. 2013, "Evaluating speech features with the minimal-pair ABX task" (ON, BY, ACROSS); pooled
    snippets as in arXiv:2402.05581.

    Args:
        vectors: (N, D), one per item; or N arrays (T, D) of frames, compared by dynamic time warping (see `dtw`).
            numpy or torch. Finite; no zeros for "cosine" and "angular".
        attributes: DataFrame or dict of N values each, without missing ones.
        on: the attribute that is tested.
        by: attributes that A, B and X share, such as the sentence.
        across: attributes that A and B share while X has another value, for attributes that are crossed with ON.
        differ: attributes in which A, B and X have three different values, for attributes that are nested in ON: the
            speaker of a dialect, the recording of a condition.
        min_gap_s: seconds that A and B, where they come from the recording of X, lie away from it at least, end to
            start; 0 = no condition. Reads the attributes recording, start_s and end_s.
        distance: "cosine", "angular" (for pooled vectors in the order of "cosine", so with the same score) or
            "euclidean".
        weighted: mean over all triples instead of over cells, then pairs of values.
        device: of pooled vectors: "cuda" computes and sorts distances on a GPU (torch, float64) with the same counts;
            without one a warning is given and the processor does it.
        max_memory_bytes: bound on what is held at a time beside the vectors.

    Raises:
        DialectError: vectors or attributes that do not fit, are missing, not finite or without direction; no triple at
            all (for an attribute of ACROSS that is nested in ON the message names `differ`); distances between
            sequences that exceed the memory.

    Four snippets of two dialects by their direction in degrees. Of the 8 triples 6 are right: the snippet at 50 is
    nearer to both of the other dialect, 90 and 80, than to its own, 0.

    >>> import numpy as np
    >>> degrees = np.radians([0, 50, 90, 80])
    >>> vectors = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    >>> attributes = {"dialect": ["north", "north", "south", "south"], "speaker": ["a", "b", "c", "d"]}
    >>> result = abx(vectors, attributes, on="dialect", differ="speaker")
    >>> result
    ABX score 0.750, error rate 0.250 (2 pairs, 2 cells, 8 triples)
    >>> result.pairs[["on_a", "on_b", "score", "triples"]]
        on_a   on_b  score  triples
    0  north  south    0.5        4
    1  south  north    1.0        4

    No speaker has two dialects, so A and B never share one:

    >>> abx(vectors, attributes, on="dialect", across="speaker")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    hf_dialects.errors.DialectError: no triple: every speaker has a single dialect, ... use differ=('speaker',), ...
    """
    vectors, device = checked_vectors(vectors, distance), checked_device(device)
    task = Task(attributes, len(vectors), on, by, across, differ, min_gap_s)
    return ABXResult(Counter(task, vectors, distance, device, max_memory_bytes), weighted)
