"""Transcripts made comparable before they are scored, reference and hypothesis alike."""

import re
from functools import cache
from unicodedata import category, normalize

from hf_dialects.errors import DialectError
from hf_dialects.extras import require
from hf_dialects.metrics.erhua import HAN, remove_erhua

__all__ = ["SIMPLIFICATIONS", "has_han", "normalise"]

SIMPLIFICATIONS = ("t2s", "tw2s", "hk2s")  # OpenCC's names: from traditional characters, Taiwan's, Hong Kong's

_ALONE = rf"[{HAN}\u3005\u3040-\u30ff]"  # written without spaces: Chinese characters, kana
_SPACE_BETWEEN = re.compile(rf"(?<={_ALONE})\s+(?={_ALONE})")
_EACH = re.compile(f"({_ALONE})")
_HAN = re.compile(f"[{HAN}]")
_APOSTROPHES = str.maketrans("’‘ʼ＇`", "'" * 5)
_APOSTROPHE_WITHIN = re.compile(rf"(?<=\w)(?<!{_ALONE})'(?=\w)(?!{_ALONE})")
_MARK = "\ue000"  # stands for an apostrophe that stays, while punctuation goes


def normalise(text: str, simplify: str | None = "t2s", keep_erhua: bool = False) -> str:
    """Words and characters with one space between: what an error rate compares.

    Unicode NFKC, small letters, no punctuation and symbols but the apostrophe within a word, simplified characters,
    no erhua, a space around every Chinese character and kana. Words of other scripts stay whole. Spaces and punctuation
    between Chinese characters change nothing. Numbers are not spelled out.

    Args:
        simplify: direction of OpenCC, one of `SIMPLIFICATIONS`; None = characters stay as they are.
        keep_erhua: leave the suffix 儿.

    Raises:
        MissingExtra: characters are to be simplified, and OpenCC is not installed.
        DialectError: an unknown direction.
    """
    if simplify is not None and simplify not in SIMPLIFICATIONS:
        raise DialectError(f"simplify is {simplify!r}; it must be {', '.join(SIMPLIFICATIONS)} or None")
    text = normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    text = _APOSTROPHE_WITHIN.sub(_MARK, text)
    text = "".join(_plain(character) for character in text)
    if has_han(text):
        text = _SPACE_BETWEEN.sub("", text)  # phrases decide: 乾燥 → 干燥, but 乾坤
        if simplify is not None:
            text = _converter(simplify).convert(text)
        if not keep_erhua:
            text = remove_erhua(text)
    return " ".join(_EACH.sub(r" \1 ", text).split())


def has_han(text: str) -> bool:
    """Whether there is a Chinese character."""
    return _HAN.search(text) is not None


@cache
def _plain(character: str) -> str:
    """A space for punctuation and symbols, nothing for what is not seen, else the character."""
    if character == _MARK:
        return "'"
    kind = category(character)
    return " " if kind[0] in "PSZ" or kind == "Cc" else "" if kind == "Cf" else character


@cache
def _converter(direction: str):
    return require("opencc", extra="asr").OpenCC(direction)
