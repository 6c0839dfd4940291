"""Calibration by one number: the temperature that window logits are divided by, fitted on validation.

A recording's probabilities are the mean over its windows of softmax(logits / T); T is the one under which these, and
not those of single windows, have the lowest negative log likelihood (Guo et al. 2017, arXiv:1706.04599, for a single
window). It never changes which class of a window is likeliest, but through the mean it may change a recording's.

Dimensions: N recordings, W windows, C dialects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hf_dialects.data.randomness import generator
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.evaluation.groups import Groups, find_groups
from hf_dialects.evaluation.scores import DRAWS, intervals
from hf_dialects.evaluation.tables import aligned, with_interval

if TYPE_CHECKING:
    from hf_dialects.inference import Predictions, WindowLogits

BOUNDS = (0.05, 20.0)
STEPS = 61  # of the first search, evenly spaced in log T: by a factor of 1.105
AT_BOUND = 1.2  # a temperature this close to an end of the range counts as the end
FOLDS = 5
METRICS = ("ece", "nll", "brier")


def fit_temperature(windows: WindowLogits, gold: np.ndarray, members: np.ndarray | None = None) -> float:
    """The temperature in [0.05, 20] with the lowest mean negative log likelihood of the recordings.

    Args:
        windows: logits of the windows of N recordings.
        gold: (N,) int64, their classes; those below 0 are left out.
        members: indices of the recordings to fit on; None for all.

    Raises:
        CorpusError: no recording with a gold label.
    """
    from scipy.optimize import minimize_scalar

    chosen = np.zeros(len(gold), dtype=bool)
    chosen[slice(None) if members is None else members] = True
    chosen &= gold >= 0
    if not chosen.any():
        raise CorpusError("no recording has a gold label; a temperature is fitted on labelled validation recordings")
    rows = np.flatnonzero(chosen[windows.owner])
    rows = rows[np.argsort(windows.owner[rows], kind="stable")]
    owner, logits = windows.owner[rows], windows.logits[rows]
    starts = np.flatnonzero(np.append(True, np.diff(owner) != 0))
    gold_of_window, counts = gold[owner], np.diff(np.append(starts, len(owner)))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        log_probabilities = scaled[np.arange(len(rows)), gold_of_window] - np.logaddexp.reduce(scaled, axis=1)
        return -float((np.logaddexp.reduceat(log_probabilities, starts) - np.log(counts)).mean())

    grid = np.linspace(*np.log(BOUNDS), STEPS)  # the mean over windows may have several minima
    best = int(np.argmin([loss(one) for one in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, STEPS - 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x if found.fun <= loss(grid[best]) else grid[best]))


def cross_fitted(
    windows: WindowLogits, gold: np.ndarray, groups: Groups, folds: int = FOLDS, seed: int = 0
) -> tuple[np.ndarray, list[float]]:
    """Probabilities of every recording at a temperature that was fitted without its group (speaker).

    Args:
        windows, gold: see `fit_temperature`; every recording has a label.
        groups: of the recordings, see `groups.find_groups`.
        folds: at most; no more than there are groups. Groups of one class are dealt out over the folds.
        seed: of the folds.

    Returns:
        (probabilities (N, C) float64, the temperature of each fold)

    Raises:
        CorpusError: all recordings are of one group.
    """
    class_of = dict(zip(groups.values.tolist(), gold.tolist(), strict=True))
    if len(class_of) < 2:
        raise CorpusError(f"all recordings are of one {groups.unit}, so none is left to fit a temperature without it")

    def place(name: str) -> tuple:
        return class_of[name] if groups.nested else 0, generator(seed, 0, name, "temperature").random()

    folds = min(folds, len(class_of))
    fold_of = {name: number % folds for number, name in enumerate(sorted(class_of, key=place))}
    fold = np.array([fold_of[name] for name in groups.values.tolist()])
    temperatures = [fit_temperature(windows, gold, np.flatnonzero(fold != number)) for number in range(folds)]
    probabilities = np.stack([windows.probabilities(temperature) for temperature in temperatures])
    return probabilities[fold, np.arange(len(gold))], temperatures


def calibrate(
    predictions: Mapping[str, Predictions],
    splits: Mapping,
    labels: Sequence[str],
    selected_on: str = "validation",
    groups: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """Fit a temperature on one split and tell what it does to the calibration of all.

    The split must be disjoint in speakers from training and as it was recorded, neither mixed nor re-balanced. What
    is said of the split itself is cross-fitted, since the temperature would else be judged on what it was fitted to.

    Args:
        predictions: split → predictions with `window_logits`.
        splits: split → `datasets.Dataset`.
        labels: C names of the dialects.
        selected_on: the split to fit on.
        groups, draws: see `scores.score`.
        seed: of folds and draws.

    Returns:
        "temperature"; "at_bound": whether it is an end of the range that was searched, as for a model without an error;
        "selected_on": "split", "by", "n", "groups", "group_unit"; "fold_temperatures";
        "splits": split → "before" and "after", each ece (with its floor), nll and brier with intervals as in
        `scores.score`, and "cross_fitted". Where all recordings of the split are of one speaker "cross_fitted" is
        False for it, too.

    Raises:
        DialectError: predictions without window logits.
        CorpusError: no gold label.
    """
    base = _labelled(predictions[selected_on], selected_on)
    base_groups = find_groups(splits[selected_on], base.ids, base.gold, groups)
    n_groups = len(set(base_groups.values.tolist()))
    temperature = fit_temperature(base.window_logits, base.gold)
    chosen = {"split": selected_on, "by": "nll", "n": len(base.ids), "groups": n_groups, "group_unit": base_groups.unit}
    options = {"groups": groups, "draws": draws, "seed": seed}
    calibration = calibration_at(temperature, predictions, splits, labels, **options) | {"selected_on": chosen}
    if n_groups > 1:
        probabilities, temperatures = cross_fitted(base.window_logits, base.gold, base_groups, seed=seed)
        after = intervals(probabilities, base.gold, base_groups, labels, names=METRICS, draws=draws, seed=seed)
        calibration["splits"][selected_on] |= {"after": after, "cross_fitted": True}
        calibration["fold_temperatures"] = temperatures
    return calibration


def calibration_at(
    temperature: float,
    predictions: Mapping[str, Predictions],
    splits: Mapping,
    labels: Sequence[str],
    groups: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict:
    """What `calibrate` tells, at a temperature that is given; "selected_on" is None, "fold_temperatures" empty."""
    found = {}
    for split, given in predictions.items():
        made = _labelled(given, split)
        options = (find_groups(splits[split], made.ids, made.gold, groups), labels, None, METRICS, draws, seed)
        after = made.window_logits.probabilities(temperature)
        found[split] = {
            "before": intervals(made.probabilities, made.gold, *options),
            "after": intervals(after, made.gold, *options),
            "cross_fitted": False,
        }
    return {
        "temperature": temperature,
        "at_bound": not BOUNDS[0] * AT_BOUND < temperature < BOUNDS[1] / AT_BOUND,
        "selected_on": None,
        "fold_temperatures": [],
        "splits": found,
    }


def describe_calibration(calibration: Mapping) -> str:
    """The table for the terminal: calibration before and after."""
    chosen = calibration["selected_on"]
    text = f"temperature {calibration['temperature']:.3f}"
    text += f", fitted on {chosen['split']}" if chosen else ", the model's own"
    text += "; an end of what was searched" if calibration["at_bound"] else ""
    rows = [["", "", "ECE", "if calibrated", "NLL", "Brier"]]
    for split, found in calibration["splits"].items():
        for when in ("before", "after"):
            scores = found[when]
            name = f"{when}, cross-fitted" if when == "after" and found["cross_fitted"] else when
            floor = f"{scores['ece']['floor']:.3f}"
            numbers = [with_interval(scores[metric]) for metric in METRICS]
            rows.append([split, name, numbers[0], floor, *numbers[1:], scores["ece"]["warning"] or ""])
    return f"{text}\n{aligned(rows, indent='  ')}"


def _labelled(predictions: Predictions, split: str) -> Predictions:
    """The recordings with a gold label, with what is needed here."""
    windows = predictions.window_logits
    if windows is None:
        raise DialectError(f"the predictions of {split!r} hold no window logits; predict with window_logits=True")
    kept = np.flatnonzero(predictions.gold >= 0)
    if not len(kept):
        raise CorpusError(f"none of the {len(predictions.ids)} recordings of {split!r} has a gold label")
    inside = np.isin(windows.owner, kept)
    return replace(
        predictions,
        ids=[predictions.ids[row] for row in kept],
        gold=predictions.gold[kept],
        probabilities=predictions.probabilities[kept],
        window_logits=replace(
            windows, owner=np.searchsorted(kept, windows.owner[inside]), logits=windows.logits[inside]
        ),
    )
