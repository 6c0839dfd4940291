"""What the card of a Zipformer says: errors of the recogniser by method and by variety."""

from collections.abc import Mapping

from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, table
from hf_dialects.hub.card_text import remarks, speakers_of
from hf_dialects.hub.parts import Parts, Score
from hf_dialects.hub.source import Source

RECOGNISER = "ZipformerForRNNT"
RATES = {"wer": "WER", "cer": "CER"}


def zipformer_parts(source: Source) -> Parts:
    """Of a run with `task: asr`, or of an encoder alone."""
    config, results = source.config, source.results
    recogniser, scores = source.architecture == RECOGNISER, results.get("scores") or {}
    splits = sorted(scores, key=lambda split: (split != "test", split))
    data = source.recipe.get("data") or {}
    labels = [row["value"] for row in _by_dialect(scores, splits)] or data.get("labels") or []
    return Parts(
        template="zipformer.md",
        use="recogniser_use.md" if recogniser else "zipformer_use.md",
        task="automatic-speech-recognition" if recogniser else "feature-extraction",
        tags=("zipformer", *(["transducer"] if recogniser else [])),
        labels=labels,
        papers=["yao2024zipformer", *["chang2026yubao"] * bool(config.get("attention_decoder_layers"))],
        scores=[
            Score(split, rate, f"{title}, {method}", _whole(found)[rate]["value"])
            for split in splits
            for method, found in scores[split].items()
            for rate, title in RATES.items()
            if _whole(found)[rate]["value"] is not None
        ],
        fields={
            "what": _what(source, recogniser),
            "stacks": len(config["encoder_dims"]),
            "widths": ", ".join(map(str, config["encoder_dims"])),
            "parameters": _count(results.get("model") or {}, "parameters"),
            "text": f"Transcripts are those of the corpus's column `{cell(data['text'])}`." if data.get("text") else "",
            "tokens": _count(results.get("model") or {}, "tokens"),
            "results": "\n\n".join(_split(scores[split], split, speakers_of(source)) for split in splits)
            or NOT_MEASURED,
            "per_variety": _per_variety(scores, splits),
            "selected": _selected(results.get("selected_on") or {}),
        },
    )


def _what(source: Source, recogniser: bool) -> str:
    if not recogniser:
        return "A Zipformer encoder of speech: features in, frames out."
    heads = ["a transducer"]
    heads += ["a CTC head"] * bool(source.config.get("ctc"))
    heads += ["an attention decoder"] * bool(source.config.get("attention_decoder_layers"))
    return f"A recogniser of speech: a Zipformer encoder with {' and '.join(heads)}, and its vocabulary."


def _whole(found: Mapping) -> Mapping:
    """The row over all utterances."""
    return next(row for row in found["scores"] if row["column"] is None)


def _split(methods: Mapping, split: str, speakers: str) -> str:
    whole = {method: _whole(found) for method, found in methods.items()}
    rows = [[method, *(entry(row[rate]) for rate in RATES), row["n"]] for method, row in whole.items()]
    said = remarks((row[rate] for row in whole.values() for rate in RATES), speakers)
    return f"### {cell(split)}\n\n" + table(["search", *RATES.values(), "utterances"], rows) + said


def _by_dialect(scores: Mapping, splits: list[str]) -> list[Mapping]:
    """Rows of the varieties, of the first split and method."""
    if not splits or not scores[splits[0]]:
        return []
    first = next(iter(scores[splits[0]].values()))
    return [row for row in first["scores"] if row["column"] == "dialect"]


def _per_variety(scores: Mapping, splits: list[str]) -> str:
    rows = [[row["value"], *(entry(row[rate]) for rate in RATES), row["n"]] for row in _by_dialect(scores, splits)]
    head = f"On {cell(splits[0])}, {cell(next(iter(scores[splits[0]])))}:\n\n" if rows else ""
    return head + table(["variety", *RATES.values(), "utterances"], rows)


def _selected(selected: Mapping) -> str:
    if not selected.get("best"):
        return "The checkpoint was not recorded."
    weights = " (mean of the weights)" if selected.get("weights") == "mean" else ""
    return f"{cell(selected['best'])}{weights} was chosen on validation by {cell(selected.get('by'))}."


def _count(model: Mapping, name: str) -> str:
    return f"{model[name]:,}" if name in model else NOT_MEASURED
