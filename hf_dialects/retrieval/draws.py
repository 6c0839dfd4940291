"""Intervals of a mean over ordered pairs of sites: sites and sentences are drawn anew, targets stay what they are.

A query weighs the product of the multiplicities of its site, of the target's site and of its sentence. Sites are drawn
within their group; a pair of a site with a copy of itself does not exist, so of two sites alone both always stay and
only sentences are drawn. Targets are not drawn: a second copy of one would tie with the first.

Dimensions: Q queries, S sites, P ordered pairs of them, I sentences, d draws.
"""

import numpy as np
from scipy import sparse

from hf_dialects.metrics.intervals import Interval, expanded_tail, interval_ends
from hf_dialects.metrics.resampling import Resampling

CHUNK = 2**22  # values of pairs held at a time


def mean_over_pairs(source: np.ndarray, target: np.ndarray, values: np.ndarray) -> float:
    """Mean over ordered pairs of sites of the mean over their queries (Q,)."""
    pair = np.unique(np.stack([source, target]), axis=1, return_inverse=True)[1]
    return float(np.mean(np.bincount(pair, values) / np.bincount(pair)))


def interval_over_pairs(
    source: np.ndarray,
    target: np.ndarray,
    sentence: np.ndarray,
    values: np.ndarray,
    group_of_site: np.ndarray,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    places: str = "sites",
) -> Interval:
    """Interval of `mean_over_pairs`, with the number of sites; ends as those of `bootstrap_interval`.

    Args:
        source, target, sentence: (Q,) numbers.
        values: (Q,) credit of each query.
        group_of_site: (S,) number of each site's group.
        places: what a warning of few sites calls them.
    """
    pairs, pair = np.unique(np.stack([source, target]), axis=1, return_inverse=True)
    sites, sentences = np.unique(pairs), np.unique(sentence)
    drawn = np.repeat(sites, len(sentences))
    resampling = Resampling(drawn, np.tile(sentences, len(sites)), group_of_site[drawn], len(drawn))
    of_source, of_target = np.searchsorted(sites, pairs)
    cell = pair, np.searchsorted(sentences, sentence)
    shape = pairs.shape[1], len(sentences)
    counts, totals = (sparse.csr_array((data, cell), shape) for data in (np.ones(len(values)), values))  # (P, I)
    random = np.random.default_rng(seed)
    sites_vary = len(sites) > 2
    draws, step = [], max(1, CHUNK // shape[0])
    for start in range(0, n, step):
        d = min(step, n - start)
        site_weight = resampling.groups.multiplicities(d, random)  # (S, d)
        if not sites_vary:
            site_weight = np.ones_like(site_weight)
        sentence_weight = resampling.crossed.multiplicities(d, random)  # (I, d)
        queries = counts @ sentence_weight  # (P, d)
        weight = site_weight[of_source] * site_weight[of_target] * (queries > 0)
        draws.append(ratio((weight * ratio(totals @ sentence_weight, queries, 0.0)).sum(0), weight.sum(0)))
    draws = np.concatenate(draws)
    valid = draws[~np.isnan(draws)]
    value = mean_over_pairs(source, target, values)
    # a single site, or a single sentence, does not vary: the other one says how far the ends go
    factors = (resampling.groups, resampling.crossed) if sites_vary else (resampling.crossed,)
    freedom = [factor.degrees_of_freedom for factor in factors]
    tail = expanded_tail((1 - level) / 2, min([one for one in freedom if one > 0], default=0))
    low, high = interval_ends(valid, value, tail)
    empty = f"{n - len(valid)} of {n} draws were empty" if len(valid) < n else None
    few = f"2 {places}: the interval is over sentences alone"
    if sites_vary:
        few = resampling.few_groups_warning(places)
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        n=len(values),
        n_groups=len(sites),
        groups_per_class=resampling.groups.groups_per_class,
        warning="; ".join(filter(None, [few, empty])) or None,
    )


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """numerator / denominator, `otherwise` where that is zero."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0)
