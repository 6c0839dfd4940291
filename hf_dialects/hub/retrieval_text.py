"""What was found by retrieval among utterances of other varieties, in the words of a card."""

import shlex
from collections.abc import Mapping, Sequence

from hf_dialects.hub.card_tables import NOT_MEASURED, cell, entry, number, table
from hf_dialects.hub.source import Source, without_folder

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


def retrieval_text(source: Source) -> str:
    """recall@1 of the shown layer beside controls, and by group; or that nothing was measured."""
    found = shown_row(source)
    if not found:
        return f"Retrieval among other recordings: {NOT_MEASURED} (hf-dialects retrieve measures it)."
    question = {name: cell(value) for name, value in source.retrieval["question"].items()}
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
        f"Retrieval among {_where(source)}. For every utterance of one {question['between']}, one with the same "
        f"{question['parallel']} is sought among those of another {question['between']}, by frames of layer "
        f"{found['layer']}. recall@1 is the share for which the nearest is right; here with its 95 % interval, "
        "beside controls:\n\n"
        + table(["sought by", "recall@1", "what that is"], rows)
        + f"\n\n{_by_group(source)}{listed}.{warning}"
    )


def shown_row(source: Source) -> Mapping:
    """The shown layer of the retrieval; empty where there was none."""
    shown = source.retrieval.get("shown")
    return next((row for row in source.retrieval.get("layers") or [] if row["layer"] == shown), {})


def corpus_and_split(source: Source) -> tuple[str | None, str | None]:
    """Where was retrieved: a split of the run by its fingerprint, or what the command says; None: not known.

    The corpus is None for that of the training, too.
    """
    retrieval = source.retrieval
    for split, facts in ((source.results.get("data") or {}).get("splits") or {}).items():
        if facts.get("sha256") and facts["sha256"] == retrieval["data"].get("sha256"):
            return None, split
    words = shlex.split((retrieval.get("environment") or {}).get("command") or "")
    corpus = _option(words, "--data") if "retrieve" in words else None
    return (without_folder(corpus), _option(words, "--split") or ALL) if corpus else (None, None)


def sites_of(source: Source) -> list[str]:
    """Varieties that were retrieved between; none where it was between something else."""
    between = (source.retrieval.get("question") or {}).get("between")
    return [one["site"] for one in _details(source).get("sites") or []] if between == "dialect" else []


def _details(source: Source) -> Mapping:
    """Of the shown layer: by site, by group."""
    return (source.retrieval.get("results") or {}).get(str(source.retrieval.get("shown"))) or {}


def _option(words: Sequence[str], name: str) -> str | None:
    for position, word in enumerate(words):
        if word == name:
            return next(iter(words[position + 1 :]), None)
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None


def _where(source: Source) -> str:
    """Like "960 utterances of the split test of demo, in 12 varieties"."""
    corpus, split = corpus_and_split(source)
    of_split = f" of {cell(split)}" if split == ALL else f" of the split {cell(split)}" if split else ""
    of_corpus = f" of {cell(corpus)}" if corpus else ""
    sites = f", in {len(sites_of(source))} varieties" if sites_of(source) else ""
    return f"{source.retrieval['data']['n']} utterances{of_split}{of_corpus}{sites}"


def _by_group(source: Source) -> str:
    """recall@1 within and across groups: these are easier or harder than the whole."""
    found = {(one["from"], one["to"]): one["interval"] for one in _details(source).get("groups") or []}
    names = list(dict.fromkeys(one for pair in found for one in pair))
    if len(names) < 2:
        return ""
    rows = [[start, *(entry(found.get((start, end))) for end in names)] for start in names]
    grouped = cell(source.retrieval["question"].get("group"))
    return f"recall@1 by {grouped}, from the rows to the columns:\n\n" + table(["", *names], rows) + "\n\n"


def _share(value: float | None) -> str | None:
    return None if value is None else number(value, 3).removeprefix("0")
