"""Queries whose right target was not the most similar one, as the page's script takes them.

Dimensions: N utterances.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.retrieval.parallel import Parallel
from hf_dialects.retrieval_source import Found


class Miss(NamedTuple):
    """A query and a site in which another target is at least as similar as the right one.

    Attributes:
        query, retrieved, right: numbers of utterances: what was sought for, the most similar wrong target, and the most
            similar right one.
        scores: SeqSim with these two.
        rank: of the right one, the first place being 1; behind what is equally similar.
        of: targets.
    """

    query: int
    retrieved: int
    right: int
    scores: tuple[float, float]
    rank: int
    of: int


def misses(scores: np.ndarray, parallel: Parallel) -> list[Miss]:
    """All of them, pair of sites by pair of sites.

    Args:
        scores: (N, N).
    """
    found = []
    for pair in parallel.pairs:
        block = scores[np.ix_(pair.queries, pair.targets)]
        wrong, right = np.where(pair.right, -np.inf, block), np.where(pair.right, block, -np.inf)
        best_wrong, best_right = wrong.argmax(axis=1), right.argmax(axis=1)
        for row in np.flatnonzero(wrong.max(axis=1) >= right.max(axis=1)):
            other, own = best_wrong[row], best_right[row]
            rank = 1 + int((wrong[row] >= right[row, own]).sum())
            two = float(wrong[row, other]), float(right[row, own])
            numbers = pair.queries[row], pair.targets[other], pair.targets[own]
            found.append(Miss(*map(int, numbers), two, rank, len(pair.targets)))
    return found


def drawn(found: Sequence[Miss], most: int, seed: int) -> list[Miss]:
    """At most so many, drawn evenly; those that were missed by most come first."""
    if len(found) > most:
        chosen = generator(seed, 0, len(found), "misses").permutation(len(found))[:most]
        found = [found[number] for number in chosen]
    return sorted(found, key=lambda one: (one.scores[1] - one.scores[0], one.query, one.retrieved))


def heard(chosen: Sequence[Miss]) -> list[int]:
    """Numbers of the utterances that are played, in order."""
    return sorted({number for one in chosen for number in (one.query, one.retrieved, one.right)})


def page_data(found: Found, chosen: Sequence[Miss]) -> dict:
    """What the script takes.

    Returns:
        "between", "sites": names; "clips": columns "id", "site" (number), "sentence", "text" and "seconds" (None =
        unknown) of the utterances that are `heard`; "misses": rows of query, retrieved, right (places in these
        columns), score of the retrieved, score of the right one, its rank, targets; "sound": place → key, to be filled.
    """
    attributes, numbers = found.pool.attributes, heard(chosen)
    parallel = found.results[found.shown].parallel
    place = {number: position for position, number in enumerate(numbers)}

    def column(name: str) -> list:
        values = attributes[name].tolist() if name in attributes else [None] * len(attributes)
        return [None if values[number] != values[number] else values[number] for number in numbers]

    clips = {"id": column("id"), "site": parallel.site[numbers].tolist()}
    clips |= {"sentence": [str(one) for one in column(found.question.parallel)], "text": column("text")}
    clips["seconds"] = [None if one is None else round(float(one), 2) for one in column("duration")]
    rows = [
        [*(place[number] for number in one[:3]), *(round(score, 4) for score in one.scores), one.rank, one.of]
        for one in chosen
    ]
    names = [str(name) for name in parallel.sites]
    return {"between": found.question.between, "sites": names, "clips": clips, "misses": rows, "sound": {}}
