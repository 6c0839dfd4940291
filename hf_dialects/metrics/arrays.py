"""Checks of the arrays that metrics take: numpy arrays, lists, or torch tensors on any device."""

import numpy as np

from hf_dialects.errors import DialectError

_SUM_TOLERANCE = 1e-2  # a softmax in bfloat16 over 20 classes is off by up to 4e-3


def as_numpy(values) -> np.ndarray:
    """Array of `values`; a tensor is detached, moved to the CPU and, if floating, widened (numpy has no bfloat16)."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


def as_labels(name: str, values, n_classes: int | None = None) -> np.ndarray:
    """Class numbers (N,) int64 in [0, n_classes), N > 0; `name` is what the error calls them."""
    labels = as_numpy(values)
    if labels.ndim != 1:
        raise DialectError(f"{name} has shape {labels.shape}; expected one class number per row, shape (N,)")
    if len(labels) == 0:
        raise DialectError(f"{name} is empty; a metric needs at least one row")
    if labels.dtype.kind not in "iu":
        raise DialectError(f"{name} holds {labels.dtype} values; expected integers, the numbers of the classes")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        allowed = "0 or more" if n_classes is None else f"0 to {n_classes - 1} ({n_classes} classes)"
        wrong = low if low < 0 else high
        raise DialectError(f"{name} holds the class number {wrong}; expected {allowed}. Leave out rows without a label")
    return labels.astype(np.int64)


def as_probabilities(values) -> np.ndarray:
    """Probabilities (N, C) float64: finite, in [0, 1], each row summing to one within 0.01."""
    probabilities = as_numpy(values)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise DialectError(f"probabilities have shape {probabilities.shape}; expected (N, C) with N and C above zero")
    probabilities = probabilities.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(bad):
        raise DialectError(
            f"probabilities hold NaN or infinite values in {len(bad)} of {len(probabilities)} rows, first in row "
            f"{bad[0]}; leave such rows out and count them"
        )
    low, high = probabilities.min(), probabilities.max()
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if low < 0 or high > 1 + _SUM_TOLERANCE or abs(worst - 1) > _SUM_TOLERANCE:
        raise DialectError(
            f"probabilities lie in [{low:.4g}, {high:.4g}] and a row sums to {worst:.4g}; "
            "expected values in [0, 1] with rows summing to 1. If these are logits, apply a softmax first"
        )
    return probabilities


def labelled_probabilities(probabilities, labels) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) float64 and the gold class of each row (N,) int64, both checked."""
    probabilities = as_probabilities(probabilities)
    labels = as_labels("labels", labels, probabilities.shape[1])
    check_same_length(probabilities=probabilities, labels=labels)
    return probabilities, labels


def as_weights(values, n: int) -> np.ndarray:
    """Row weights (n,) float64, finite, not negative, not all zero; ones for None."""
    if values is None:
        return np.ones(n)
    weights = as_numpy(values).astype(np.float64)
    if weights.shape != (n,):
        raise DialectError(f"weights have shape {weights.shape}; expected one weight for each of the {n} rows")
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise DialectError("weights hold negative, NaN or infinite values; expected finite values of zero or more")
    if weights.sum() == 0:
        raise DialectError(f"all {n} weights are zero; at least one row must count")
    return weights


def as_codes(name: str, values, n: int) -> np.ndarray:
    """Numbers (n,) from zero of the distinct values of a grouping column; None, NaN and "" are errors."""
    column = as_numpy(values)
    if column.shape != (n,):
        raise DialectError(f"{name} has shape {column.shape}; expected one value for each of the {n} rows")
    if column.dtype.kind in "OUS":
        missing = np.array([value is None or value == "" or value != value for value in column.tolist()])
        column = column.astype(str)
    else:
        missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(n, dtype=bool)
    if missing.any():
        raise DialectError(
            f"{name} is missing in {missing.sum()} of {n} rows, first in row {missing.argmax()}; such rows cannot be "
            "resampled: leave them out or group by another column"
        )
    return np.unique(column, return_inverse=True)[1]


def check_same_length(**arrays: np.ndarray) -> None:
    """Raise unless all `arrays` have equally many rows."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DialectError(f"{found} rows; expected as many in each, one per example")
