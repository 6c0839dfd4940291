"""The embedded corpus: 12 varieties spoken by eSpeak NG, rendered on first use and cached.

Formant-synthesised speech with rule-based accents: scores on it say nothing about real dialects.

60 sentences mean the same in English, Spanish, Portuguese and Vietnamese. Neither voices nor sentences cross a split;
the voices are the same in every variety, so that who speaks does not tell the label.

    split        voices                            sentences   utterances
    train        m1–m5, f1–f5                      s00–s29     12 × 10 × 20, drawn for each variety and voice
    validation   m6, m7                            s30–s39     12 × 2 × 10 at two rates
    test         Andrea, steph, linda, Michael     s40–s59     12 × 4 × 20

Rendered by eSpeak NG 1.52 the corpus holds about two hours and takes 160 MB as FLAC.

    python -m hf_dialects.data.synthetic corpus                   render into the cache, print the fingerprint
    python -m hf_dialects.data.synthetic fixture --out DIR        render the small corpus that ships with the package
"""

import argparse
import csv
import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from hf_dialects.data.audio import SAMPLING_RATE, decode, duration_s, encode
from hf_dialects.data.espeak import render
from hf_dialects.data.schema import dataset_of, features
from hf_dialects.errors import CorpusError

__all__ = ["Utterance", "embedded_fingerprint", "load_embedded", "load_fixture", "load_stress", "plan"]

logger = logging.getLogger(__name__)

CLUSTERS = ("english", "iberian", "vietnamese")
VARIETIES = {  # dialect: (cluster, language of the sentences, file of the eSpeak voice)
    "en-us": ("english", "en", "en-US"),
    "en-gb": ("english", "en", "en"),
    "en-gb-scotland": ("english", "en", "en-GB-scotland"),
    "en-029": ("english", "en", "en-029"),
    "en-gb-x-gbcwmd": ("english", "en", "en-GB-x-gbcwmd"),
    "es": ("iberian", "es", "es"),
    "es-419": ("iberian", "es", "es-419"),
    "pt": ("iberian", "pt", "pt"),
    "pt-br": ("iberian", "pt", "pt-BR"),
    "vi-north": ("vietnamese", "vi", "vi"),
    "vi-central": ("vietnamese", "vi", "vi-VN-x-central"),
    "vi-south": ("vietnamese", "vi", "vi-VN-x-south"),
}
SPEAKERS = {  # split: files of the eSpeak voice variants
    "train": ("m1", "m2", "m3", "m4", "m5", "f1", "f2", "f3", "f4", "f5"),
    "validation": ("m6", "m7"),
    "test": ("Andrea", "steph", "linda", "Michael"),
}
SENTENCES = {"train": range(30), "validation": range(30, 40), "test": range(40, 60)}
SENTENCES_PER_VOICE = 20
COUNTS = {"train": 2400, "validation": 480, "test": 960}
PITCH, PITCH_JITTER = 50, 10  # eSpeak's scale of 0–100
RATE, RATE_JITTER, RATE_STEP = 175, 15, 20  # words per minute

RENDERING = 1  # to be raised when the same plan comes out as other samples, so that old caches are left alone

FIXTURE_FOLDER = Path(__file__).parent / "fixture"
FIXTURE_VARIETIES = ("en-us", "en-gb-scotland", "es", "pt-br")
FIXTURE_SPEAKERS = {"train": ("m1", "m3", "f1", "f2"), "validation": ("f3",), "test": ("m5",)}
FIXTURE_SENTENCES = range(8)


@dataclass(frozen=True)
class Utterance:
    """One utterance of the plan. `id` is unique; `voice` is the eSpeak name of variety and speaker together."""

    split: str
    id: str
    dialect: str
    cluster: str
    language: str
    speaker: str
    voice: str
    sentence_id: str
    text: str
    pitch: int
    rate: int


