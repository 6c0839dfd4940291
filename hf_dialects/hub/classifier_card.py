"""What the card of a classifier says: results beside baselines, calibration, and each variety."""

from collections.abc import Mapping

from hf_dialects.evaluation.results import METRIC_NAMES
from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, number, table
from hf_dialects.hub.card_text import encoder_of, remarks, speakers_of
from hf_dialects.hub.parts import Parts, Score
from hf_dialects.hub.source import Source

TASK = "audio-classification"
HUB_METRICS = {"macro_f1": "f1", "weighted_f1": "f1"}  # where the Hub's name differs
LOWER = ("ece", "nll", "brier", "c_avg", "eer")  # is better
BASELINES = {
    "duration": "a linear classifier that knows only how long a recording is",
    "long-term spectrum": "a linear classifier of the mean power at each frequency, where codecs, filters and hum show",
    "majority": "for every recording, how frequent each variety is in the training data",
    "mel statistics": "a linear classifier of the mean and spread of each mel band: voice and room, hardly words",
    "non-speech": "the same mean and spread of the parts without speech",
}


def classifier_parts(source: Source) -> Parts:
    """Of a run's results.json and configuration."""
    config, results = source.config, source.results
    splits, speakers = _splits(results), speakers_of(source)
    return Parts(
        template="classifier.md",
        use="plain_use.md" if source.plain else "classifier_use.md",
        task=TASK,
        tags=("dialect-identification", "accent-identification"),
        labels=results["labels"],
        papers=_papers(source),
        scores=[
            Score(split, HUB_METRICS.get(metric, metric), title, found["value"])
            for split in splits
            for metric, title in METRIC_NAMES.items()
            if (found := results["metrics"][split].get(metric)) and found["value"] is not None
        ],
        fields={
            "n_labels": len(results["labels"]),
            "encoder": encoder_of(source),
            "pooling": config.get("pooling", "mean"),
            "windows": _windows(source),
            "results": "\n\n".join(_split(results, split, speakers) for split in splits) or NOT_MEASURED,
            "baselines": _baselines(results),
            "better": _better(),
            "calibration": _calibration(source),
            "per_variety": _per_variety(results, config.get("clusters") or {}, speakers),
        },
    )


def _windows(source: Source) -> str:
    if source.plain:
        return "a recording is classified in one pass, which is not what was scored below: that was in windows"
    window_s, stride_s = (source.config.get(name, NOT_MEASURED) for name in ("window_s", "stride_s"))
    if window_s is None:
        return "a recording is classified in one pass"
    return (
        f"a recording is cut into windows of {window_s} s every {stride_s} s, whose probabilities are averaged; "
        "the numbers below are of such averages, one answer for each recording"
    )


def _papers(source: Source) -> list[str]:
    training = source.recipe.get("training") or {}
    stages = [training, *((one.get("training") or {}) for one in source.recipe.get("stages") or [])]
    mixes = any((one.get("mixup") or "none") != "none" for one in stages)
    return ["rajaa2023mapmix"] * mixes + ["laquatra2024salvi"]


def _splits(results: Mapping) -> list[str]:
    return sorted(results["metrics"], key=lambda split: (split != "test", split != "validation", split))


def _better() -> str:
    higher = [title for metric, title in METRIC_NAMES.items() if metric not in LOWER]
    return f"Higher is better for {', '.join(higher)}; for the others lower."


def _baselines(results: Mapping) -> str:
    names = [name for name in BASELINES if name in results["baselines"]]
    if not names:
        return ""
    listed = "\n".join(f"- {name}: {BASELINES[name]}" for name in names)
    return (
        f"Beside the model stand baselines that understand no word, for it has to be better than they are:\n\n{listed}"
    )


def _split(results: Mapping, split: str, speakers: str) -> str:
    """The model beside its baselines."""
    beside = {name: per_split[split] for name, per_split in results["baselines"].items() if split in per_split}
    rows = []
    for metric, title in METRIC_NAMES.items():
        rows.append([title, *(entry(scores.get(metric)) for scores in (results["metrics"][split], *beside.values()))])
    said = remarks(results["metrics"][split].values(), speakers)
    return f"### {cell(split)}\n\n" + table(["", "model", *beside], rows) + said


def _calibration(source: Source) -> str:
    found = source.results.get("calibration") or {}
    if "temperature" not in found:
        return "No temperature was fitted. The calibration error (ECE) of the probabilities as they come is above."
    place = "which a model of transformers does not know" if source.plain else "which lies in the configuration"
    return f"Logits are divided by the temperature {number(found['temperature'], 3)}, {place}."


def _per_variety(results: Mapping, clusters: Mapping, speakers: str) -> str:
    split = next(iter(_splits(results)), None)
    per_dialect = results["per_dialect"].get(split, {})
    rows = []
    for label in results["labels"]:
        found = per_dialect.get(label, {})
        scores = [number(found.get(name), 3) for name in ("precision", "recall", "f1")]
        rows.append([label, clusters.get(label, " "), *scores, found.get("support"), found.get("speakers")])
    head = ["variety", "group", "precision", "recall", "F1", "recordings", speakers]
    return (f"On {cell(split)}:\n\n" if split else "") + table(head, rows)
