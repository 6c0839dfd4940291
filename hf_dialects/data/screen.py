"""Setting aside recordings that cannot be used, before a long job starts."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from hf_dialects.data.audio import SAMPLING_RATE, decode, is_silent
from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import AudioError, CorpusError


@dataclass(frozen=True)
class Skipped:
    """A recording that was left out: its id, a short reason that is counted, and the whole message."""

    id: str
    reason: str
    message: str


def check_clip(cell, id: str, minimum_s: float, sampling_rate: int = SAMPLING_RATE) -> tuple[float, Skipped | None]:
    """Decode one recording: (duration in seconds, None), or (0, why it cannot be used)."""
    try:
        waveform = decode(cell, sampling_rate)
    except AudioError as error:
        return 0.0, Skipped(id, error.reason, str(error))
    seconds = len(waveform) / sampling_rate
    if seconds < minimum_s:
        return 0.0, Skipped(
            id, "too short", f"{id} lasts {seconds:.3f} s; the encoder needs at least {minimum_s:.3f} s. Leave it out"
        )
    if is_silent(waveform):
        return 0.0, Skipped(id, "silent", f"{id} holds no sound: its {seconds:.2f} s are digital silence. Leave it out")
    return seconds, None


def screen(dataset, minimum_s: float = 0.035, workers: int = 2, progress: bool = True, name: str = "recordings"):
    """Decode every recording once and leave out what cannot be used.

    Args:
        dataset: a corpus.
        minimum_s: shortest usable recording in seconds.
        workers: threads that decode.
        name: shown beside the progress bar.

    Returns:
        (the usable rows, with column `duration` filled; list of `Skipped`)

    Raises:
        CorpusError: nothing usable is left.
    """
    ids = list(dataset["id"])
    with ThreadPoolExecutor(workers) as pool:
        checks = pool.map(lambda i: check_clip(dataset[i]["audio"], ids[i], minimum_s), range(len(ids)))
        checks = list(tqdm(checks, total=len(ids), desc=f"checking {name}", unit="clip", disable=not progress))
    kept = [i for i, (_, skipped) in enumerate(checks) if skipped is None]
    skipped = [found for _, found in checks if found is not None]
    if not kept:
        first = skipped[0].message if skipped else "it holds no rows"
        raise CorpusError(f"none of the {len(ids)} {name} can be used; the first: {first}")
    durations = [checks[i][0] for i in kept]
    usable = dataset.select(kept) if skipped else dataset
    if "duration" in usable.column_names:
        usable = usable.remove_columns("duration")
    return usable.add_column("duration", durations), skipped


def count_reasons(skipped: list[Skipped]) -> dict[str, int]:
    """How many recordings were left out for each reason."""
    return dict(sorted(Counter(one.reason for one in skipped).items()))


def write_skipped(skipped: list[Skipped], path: Path) -> None:
    """`skipped.csv`: id, reason, message."""
    frame = pd.DataFrame([asdict(one) for one in skipped], columns=["id", "reason", "message"])
    with disk_space(path, KEPT):
        frame.to_csv(path, index=False)


def read_skipped(path: Path) -> list[Skipped]:
    """What `write_skipped` wrote."""
    return [Skipped(**row) for row in pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")]
