"""Where clips lie before and after training: t-SNE for the eye, silhouette and neighbours as numbers.

Dimensions: N clips, P size of an embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dialects.data.randomness import generator

NEIGHBOURS = 10
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Separation:
    """How well embeddings keep the values of a property apart.

    Attributes:
        silhouette: mean over clips of (b - a) / max(a, b), with a the mean distance to the clips of the same value and
            b that to those of the nearest other value (Rousseeuw 1987): -1 to 1; None with one value, or as many
            as clips.
        purity: share of the nearest clips *of other speakers* that have the same value; None without such clips.
        chance: that share if neighbours were drawn from the same clips at random.
    """

    silhouette: float | None
    purity: float | None
    chance: float | None


def sample(ids: Sequence[str], most: int, seed: int = 0) -> np.ndarray:
    """Sorted positions of at most `most` ids, drawn by `seed` and the ids themselves, whatever their order."""
    if len(ids) <= most:
        return np.arange(len(ids))
    drawn = np.array([generator(seed, 0, id, "report").random() for id in ids])
    return np.sort(np.argsort(drawn, kind="stable")[:most])


def standardised(vectors: np.ndarray) -> np.ndarray:
    """(N, P) float64 with mean 0 and variance 1 in every dimension that varies; distances are taken between these."""
    vectors = np.asarray(vectors, dtype=np.float64)
    deviation = vectors.std(0)
    return (vectors - vectors.mean(0)) / np.where(deviation > 1e-12, deviation, 1)


def tsne(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, 2) by t-SNE (van der Maaten and Hinton 2008) from the first principal components; needs N ≥ 4.

    Which clips are near each other can be read off it; sizes of groups and distances between them cannot.
    """
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    start = "pca" if min(vectors.shape) > 1 else "random"
    return TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(vectors.astype(np.float32))


def separation(vectors: np.ndarray, properties: Mapping[str, Sequence], speakers: Sequence) -> dict[str, Separation]:
    """What `Separation` says, for every property.

    Args:
        vectors: (N, P), standardised.
        properties: name → N values; None = unknown, such clips are left out.
        speakers: N values; a clip whose speaker is None counts as a speaker of its own.
    """
    from scipy.spatial.distance import cdist

    distances = cdist(vectors, vectors)
    found = {}
    for name, values in properties.items():
        kept = np.flatnonzero([value is not None for value in values])
        codes = np.unique([str(values[row]) for row in kept], return_inverse=True)[1]
        voices = np.unique([_voice(speakers[row], row) for row in kept], return_inverse=True)[1]
        between = distances[np.ix_(kept, kept)]
        found[name] = Separation(_silhouette(between, codes), *neighbour_purity(between, codes, voices))
    return found


def neighbour_purity(
    distances: np.ndarray, values: np.ndarray, speakers: np.ndarray, k: int = NEIGHBOURS
) -> tuple[float | None, float | None]:
    """(purity, chance) of `Separation`; of equally distant clips the earlier one is taken.

    Args:
        distances: (N, N).
        values, speakers: (N,) int.
        k: neighbours of a clip; all clips of other speakers where there are fewer.
    """
    purities, chances = [], []
    for row in range(len(values)):
        others = np.flatnonzero(speakers != speakers[row])
        if not len(others):
            continue
        same = values[others] == values[row]
        nearest = np.argsort(distances[row, others], kind="stable")[:k]
        purities.append(same[nearest].mean())
        chances.append(same.mean())
    return (float(np.mean(purities)), float(np.mean(chances))) if purities else (None, None)


def _silhouette(distances: np.ndarray, values: np.ndarray) -> float | None:
    from sklearn.metrics import silhouette_score

    n_values = len(np.unique(values))
    if not 2 <= n_values < len(values):
        return None
    return float(silhouette_score(distances, values, metric="precomputed"))


def _voice(speaker, row: int) -> str:
    return f"#{row}" if speaker is None else f"={speaker}"
