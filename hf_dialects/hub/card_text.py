"""Sentences that cards of several kinds share."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from hf_dialects.hub.card_tables import cell
from hf_dialects.hub.source import Source, without_folder

EMBEDDED = "demo"
SYNTHETIC = (
    "The corpus `demo` is spoken by the synthetic voices of eSpeak NG: its accents are rules, not people, and the "
    "scores say nothing about real dialects."
)
USAGE = re.compile(r"by default|hf-dialects|--|\w_\w|\w=\S")  # for who runs a recipe, not for who uses the model
ENCODERS = {
    "ecapa": "ECAPA-TDNN",
    "hubert": "HuBERT",
    "wav2vec2": "wav2vec 2.0",
    "wav2vec2-bert": "W2v-BERT 2.0",
    "wavlm": "WavLM",
    "whisper": "Whisper",
    "zipformer": "Zipformer",
}
REMOTE_CODE = (
    "`trust_remote_code=True` runs the Python files of this repository on your machine: read them, and pin the version "
    'that you have read with `revision="COMMIT"`.'
)


def description(source: Source) -> str:
    """The first sentence of the recipe's description up to its notes on usage; and that voices are synthetic."""
    words = " ".join(str(source.recipe.get("description") or "").split())
    sentence = re.split(r"(?<=[a-z0-9)%]\.) (?=[A-Z])", words, maxsplit=1)[0]
    first, *clauses = re.split(r"(?=[:;] (?![^(]*\)))", sentence)  # not within brackets
    kept = first + "".join(takewhile(lambda clause: not USAGE.search(clause), clauses))
    said = [cell(kept.removesuffix(".")) + "."] if kept else []
    return " ".join(said + [SYNTHETIC] * (EMBEDDED in source.corpora))


def speakers_of(source: Source) -> str:
    """ "voices" where nobody but a synthesiser speaks."""
    return "voices" if source.corpora and set(source.corpora) == {EMBEDDED} else "speakers"


def encoder_of(source: Source) -> str:
    """The beginning of a sentence: which encoder, and what it knew before this training, as far as that is known."""
    kind = (source.config.get("encoder_config") or {}).get("model_type", source.config.get("model_type"))
    name = ENCODERS.get(kind, kind)
    given = (source.recipe.get("model") or {}).get("encoder")
    if isinstance(given, str):
        return f"Encoder: {name}, pretrained ({cell(without_folder(given))})"
    return f"Encoder of {name}'s architecture, trained from scratch" if given else f"Encoder: {name}"


def installation(source: Source) -> str:
    """The packages that the snippets need, and what remote code is."""
    packages = ['"transformers>=5"', "torch", "soundfile", "soxr"]
    if "Zipformer" in source.extractor.get("feature_extractor_type", ""):
        packages[1:2] = ['"torch<2.15"', '"torchaudio<2.12"']
    shell = f"```bash\npip install {' '.join(packages)}\n```"
    return shell if source.plain else f"{shell}\n\n{REMOTE_CODE}"


def limit(source: Source) -> str:
    """What becomes of recordings that are too long for one pass; empty where any length goes."""
    if source.longest_s is None:
        return ""
    longer = "raise an error" if source.extractor.get("frames") else "have to be cut into pieces before"
    return f"One pass is at most {source.longest_s:.1f} s long: longer recordings {longer}."


def remarks(entries: Iterable[dict], speakers: str) -> str:
    """Why intervals are not to be relied on, once for all of them."""
    found = dict.fromkeys(one["warning"] for one in entries if one and one.get("warning"))
    said = "; ".join(cell(one.replace("speakers", speakers)) for one in found)
    return f"\n\nThe intervals are {said}: so few say little about others." if said else ""


def cited(entries: Sequence[str]) -> str:
    """Why these entries of papers.bib are cited."""
    names = [_name(one) for one in entries]
    return f"The method is that of {' and '.join(names)}; the numbers above are not the {_whose(names)}."


def _name(entry: str) -> str:
    authors = re.search(r"author = \{(.*)\}", entry)[1].split(" and ")
    others = " et al." if len(authors) > 1 else ""
    return f"{authors[0].split(',')[0]}{others} ({re.search(r'year = .([0-9]{4})', entry)[1]})"


def _whose(names: Sequence[str]) -> str:
    return "papers'" if len(names) > 1 else "paper's"
