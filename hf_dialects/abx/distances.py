"""Distances between pooled vectors, as integers that can be sorted together with the items they belong to.

Distances are taken in float64 and rounded to multiples of 2^-35, far above the rounding errors of a matrix product and
far below what float32 vectors can tell apart: distances that are mathematically equal then are equal, whatever the
size of a block and the order of summation, and a tie is a tie.

Dimensions: n items of a context, r rows that are X in turn, D size of a vector.
"""

import warnings
from hashlib import blake2b

import numpy as np

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy

DISTANCES = ("cosine", "angular", "euclidean")
ITEM_BITS = 26
ITEM_MASK = (1 << ITEM_BITS) - 1
STEPS = 2.0**36  # of distances scaled to [0, 1]; with the bits of the item below 2^63
NEVER = np.iinfo(np.int64).max  # key of an item that may not stand beside this X


class PooledDistances:
    """Distances between the vectors of a context, computed for some rows at a time.

    Only their order matters: angular distances are in the order of cosine ones, Euclidean ones in that of their
    squares.

    Args:
        vectors: (n, D), finite, not zero for cosine.
        distance: one of `DISTANCES`.
        device: "cpu" computes with numpy, others with torch on that device.
    """

    def __init__(self, vectors: np.ndarray, distance: str, device: str = "cpu"):
        self.repeats = Repeats(vectors)
        prepared = centred(vectors)[0] if distance == "euclidean" else unit_rows(vectors)
        self.squares = (prepared**2).sum(1) if distance == "euclidean" else None
        self.torch_device = None if device == "cpu" else device
        self.vectors = self._on_device(prepared)

    def keys(self, start: int, stop: int, allowed: np.ndarray) -> np.ndarray:
        """(r, n) int64: every row's items from nearest to farthest, rounded distance above the bits of the item.

        Args:
            allowed: (r, n) bool; other items become `NEVER`, at the end.
        """
        rows = self._rows(start, stop)
        if self.repeats.any:
            rows = rows[:, self._on_device(self.repeats.first)]
        return sorted_keys(rows, allowed) if self.torch_device is None else self._sorted_on_device(rows, allowed)

    def _rows(self, start: int, stop: int):
        """(r, n) float64 in [0, 1], in the order of the distances; an array or a tensor."""
        products = self.vectors[start:stop] @ self.vectors.T
        if self.squares is None:
            products -= 1
            products *= -0.5
            return products
        squares = self._on_device(self.squares)
        products *= -2
        products += squares
        products += squares[start:stop, None]
        return products

    def _on_device(self, array: np.ndarray):
        if self.torch_device is None:
            return array
        import torch

        return torch.from_numpy(array).to(self.torch_device)

    def _sorted_on_device(self, rows, allowed: np.ndarray) -> np.ndarray:
        """`sorted_keys` in torch."""
        keys = rows.mul_(STEPS).round_().clamp_(0, STEPS).long()
        keys = (keys << ITEM_BITS) | self._on_device(np.arange(keys.shape[1]))
        keys.masked_fill_(~self._on_device(allowed), int(NEVER))
        return keys.sort(dim=1).values.cpu().numpy()


class Repeats:
    """Items that are equal to an earlier one: they take its distances, so that ties with it are exact.

    Attributes:
        first: (n,) int64, the first item that equals each one.
    """

    def __init__(self, items: np.ndarray | list[np.ndarray]):
        self.first = np.arange(len(items))
        # equal items have equal sums of values: only those whose sum occurs again are looked at in full
        if isinstance(items, list):
            sums = np.array([np.ascontiguousarray(item).sum() for item in items])
        else:
            sums = items.sum(axis=1)
        _, group, counts = np.unique(sums, return_inverse=True, return_counts=True)
        seen: dict[tuple, int] = {}
        for number in np.flatnonzero(counts[group] > 1):
            item = items[number]
            self.first[number] = seen.setdefault((item.shape, _digest(item)), number)
        self.any = bool((self.first != np.arange(len(items))).any())


def _digest(item: np.ndarray) -> bytes:
    return blake2b(np.ascontiguousarray(item + 0.0).data, digest_size=16).digest()  # -0.0 + 0.0 is 0.0


