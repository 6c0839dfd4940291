"""The corpus of a speech recognition run: split, screened, with its texts in place; and its vocabulary."""

from datasets import Dataset, DatasetDict

from hf_dialects.data.leakage import column_values
from hf_dialects.data.screen import Skipped, screen
from hf_dialects.data.tokens import bpe_tokens, character_tokens, encode_text, transcripts
from hf_dialects.data.utterances import SPOKEN
from hf_dialects.errors import CorpusError
from hf_dialects.training.asr_arguments import AsrTrainingArguments
from hf_dialects.training.splits_of_run import load_data, three_splits

__all__ = ["asr_splits", "build_tokens", "usable_for_training"]

FRAMES_PER_SECOND = 25  # of the encoder
TEXTS = ("text", "translation", "translation_language")


def asr_splits(section: dict, progress: bool = True) -> tuple[DatasetDict, list[Skipped], tuple[str, ...]]:
    """Train, validation and test with the columns text, and translation where the section or the corpus has it.

    Recordings that cannot be decoded, and rows without any text, are left out.

    Args:
        section: `data` of a recipe.

    Returns:
        (splits, what was left out, the columns that do not cross the splits)

    Raises:
        CorpusError: no transcripts, or a corpus that cannot be split or used.
    """
    splits, by = three_splits(load_data(section), section)
    found, skipped = {}, []
    for name, split in splits.items():
        split = _with_texts(split, section)
        translations = split["translation"] if "translation" in split.column_names else [None] * len(split)
        empty = [row for row, texts in enumerate(zip(split["text"], translations, strict=True)) if not any(texts)]
        skipped += [_skipped(split["id"][row], "no text", "has no text; add it or leave it out") for row in empty]
        split = split.select([row for row in range(len(split)) if row not in set(empty)]) if empty else split
        found[name], out = screen(split, progress=progress, name=f"{name} recordings")
        skipped += out
    return DatasetDict(found), skipped, by


def _with_texts(split: Dataset, section: dict) -> Dataset:
    translated = section.get("translation") is not False
    for name in TEXTS:
        if name != "text" and not translated:
            split = split.remove_columns(name) if name in split.column_names else split
        elif section.get(name) or name == "text" or name in split.column_names:
            column = section.get(name) or name
            values = column_values(split, column) if name == "translation_language" else transcripts(split, column)
            split = _replaced(split, name, values)
    return split


def _replaced(split: Dataset, name: str, values: list) -> Dataset:
    split = split.remove_columns(name) if name in split.column_names else split
    return split.add_column(name, values)


def build_tokens(split: Dataset, options: dict | None = None):
    """The vocabulary of a training split.

    Args:
        split: with the columns text and perhaps translation and translation_language.
        options: `data.tokens` of a recipe.
    """
    options = dict(options or {})
    texts, languages = [text for text in split["text"] if text], []
    if "translation" in split.column_names:
        texts += [text for text in split["translation"] if text]
        if any(split["translation"]) and "translation_language" in split.column_names:
            languages = [SPOKEN, *sorted({one for one in split["translation_language"] if one})]
    make = bpe_tokens if options.pop("kind", "characters") == "bpe" else character_tokens
    return make(texts, languages=languages, **options)


def usable_for_training(split: Dataset, tokenizer, arguments: AsrTrainingArguments) -> tuple[Dataset, list[Skipped]]:
    """Leave out what cannot be learnt: recordings too short or too long, transcripts with more tokens than the encoder
    has frames at the highest speed.

    Raises:
        CorpusError: nothing is left.
    """
    kept, skipped = [], []
    fastest = max(arguments.speeds, default=1.0)
    for row, (id, seconds, text) in enumerate(zip(split["id"], split["duration"], split["text"], strict=True)):
        tokens = len(encode_text(tokenizer, text)) if text else 0
        if not arguments.shortest_s <= seconds <= arguments.longest_s:
            limits = f"{arguments.shortest_s:g} to {arguments.longest_s:g} s are trained on"
            skipped.append(_skipped(id, "too short or too long", f"lasts {seconds:.2f} s; {limits}"))
        elif tokens > seconds / fastest * FRAMES_PER_SECOND:
            found = f"lasts {seconds:.2f} s, too short for a text of {tokens} tokens"
            skipped.append(_skipped(id, "too many tokens", f"{found}; is it the right text?"))
        else:
            kept.append(row)
    if not kept:
        raise CorpusError(f"none of the {len(split)} recordings can be trained on; the first: {skipped[0].message}")
    return (split.select(kept) if skipped else split), skipped


def _skipped(id: str, reason: str, found: str) -> Skipped:
    return Skipped(id, reason, f"{id} {found}")
