"""The benchmark: for every sentence of one site find the utterance of another site that says the same.

Source: the YuBao benchmark, "Towards Comprehensive Semantic Speech Embeddings for Chinese Dialects", section II-C.

Dimensions: N utterances, T frames of one, D channels, Q queries.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from hf_dialects.errors import DialectError
from hf_dialects.metrics.arrays import as_numpy
from hf_dialects.retrieval.centring import FrameStatistics
from hf_dialects.retrieval.controls import CSLS, SEQSIM, Trials, durations_of
from hf_dialects.retrieval.credit import Place, chance, places, recall_credit, reciprocal_credit
from hf_dialects.retrieval.hubness import NEIGHBOURS, k_occurrence, skewness
from hf_dialects.retrieval.overlap import by_overlap, overlap_of, tokens
from hf_dialects.retrieval.parallel import Parallel
from hf_dialects.retrieval.result import Outcome, RetrievalResult
from hf_dialects.retrieval.scores import seqsim_matrix


def retrieval_benchmark(
    utterances: Sequence,
    attributes,
    site: str = "site",
    sentence_id: str = "sentence_id",
    group: str | None = "cluster",
    *,
    k: Sequence[int] = (1, 5),
    scores=None,
    controls: Mapping[str, np.ndarray] | None = None,
    statistics: FrameStatistics | None = None,
    distractors: int = 9,
    neighbours: int = NEIGHBOURS,
    precision: str = "float32",
    device: str = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> RetrievalResult:
    """Retrieve by SeqSim between all ordered pairs of sites, beside controls.

    A pair of sites is judged on the sentences that both have, at least two; an utterance is found if any with its
    sentence id is among the first k. Of equally similar targets none comes first: a query earns what it would on
    average over their orders. Beside SeqSim stand CSLS (see `hubness`; it uses the other queries of the pair), SeqSim
    among distractors as long as the right target, the cosine of mean vectors, the duration alone, and shuffled labels.

    Args:
        utterances: N arrays (T, D), such as those of `read_frames`.
        attributes: DataFrame or dict of N values each. Beside those named below: `duration` (seconds; without it
            numbers of frames are compared), `text` (adds recall by the share of common words), `id` (with statistics).
        site: column of the places between which is retrieved.
        sentence_id: column; the same value means the same content.
        group: column of groups of sites; None = one group.
        k: of recall@k; 1 is always among them.
        scores: (N, N) SeqSim if it is known already, as of `seqsim_matrix(utterances)`.
        controls: name → (N, N) similarities of your own, higher for what is more alike: negated DTW distances of mel
            frames, SeqSim of utterances without leading and trailing silence.
        statistics: centre or whiten frames first; said to be transductive where its utterances are among these.
        distractors: wrong targets that compete with the right one where they are matched in duration.
        neighbours: of CSLS.
        precision, device: as `seqsim_matrix` takes them.
        seed: of the shuffled labels.
        progress: show a bar.

    Raises:
        DialectError: as `Parallel` and `seqsim_matrix`; arguments that do not fit.
    """
    n = len(utterances)
    parallel = Parallel(attributes, n, site, sentence_id, group)
    notes = [_centring(statistics, parallel)]
    frames = utterances if statistics is None else statistics.apply(utterances)
    if scores is None:
        scores = seqsim_matrix(frames, precision=precision, device=device, progress=progress)
        notes.append(f"SeqSim in {precision}.")
    scores = as_numpy(scores)
    if scores.shape != (n, n) or np.isnan(scores).any():
        raise DialectError(f"scores have shape {scores.shape} or hold NaN; expected ({n}, {n})")
    if min(distractors, neighbours, *k) < 1:
        raise DialectError("k, distractors and neighbours are expected to be 1 or more")
    durations, unit = durations_of(parallel, utterances)
    trials = Trials(scores, frames, durations, controls or {}, distractors, neighbours, seed)
    notes.append(f"Durations are {unit}; {distractors} distractors at most where they are matched.")
    if parallel.left_out:
        pairs = f"{parallel.left_out} ordered pairs of {parallel.places}"
        notes.append(f"{pairs} share fewer than two sentences and are left out.")
    found: dict[str, list[tuple[Place, Place]]] = {}
    counts = {name: np.zeros(n) for name in (SEQSIM, CSLS)}
    for pair in parallel.pairs:
        for name, block, right in trials.of(pair):
            found.setdefault(name, []).append((places(block, right), chance(np.isfinite(block), right)))
            if name in counts:
                counts[name][pair.targets] += k_occurrence(block)
    outcomes = {name: _outcome(of_pairs, sorted({1, *k})) for name, of_pairs in found.items()}
    sizes = [len(pair.queries) for pair in parallel.pairs]
    utterance = np.concatenate([pair.queries for pair in parallel.pairs])
    return RetrievalResult(
        parallel=parallel,
        source=np.repeat([pair.source for pair in parallel.pairs], sizes),
        target=np.repeat([pair.target for pair in parallel.pairs], sizes),
        sentence=parallel.sentence[utterance],
        utterance=utterance,
        outcomes=outcomes,
        hubs=_hubs(counts, parallel),
        overlap=_overlap(parallel, outcomes[SEQSIM].credit),
        notes=tuple(notes),
    )


def _centring(statistics: FrameStatistics | None, parallel: Parallel) -> str:
    if statistics is None:
        return "Frames as they are, neither centred nor whitened."
    ids = parallel.column("id")
    if ids is None:
        raise DialectError("statistics need the attribute 'id', to tell whether they are of the utterances searched")
    return f"Frames {statistics.describe(ids)}."


def _outcome(found: list[tuple[Place, Place]], ks: Sequence[int]) -> Outcome:
    place, guessed = (Place(*map(np.concatenate, zip(*side, strict=True))) for side in zip(*found, strict=True))

    def credits(place: Place) -> dict[str, np.ndarray]:
        return {**{f"recall@{k}": recall_credit(place, k) for k in ks}, "mrr": reciprocal_credit(place)}

    return Outcome(credits(place), credits(guessed), place.tied > place.right)


def _hubs(counts: dict[str, np.ndarray], parallel: Parallel) -> pd.DataFrame:
    rows = []
    for name, count in counts.items():
        for number in np.unique([pair.target for pair in parallel.pairs]):
            members = np.unique(np.concatenate([pair.targets for pair in parallel.pairs if pair.target == number]))
            most = members[count[members].argmax()]
            share = count[most] / count[members].sum()
            row = {"score": name, "site": parallel.sites[number], "skewness": skewness(count[members])}
            rows.append({**row, "utterance": int(most), "share": share})
    return pd.DataFrame(rows)


def _overlap(parallel: Parallel, credits: dict[str, np.ndarray]) -> pd.DataFrame | None:
    texts = parallel.column("text")
    if texts is None:
        return None
    words = [tokens(text) for text in texts.tolist()]
    return by_overlap(np.concatenate([overlap_of(pair, words) for pair in parallel.pairs]), credits)
