"""How far results move with the unit of input normalisation and with the precision, on a sample of recordings."""

from collections.abc import Mapping

import numpy as np
from scipy.special import softmax

from hf_dialects.inference import Predictions, predict

MOST_RECORDINGS, MOST_WINDOWS = 8, 100  # of the sample: float32 passes over it must stay cheap


def settings_difference(
    model, feature_extractor, corpus, predictions: Predictions, normalize: str, precision: str, **settings
) -> dict:
    """Differences from the defaults, each taken alone: the precision first, then the normalisation in float32.

    Args:
        model, feature_extractor, corpus: those that `predictions` were made with.
        predictions: of the whole corpus; say how many windows a recording has.
        normalize, precision: that they were made with.
        settings: other arguments of `predict`.

    Returns:
        {"recordings", "windows": size of the sample} and, for what is not the default, "precision" and "normalize":
        each {"against", "largest_logit", "largest_probability": differences over windows, "mean_probability": mean
        absolute difference over recordings and classes, "same_dialect": share of the recordings}. Empty where no
        sample is small enough.
    """
    ways = [("precision", normalize, "float32")] if precision != "float32" else []
    ways += [("normalize", "window", "float32")] if normalize != "window" else []
    rows = sample(predictions.windows)
    if not ways or not rows:
        return {}
    place = {id: row for row, id in enumerate(corpus["id"])}
    heard = corpus.select([place[predictions.ids[row]] for row in rows])

    def run(normalize: str, precision: str) -> Predictions:
        return predict(
            model,
            feature_extractor,
            heard,
            **settings | {"window_logits": True, "progress": False, "batch_size": 1},  # windows stay in their order
            normalize=normalize,
            precision=precision,
        )

    found = run(normalize, precision)
    report: dict = {"recordings": len(rows), "windows": int(found.windows.sum())}
    for name, *way in ways:
        other = run(*way)
        report[name] = {"against": way[1 if name == "precision" else 0], **_difference(found, other)}
        found = other
    return report


def describe_difference(windows: Mapping) -> str:
    """Lines for the terminal, from "windows" of the results; empty where nothing was compared."""
    found = windows.get("difference", {})
    return "".join(
        f"{name} {windows[name]} against {found[name]['against']}, on {found['recordings']} recordings: a window's "
        f"probability differs by at most {found[name]['largest_probability']:.2g}, its logit by "
        f"{found[name]['largest_logit']:.2g}; the same dialect for {found[name]['same_dialect']:.0%}\n"
        for name in ("normalize", "precision")
        if name in found
    )


def sample(windows: np.ndarray) -> list[int]:
    """Rows spread over a corpus, given the windows of each recording: as many as the limits allow."""
    spread = np.unique(np.linspace(0, len(windows) - 1, MOST_RECORDINGS).round().astype(int))
    chosen, total = [], 0
    for row in spread.tolist():
        if total + windows[row] <= MOST_WINDOWS:
            chosen.append(row)
            total += windows[row]
    return chosen


def _difference(one: Predictions, other: Predictions) -> Mapping[str, float]:
    a, b = (run.window_logits.logits for run in (one, other))
    p, q = one.probabilities, other.probabilities
    probability = np.abs(softmax(a, axis=1) - softmax(b, axis=1))
    return {
        "largest_logit": float(np.abs(a - b).max()),
        "largest_probability": float(probability.max()),
        "mean_probability": float(np.abs(p - q).mean()),
        "same_dialect": float((p.argmax(1) == q.argmax(1)).mean()),
    }
