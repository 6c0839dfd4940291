"""Recordings in place of those of Pangloss, joined from the shipped fixture: for trial runs of the series."""

from collections.abc import Iterator

import numpy as np

from hf_dialects.data.audio import SAMPLING_RATE, decode, encode
from hf_dialects.data.conditions import CONDITIONS
from hf_dialects.data.randomness import generator
from hf_dialects.data.schema import dataset_of, features
from hf_dialects.data.split_folder import join_splits
from hf_dialects.data.synthetic import FIXTURE_SENTENCES, load_fixture

DIALECTS = ("en-us", "es")  # one of each language
VOICE, SECOND, VOICES = "m1", "m3", ("m1", "m3", "f1", "f2")
CLEAN = "clean"
HALVES = {"first": FIXTURE_SENTENCES[:4], "second": FIXTURE_SENTENCES[4:]}


def smoke_recordings(series: str):
    """Recordings of about 8 s in the corpus schema, two of each value of what the series is about.

    Args:
        series: "recording": one voice under four conditions; "voice": four voices in place of four styles; "segments":
            two lists of sentences.
    """
    clips = {row["id"]: row["audio"] for row in join_splits(load_fixture())}
    rows = []
    for dialect in DIALECTS:
        for voice, condition, half, about in _plan(series):
            name = f"{dialect}-{voice}-{condition}-{half}"
            parts = [decode(clips[f"{dialect}_{voice}_s{number:02d}"]) for number in HALVES[half]]
            waveform = np.concatenate(parts)
            if condition != CLEAN:
                waveform = CONDITIONS[condition](waveform, SAMPLING_RATE, generator(0, 0, name, condition))
            audio = {"bytes": encode(waveform, SAMPLING_RATE), "path": f"{name}.flac"}
            row = {"id": name, "audio": audio, "dialect": dialect, "speaker": voice, "recording": name}
            rows.append(row | {"language": dialect.split("-")[0], "series": series} | about)
    from datasets import Value

    extra = {name: Value("string") for name in dict.fromkeys(name for row in rows for name in row)}
    schema = features(DIALECTS)
    extra = {name: kind for name, kind in extra.items() if name not in schema}
    kept = {name: kind for name, kind in schema.items() if name in rows[0]}
    return dataset_of(rows, type(schema)(kept | extra))


def _plan(series: str) -> Iterator[tuple[str, str, str, dict]]:
    """Voice, condition and list of every recording, and the column that the series is about."""
    for half in HALVES:
        if series == "recording":
            yield from ((VOICE, name, half, {"condition": name}) for name in (CLEAN, *CONDITIONS))
        elif series == "voice":
            yield from ((voice, CLEAN, half, {"style": voice}) for voice in VOICES)
        else:
            yield from ((voice, CLEAN, half, {"content": half}) for voice in (VOICE, SECOND))
