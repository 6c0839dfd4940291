"""Retrieval asked of a model or of frames on disk: one pass over the recordings, then layer after layer.

Dimensions: N utterances, T frames of one, D channels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from hf_dialects.errors import AudioError, DialectError
from hf_dialects.retrieval.benchmark import retrieval_benchmark
from hf_dialects.retrieval.centring import FrameStatistics
from hf_dialects.retrieval.result import RetrievalResult
from hf_dialects.retrieval.scores import PRECISIONS, seqsim_matrix
from hf_dialects.retrieval_audio import Sound, listen, negated_dtw, trimmed
from hf_dialects.retrieval_blocks import all_pairs
from hf_dialects.retrieval_frames import Centre, FrameSource, frame_source
from hf_dialects.retrieval_pool import Pool, Question, pool_of

MUCH_GIB = 0.5  # of memory, from which on it is worth telling
MEL_DTW, TRIMMED = "mel DTW", "silence trimmed"
CONTROLS = {"mel-dtw": MEL_DTW, "trimmed": TRIMMED}  # those that need the recordings, by what the command calls them


@dataclass(frozen=True)
class Options:
    """How is retrieved.

    Attributes:
        layers: hidden states, negative counts from the last; None = the last of a model, all of a folder.
        show: layer whose scores are kept; None = the last of these.
        k: of recall@k.
        precision: of SeqSim, "float32" or "int8".
        controls: of `CONTROLS`.
        seed: of shuffled labels.
        device: of the encoder, and of SeqSim in float32; "cpu" or what torch calls another.
        overwrite: replace frames of something else.
        progress: show bars.
    """

    layers: tuple[int, ...] | None = None
    show: int | None = None
    k: tuple[int, ...] = (1, 5)
    precision: str = "float32"
    controls: tuple[str, ...] = tuple(CONTROLS)
    seed: int = 0
    device: str = "cpu"
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self):
        if unknown := [name for name in self.controls if name not in CONTROLS]:
            raise DialectError(f"controls are {', '.join(unknown)}; expected some of {', '.join(CONTROLS)}, or none")
        if self.precision not in PRECISIONS:
            raise DialectError(f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        if min(self.k, default=0) < 1:
            raise DialectError(f"k is {', '.join(map(str, self.k)) or 'nothing'}; expected numbers of 1 or more")


@dataclass(frozen=True)
class Found:
    """What `retrieve` found.

    Attributes:
        question, pool: what was asked, of which utterances.
        results: layer, 0 to n → result.
        shown: the layer of `scores`.
        scores: (N, N) SeqSim.
        manifest: what the frames were made of.
    """

    question: Question
    pool: Pool
    results: dict[int, RetrievalResult]
    shown: int
    scores: np.ndarray
    manifest: dict


def retrieve(
    source: str | Path,
    dataset,
    question: Question,
    out: Path,
    options: Options | None = None,
    centre: Centre | None = None,
    tell: Callable[[str], None] = print,
) -> Found:
    """Find every utterance of one place among those of another, in every layer.

    Args:
        source: a run folder, model folder or Hub id; or a folder of frames that `embed` wrote.
        dataset: the corpus.
        out: frames of a model go there, and similarities block by block; what is there is not done again.
        centre: centre or whiten frames with those of a set.
        tell: is told what it will take, and what was left out.

    Raises:
        DialectError: whatever makes the question impossible, before an encoder runs as far as it can be known then.
    """
    options = options or Options()
    pool = pool_of(dataset, question)
    more = {"overwrite": options.overwrite, "progress": options.progress, "tell": tell}
    frames = frame_source(source, dataset.select(pool.rows), out, options.layers, centre, options.device, **more)
    shown = frames.layers[-1] if options.show is None else options.show % (frames.manifest["n_layers"] + 1)
    if shown not in frames.layers:
        listed = ", ".join(map(str, frames.layers))
        raise DialectError(f"layer {options.show} is to be shown, but retrieval is with {listed}; name it there too")
    pool = pool.of(frames.ids, question)
    heard, pool = _heard(dataset, pool, options)
    asked = _Asked(question, pool, frames, heard, out / "scores", options, tell)
    results, scores = {}, None
    for layer in frames.layers:
        results[layer], of_layer = asked.of(layer)
        scores = of_layer if layer == shown else scores
    return Found(question, asked.pool, results, shown, scores, frames.manifest)


def _heard(dataset, pool: Pool, options: Options) -> tuple[Sound | None, Pool]:
    """The recordings, where a control needs them; and the pool with their durations, or with a note why not."""
    if not options.controls:
        return None, pool
    try:
        heard = listen(_Cells(dataset, pool.rows), options.progress)
    except AudioError as error:
        return None, replace(pool, notes=(*pool.notes, f"Without controls from the recordings: {error}"))
    return heard, replace(pool, attributes=pool.attributes.assign(duration=heard.durations))


class _Cells:
    """Cells of the column `audio`, read one by one."""

    def __init__(self, dataset, rows: np.ndarray):
        self._dataset, self._rows = dataset, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self):
        return (self._dataset[int(row)]["audio"] for row in self._rows)


@dataclass
class _Asked:
    """One question, layer by layer."""

    question: Question
    pool: Pool
    frames: FrameSource
    heard: Sound | None
    folder: Path
    options: Options
    tell: Callable[[str], None]

    def __post_init__(self):
        self.mel_dtw = None
        if self.heard is None or "mel-dtw" not in self.options.controls:
            return
        site = np.unique(self.pool.attributes[self.question.between].astype(str), return_inverse=True)[1]
        try:
            compute = negated_dtw(self.heard.mel, site)
        except DialectError as error:
            self.pool = replace(self.pool, notes=(*self.pool.notes, f"Without {MEL_DTW}: {error}."))
            return
        digest = sha256()
        for one in self.heard.mel:
            digest.update(one.tobytes())
        lengths = np.array([len(one) for one in self.heard.mel])
        key = {"mel": digest.hexdigest(), "site": site.tolist()}
        self.mel_dtw = self._pairs(compute, lengths, MEL_DTW, key)

    def of(self, layer: int) -> tuple[RetrievalResult, np.ndarray]:
        """Result, and (N, N) SeqSim."""
        ids = self.pool.attributes["id"].tolist()
        frames, statistics = self.frames.read(layer, ids), self.frames.statistics(layer)
        if statistics is not None and (size := sum(one.nbytes for one in frames) / 2**30) > MUCH_GIB:
            self.tell(f"layer {layer}: moved frames take {size:.1f} GiB of memory")
        moved = frames if statistics is None else statistics.apply(frames)
        key = {"made of": self.frames.manifest, "layer": layer, "ids": ids, "centre": _digest(statistics)}
        key["precision"] = self.options.precision
        scores = self._seqsim(moved, f"SeqSim layer {layer}", key)
        controls = {} if self.mel_dtw is None else {MEL_DTW: self.mel_dtw}
        if self.heard is not None and "trimmed" in self.options.controls:
            speech = trimmed(moved, self.heard.speech, self.frames.frame_rate_hz)
            name = f"SeqSim layer {layer} {TRIMMED}"
            controls[TRIMMED] = self._seqsim(speech, name, key | {"speech": self.heard.speech.tolist()})
        del moved
        result = retrieval_benchmark(
            frames,
            self.pool.attributes,
            self.question.between,
            self.question.parallel,
            self.pool.group,
            k=self.options.k,
            scores=scores,
            controls=controls,
            statistics=statistics,
            seed=self.options.seed,
        )
        notes = (f"Layer {layer}, SeqSim in {self.options.precision}.", *result.notes, *self.pool.notes)
        return replace(result, notes=notes), scores

    def _seqsim(self, frames: list, name: str, key: dict) -> np.ndarray:
        precision = self.options.precision
        device = self.options.device if precision == "float32" else "cpu"

        def compute(members: np.ndarray, n_rows: int) -> np.ndarray:
            taken = [frames[number] for number in members]
            return seqsim_matrix(taken[:n_rows], taken, precision, device=device)

        return self._pairs(compute, np.array([len(one) for one in frames]), name, key)

    def _pairs(self, compute: Callable, lengths: np.ndarray, name: str, key: dict) -> np.ndarray:
        return all_pairs(compute, lengths, self.folder, name, key, self.options.progress, self.tell)


def _digest(statistics: FrameStatistics | None) -> str | None:
    """Checksum of the values that frames are moved with."""
    if statistics is None:
        return None
    digest = sha256(statistics.mean.tobytes())
    digest.update(b"" if statistics.whitening is None else statistics.whitening.tobytes())
    return digest.hexdigest()
