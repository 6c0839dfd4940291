"""Each class as a detector of its own, the way language recognition evaluations score: average cost, equal error rate.

A trial asks of one row and one class, the target, whether the row is of it. Shapes: probabilities (N, C) float, rows
summing to one; labels (N,) int; weights (N,) float or None for ones. Every function raises `DialectError` for NaN or
values that are no probabilities, labels out of range, different lengths and empty arrays.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_labels, as_numpy, as_weights, check_same_length, labelled_probabilities
from hf_dialects.metrics.totals import Totals, additive, prepared, ratio

BETAS = (1.0, 9.0)  # priors of a target of 0.5 and 0.1, where misses and false alarms cost the same
FORMS = ("threshold", "hard")
BLOCKS = 100  # of the trials of a detector, sorted by score


@additive
def c_avg(
    probabilities, labels, beta: float | Sequence[float] = BETAS, form: str = "threshold", clusters=None
) -> Totals:
    """Average detection cost of the NIST language recognition evaluations: 0 is perfect, accepting nothing costs 1.

    C_avg(β) = 1/L Σ_T [P_miss(T) + β/(L - 1) Σ_{N ≠ T} P_fa(T, N)] over the L classes; P_miss(T) is the share of rows
    of class T that the detector of T rejects, P_fa(T, N) the share of rows of class N that it accepts, and
    β = C_fa (1 - P_target) / (C_miss P_target). With several β the mean of their costs; (1, 9) gives the primary cost
    of the 2017 evaluation (NIST, "NIST 2017 Language Recognition Evaluation Plan", section 3).

    Classes that have no row are neither missed nor accepted falsely; their detectors still raise false alarms.

    Args:
        beta: β, or several.
        form: "threshold": the detector of T accepts where log(p_T / mean of the other classes' p), the log-likelihood
            ratio under equal priors, is at least log β: the cost of a calibrated detector, which errors of calibration
            raise. "hard": it accepts where T is the likeliest class. Every error then is one miss and one false alarm,
            and the value (1 + β/(L - 1)) times the mean over classes of the share of errors, whatever the confidence;
            not comparable with the other form.
        clusters: (C,) int, the cluster of each class: only pairs within a cluster count, as in the evaluation of 2015.
            Likelihood ratios are against the other classes of the cluster, costs are averaged in it, then over
            clusters; classes alone in theirs take no part. None compares with all classes.

    Raises:
        DialectError: also for a β that is not positive, an unknown form, or no two classes to tell apart.
    """
    probabilities, labels = labelled_probabilities(probabilities, labels)
    n_classes = probabilities.shape[1]
    betas = np.atleast_1d(np.asarray(beta, dtype=np.float64))
    if betas.ndim != 1 or not betas.size or not (np.isfinite(betas) & (betas > 0)).all():
        raise DialectError(f"beta is {beta!r}; expected a positive number, or several, such as (1, 9)")
    if form not in FORMS:
        raise DialectError(f"form is {form!r}; expected one of {', '.join(FORMS)}")
    blocks = _blocks(clusters, n_classes)
    cost, block_of = np.zeros(len(labels)), np.full(n_classes, -1)
    for number, block in enumerate(blocks):
        block_of[block] = number
        inside = np.isin(labels, block)
        is_target = labels[inside, None] == block
        cost[inside] = _costs(probabilities[inside][:, block], is_target, betas, form)
    kept = np.flatnonzero(block_of[labels] >= 0)
    columns = np.stack([labels[kept], n_classes + labels[kept]])
    data = np.stack([cost[kept], np.ones(len(kept))])
    rows = sparse.csr_array((data.ravel(), (np.tile(kept, 2), columns.ravel())), shape=(len(labels), 2 * n_classes))

    def formula(totals: np.ndarray) -> np.ndarray:
        costs, weight = totals[..., :n_classes], totals[..., n_classes:]
        of_class = ratio(costs, weight)  # NaN where a class has no weight
        of_block = [_mean_of_known(of_class[..., block]) for block in blocks]
        return _mean_of_known(np.stack(of_block, axis=-1))

    return Totals(rows, formula, labels)


def equal_error_rate(scores, is_target, weights=None) -> float:
    """The rate at which misses and false alarms of one detector are equal as its threshold moves, in [0, 1].

    A trial is accepted where its score reaches the threshold. Between two thresholds that scores allow, both rates are
    interpolated linearly: the ROC curve is taken as it is, without its convex hull. Equal scores move together, so a
    constant score has the rate 0.5.

    Args:
        scores: (N,) float, higher for targets; only their order counts.
        is_target: (N,) bool.

    Raises:
        DialectError: NaN scores, or no target or no other trial with weight.
    """
    scores, is_target = as_numpy(scores).astype(np.float64), as_numpy(is_target).astype(bool)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise DialectError(f"scores have shape {scores.shape} or hold NaN; expected one number per trial, shape (N,)")
    check_same_length(scores=scores, is_target=is_target)
    value = _rates(scores, is_target)(as_weights(weights, len(scores))[:, None])[0]
    if np.isnan(value):
        raise DialectError("an equal error rate needs trials of the target and others; one kind is missing")
    return float(value)


@prepared
def mean_equal_error_rate(probabilities, labels) -> Callable[[np.ndarray], np.ndarray]:
    """Mean over the classes in `labels` of the `equal_error_rate` of their detectors, each with its own threshold.

    NaN where all rows are of one class.
    """
    probabilities, labels = labelled_probabilities(probabilities, labels)
    of_targets = [_rates(probabilities[:, target], labels == target) for target in np.unique(labels)]
    return lambda weights: _mean_of_known(np.stack([rates(weights) for rates in of_targets], axis=-1))


def pooled_equal_error_rate(probabilities, labels, weights=None) -> float:
    """`equal_error_rate` of all N·C trials together, under one threshold for all classes."""
    probabilities, labels = labelled_probabilities(probabilities, labels)
    is_target = labels[:, None] == np.arange(probabilities.shape[1])
    of_trials = np.repeat(as_weights(weights, len(labels)), probabilities.shape[1])
    return equal_error_rate(probabilities.ravel(), is_target.ravel(), of_trials)


def _blocks(clusters, n_classes: int) -> list[np.ndarray]:
    """Classes that are compared with each other, two or more in each."""
    if clusters is None:
        clusters = np.zeros(n_classes, dtype=np.int64)
    clusters = as_labels("clusters", clusters)
    if len(clusters) != n_classes:
        raise DialectError(f"clusters has {len(clusters)} entries; expected one for each of the {n_classes} classes")
    blocks = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]
    blocks = [block for block in blocks if len(block) > 1]
    if not blocks:
        raise DialectError(
            "no two classes are to be told apart; expected two or more, in one cluster where these count"
        )
    return blocks


def _costs(probabilities: np.ndarray, is_target: np.ndarray, betas: np.ndarray, form: str) -> np.ndarray:
    """(N,) miss + β · share of the other detectors that accept, mean over β; is_target is (N, L)."""
    n_classes = is_target.shape[1]
    others = probabilities.sum(1, keepdims=True) - probabilities
    total = np.zeros(len(probabilities))
    for beta in betas:
        if form == "hard":
            accepted = probabilities.argmax(1)[:, None] == np.arange(n_classes)
        else:
            accepted = probabilities * (n_classes - 1) >= beta * others
        total += (~accepted & is_target).sum(1) + beta * (accepted & ~is_target).sum(1) / (n_classes - 1)
    return total / len(betas)


def _rates(scores: np.ndarray, is_target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from weights (N, d) to equal error rates (d,), NaN where a draw lacks targets or others.

    Trials are sorted by score and cut into blocks; only the blocks in which some draw's rates meet are looked into.
    """
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last trial of each score
    edges = np.unique(ends[np.linspace(0, len(ends) - 1, BLOCKS).astype(int)])  # the last trial of each block
    in_block = sparse.csr_array((np.ones(n), (np.searchsorted(edges, np.arange(n)), order)))  # (blocks, N)
    targets = sparse.csr_array(in_block * is_target)

    def values_of(weights: np.ndarray) -> np.ndarray:
        accepted, hits = (in_block @ weights).cumsum(0), (targets @ weights).cumsum(0)
        n_hits, n_others = hits[-1], accepted[-1] - hits[-1]

        def rates(accepted: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Misses and false alarms, (points, d) each, nothing being accepted at first."""
            return 1 - ratio(hits, n_hits), ratio(accepted - hits, n_others)

        miss, false_alarm = rates(accepted, hits)
        met = (miss <= false_alarm).argmax(0)
        first, last = met.min(), met.max()
        start = edges[first - 1] + 1 if first else 0
        before = np.stack([accepted[first - 1], hits[first - 1]]) if first else np.zeros((2, weights.shape[1]))
        rows = order[start : edges[last] + 1]
        steps = np.stack([weights[rows], weights[rows] * is_target[rows, None]])  # (2, rows, d)
        points = ends[(ends >= start) & (ends <= edges[last])] - start
        accepted, hits = np.concatenate([before[:, None], before[:, None] + steps.cumsum(1)[:, points]], axis=1)
        miss, false_alarm = rates(accepted, hits)
        draw, gap = np.arange(weights.shape[1]), miss - false_alarm
        gap[-1] = np.minimum(gap[-1], 0.0)  # blocks and trials are summed in different order: they may differ in a bit
        after = np.maximum((gap <= 0).argmax(0), 1)
        share = ratio(gap[after - 1, draw], gap[after - 1, draw] - gap[after, draw])
        return false_alarm[after - 1, draw] + share * (false_alarm[after, draw] - false_alarm[after - 1, draw])

    return values_of


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(-1), known.sum(-1))
