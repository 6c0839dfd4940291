"""SeqSim: how alike two utterances are, frame by frame, whatever the order of the frames.

With unit frames x of X (T1, D) and y of Y (T2, D)

    Re = mean over x of max over y of x·y                (1)
    Pr = mean over y of max over x of x·y                (2)
    SeqSim = 2 Pr Re / (Pr + Re)                         (3)

Source: Ma et al. 2025, "Cross-lingual transfer learning for speech translation": BERTScore over encoder frames.
Where Pr + Re <= 0 a harmonic mean says nothing; SeqSim then is the arithmetic mean, in [-1, 0], so that what is less
alike still scores lower. Where one of the two is negative and the sum just above 0, equation 3 holds as it stands and
can fall far below -1.

Dimensions: N and M utterances, T frames of one, D channels.
"""

from collections.abc import Sequence

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.retrieval.products import Float32, Products, Torch
from hf_dialects.retrieval.quantised import Int8
from hf_dialects.retrieval.sequences import Sequences
from hf_dialects.retrieval.tiles import panels

PRECISIONS = ("float32", "int8")


def seqsim(x, y) -> float:
    """SeqSim of frames (T1, D) and (T2, D).

    >>> import numpy as np
    >>> east, north = [1.0, 0.0], [0.0, 1.0]
    >>> seqsim(np.array([east, north, north]), np.array([north, east]))  # the same frames, in another order
    1.0
    >>> round(seqsim(np.array([east, north]), np.array([east])), 3)  # Re = 1/2, Pr = 1
    0.667

    Raises:
        DialectError: as `seqsim_matrix`.
    """
    return float(seqsim_matrix([x], [y])[0, 0])


def seqsim_matrix(
    xs: Sequence,
    ys: Sequence | None = None,
    precision: str = "float32",
    symmetric: bool = False,
    device: str = "cpu",
    progress: bool = False,
) -> np.ndarray:
    """SeqSim of all pairs, (N, M) float32.

    Besides the result some 2^15 frames are in memory at a time (128 MB for D = 1024), or the longest utterance: memory
    maps may be larger than the memory.

    Args:
        xs: N arrays (T, D) without padding, T as it comes: lists, arrays, memory maps, tensors.
        ys: M arrays (T, D); None = xs.
        precision: "float32", or "int8": some three times faster where the processor has VNNI. Pr and Re are off by
            less than 0.001 as a rule, and by some 0.02 at most (see `Int8.largest_error`); `search` makes exact
            rankings of it.
        symmetric: ys are xs; half of the matrix is computed.
        device: "cpu", or what torch calls another device, such as "cuda".
        progress: show a bar.

    Raises:
        DialectError: sequences that are not (T, D) with T > 0 and one D; NaN, infinite values or frames of zeros; an
            unknown precision; int8 on another device.
    """
    symmetric = symmetric or ys is None
    rows = Sequences("xs", xs)
    columns = rows if symmetric else Sequences("ys", ys, rows.size)
    if symmetric and ys is not None and len(ys) != len(xs):
        raise DialectError(f"symmetric is on, but there are {len(xs)} xs and {len(ys)} ys; leave ys out")
    products = products_of(precision, rows.size, device)
    scores = np.empty((len(rows), len(columns)), dtype=np.float32)
    for start, stop, values in panels(rows, columns, products, seqsim_of, symmetric=symmetric, progress=progress):
        scores[start:stop] = values[0]
    if symmetric:
        scores = np.triu(scores) + np.triu(scores, 1).T
    return scores[np.ix_(rows.number, columns.number)]


def harmonic_mean(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Equation 3, elementwise, float64."""
    total = precision + recall
    return np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), total / 2)


def products_of(precision: str, size: int, device: str = "cpu") -> Products:
    """How products of frames of `size` channels are taken.

    Raises:
        DialectError: an unknown precision, or int8 elsewhere than on the CPU.
    """
    if precision not in PRECISIONS:
        raise DialectError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if device != "cpu":
        if precision != "float32":
            raise DialectError(f"precision {precision!r} is for the CPU; on {device} take float32")
        return Torch(device)
    return Float32() if precision == "float32" else Int8(size)


def seqsim_of(x, y, precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """For `panels`: SeqSim (1, n, m)."""
    return harmonic_mean(precision, recall)[None]
