"""How well embeddings keep dialects apart, in their own space: silhouette, and neighbours among other speakers.

Dimensions: N clips, P size of an embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 10


@dataclass(frozen=True)
class Separation:
    """How well embeddings keep the values of a property apart.

    Attributes:
        silhouette: mean over clips of (b - a) / max(a, b), with a the mean distance to the clips of the same value and
            b that to those of the nearest other value (Rousseeuw 1987): -1 to 1; None with one value, or as many
            as clips.
        purity: share of the nearest clips *of other speakers* that have the same value; None where no two speakers
            share one, as for the speaker itself.
        chance: that share if neighbours were drawn from the same clips at random.
    """

    silhouette: float | None
    purity: float | None
    chance: float | None


def standardised(vectors: np.ndarray) -> np.ndarray:
    """(N, P) float64 with mean 0 and variance 1 in every dimension that varies; distances are taken between these."""
    vectors = np.asarray(vectors, dtype=np.float64)
    deviation = vectors.std(0)
    return (vectors - vectors.mean(0)) / np.where(deviation > 1e-12, deviation, 1)


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
    """(purity, chance) of `Separation`, the means over the rows of `purity_of_rows`."""
    purities, chances = purity_of_rows(distances, values, speakers, k)
    if not np.nansum(chances) > 0:
        return None, None
    return float(np.nanmean(purities)), float(np.nanmean(chances))


def purity_of_rows(
    distances: np.ndarray, values: np.ndarray, speakers: np.ndarray, k: int = NEIGHBOURS
) -> tuple[np.ndarray, np.ndarray]:
    """Purity and chance of every clip, (N,) float64 each, NaN where there is no other speaker.

    Of equally distant clips the earlier one is taken.

    Args:
        distances: (N, N).
        values, speakers: (N,) int.
        k: neighbours of a clip; all clips of other speakers where there are fewer.
    """
    purities, chances = np.full((2, len(values)), np.nan)
    for row in range(len(values)):
        others = np.flatnonzero(speakers != speakers[row])
        if not len(others):
            continue
        same = values[others] == values[row]
        nearest = np.argsort(distances[row, others], kind="stable")[:k]
        purities[row], chances[row] = same[nearest].mean(), same.mean()
    return purities, chances


def _silhouette(distances: np.ndarray, values: np.ndarray) -> float | None:
    from sklearn.metrics import silhouette_score

    n_values = len(np.unique(values))
    if not 2 <= n_values < len(values):
        return None
    return float(silhouette_score(distances, values, metric="precomputed"))


def _voice(speaker, row: int) -> str:
    return f"#{row}" if speaker is None else f"={speaker}"