def sorted_keys(rows: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Sorted keys (r, n) of distances (r, n) in [0, 1], which are overwritten."""
    rows *= STEPS
    np.rint(rows, out=rows)
    np.clip(rows, 0, STEPS, out=rows)
    keys = rows.astype(np.int64)
    keys <<= ITEM_BITS
    keys |= np.arange(rows.shape[1])
    keys[~allowed] = NEVER
    keys.sort(axis=1)
    return keys


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows (n, D) float64 of length one; scaled first, so that squares neither overflow nor vanish."""
    scaled = vectors.astype(np.float64)
    scaled /= np.abs(scaled).max(axis=1, keepdims=True)
    scaled /= np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return scaled


def centred(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows (n, D) float64 moved and scaled into a ball of diameter one, where cancellation is least, and the scale.

    Distances between the rows times the scale are those between the rows given.
    """
    vectors = vectors.astype(np.float64)
    largest = np.abs(vectors).max() or 1.0
    vectors = vectors / largest
    vectors -= vectors.mean(axis=0)
    diameter = 2 * np.sqrt((vectors**2).sum(axis=1).max()) or 1.0
    return vectors / diameter, float(diameter * largest)


def checked_vectors(vectors, distance: str) -> np.ndarray | list[np.ndarray]:
    """Pooled vectors (N, D), or a list of N frame sequences (T, D); floating, finite, none zero for angles.

    Raises:
        DialectError: an unknown distance; other shapes; NaN or infinite values; vectors or frames of length zero with
            "cosine" and "angular". Counts are given, and the first items.
    """
    if distance not in DISTANCES:
        raise DialectError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}")
    items = _as_items(vectors)
    pooled = isinstance(items, np.ndarray)
    what = "vectors" if pooled else "sequences"
    finite = np.isfinite(items).all(axis=1) if pooled else np.array([np.isfinite(item).all() for item in items])
    _refuse(~finite, what, "NaN or infinite values", "Leave these items out")
    if distance != "euclidean":
        _refuse(
            ~(items.any(axis=1) if pooled else np.array([item.any(axis=1).all() for item in items])),
            what,
            "a vector of zeros, which has no direction",
            "Leave these items out, or use distance='euclidean'",
        )
    return items


def checked_device(device) -> str:
    """The device, or "cpu" with a warning where a GPU is asked for and there is none.

    Raises:
        DialectError: other devices; float64 is needed.
    """
    device = str(device)
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise DialectError(f"device is {device!r}; expected 'cpu' or 'cuda'")
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            warnings.warn("no CUDA device is available: distances are computed on the processor", stacklevel=3)
            return "cpu"
    return device


def _as_items(vectors) -> np.ndarray | list[np.ndarray]:
    whole = None if isinstance(vectors, (list, tuple)) else as_numpy(vectors)
    if whole is not None and whole.ndim in (2, 3) and whole.dtype != object:
        items = whole if whole.ndim == 2 else list(whole)
        shapes, sizes = {items[0].ndim} if len(items) else set(), {whole.shape[-1]}
    else:
        items = [as_numpy(item) for item in (vectors if whole is None else whole)]
        shapes, sizes = {item.ndim for item in items}, {item.shape[-1] if item.ndim else 0 for item in items}
    if shapes not in ({1}, {2}) or len(sizes) != 1 or not all(item.size for item in items):
        found = ", ".join(sorted({str(item.shape) for item in items})[:5]) or "nothing"
        raise DialectError(
            f"vectors have the shapes {found}; expected (N, D), or N sequences of frames (T, D) with the same D and at "
            "least one frame"
        )
    if len(items) > ITEM_MASK:
        raise DialectError(f"{len(items)} items are too many; at most {ITEM_MASK} can be compared")
    if shapes == {2}:
        return [_floating(item) for item in items]
    return _floating(np.stack(items) if isinstance(items, list) else items)


def _floating(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise DialectError(f"vectors hold {array.dtype} values; expected numbers")
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _refuse(bad: np.ndarray, what: str, found: str, remedy: str) -> None:
    wrong = np.flatnonzero(bad)
    if len(wrong):
        first = ", ".join(str(number) for number in wrong[:10])
        more = ", …" if len(wrong) > 10 else ""
        raise DialectError(f"{len(wrong)} of {len(bad)} {what} hold {found}: items {first}{more}. {remedy}")
