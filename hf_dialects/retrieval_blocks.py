"""Similarities of all pairs of a pool, kept block by block: what lies on disk is not computed again.

Dimensions: N utterances, n of a block, m of it and all that follow.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.disk import whole_file
from hf_dialects.times import told

ROWS = 128  # of a block
SAMPLE = 16  # utterances whose pairs show how long all will take
LONG_S = 20.0  # from which on it is worth telling
KEPT = "the blocks that are there stay"


def all_pairs(
    compute: Callable[[np.ndarray, int], np.ndarray],
    lengths: np.ndarray,
    folder: Path,
    name: str,
    key: Mapping,
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
) -> np.ndarray:
    """(N, N) symmetric.

    Args:
        compute: from the numbers (m,) of utterances and how many of the first ones are rows, n, to values (n, m).
        lengths: (N,) frames of each utterance; the time goes with their products.
        folder: of the blocks.
        name: of what is computed, for files, bar and estimate.
        key: what the values depend on, as JSON takes it; blocks of another key are not taken.
        tell: is told beforehand how long it will take, if that is long.
    """
    n = len(lengths)
    digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    paths = {start: folder / f"{name.replace(' ', '-')}-{digest}-{start}.npy" for start in range(0, n, ROWS)}
    left = [start for start, path in paths.items() if not path.is_file()]
    if tell is not None and left and n > 2 * SAMPLE:
        work = sum(float(lengths[start : start + ROWS].sum()) * lengths[start:].sum() for start in left)
        seconds = work * _seconds_per_product(compute, lengths)
        if seconds > LONG_S:
            table = f"{8 * n * n / 2**20:,.0f} MiB of memory for the table"
            tell(f"{name} of {n:,} utterances: about {told(seconds)}, {table}")
    values = None
    for start, path in tqdm(paths.items(), desc=name, unit="block", disable=not progress):
        stop = min(n, start + ROWS)
        if start in left:
            block = compute(np.arange(start, n), stop - start)
            with whole_file(path, KEPT) as unfinished, unfinished.open("wb") as file:
                np.save(file, block)
        block = np.load(path)
        values = np.empty((n, n), block.dtype) if values is None else values
        values[start:stop, start:], values[start:, start:stop] = block, block.T
    return values


def _seconds_per_product(compute: Callable, lengths: np.ndarray) -> float:
    """Time of a pair of frames, from a sample of the utterances."""
    sample = np.linspace(0, len(lengths) - 1, SAMPLE).astype(int)
    compute(sample, SAMPLE // 2)  # the first time takes longer
    started = perf_counter()
    compute(sample, SAMPLE // 2)
    return (perf_counter() - started) / (float(lengths[sample[: SAMPLE // 2]].sum()) * lengths[sample].sum())
