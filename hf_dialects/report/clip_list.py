"""The clips of a run as the page's script takes them: columns of short values."""

import numpy as np

from hf_dialects.data.leakage import column_values
from hf_dialects.report.clips import entropy, most_uncertain, worst_errors
from hf_dialects.report.run_corpus import RunCorpus
from hf_dialects.report.run_folder import RunFolder


def clip_list(run: RunFolder, corpus: RunCorpus | None, most: int) -> dict:
    """All clips of the scored split, and which of them are worth a look.

    Args:
        most: of the worst errors, and of the most uncertain clips.

    Returns:
        "labels"; "speakers": names; columns of N values: "id", "speaker" (number, -1 = unknown), "gold" (-1 = unknown),
        "answer", "confidence", "truth" (probability of the gold dialect, None = unknown), "entropy", "seconds" (None =
        unknown); "errors", "uncertain": positions in the columns; "sound": position → key, to be filled.
    """
    predictions = run.predictions
    probabilities, gold = predictions.probabilities, predictions.gold
    rows = np.arange(len(gold))
    truth = probabilities[rows, np.maximum(gold, 0)]
    speakers = speakers_of(run, corpus)
    names = sorted({speaker for speaker in speakers if speaker is not None})
    numbers = {name: number for number, name in enumerate(names)}
    seconds = column_values(corpus.facts, "duration") if corpus else [None] * len(gold)
    return {
        "labels": run.labels,
        "speakers": names,
        "id": predictions.ids,
        "speaker": [numbers.get(speaker, -1) for speaker in speakers],
        "gold": gold.tolist(),
        "answer": probabilities.argmax(1).tolist(),
        "confidence": _rounded(probabilities.max(1)),
        "truth": [value if label >= 0 else None for value, label in zip(_rounded(truth), gold, strict=True)],
        "entropy": _rounded(entropy(probabilities)),
        "seconds": [None if value is None else round(float(value), 2) for value in seconds],
        "errors": worst_errors(probabilities, gold, predictions.ids, most).tolist(),
        "uncertain": most_uncertain(probabilities, predictions.ids, most).tolist(),
        "sound": {},
    }


def speakers_of(run: RunFolder, corpus: RunCorpus | None) -> list[str | None]:
    """The speaker of every prediction, as the predictions say, else the corpus."""
    if "speaker" in run.predictions.grouping:
        return run.predictions.grouping["speaker"]
    if corpus is None or "speaker" not in corpus.facts.column_names:
        return [None] * len(run.predictions.ids)
    return [None if value is None else str(value) for value in column_values(corpus.facts, "speaker")]


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values, 3).tolist()
