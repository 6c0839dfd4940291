"""Regions of a data map: easy, ambiguous and hard recordings."""

import warnings
from collections.abc import Sequence

import numpy as np

from hf_dialects.errors import RecipeError

EASY, AMBIGUOUS, HARD = REGIONS = ("easy", "ambiguous", "hard")


def regions(
    confidence: np.ndarray,
    variability: np.ndarray,
    ids: Sequence[str],
    by: str = "thresholds",
    easy: tuple[float, float] = (0.6, 0.3),
    hard: tuple[float, float] = (0.3, 0.2),
    smallest: float = 0.02,
) -> np.ndarray:
    """The region of every recording.

    Source: Swayamdipta et al. 2020 (arXiv:2009.10795) name the regions; thresholds as in the released code of
    Map-Mix (Rajaa et al. 2023, arXiv:2302.08229).

    Args:
        confidence, variability: (N,).
        ids: N ids, which order equal values.
        by: "thresholds": easy where confidence > easy[0] and variability < easy[1], hard where confidence < hard[0] and
            variability < hard[1], else ambiguous. "quantiles": the third with the highest variability is ambiguous, of
            the others the half with the higher confidence easy, the rest hard.
        smallest: thresholds that leave a region less than this share of the recordings, or fewer than two, are given
            up for quantiles, with a warning.

    Returns:
        (N,) of "easy", "ambiguous" and "hard".

    Raises:
        RecipeError: another `by`.
    """
    if by not in ("thresholds", "quantiles"):
        raise RecipeError(f"regions are made by thresholds or quantiles, not by {by!r}")
    if by == "thresholds":
        found = np.full(len(confidence), AMBIGUOUS)
        found[(confidence > easy[0]) & (variability < easy[1])] = EASY
        found[(confidence < hard[0]) & (variability < hard[1])] = HARD
        counts = {region: int((found == region).sum()) for region in REGIONS}
        if min(counts.values()) >= max(2, smallest * len(found)):
            return found
        listed = ", ".join(f"{count} {region}" for region, count in counts.items())
        warnings.warn(
            f"the thresholds of the data map leave a region too small ({listed} of {len(found)} recordings); "
            "regions are made by quantiles instead",
            stacklevel=3,
        )
    names = np.array(ids, dtype=str)
    by_variability = np.lexsort((names, -variability))
    ambiguous, rest = np.split(by_variability, [round(len(names) / 3)])
    rest = rest[np.lexsort((names[rest], -confidence[rest]))]
    found = np.full(len(names), HARD, dtype="<U9")
    found[ambiguous] = AMBIGUOUS
    found[rest[: (len(rest) + 1) // 2]] = EASY
    return found
