"""A small corpus that names its speakers wherever a corpus may, prepared for sharing."""

import io
from pathlib import Path
from types import ModuleType

import corpora
import pyarrow.parquet as pq
from loopback_hub import WRITER

from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.hub import facts_of, push_dataset

PEOPLE = (
    "AdaLovelace",
    "BertoldBrecht",
    "ClaraZetkin",
    "DoraMaar",
    "EmilNolde",
    "FritzLang",
    "GretaGarbo",
    "HannahHoech",
)
SPLITS = ("train", "train", "train", "train", "validation", "validation", "test", "test")
TAKES = 3


def rows(source: Path):
    """Two varieties, a speaker of each at each of four sites, three takes each."""
    for number, (who, split) in enumerate(zip(PEOPLE, SPLITS, strict=True)):
        for take in range(TAKES):
            name = f"{who}_{take}"
            path = source / f"{name}.wav"
            if not path.is_file():
                corpora.tone(path, seconds=0.1 + 0.01 * number, seed=TAKES * number + take)
            yield {
                "id": f"tapes/{name}",
                "audio": {"bytes": None, "path": str(path)},
                "dialect": ("north", "south")[number % 2],
                "cluster": "all",
                "speaker": who,
                "site": f"village {number // 2}",
                "recording": f"tape of {who}",
                "session": f"{who} in May" if take else None,
                "sentence_id": f"s{take}",
                "text": ("one", "two", "three")[take],
                "latitude": 46.123 + number,
                "longitude": 7.987 if number else None,
                "file": f"{name}.WAV",
                "family_name": who[-4:].upper(),
                "place": f"The village {number // 2}",
                "microphone": "M1",
                "take": take,
                "license": "CC BY-NC-ND 4.0" if (number, take) == (0, 2) else "CC BY 4.0",
                "split": split,
            }


def script(**settings) -> ModuleType:
    """A dataset script of the corpus."""
    module = ModuleType("villages", "Speech of eight villagers.\n\n- Rendered tones, three per person.\n- No voice.\n")
    given = {
        "LICENSE": "CC BY 4.0",
        "CITATION": "Nobody (2026).",
        "RECORDINGS": None,
        "SHARING": "allowed",
        "rows": rows,
    }
    module.__dict__.update(given | {"LANGUAGES": ("de",)} | settings)
    return module


def prepared(folder: Path, **settings) -> Path:
    """Prepared by the script of these settings."""
    (folder / "source").mkdir(parents=True, exist_ok=True)
    module = script(**settings)
    prepare_corpus(module, folder / "source", folder / "out", progress=False, report=lambda text: None)
    return folder / "out"


FACTS = facts_of(script())


def share(corpus, hub, repo="me/villages", facts=FACTS, **options):
    """Push a prepared corpus; what was pushed, and what was told."""
    told = []
    pushed = push_dataset(corpus, repo, facts, token=WRITER, endpoint=hub.endpoint, report=told.append, **options)
    return pushed, told


def tables(hub, repo="me/villages") -> dict:
    """Split → rows of its shards, in order."""
    found: dict[str, list[dict]] = {}
    for path, content in sorted(hub.repositories["dataset", repo].files.items()):
        if path.endswith(".parquet"):
            found.setdefault(path.split("/")[1].split("-")[0], []).extend(
                pq.read_table(io.BytesIO(content)).to_pylist()
            )
    return found
