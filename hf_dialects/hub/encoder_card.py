"""What the card of a retrieval encoder says: what it finds in another variety, beside controls."""

import shlex
from collections.abc import Mapping, Sequence

from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, number, table
from hf_dialects.hub.card_text import encoder_of
from hf_dialects.hub.parts import Parts, Score
from hf_dialects.hub.source import Source, without_folder

TASK = "feature-extraction"
VALIDATION = {"recall_at_1": "recall@1", "contrastive": "contrastive loss"}
ALL = "all splits"
MATCHED = "duration-matched distractors"
SOUGHT_BY = {  # in words, where the name does not say it
    "chance": "any utterance, drawn at random",
    "mean vector": "the cosine of the means over time: no order, no detail",
    "duration only": "how close the durations are",
    "mel DTW": "time warping of mel frames, which needs no training",
    "silence trimmed": "SeqSim without the silence at the ends",
    "CSLS": "SeqSim less what an utterance is like to everything",
    MATCHED: "SeqSim among utterances that last as long",
    "shuffled labels": "SeqSim with shuffled answers, which must come out at chance",
}
UNTRAINED = ("mel DTW", "duration only", "mean vector")  # what an encoder has to be better than
NO_CONTROLS = ("layer", "low", "high", "warning", "ties", "chance among matched")


def encoder_parts(source: Source) -> Parts:
    """Of results.json of a training for alignment, and of what `hf-dialects retrieve` found."""
    config, results = source.config, source.results
    metrics = results.get("metrics") or {}
    labels = results.get("labels") or (source.recipe.get("data") or {}).get("labels") or []
    found = _of_model(source)
    scores = [
        Score(split, metric, title, of_split[metric]["value"])
        for split, of_split in metrics.items()
        for metric, title in VALIDATION.items()
        if of_split.get(metric, {}).get("value") is not None
    ]
    if found:
        corpus, split = _retrieved(source)
        known = split if split != ALL else None
        scores.append(Score(known, "recall_at_1", "recall@1 across varieties", found["recall@1"], corpus))
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
            "retrieval": _retrieval(source, found),
            "validation": _validation(metrics),
            "selected": _selected(results.get("selected_on") or {}),
        },
    )


def _of_model(source: Source) -> Mapping:
    """The row of the shown layer."""
    shown = source.retrieval.get("shown")
    return next((row for row in source.retrieval.get("layers") or [] if row["layer"] == shown), {})


def _layer(config: Mapping) -> str:
    """The configured one as a number, where the number of blocks is known."""
    layer, encoder = config.get("layer", -1), config.get("encoder_config") or {}
    if layer == "weighted":
        return "0 to the last, summed with trained weights"
    blocks = encoder.get("num_hidden_layers") or encoder.get("encoder_layers")
    if not blocks:
        return "-1, the last" if layer == -1 else str(layer)
    return f"{layer if layer >= 0 else blocks + 1 + layer} of {blocks}"


def _retrieved(source: Source) -> tuple[str | None, str | None]:
    """Corpus and split that were retrieved in: by the fingerprint of a split of the run, or by what the command says."""
    retrieval = source.retrieval
    for split, facts in ((source.results.get("data") or {}).get("splits") or {}).items():
        if facts.get("sha256") and facts["sha256"] == retrieval["data"].get("sha256"):
            return None, split
    words = shlex.split((retrieval.get("environment") or {}).get("command") or "")
    corpus = _option(words, "--data")
    return (without_folder(corpus), _option(words, "--split") or ALL) if corpus else (None, None)


def _option(words: Sequence[str], name: str) -> str | None:
    for position, word in enumerate(words):
        if word == name:
            return next(iter(words[position + 1 :]), None)
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None


def _sites(source: Source) -> list[str]:
    """Varieties that were retrieved between; none where it was between something else."""
    if (source.retrieval.get("question") or {}).get("between") != "dialect":
        return []
    shown = (source.retrieval.get("results") or {}).get(str(source.retrieval.get("shown"))) or {}
    return [one["site"] for one in shown.get("sites") or []]


def _trained_on(source: Source, labels: Sequence[str]) -> str:
    others = [cell(one) for one in _sites(source) if one not in labels]
    if not (others and labels):
        return ""
    return f"It was trained on these varieties alone. Retrieved, but not trained on: {', '.join(others)}."


def _where(source: Source) -> str:
    """Like "the 960 utterances of the split test of demo, in 12 varieties"."""
    corpus, split = _retrieved(source)
    of_split = f" of {cell(split)}" if split == ALL else f" of the split {cell(split)}" if split else ""
    of_corpus = f" of {cell(corpus)}" if corpus else ""
    sites = f", in {len(_sites(source))} varieties" if _sites(source) else ""
    return f"{source.retrieval['data']['n']} utterances{of_split}{of_corpus}{sites}"


def _retrieval(source: Source, found: Mapping) -> str:
    if not found:
        return f"Retrieval among other recordings: {NOT_MEASURED} (hf-dialects retrieve measures it)."
    asked = source.retrieval["question"]
    question = {name: cell(value) for name, value in asked.items()}
    grouped = f" and in the same {question['group']}" if asked.get("group") else ""
    interval = entry({"value": found["recall@1"], "low": found["low"], "high": found["high"]})
    rows = [["SeqSim of this encoder", interval, "the similarity under Use"]]
    rows.append(["chance", _share(found["chance"]), SOUGHT_BY["chance"]])
    beside = [name for name in found if name not in NO_CONTROLS and name != "chance" and "@" not in name]
    among = f"{MATCHED} (chance {_share(found.get('chance among matched'))})"  # fewer to choose from
    rows += [
        [among if name == MATCHED else name, _share(found[name]), SOUGHT_BY.get(name, " ")]
        for name in beside
        if name != "mrr"
    ]
    others = {
        name: found[name] for name in found if name == "mrr" or (name.startswith("recall@") and name != "recall@1")
    }
    listed = ", ".join(f"{name} {_share(value)}" for name, value in others.items())
    minded = [cell(found["warning"])] if found.get("warning") else []
    minded += [f"not shown to be better than {name}" for name in UNTRAINED if (found.get(name) or 0) >= found["low"]]
    warning = f"\n\nMind: {'; '.join(minded)}." if minded else ""
    return (
        f"Retrieval among {_where(source)}. For every utterance of one {question['between']}, the one with the same "
        f"{question['parallel']} is sought among those of another {question['between']}{grouped}, by frames of layer "
        f"{found['layer']}. recall@1 is the share that is found in the first place; here with its 95 % interval, beside "
        "controls:\n\n" + table(["sought by", "recall@1", "what that is"], rows) + f"\n\n{listed}.{warning}"
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


def _share(value: float | None) -> str | None:
    return None if value is None else number(value, 3).removeprefix("0")
