"""What the card of a retrieval encoder says: what it finds in another variety, beside controls."""

from collections.abc import Mapping

from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, number, table
from hf_dialects.hub.parts import Parts, Score
from hf_dialects.hub.source import Source

TASK = "feature-extraction"
VALIDATION = {"recall_at_1": "recall@1", "contrastive": "contrastive loss"}
MATCHED = "duration-matched distractors"
UNTRAINED = ("mel DTW", "duration only", "mean vector")  # what an encoder has to be better than
NO_CONTROLS = ("layer", "low", "high", "warning", "ties", "chance among matched")


def encoder_parts(source: Source) -> Parts:
    """Of results.json of a training for alignment, and of what `hf-dialects retrieve` found."""
    config, results = source.config, source.results
    encoder, metrics = config.get("encoder_config") or {}, results.get("metrics") or {}
    labels = results.get("labels") or (source.recipe.get("data") or {}).get("labels") or []
    found = _of_model(source)
    scores = [
        Score(split, metric, title, of_split[metric]["value"])
        for split, of_split in metrics.items()
        for metric, title in VALIDATION.items()
        if of_split.get(metric, {}).get("value") is not None
    ]
    if found:
        scores.append(Score("retrieval", "recall_at_1", "recall@1 across varieties", found["recall@1"]))
    return Parts(
        template="encoder.md",
        use="encoder_use.md",
        task=TASK,
        tags=("speech-retrieval", "dialects"),
        labels=labels,
        papers=["chang2026yubao"],
        scores=scores,
        fields={
            "encoder": encoder.get("model_type", config.get("model_type")),
            "layer": config.get("layer", -1),
            "statistics": _statistics(config.get("frame_statistics")),
            "retrieval": _retrieval(source.retrieval, found),
            "validation": _validation(metrics),
            "selected": _selected(results.get("selected_on") or {}),
        },
    )


def _of_model(source: Source) -> Mapping:
    """The row of the shown layer."""
    shown = source.retrieval.get("shown")
    return next((row for row in source.retrieval.get("layers") or [] if row["layer"] == shown), {})


def _retrieval(retrieval: Mapping, found: Mapping) -> str:
    if not found:
        return f"Retrieval among other recordings: {NOT_MEASURED} (hf-dialects retrieve measures it)."
    question = {name: cell(value) for name, value in retrieval["question"].items()}
    grouped = f", by {question['group']}" if retrieval["question"].get("group") else ""
    interval = entry({"value": found["recall@1"], "low": found["low"], "high": found["high"]})
    rows = [["SeqSim of this encoder", interval], ["chance", _share(found["chance"])]]
    beside = [name for name in found if name not in NO_CONTROLS and name != "chance" and "@" not in name]
    among = f"{MATCHED} (chance {_share(found.get('chance among matched'))})"  # fewer to choose from
    rows += [[among if name == MATCHED else name, _share(found[name])] for name in beside if name != "mrr"]
    others = {
        name: found[name] for name in found if name == "mrr" or (name.startswith("recall@") and name != "recall@1")
    }
    listed = ", ".join(f"{name} {_share(value)}" for name, value in others.items())
    minded = [cell(found["warning"])] if found.get("warning") else []
    minded += [f"not shown to be better than {name}" for name in UNTRAINED if (found.get(name) or 0) >= found["low"]]
    warning = f"\n\nMind: {'; '.join(minded)}." if minded else ""
    return (
        f"For every utterance of one {question['between']}, the utterance of another with the same "
        f"{question['parallel']} is sought{grouped}; layer {found['layer']}, {retrieval['data']['n']} utterances. "
        f"recall@1 with its 95 % interval, beside controls:\n\n"
        + table(["sought by", "recall@1"], rows)
        + f"\n\n{listed}.{warning}"
    )


def _validation(metrics: Mapping) -> str:
    rows = [
        [title, *(entry(of_split.get(metric)) for of_split in metrics.values())] for metric, title in VALIDATION.items()
    ]
    return table(["", *metrics], rows) if metrics else NOT_MEASURED


def _selected(selected: Mapping) -> str:
    if not selected.get("checkpoint"):
        return "The checkpoint was not recorded."
    return f"{cell(selected['checkpoint'])} was chosen on validation by {cell(selected.get('by'))}."


def _statistics(statistics: Mapping | None) -> str:
    if not statistics:
        return "The model holds no statistics of frames."
    kind = "centring and whitening" if statistics["whitened"] else "centring"
    layers = ", ".join(statistics["sizes"])
    return (
        f"The model holds statistics for {kind} the frames of layers {layers}, taken from "
        f"{cell(statistics['source'])}; `encode(…, frames=True, centred=True)` applies them."
    )


def _share(value: float | None) -> str | None:
    return None if value is None else number(value, 3).removeprefix("0")
