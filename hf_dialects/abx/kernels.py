"""Compiled walks along an X's items, from nearest to farthest, that count triples.

Walking outwards, all A passed so far are nearer than the next B; those at its very distance count one half. Every A and
B of a pool form a pair. Which items belong to a pool, and the sign it counts with, comes from `Context.pools`.

Dimensions: n items of a context, r rows (one X each), K labels, C values of ACROSS, R label vectors or draws.
"""

import numpy as np
from numba import njit

from hf_dialects.abx.distances import ITEM_BITS, ITEM_MASK, NEVER

BLOCK = 128  # draws that are carried along in one walk


@njit(nogil=True, cache=True)
def count_triples(keys, start, labels, across, pool, n_pools, sign, wins, triples):
    """Add sign x 2 x right triples to `wins` and sign x triples to `triples`.

    keys (r, n) int64 sorted per row; start: the number of the first X; labels (R, n), across (n), pool (n) int64;
    wins, triples (R, K, C, C, K) int64, indexed by (label of A and X, ACROSS of X, ACROSS of A and B, label of B).
    """
    n_across, n_labels = wins.shape[3], wins.shape[4]
    nearer = np.empty(n_pools, dtype=np.int64)
    level = np.zeros(n_pools, dtype=np.int64)
    right = np.empty(n_across * n_labels, dtype=np.int64)
    total = np.empty(n_across * n_labels, dtype=np.int64)
    items = np.empty(keys.shape[1], dtype=np.int64)
    pools = np.empty(keys.shape[1], dtype=np.int64)
    sides = np.empty(keys.shape[1], dtype=np.int64)
    ends = np.empty(keys.shape[1], dtype=np.int64)
    for row in range(len(keys)):
        x = start + row
        used = np.searchsorted(keys[row], NEVER)
        tied = False
        for k in range(used - 1, -1, -1):
            items[k] = keys[row, k] & ITEM_MASK
            pools[k], sides[k] = pool[items[k]], across[items[k]] * n_labels
            same = k + 1 < used and keys[row, k] >> ITEM_BITS == keys[row, k + 1] >> ITEM_BITS
            ends[k] = ends[k + 1] if same else k + 1
            tied |= same
        for replicate in range(len(labels)):
            label = labels[replicate]
            a = label[x]
            nearer[:] = 0
            right[:] = 0
            total[:] = 0
            if tied:
                k = 0
                while k < used:
                    for place in range(k, ends[k]):
                        level[pools[place]] += label[items[place]] == a
                    for place in range(k, ends[k]):
                        right[sides[place] + label[items[place]]] += 2 * nearer[pools[place]] + level[pools[place]]
                    for place in range(k, ends[k]):  # the second item of a pool finds nothing left
                        nearer[pools[place]] += level[pools[place]]
                        level[pools[place]] = 0
                    k = ends[k]
            else:
                for k in range(used):
                    right[sides[k] + label[items[k]]] += 2 * nearer[pools[k]]
                    nearer[pools[k]] += label[items[k]] == a
            for k in range(used):
                total[sides[k] + label[items[k]]] += nearer[pools[k]]
            for side in range(n_across):
                for b in range(n_labels):
                    if b != a:  # pairs of two A were counted along, which is faster than asking for each item
                        wins[replicate, a, across[x], side, b] += sign * right[side * n_labels + b]
                        triples[replicate, a, across[x], side, b] += sign * total[side * n_labels + b]


@njit(nogil=True, cache=True)
def weigh_triples(keys, start, label, across, pool, n_pools, sign, group, weights, within, wins, triples):
    """Add the weights of right triples to `wins` and of all to `triples`, each times `sign`, for many draws at once.

    A triple weighs the product of the weights of the distinct groups in it. Without `within` it is taken as
    weight(A) x weight(B) x weight(X), where a group equal to that of X counts once; with it, pools hold items of one
    group and the pair (A, B) weighs w - w², which turns w² into w.

    label, group (n) int64; weights (G, R) float64; wins, triples (K, C, C, K, R) float64; the rest as above.
    """
    n_draws = weights.shape[1]
    nearer = np.zeros((n_pools, BLOCK))
    level = np.zeros((n_pools, BLOCK))
    one = np.ones(BLOCK)
    own = np.empty(BLOCK)
    factor = np.empty(BLOCK)
    for row in range(len(keys)):
        x = start + row
        a = label[x]
        used = np.searchsorted(keys[row], NEVER)
        for first in range(0, n_draws, BLOCK):
            width = min(BLOCK, n_draws - first)
            own[:width] = weights[group[x], first : first + width]
            nearer[:] = 0
            k = 0
            while k < used:
                distance = keys[row, k] >> ITEM_BITS
                end = k + 1
                while end < used and keys[row, end] >> ITEM_BITS == distance:
                    end += 1
                for place in range(k, end):
                    item = keys[row, place] & ITEM_MASK
                    if label[item] == a:
                        weight = one[:width]
                        if group[item] != group[x] and not within:
                            weight = weights[group[item], first : first + width]
                        add(level[pool[item], :width], weight)
                for place in range(k, end):
                    item = keys[row, place] & ITEM_MASK
                    if label[item] != a and not (within and group[item] == group[x]):
                        weight = weights[group[item], first : first + width]
                        weigh(factor[:width], own, weight, group[item] == group[x], within, sign)
                        target = wins[a, across[x], across[item], label[item], first : first + width]
                        passed, beside = nearer[pool[item]], level[pool[item]]
                        for d in range(width):
                            target[d] += factor[d] * (passed[d] + 0.5 * beside[d])
                for place in range(k, end):
                    item = keys[row, place] & ITEM_MASK
                    if label[item] == a:  # the second item of a pool finds nothing left
                        add(nearer[pool[item], :width], level[pool[item], :width])
                        level[pool[item], :width] = 0
                k = end
            for k in range(used):
                item = keys[row, k] & ITEM_MASK
                if label[item] != a and not (within and group[item] == group[x]):
                    weight = weights[group[item], first : first + width]
                    weigh(factor[:width], own, weight, group[item] == group[x], within, sign)
                    target = triples[a, across[x], across[item], label[item], first : first + width]
                    passed = nearer[pool[item]]
                    for d in range(width):
                        target[d] += factor[d] * passed[d]


@njit(nogil=True, cache=True)
def add(target, values):
    for d in range(len(target)):
        target[d] += values[d]


@njit(nogil=True, cache=True)
def weigh(factor, own, weight, same_group, within, sign):
    """Weight of B times that of X, for every draw."""
    for d in range(len(factor)):
        if same_group:
            factor[d] = sign * own[d]
        elif within:
            factor[d] = sign * own[d] * (weight[d] - weight[d] * weight[d])
        else:
            factor[d] = sign * own[d] * weight[d]
