"""Which place goes to which split: totals as near their targets as the places allow, with a proof of how near.

G places of R regions with n_g examples each; S splits, the first of which is for training.
"""

from itertools import product

import numpy as np

ATTEMPTS = 20  # random starts of the search before the exact solver is asked
WORK = 300_000  # nodes of the solver's search tree times places; a limit in seconds would hang on the machine
TOLERANCE = 1e-6  # examples


def quotas(n_places: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places (R, S) that each region gives to each split, one at least.

    Every split but training gets its share of all places; what is above one place per region is divided in proportion
    to the shares of the regions, rounded up or down at random such that the sum is kept (systematic sampling).

    Args:
        n_places: (R,) places of each region, each at least S.
        sizes: (S,) shares.
    """
    given = np.ones((len(n_places), len(sizes)), dtype=int)
    for split in range(1, len(sizes)):
        above = np.maximum(sizes[split] * n_places - 1, 0)
        wanted = max(0.0, sizes[split] * n_places.sum() - len(n_places))
        above = above * (wanted / above.sum() if above.sum() > 0 else 0)
        order = rng.permutation(len(n_places))
        marks = np.floor(np.cumsum(above[order]) + rng.uniform())
        given[order, split] += np.diff(marks, prepend=0).astype(int)
        given[:, split] = np.minimum(given[:, split], n_places - given[:, 1:split].sum(1) - (len(sizes) - split))
    given[:, 0] = n_places - given[:, 1:].sum(1)
    return given


def quotas_down(n_places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Places (R, S): of every region its share rounded down, one at least, training takes the rest."""
    given = np.maximum(np.floor(np.outer(n_places, sizes) + 1e-9), 1).astype(int)
    given[:, 0] = n_places - given[:, 1:].sum(1)
    return given


def deviation(split_of: np.ndarray, n: np.ndarray, targets: np.ndarray) -> float:
    """Σ over splits of |examples - target|."""
    return float(np.abs(np.bincount(split_of, n, len(targets)) - targets).sum())


def rounding_bound(targets: np.ndarray) -> float:
    """Smallest deviation that whole examples allow, whatever the places."""
    total = round(targets.sum())
    ends = product(*[(np.floor(target), np.ceil(target)) for target in targets[1:]])
    return min(float(np.abs(np.array([total - sum(others), *others]) - targets).sum()) for others in ends)


def draw(
    regions: np.ndarray, given: np.ndarray, used: np.ndarray, seen: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Split (G,) of each place: those least often tested before are tested, then those least often validated on.

    Args:
        regions: (G,) region of each place.
        given: (R, S) places that each region gives to each split.
        used: (G,) times that a place was in the last split before.
        seen: (G,) times that it was in one of the middle splits.
    """
    split_of = np.zeros(len(regions), dtype=int)
    for region, counts in enumerate(given):
        free = rng.permutation(np.flatnonzero(regions == region))
        for split in range(len(counts) - 1, 0, -1):
            times = used[free] if split == len(counts) - 1 else seen[free]
            free = free[np.argsort(times, kind="stable")]
            split_of[free[: counts[split]]] = split
            free = free[counts[split] :]
    return split_of


def improve(
    split_of: np.ndarray, n: np.ndarray, regions: np.ndarray, targets: np.ndarray, used: np.ndarray, moves: bool
) -> np.ndarray:
    """Exchange two places of a region, or move one, while that brings the totals nearer to their targets.

    No step lets a place be tested that was tested more often than the one it replaces, and every region keeps a place
    in every split.

    Args:
        split_of: (G,) start.
        moves: whether places may move alone, which changes how many each split has.

    Returns:
        (G,) split of each place.
    """
    split_of, last = split_of.copy(), len(targets) - 1
    one, other = np.nonzero(np.triu(regions[:, None] == regions[None], 1))  # pairs of places of a region
    while True:
        totals = np.bincount(split_of, n, len(targets))
        here, there = split_of[one], split_of[other]
        fair = (used[one] == used[other]) | np.where(used[one] < used[other], there == last, here == last)
        fair |= (here != last) & (there != last)
        pairs = np.flatnonzero((here != there) & fair)
        after = _moved(totals, here[pairs], there[pairs], n[one[pairs]] - n[other[pairs]])
        best, step = _best(after, targets)
        if moves:
            place, to = (part.ravel() for part in np.meshgrid(range(len(n)), range(len(targets)), indexing="ij"))
            held = np.zeros((regions.max() + 1, len(targets)), dtype=int)
            np.add.at(held, (regions, split_of), 1)
            fair = (split_of[place] != to) & (held[regions, split_of][place] > 1)
            fair &= _even(split_of, regions, used, last)[place] | ((split_of[place] != last) & (to != last))
            candidates = np.flatnonzero(fair)
            place, to = place[candidates], to[candidates]
            cost, index = _best(_moved(totals, split_of[place], to, n[place]), targets)
            if cost < best - TOLERANCE:
                best, step = cost, None
                if cost < np.abs(totals - targets).sum() - TOLERANCE:
                    split_of[place[index]] = to[index]
                    continue
        if step is None or best > np.abs(totals - targets).sum() - TOLERANCE:
            return split_of
        a, b = one[pairs[step]], other[pairs[step]]
        split_of[a], split_of[b] = split_of[b], split_of[a]


def _even(split_of: np.ndarray, regions: np.ndarray, used: np.ndarray, last: int) -> np.ndarray:
    """(G,) whether the place may enter the last split, or leave it, without making the times in it less even."""
    even = np.zeros(len(used), dtype=bool)
    for region in np.unique(regions):
        inside = (regions == region) & (split_of == last)
        outside = (regions == region) & (split_of != last)
        even |= inside & (used == used[inside].max(initial=-1))
        even |= outside & (used == used[outside].min(initial=used.max() + 1))
    return even


def _moved(totals: np.ndarray, start: np.ndarray, to: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Totals (K, S) after each of K steps that carry `examples` from one split to another."""
    after = np.repeat(totals[None], len(start), axis=0)
    rows = np.arange(len(start))
    after[rows, start] -= examples
    after[rows, to] += examples
    return after


def _best(after: np.ndarray, targets: np.ndarray) -> tuple[float, int | None]:
    if not len(after):
        return np.inf, None
    cost = np.abs(after - targets).sum(1)
    step = int(np.argmin(np.round(cost, 6)))  # ties must not hang on the last bit
    return float(cost[step]), step


def solve(n: np.ndarray, regions: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray | None, float]:
    """The nearest totals by mixed-integer programming (HiGHS), every region with a place in every split.

    Returns:
        (split (G,) of each place, or None where none was found within the limit; proven lower bound of the deviation)
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_diag, csr_array, eye_array, hstack, kron, vstack

    n_places, n_splits = len(n), len(targets)
    within = csr_array((np.ones(n_places), (regions, np.arange(n_places))))  # (R, G)
    totals = kron(eye_array(n_splits), n[None].astype(float))  # (S, S·G), variables ordered by split, then place
    slack = eye_array(n_splits)  # |total - target| of each split
    nothing = csr_array((n_places, n_splits))
    some = hstack([block_diag([within] * n_splits), csr_array((n_splits * within.shape[0], n_splits))])
    deviations = vstack([hstack([totals, -slack]), hstack([-totals, -slack])])
    constraints = [
        LinearConstraint(hstack([kron(np.ones((1, n_splits)), eye_array(n_places)), nothing]), 1, 1),
        LinearConstraint(some, 1, np.inf),
        LinearConstraint(deviations, -np.inf, np.r_[targets, -targets]),
    ]
    n_binary = n_places * n_splits
    found = milp(
        np.r_[np.zeros(n_binary), np.ones(n_splits)],
        integrality=np.r_[np.ones(n_binary), np.zeros(n_splits)],
        bounds=Bounds(0, np.r_[np.ones(n_binary), np.full(n_splits, np.inf)]),
        constraints=constraints,
        options={"node_limit": WORK // n_places + 1, "mip_rel_gap": 0.0},
    )
    bound = 0.0 if found.mip_dual_bound is None else max(0.0, found.mip_dual_bound - TOLERANCE)
    if found.x is None:
        return None, bound
    return found.x[:n_binary].reshape(n_splits, n_places).argmax(0), bound
