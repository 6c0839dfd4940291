"""Running a model over a corpus: windowed predictions. The encoder is run over recordings here and in `frames` only."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from hf_dialects.batch_size import BatchSize
from hf_dialects.data.audio import decode
from hf_dialects.data.leakage import column_values
from hf_dialects.data.schema import GROUPING
from hf_dialects.data.screen import Skipped
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import AudioError, DialectError
from hf_dialects.models.pipeline_dialect import minimum_samples
from hf_dialects.precision import precision_used
from hf_dialects.recordings import Recording
from hf_dialects.windowing import Window, Windowing

WAITING = 8
KEPT_COLUMNS = (*GROUPING, "sentence_id")  # what intervals and tests resample


@dataclass(frozen=True)
class WindowLogits:
    """What a model says of every window, W windows of N recordings.

    Attributes:
        owner: (W,) int64, which of the N recordings a window is cut from; each has at least one.
        logits: (W, C) float64.
    """

    owner: np.ndarray
    logits: np.ndarray

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """(N, C) float64, mean over the windows of each recording of softmax(logits / temperature)."""
        each = torch.from_numpy(self.logits / temperature).softmax(-1).numpy()
        counts = np.bincount(self.owner)
        totals = np.zeros((len(counts), each.shape[1]))
        np.add.at(totals, self.owner, each)
        return totals / counts[:, None]


@dataclass
class Predictions:
    """What a model says of a corpus, N recordings.

    Attributes:
        ids: N ids.
        gold: (N,) int64 gold labels, -1 where the corpus has none.
        probabilities: (N, C) float64, mean over the windows of each recording.
        windows: (N,) int64, windows that entered the mean.
        speech_share: (N,) float64, share of the recording that is loud enough to be speech.
        embeddings: (N, P) float32, mean over the same windows; None unless asked for.
        skipped: recordings left out.
        window_logits: of the windows that entered the mean; None unless asked for, and never written.
        grouping: "speaker", "site", "recording", "session" and "sentence_id", those that the corpus names → N values,
            None where unknown. Runs are compared over them without the corpus.
    """

    ids: list[str]
    gold: np.ndarray
    probabilities: np.ndarray
    windows: np.ndarray
    speech_share: np.ndarray
    embeddings: np.ndarray | None = None
    skipped: list[Skipped] = field(default_factory=list)
    grouping: dict[str, list[str | None]] = field(default_factory=dict)
    window_logits: WindowLogits | None = None

    def write(self, path: Path) -> None:
        """Parquet with id, gold, probabilities, windows, speech_share and the columns of `grouping`."""
        with disk_space(path, KEPT):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.frame().to_parquet(path, index=False)

    def frame(self) -> pd.DataFrame:
        """One row per recording."""
        return pd.DataFrame(
            {
                "id": self.ids,
                "gold": self.gold,
                "probabilities": list(self.probabilities),
                "windows": self.windows,
                "speech_share": self.speech_share,
                **self.grouping,
            }
        )

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """What `write` wrote."""
        frame = pd.read_parquet(path)
        return cls(
            ids=frame["id"].tolist(),
            gold=frame["gold"].to_numpy(),
            probabilities=np.stack(frame["probabilities"].tolist()),
            windows=frame["windows"].to_numpy(),
            speech_share=frame["speech_share"].to_numpy(),
            grouping={
                name: frame[name].astype(object).where(frame[name].notna(), None).tolist()
                for name in KEPT_COLUMNS
                if name in frame.columns
            },
        )

    @classmethod
    def joined(cls, parts: "Sequence[Predictions]") -> "Predictions":
        """Predictions of several corpora, one after the other, without embeddings."""
        names = [name for name in KEPT_COLUMNS if any(name in one.grouping for one in parts)]
        return cls(
            ids=[id for one in parts for id in one.ids],
            gold=np.concatenate([one.gold for one in parts]),
            probabilities=np.concatenate([one.probabilities for one in parts]),
            windows=np.concatenate([one.windows for one in parts]),
            speech_share=np.concatenate([one.speech_share for one in parts]),
            skipped=[skipped for one in parts for skipped in one.skipped],
            grouping={
                name: [value for one in parts for value in one.grouping.get(name, [None] * len(one.ids))]
                for name in names
            },
        )


def grouping_of(dataset) -> dict[str, list[str | None]]:
    """The columns of a corpus that intervals and tests resample, as text; those without any value are left out."""
    found = {}
    for name in KEPT_COLUMNS:
        values = column_values(dataset, name) if name in dataset.column_names else []
        if any(value is not None for value in values):
            found[name] = [None if value is None else str(value) for value in values]
    return found


def predict(
    model,
    feature_extractor,
    dataset,
    batch_size: int | None = 16,
    window_s: float | None = None,
    stride_s: float | None = None,
    min_speech: float = 0.0,
    workers: int = 2,
    embeddings: bool = False,
    window_logits: bool = False,
    progress: bool = True,
    name: str = "predicting",
    normalize: str = "window",
    precision: str = "float32",
) -> Predictions:
    """Classify every recording of a corpus by its windows.

    A recording's probabilities are the mean of the softmax over its windows. Where the encoder's front averages over
    padding (group-normalised fronts), only windows of the same length share a batch, so the batch size changes a result
    by rounding alone. Recordings longer than `recordings.WHOLE_S` are read in blocks, twice: memory does not grow with
    them.

    Args:
        model: any audio classifier of transformers.
        feature_extractor: the encoder's.
        dataset: rows with `audio` and `id`, optionally `dialect`.
        batch_size: windows of one pass; None for the fastest on this processor, see `BatchSize`.
        window_s, stride_s: other windows than the model's configuration says.
        min_speech: windows with a smaller share of speech are left out; a recording without any other is skipped as
            "no speech".
        workers: threads that decode.
        embeddings: also return the mean of the windows' embeddings (dialect models only).
        window_logits: also return the logits of every window, such as `evaluation.temperature` needs.
        normalize: "window" or "recording", see `Windowing`.
        precision: "float32" or "bfloat16" (float32, with a warning, where the hardware lacks it).

    Raises:
        ValueError: `min_speech` is no share, or an unknown word.
        DialectError: windows that do not fit the model, or whose front cannot be shared, no recording of the corpus
            that could be used, or values that are not finite.
    """
    config = model.config
    ids = list(dataset["id"])
    n_classes = config.num_labels
    totals, counts, shares = np.zeros((len(ids), n_classes)), np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids))
    sums: dict[int, np.ndarray] = {}
    owners: list[int] = []
    each: list[np.ndarray] = []
    skipped: list[Skipped] = []
    window_s = window_s or getattr(config, "window_s", None)
    precision = precision_used(precision, model.device)
    windowing = Windowing(model, feature_extractor, window_s, stride_s, normalize, precision, min_speech)
    size = BatchSize.of(model, batch_size, window_s, normalize, precision)

    def windows() -> Iterator[tuple[int, Window]]:
        for row, recording in usable(dataset, ids, feature_extractor, config, workers, skipped, bar, Recording.read):
            shares[row] = recording.survey.speech_share
            heard = False
            for window in windowing.windows(recording):
                heard = True
                yield row, window
            if not heard:
                message = f"{ids[row]}: no window has {min_speech:.0%} of speech"
                skipped.append(Skipped(ids[row], "no speech", message))

    with windowing.running(), tqdm(total=len(ids), desc=name, unit="clip", disable=not progress) as bar:
        for batch in batches(windows(), size, windowing.same_length):
            started = time.perf_counter()
            cut = [window for _, window in batch]
            output = model(**windowing.inputs(cut))
            logits = output.logits.double().cpu()
            size.took(cut, time.perf_counter() - started)
            probabilities = logits.softmax(-1).numpy()
            if window_logits:
                owners += [row for row, _ in batch]
                each.append(logits.numpy())
            for position, (row, _) in enumerate(batch):
                totals[row] += probabilities[position]
                counts[row] += 1
                if embeddings:
                    sums[row] = sums.get(row, 0.0) + output.embeddings[position].float().cpu().numpy()

    kept = np.flatnonzero(counts)
    if not len(kept):
        first = skipped[0].message if skipped else "no rows"
        raise DialectError(f"none of the {len(ids)} recordings could be classified; the first: {first}")
    probabilities = totals[kept] / counts[kept, None]
    if not np.isfinite(probabilities).all():
        first = ids[kept[np.flatnonzero(~np.isfinite(probabilities).all(1))[0]]]
        raise DialectError(
            f"the model gives probabilities that are not finite, first for {first}: its weights or precision are broken"
        )
    labels = list(dataset["dialect"]) if "dialect" in dataset.column_names else [None] * len(ids)
    grouping = grouping_of(dataset)
    return Predictions(
        ids=[ids[row] for row in kept],
        gold=np.array([-1 if labels[row] is None else labels[row] for row in kept], dtype=np.int64),
        probabilities=probabilities,
        windows=counts[kept],
        speech_share=shares[kept],
        embeddings=np.stack([sums[row] / counts[row] for row in kept]) if embeddings else None,
        skipped=sorted(skipped, key=lambda one: one.id),
        grouping={name: [values[row] for row in kept] for name, values in grouping.items()},
        window_logits=WindowLogits(np.searchsorted(kept, owners), np.concatenate(each)) if window_logits else None,
    )


def batches(
    windows: Iterable[tuple[int, np.ndarray | Window]], batch_size: int | BatchSize, same_length: bool
) -> Iterator[list[tuple[int, np.ndarray | Window]]]:
    """Group (row, window) pairs; with `same_length` only windows of equal length share a batch.

    At most `WAITING` batches of windows wait for others of their length, then the oldest group goes as it is.
    """
    waiting: dict[int, list[tuple[int, np.ndarray | Window]]] = defaultdict(list)
    for row, window in windows:
        size = batch_size if isinstance(batch_size, int) else batch_size.current
        key = len(window) if same_length else 0
        waiting[key].append((row, window))
        if len(waiting[key]) >= size:
            yield waiting.pop(key)
        elif sum(map(len, waiting.values())) >= WAITING * size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def usable(
    dataset, ids: list[str], feature_extractor, config, workers: int, skipped: list[Skipped], bar, read=decode
) -> Iterator[tuple[int, np.ndarray | Recording]]:
    """(row, what `read` makes of it) of every recording that can be used, in order; the others are added to `skipped`.

    `read` is `decode`, for waveforms (S,), or `Recording.read`. `dataset` may also be an iterator over rows, which
    adds to `ids` as it goes.
    """
    rate, minimum = feature_extractor.sampling_rate, minimum_samples(feature_extractor, config)
    for row, recording, problem in _decoded(dataset, ids, rate, workers, read):
        bar.update()
        if problem is None and len(recording) < minimum:
            lasts = f"{ids[row]} lasts {len(recording) / rate:.3f} s; the encoder needs at least {minimum / rate:.3f} s"
            problem = Skipped(ids[row], "too short", f"{lasts}. Leave it out")
        if problem is None:
            yield row, recording
        else:
            skipped.append(problem)


def _decoded(
    dataset, ids: list[str], rate: int, workers: int, read: Callable
) -> Iterator[tuple[int, np.ndarray | Recording | None, Skipped | None]]:
    """(row, recording, None) or (row, None, why not), in order, decoded a few ahead by threads."""

    def one(row: int, example: dict | None):
        try:
            return row, read((example or dataset[row])["audio"], rate), None
        except AudioError as error:
            return row, None, Skipped(ids[row], error.reason, str(error))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        streamed = isinstance(dataset, Iterator)
        rows = enumerate(dataset) if streamed else ((row, None) for row in range(len(ids)))
        pending = [pool.submit(one, *row) for row in islice(rows, 4 * max(1, workers))]
        while pending:
            yield pending.pop(0).result()
            pending += [pool.submit(one, *row) for row in islice(rows, 1)]
