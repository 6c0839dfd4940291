"""A data map as the page's script takes it: columns of short values, curves as bytes, marks.

Dimensions: N recordings, E epochs.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256

import numpy as np
import pandas as pd

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.groups import positions_of
from hf_dialects.report.datamap_table import MapTable
from hf_dialects.report.embedding import sample
from hf_dialects.report.palette import COLOURS, SHAPES, mark
from hf_dialects.training.datamaps import LOOKS
from hf_dialects.training.regions import REGIONS

STEPS, MISSING = 254, 255  # a probability in a byte; what an epoch did not see
BORDERS = {"easy": (0.6, 0.3), "hard": (0.3, 0.2)}  # of `regions.regions`
SUSPECTS = 2000  # of a ranking that are on the page whatever its size
DECIDED = {  # what somebody decided → colour and shape
    "undecided": ("#B0B0B0", SHAPES[0]),
    "keep": (COLOURS[0], SHAPES[1]),
    "relabel": (COLOURS[3], SHAPES[3]),
    "drop": (COLOURS[6], SHAPES[4]),
}
SHAPE_OF_REGION = dict(zip(REGIONS, SHAPES, strict=False))


def chosen(table: MapTable, most: int, seed: int = 0) -> np.ndarray:
    """Sorted positions of at most `most` recordings: the most doubtful ones, and others drawn by seed and id."""
    n = len(table.map.ids)
    if n <= most:
        return np.arange(n)
    doubtful = _first(table, min(SUSPECTS, most))
    others = np.setdiff1d(np.arange(n), doubtful)
    drawn = others[sample(table.map.ids[others].tolist(), most - len(doubtful), seed)]
    return np.sort(np.concatenate([doubtful, drawn]))


def audible(table: MapTable, rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of some positions: for two thirds the most doubtful ones, the others drawn by seed and id."""
    if len(rows) <= most:
        return rows
    doubtful = _first(table, round(most * 2 / 3))
    others = np.setdiff1d(rows, doubtful)
    drawn = others[sample(table.map.ids[others].tolist(), most - len(doubtful), seed)]
    return np.sort(np.concatenate([doubtful, drawn]))


def page_data(table: MapTable, rows: np.ndarray, speakers: Sequence[str | None]) -> dict:
    """Everything about some recordings, but for their sound.

    Args:
        rows: (M,) positions in the map; "position" on the page is a place among them.
        speakers: of all N recordings.
    """
    found = table.map
    names = sorted({speakers[row] for row in rows} - {None})
    numbers = {name: number for number, name in enumerate(names)}
    epochs, curves = curves_of(found.dynamics, found.ids)
    where = np.full(len(found.ids), -1)
    where[rows] = np.arange(len(rows))
    orders = {name: where[order][where[order] >= 0].tolist() for name, order in table.orders.items()}
    data = {
        "labels": table.labels,
        "regions": list(REGIONS),
        "speakers": names,
        "epochs": epochs,
        "curves": b64encode(np.ascontiguousarray(curves[rows]).tobytes()).decode(),
        "id": found.ids[rows].tolist(),
        "gold": found.gold[rows].tolist(),
        "region": [REGIONS.index(region) for region in table.regions[rows]],
        "speaker": [numbers.get(speakers[row], -1) for row in rows],
        "suggested": table.suggested[rows].tolist(),
        "orders": orders,
        "corrections": [asdict(one) for one in table.corrections],
        "borders": BORDERS if table.by == "thresholds" else None,
        "looks": _looks(table),
    }
    for name in ("confidence", "variability", "correctness"):
        data[name] = np.round(getattr(found, name)[rows], 4).tolist()
    if table.confident is not None:
        data["doubt"] = np.round(table.confident.score[rows], 4).tolist()
        data["flagged"] = table.confident.flagged[rows].astype(int).tolist()
    told = repr([data["id"], data["gold"], data["corrections"]]).encode("utf-8", "surrogatepass")
    return data | {"key": sha256(told).hexdigest()[:16]}


def curves_of(dynamics: pd.DataFrame, ids: Iterable[str]) -> tuple[list[int], np.ndarray]:
    """The gold probability of every recording in every epoch.

    Returns:
        (numbers of the epochs, (N, E) uint8: probability times 254, 255 where an epoch did not see the recording)
    """
    epochs = sorted(dynamics["epoch"].unique().tolist())
    wide = dynamics.pivot(index="id", columns="epoch", values="probability").reindex(index=list(ids), columns=epochs)
    values = wide.to_numpy(dtype=np.float64)
    return epochs, np.where(np.isnan(values), MISSING, np.rint(np.clip(values, 0, 1) * STEPS)).astype(np.uint8)


def speakers_of_map(table: MapTable, corpus) -> list[str | None]:
    """The speaker of every recording of a map; None where unknown."""
    if "speaker" not in corpus.column_names:
        return [None] * len(table.map.ids)
    values = column_values(corpus, "speaker")
    return [None if values[row] is None else str(values[row]) for row in rows_of(table, corpus)]


def rows_of(table: MapTable, corpus) -> np.ndarray:
    """(N,) rows of a corpus.

    Raises:
        CorpusError: recordings of the map are not in it.
    """
    try:
        return positions_of(corpus, table.map.ids)
    except CorpusError as error:
        known = set(corpus["id"])
        missing = [id for id in table.map.ids if id not in known]
        if not missing:
            raise
        raise CorpusError(
            f"it is not the corpus of this run: {len(missing)} of {len(table.map.ids)} of its recordings are missing, "
            f"the first: {missing[0]!r}"
        ) from error


def _first(table: MapTable, most: int) -> np.ndarray:
    """At most `most` positions from the top of all rankings in turn."""
    turns = np.stack(list(table.orders.values()), axis=1).ravel()
    _, first = np.unique(turns, return_index=True)
    return turns[np.sort(first)][:most]


def _looks(table: MapTable) -> dict[str, list[tuple[str, str, str]]]:
    """What marks can show → (name, colour, shape) by number."""
    return {
        "region": [(name, LOOKS[name][0], SHAPE_OF_REGION[name]) for name in REGIONS],
        "dialect": [(name, *mark(number)) for number, name in enumerate(table.labels)],
        "decision": [(name, *look) for name, look in DECIDED.items()],
    }
