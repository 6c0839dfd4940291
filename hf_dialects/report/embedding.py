"""Where clips lie before and after training: t-SNE for the eye; `metrics.separation` has the numbers beside it.

Dimensions: N clips, P size of an embedding.
"""

from collections.abc import Sequence

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.metrics.separation import NEIGHBOURS, Separation, neighbour_purity, separation, standardised

__all__ = [
    "NEIGHBOURS",
    "Separation",
    "neighbour_purity",
    "sample",
    "separation",
    "standardised",
    "tsne",
]

PERPLEXITY = 30.0


def sample(ids: Sequence[str], most: int, seed: int = 0) -> np.ndarray:
    """Sorted positions of at most `most` ids, drawn by `seed` and the ids themselves, whatever their order."""
    if len(ids) <= most:
        return np.arange(len(ids))
    drawn = np.array([generator(seed, 0, id, "report").random() for id in ids])
    return np.sort(np.argsort(drawn, kind="stable")[:most])


def tsne(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, 2) by t-SNE (van der Maaten and Hinton 2008) from the first principal components; needs N ≥ 4.

    Which clips are near each other can be read off it; sizes of groups and distances between them cannot.
    """
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    start = "pca" if min(vectors.shape) > 1 else "random"
    return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(vectors.astype(np.float32))
