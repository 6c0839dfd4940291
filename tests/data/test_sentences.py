"""The sentences of the embedded corpus: parallel, distinct, and in proper spelling."""

import unicodedata

import pytest

from hf_dialects.data.synthetic import sentences

LETTERS = {  # beyond a–z, lower case
    "en": "",
    "es": "áéíñóú",
    "pt": "àáâãçéêíóôõú",
    "vi": "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
}


@pytest.mark.parametrize("language", LETTERS)
def test_sentences_are_sixty_and_distinct(language):
    assert len(sentences(language)) == 60
    assert len({text.casefold() for text in sentences(language)}) == 60


@pytest.mark.parametrize("language", LETTERS)
def test_sentences_are_composed_letters_of_their_language(language):
    allowed = set("abcdefghijklmnopqrstuvwxyz ,." + LETTERS[language])
    for text in sentences(language):
        assert unicodedata.is_normalized("NFC", text), text
        assert set(text.lower()) <= allowed, set(text.lower()) - allowed
        assert text[0].isupper(), text
        assert text.index(".") == len(text) - 1, text
        assert text == " ".join(text.split()), text


@pytest.mark.parametrize(("language", "words"), [("en", (5, 10)), ("es", (5, 10)), ("pt", (5, 10)), ("vi", (6, 12))])
def test_sentences_are_about_two_seconds_long(language, words):
    for text in sentences(language):
        assert words[0] <= len(text.split()) <= words[1], text


def test_vietnamese_is_written_with_its_diacritics():
    """Without them nearly all words would be plain; a syllable without any mark is the exception."""
    for text in sentences("vi"):
        marked = [word for word in text.split() if not word.isascii()]
        assert len(marked) >= len(text.split()) / 2, text


def test_no_sentence_is_that_of_another_language():
    texts = [text.casefold() for language in LETTERS for text in sentences(language)]
    assert len(set(texts)) == 240
