"""All pairs of two sets of sequences, tile by tile, in threads and in bounded memory.

A tile is a product of frames small enough to stay in the cache until its maxima are taken. A panel of xs is held while
ys pass by, so that loading them costs little.

Dimensions: N and M distinct sequences, n of a panel, V values per pair.
"""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm.auto import tqdm

from hf_dialects.retrieval.products import Products
from hf_dialects.retrieval.sequences import Sequences, cuts
from hf_dialects.threads import in_threads

PANEL_VALUES = 2**25  # pairs of a panel


def panels(
    xs: Sequences,
    ys: Sequences,
    products: Products,
    values_of: Callable,
    n_values: int = 1,
    symmetric: bool = False,
    progress: bool = False,
    part: tuple[int, int] | None = None,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(start, stop, (V, n, M) float32) of consecutive xs.

    Args:
        values_of: from frames of n and m sequences and their precision and recall (n, m) to values (V, n, m).
        symmetric: ys are xs; values below the diagonal are not computed, but NaN or what their tile has.
        progress: show a bar.
        part: first and last of the xs, the last not included; None = all.
    """
    first, last = part or (0, len(xs))
    columns = cuts(ys.lengths, products.columns)
    parts = cuts(xs.lengths[first:last], products.panel, max(1, PANEL_VALUES // len(ys)))
    parts = [(first + start, first + stop) for start, stop in parts]
    bar = tqdm(total=len(parts) * len(columns), desc="SeqSim", unit="tile", disable=not progress)
    with bar:
        for start, stop in parts:
            x = products.operand(xs.load(np.arange(start, stop)))
            rows = cuts(x.lengths, products.rows)
            values = np.full((n_values, stop - start, len(ys)), np.nan, dtype=np.float32)

            def column(bounds: tuple[int, int], start=start, stop=stop, x=x, rows=rows, values=values) -> None:
                left, right = bounds
                wanted = [(top, bottom) for top, bottom in rows if not symmetric or right > start + top]
                y = products.operand(ys.load(np.arange(left, right))) if wanted else None
                for top, bottom in wanted:
                    tile = x.part(top, bottom)
                    values[:, top:bottom, left:right] = values_of(tile, y, *products.precision_recall(tile, y))
                bar.update()

            in_threads(column, columns, products.threads)
            yield start, stop, values
