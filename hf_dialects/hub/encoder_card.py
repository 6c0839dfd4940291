"""What the card of a retrieval encoder says: what it finds in another variety, beside controls."""

from collections.abc import Mapping, Sequence

from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, table
from hf_dialects.hub.card_text import encoder_of
from hf_dialects.hub.parts import Parts, Score
from hf_dialects.hub.retrieval_text import ALL, corpus_and_split, retrieval_text, shown_row, sites_of
from hf_dialects.hub.source import Source

TASK = "feature-extraction"
VALIDATION = {"recall_at_1": "recall@1", "contrastive": "contrastive loss"}


def encoder_parts(source: Source) -> Parts:
    """Of results.json of a training for alignment, and of what `hf-dialects retrieve` found."""
    config, results = source.config, source.results
    metrics = results.get("metrics") or {}
    labels = results.get("labels") or (source.recipe.get("data") or {}).get("labels") or []
    found = shown_row(source)
    scores = [
        Score(split, metric, title, of_split[metric]["value"])
        for split, of_split in metrics.items()
        for metric, title in VALIDATION.items()
        if of_split.get(metric, {}).get("value") is not None
    ]
    if found:
        corpus, split = corpus_and_split(source)
        split = None if split == ALL else split
        scores.append(Score(split, "recall_at_1", "recall@1 across varieties", found["recall@1"], corpus))
    return Parts(
        template="encoder.md",
        use="encoder_use.md",
        task=TASK,
        tags=("speech-retrieval", "dialects"),
        labels=labels,
        papers=["chang2026yubao"],
        scores=scores,
        fields={
            "encoder": encoder_of(source),
            "layer": _layer(config),
            "trained_on": _trained_on(source, labels),
            "statistics": _statistics(config.get("frame_statistics")),
            "retrieval": retrieval_text(source),
            "validation": _validation(metrics),
            "selected": _selected(results.get("selected_on") or {}),
        },
    )


def _layer(config: Mapping) -> str:
    """The configured one as a number, where the number of blocks is known."""
    layer, encoder = config.get("layer", -1), config.get("encoder_config") or {}
    if layer == "weighted":
        return "0 to the last, summed with trained weights"
    blocks = encoder.get("num_hidden_layers") or encoder.get("encoder_layers")
    if not blocks:
        return "-1, the last" if layer == -1 else str(layer)
    return f"{layer if layer >= 0 else blocks + 1 + layer} of {blocks}"


def _trained_on(source: Source, labels: Sequence[str]) -> str:
    others = [cell(one) for one in sites_of(source) if one not in labels]
    if not (others and labels):
        return ""
    return (
        f"It was trained on these varieties alone. Retrieved, but not trained on: {', '.join(others)}. "
        "The header names the languages of the training only."
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
        return ""
    kind = "centring and whitening" if statistics["whitened"] else "centring"
    layers = ", ".join(statistics["sizes"])
    return (
        f"The model holds statistics for {kind} the frames of layers {layers}, taken from "
        f"{cell(statistics['source'])}; `encode(…, frames=True, centred=True)` applies them."
    )