@cache
def sentences(language: str) -> tuple[str, ...]:
    """The 60 sentences of a language; the same position means the same in every language."""
    with (Path(__file__).parent / "sentences" / f"{language}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if [row["id"] for row in rows] != [f"s{i:02d}" for i in range(60)]:
        raise CorpusError(f"sentences/{language}.tsv must hold s00 to s59 in order; install hf-dialects anew")
    return tuple(row["text"] for row in rows)


def plan() -> list[Utterance]:
    """The 3,840 utterances of the corpus in the order in which they are rendered."""
    utterances = []
    for dialect in VARIETIES:
        for split, speakers in SPEAKERS.items():
            for speaker in speakers:
                numbers = SENTENCES[split]
                if split == "train":
                    # a hash, since the draws of a random generator may change with the version of numpy
                    numbers = sorted(numbers, key=lambda number: _draw(dialect, speaker, number))
                    numbers = sorted(numbers[:SENTENCES_PER_VOICE])
                steps = {"-slow": -RATE_STEP, "-fast": RATE_STEP} if split == "validation" else {"": 0}
                utterances += [
                    _utterance(split, dialect, speaker, number, suffix, step)
                    for suffix, step in steps.items()
                    for number in numbers
                ]
    return utterances


def fixture_plan() -> list[Utterance]:
    """The 192 utterances of the fixture. Its three splits share the sentences, but no voice."""
    return [
        _utterance(split, dialect, speaker, number)
        for dialect in FIXTURE_VARIETIES
        for split, speakers in FIXTURE_SPEAKERS.items()
        for speaker in speakers
        for number in FIXTURE_SENTENCES
    ]


def check_plan(utterances: Sequence[Utterance]) -> None:
    """Raise `CorpusError` unless counts are those of the design and no voice or sentence is in two splits."""
    counts = Counter(utterance.split for utterance in utterances)
    if counts != COUNTS:
        raise CorpusError(f"the embedded corpus must hold {COUNTS} utterances, its plan has {dict(counts)}")
    if len({utterance.id for utterance in utterances}) != len(utterances):
        raise CorpusError("ids of the embedded corpus are not unique")
    for field in ("speaker", "sentence_id", "text"):
        splits_of = {}
        for utterance in utterances:
            splits_of.setdefault(getattr(utterance, field), set()).add(utterance.split)
        crossing = sorted(value for value, splits in splits_of.items() if len(splits) > 1)
        if crossing:
            raise CorpusError(f"{field} of the embedded corpus crosses its splits: {', '.join(crossing[:5])}")


def load_embedded(cache_dir: str | Path | None = None, progress: bool = True):
    """The embedded corpus: `DatasetDict` of train, validation and test with 2,400, 480 and 960 rows.

    Columns: audio ({"bytes", "path"}: FLAC, 16 kHz, mono), dialect (`ClassLabel` of 12), cluster (`ClassLabel` of 3),
    speaker, sentence_id, text, duration (s), id, language, voice, pitch, rate, condition ("clean").

    The first call renders it, in about half a minute, into `cache_dir`, else $HF_DIALECTS_CACHE, else
    ~/.cache/hf_dialects. A cache that is broken is noticed and rendered again.

    Raises:
        MissingExtra: nothing is cached and espeakng-loader is not installed.
    """
    utterances = plan()
    check_plan(utterances)
    return load_cached(utterances, _cache_folder(utterances, cache_dir), progress)


def embedded_fingerprint(cache_dir: str | Path | None = None) -> str:
    """SHA-256 over ids and audio of the embedded corpus, as stored beside it; renders the corpus when needed."""
    load_embedded(cache_dir)
    return json.loads((_cache_folder(plan(), cache_dir) / "corpus.json").read_text())["fingerprint"]


def load_stress(condition: str, cache_dir: str | Path | None = None, progress: bool = True):
    """The test split as heard in a bad place: "telephone", "room" or "noise". For evaluation only.

    Same rows and ids as `load_embedded()["test"]`, so that scores can be compared in pairs; column `condition` differs.
    """
    from hf_dialects.data.conditions import check_condition, degrade

    check_condition(condition)
    return degrade(load_embedded(cache_dir, progress)["test"], condition)


def load_fixture():
    """A small corpus out of the package's own files: `DatasetDict` with 128, 32 and 32 rows, columns as the embedded.

    4 varieties in 2 clusters × 6 voices (4/1/1) × 8 sentences. The splits share the sentences, but no voice. Needs
    no eSpeak; the audio is Opus.
    """
    with (FIXTURE_FOLDER / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["audio"] = {"bytes": (FIXTURE_FOLDER / row["file_name"]).read_bytes(), "path": row.pop("file_name")}
        row |= {"duration": float(row["duration"]), "pitch": int(row["pitch"]), "rate": int(row["rate"])}
    return _dataset_dict(rows, FIXTURE_VARIETIES)


def load_cached(utterances: Sequence[Utterance], folder: Path, progress: bool = True):
    """The utterances as a `DatasetDict`, read from `folder`, or rendered into it where it is absent or broken."""
    splits = _read(folder)
    if splits is not None:
        return splits
    if folder.exists():
        logger.warning("%s is broken or incomplete and is rendered again", folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    building = temporary / folder.name  # mkdtemp lets nobody else read; this one has the usual permissions
    try:
        splits = _dataset_dict(_rendered(utterances, progress), VARIETIES)
        splits.save_to_disk(building, num_shards=dict.fromkeys(splits, 1))
        facts = {"fingerprint": fingerprint(splits), "rows": {name: len(split) for name, split in splits.items()}}
        (building / "corpus.json").write_text(json.dumps(facts, indent=1) + "\n")
        if folder.exists() and _read(folder) is None:
            shutil.rmtree(folder)
        with suppress(OSError):  # another process may have been faster
            building.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    splits = _read(folder)
    if splits is None:
        raise CorpusError(f"the corpus that was just written to {folder} cannot be read back; is the disk full?")
    return splits


def fingerprint(splits) -> str:
    """SHA-256 (hex) over names of splits, ids and audio bytes, in order."""
    import pyarrow.compute as pc

    digest = sha256()
    for name, split in splits.items():
        digest.update(name.encode() + b"\0")
        for batch in split.select_columns(["id", "audio"]).with_format("arrow").iter(256):
            audio = pc.struct_field(batch["audio"], "bytes").to_pylist()
            for id, data in zip(batch["id"].to_pylist(), audio, strict=True):
                digest.update(f"{id}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def write_fixture(folder: Path) -> None:
    """Render the fixture into `folder`: `metadata.csv` and clips/*.opus. Opus files differ in their stream number."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for row in _rendered(fixture_plan(), progress=True):
        file_name = f"clips/{row['id']}.opus"
        (folder / file_name).write_bytes(encode(decode(row.pop("audio")), SAMPLING_RATE, "opus"))
        rows.append({"file_name": file_name} | row | {"duration": round(row["duration"], 4)})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _draw(*key: object) -> int:
    return int.from_bytes(sha256(repr(key).encode()).digest()[:8], "big")


def _utterance(split: str, dialect: str, speaker: str, number: int, suffix: str = "", step: int = 0) -> Utterance:
    cluster, language, file = VARIETIES[dialect]
    return Utterance(
        split=split,
        id=f"{dialect}_{speaker}_s{number:02d}{suffix}",
        dialect=dialect,
        cluster=cluster,
        language=language,
        speaker=speaker,
        voice=f"{file}+{speaker}",
        sentence_id=f"s{number:02d}",
        text=sentences(language)[number],
        pitch=PITCH + _draw("pitch", dialect, speaker) % (2 * PITCH_JITTER + 1) - PITCH_JITTER,
        rate=RATE + _draw("rate", dialect, speaker) % (2 * RATE_JITTER + 1) - RATE_JITTER + step,
    )


def _rendered(utterances: Sequence[Utterance], progress: bool) -> list[dict]:
    """Rows with audio, duration and condition, rendered in the order given."""
    from tqdm.auto import tqdm

    calls = [{"text": u.text, "voice": u.voice, "pitch": u.pitch, "rate": u.rate} for u in utterances]
    rows = []
    files = tqdm(render(calls), total=len(calls), desc="speaking", unit="clip", disable=not progress)
    for utterance, flac in zip(utterances, files, strict=True):
        audio = {"bytes": flac, "path": f"{utterance.id}.flac"}
        rows.append(asdict(utterance) | {"audio": audio, "duration": duration_s(audio), "condition": "clean"})
    return rows


def _dataset_dict(rows: list[dict], dialects: Sequence[str]):
    """Rows with a column `split` → `DatasetDict` of the three splits."""
    from datasets import DatasetDict, Features, Value

    clusters = [name for name in CLUSTERS if name in {VARIETIES[dialect][0] for dialect in dialects}]
    text, number = Value("string"), Value("int32")
    extra = {"language": text, "voice": text, "pitch": number, "rate": number, "condition": text}
    columns = features(dialects, clusters, extra)
    columns = Features({name: feature for name, feature in columns.items() if name in rows[0]})
    return DatasetDict({split: dataset_of([r for r in rows if r["split"] == split], columns) for split in SPEAKERS})


def _cache_folder(utterances: Sequence[Utterance], cache_dir: str | Path | None) -> Path:
    """Named after the plan and how it is rendered, so that another corpus is another folder."""
    root = cache_dir or os.environ.get("HF_DIALECTS_CACHE") or Path.home() / ".cache" / "hf_dialects"
    plan_and_rendering = [RENDERING, *(asdict(utterance) for utterance in utterances)]
    design = sha256(json.dumps(plan_and_rendering).encode()).hexdigest()
    return Path(root) / f"embedded-{design[:12]}"


def _read(folder: Path):
    """The corpus in `folder`, or None where it is absent, incomplete or changed."""
    from datasets import DatasetDict

    try:
        facts = json.loads((folder / "corpus.json").read_text())
        splits = DatasetDict.load_from_disk(folder)
        intact = fingerprint(splits) == facts["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):  # of Arrow, too
        return None
    return splits if intact else None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hf_dialects.data.synthetic")
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus", help="render the corpus into the cache and print its fingerprint")
    corpus.add_argument("--cache-dir", type=Path)
    fixture = commands.add_parser("fixture", help="render the small corpus that ships with the package")
    fixture.add_argument("--out", type=Path, default=FIXTURE_FOLDER)
    options = parser.parse_args(arguments)
    if options.command == "corpus":
        print(embedded_fingerprint(options.cache_dir))
    else:
        write_fixture(options.out)


if __name__ == "__main__":
    main()
