"""Retrieval between varieties of the embedded corpus: what its benchmarks have in common.

Every utterance of one variety and voice is sought among those of another variety and another voice. Pairs of varieties
are apart by whether they are of one language and whether training heard them; es and es-419 are of a language that
it never heard.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.data.splits import split_fingerprint
from hf_dialects.data.synthetic import VARIETIES
from hf_dialects.embedding_files import MANIFEST, FrameFile, write_index, write_json
from hf_dialects.retrieval.controls import DURATION, MATCHED, SEQSIM
from hf_dialects.retrieval.result import HEADLINE, Outcome, RetrievalResult
from hf_dialects.retrieval.tables import markdown, percent
from hf_dialects.retrieval_audio import HOP_S, listen
from hf_dialects.retrieval_frames import Centre
from hf_dialects.retrieval_pool import Question
from hf_dialects.retrieval_source import CONTROLS, MEL_DTW, Options, retrieve

SEEN = ("en-us", "en-gb", "en-gb-x-gbcwmd", "pt", "pt-br", "vi-north", "vi-south")
BOTH_SEEN = "one language, both trained on"
RELATIONS = (  # (same language, varieties of the pair that were trained on): name
    ((True, 2), BOTH_SEEN),
    ((True, 1), "one language, one trained on"),
    ((True, 0), "one language, neither trained on"),
    ((False, 2), "two languages, both trained on"),
    ((False, 1), "two languages, one trained on"),
    ((False, 0), "two languages, neither trained on"),
)
UNHEARD = "language never trained on"  # es and es-419
AS_THEY_ARE, WHITENED = "as they are", "whitened"
EVERY = 10  # of the training utterances, that frames are whitened on
SITE = "site"

System = tuple[str, str]  # name, kind of frames
Parts = Mapping[str, RetrievalResult]  # relation → what was found between such


def with_sites(split):
    """Utterances of a split, each at the site "variety/voice"; without text, which no table is of."""
    names = split.features["dialect"].int2str(split["dialect"][:])
    sites = [f"{name}/{voice}" for name, voice in zip(names, split["speaker"], strict=True)]
    return split.remove_columns("text").add_column(SITE, sites)


def whitening_split(corpus):
    """Some training utterances of the varieties that are trained on."""
    split = corpus["train"]
    names = split.features["dialect"].int2str(split["dialect"][:])
    return split.select([row for row, name in enumerate(names) if name in SEEN][::EVERY])


def mel_frames(dataset, folder: Path) -> None:
    """Log-mel features, as an embedding folder of one layer."""
    if (folder / MANIFEST).is_file():
        return
    dataset = dataset.select(np.argsort(dataset["id"][:]))
    mel = listen(dataset["audio"][:], progress=False).mel
    write_frames(folder, dataset, mel, 1 / HOP_S, {"features": "log-mel"})


def write_frames(folder: Path, dataset, frames, frame_rate_hz: float, made_of: dict, layer: int = 0) -> None:
    """Frames (T, D) of recordings in the order of their ids, as an embedding folder of one layer."""
    folder.mkdir(parents=True, exist_ok=True)
    file = FrameFile(folder / f"frames-{layer}-0.npy")
    index = [(0, id, file.append(one), len(one)) for id, one in zip(dataset["id"], frames, strict=True)]
    file.close()
    write_index(folder, index, frame_rate_hz)
    settings = {"layers": [layer], "frames": True, "shard_size": len(dataset)}
    about = {"model": made_of, "data": {"ids": split_fingerprint(dataset)}}
    write_json(folder / MANIFEST, {"schema": 1, "complete": True, "n_layers": layer, "settings": settings, **about})


def retrieved(
    frames: Path,
    others: Path,
    dataset,
    scores: Path,
    kinds: Sequence[str] = (AS_THEY_ARE, WHITENED),
    controls: tuple[str, ...] = tuple(CONTROLS),
) -> Iterator[tuple[str, RetrievalResult]]:
    """Retrieval with frames as they are and whitened.

    Args:
        frames, others: embedding folders of the dataset, and of training utterances that frames are whitened on.
        dataset: see `with_sites`.
        scores: folder of similarities; what is there is not computed again.
    """
    centre = Centre("utterances of the training split", folder=others, whiten=True)
    question = Question("sentence_id", SITE, "dialect")
    options = Options(controls=controls, progress=False)
    for kind in kinds:
        moved = centre if kind == WHITENED else None
        found = retrieve(frames, dataset, question, scores, options, moved, tell=lambda text: None)
        yield kind, across(found.results[found.shown])


def across(result: RetrievalResult) -> RetrievalResult:
    """Only pairs of other varieties and other voices."""
    sides = (
        np.array([site.split("/") for site in result.parallel.sites])[side] for side in (result.source, result.target)
    )
    (from_variety, from_voice), (to_variety, to_voice) = (side.T for side in sides)
    return part(result, (from_variety != to_variety) & (from_voice != to_voice))


def part(result: RetrievalResult, kept: np.ndarray) -> RetrievalResult:
    """Only these queries (Q,); hubs stay those of all."""
    outcomes = {
        name: Outcome(
            {metric: credit[kept] for metric, credit in one.credit.items()},
            {metric: credit[kept] for metric, credit in one.chance.items()},
            one.tied[kept],
        )
        for name, one in result.outcomes.items()
    }
    rows = {name: getattr(result, name)[kept] for name in ("source", "target", "sentence", "utterance")}
    return replace(result, outcomes=outcomes, **rows)


def by_relation(result: RetrievalResult) -> dict[str, RetrievalResult]:
    """Relation of two varieties → what was found between such."""
    variety = np.array([site.split("/")[0] for site in result.parallel.sites])
    language = np.array([VARIETIES[one][1] for one in variety])
    seen = np.isin(variety, SEEN)
    heard = np.isin(language, language[seen])
    same = language[result.source] == language[result.target]
    n_seen = seen[result.source].astype(int) + seen[result.target]
    unheard = same & ~heard[result.source]
    found = {name: part(result, (same == one) & (n_seen == n) & ~unheard) for (one, n), name in RELATIONS}
    return found | {UNHEARD: part(result, unheard)}


def recall_table(results: Mapping[System, Parts], draws: int) -> str:
    """Recall@1 of SeqSim with its interval, a row per system and kind of frames."""
    rows = {}
    for (name, kind), parts in results.items():
        intervals = {relation: one.interval(n=draws) for relation, one in parts.items()}
        rows[f"{name}, {kind}"] = {
            relation: f"{100 * one.value:.1f} [{100 * one.low:.0f}, {100 * one.high:.0f}]"
            for relation, one in intervals.items()
        }
    parts = next(iter(results.values()))
    for name in (MEL_DTW, DURATION):  # the same for all systems
        rows[f"control: {name}"] = {
            relation: f"{100 * one.controls[HEADLINE][name]:.1f}" for relation, one in parts.items()
        }
    rows["chance"] = {relation: f"{100 * one.controls['chance'][SEQSIM]:.1f}" for relation, one in parts.items()}
    rows["pairs of varieties"] = {
        relation: str(len({tuple(row) for row in one.pairs[["source_group", "target_group"]].to_numpy()}))
        for relation, one in parts.items()
    }
    return markdown(pd.DataFrame(rows).T, "recall@1, %")


def cautions(results: Mapping[System, Parts], draws: int) -> str:
    """Which rows are above time warping of mel frames, which no training made, with their whole interval; one without
    width, of a row that found everything, says nothing."""
    lines = []
    for relation, one in next(iter(results.values())).items():
        warped = one.controls[HEADLINE][MEL_DTW]
        intervals = {row: parts[relation].interval(n=draws) for row, parts in results.items()}
        above = [", ".join(row) for row, found in intervals.items() if warped < found.low < found.high]
        which = "; ".join(above) or "no system"
        lines.append(f"- {relation}: {100 * warped:.1f} %; above it with the whole interval: {which}")
    return "\n".join(lines)


def control_table(parts: Parts) -> str:
    """Recall@1 of SeqSim and of everything it is held against, and its MRR."""
    return markdown(percent(pd.DataFrame({relation: against(one) for relation, one in parts.items()})), "recall@1, %")


def against(result: RetrievalResult) -> pd.Series:
    """Recall@1 of SeqSim and of everything it is held against, and its MRR, as shares."""
    column = result.controls[HEADLINE].copy()
    column[f"chance among {MATCHED}"] = result.controls["chance"][MATCHED]
    column["MRR of SeqSim"] = result.controls["mrr"][SEQSIM]
    return column


def hub_table(hubs: Mapping[System, pd.DataFrame]) -> str:
    """Mean skewness of how often targets come first, and the largest share of one."""
    rows = {}
    for (name, kind), table in hubs.items():
        of_score = table.groupby("score").agg({"skewness": "mean", "share": "max"})
        rows[f"{name}, {kind}"] = {
            f"{what} {score}": f"{of_score.loc[score, what]:.2f}"
            for what in ("skewness", "share")
            for score in of_score.index
        }
    return markdown(pd.DataFrame(rows).T, "hubs")
