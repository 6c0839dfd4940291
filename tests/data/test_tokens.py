"""Vocabularies: ids, what text becomes and comes back as, and what is refused."""

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_dialects.data.tokens import (
    bpe_tokens,
    character_tokens,
    decode_tokens,
    encode_text,
    language_id,
    transcripts,
)
from hf_dialects.errors import CorpusError, RecipeError

SENTENCES = ["the cat sat on the mat", "the dog saw the cat", "吃饭 了"]
CHARACTERS = character_tokens(["ab c", "吃b"], languages=("zh", "yue"))


def test_characters_follow_special_tokens_and_languages():
    assert (CHARACTERS.pad_token_id, CHARACTERS.bos_token_id, CHARACTERS.eos_token_id) == (0, 1, 1)
    assert (CHARACTERS.unk_token_id, language_id(CHARACTERS, "zh"), language_id(CHARACTERS, "yue")) == (2, 3, 4)
    assert encode_text(CHARACTERS, " abc吃") == [6, 7, 8, 9]  # after the space, which is 5
    assert len(CHARACTERS) == 10


def test_text_is_composed_and_white_space_is_one_space():
    tokens = character_tokens(["é a"])
    assert encode_text(tokens, " e\u0301\t\n a ") == encode_text(tokens, "é a")
    assert decode_tokens(tokens, encode_text(tokens, "a   é")) == "a é"


def test_what_is_unknown_and_what_only_looks_special():
    assert encode_text(CHARACTERS, "az") == [6, 2]
    assert 0 not in encode_text(CHARACTERS, "<blk>")
    assert decode_tokens(CHARACTERS, [3, 6, 2, 7, 0, 1, -100]) == "ab"
    assert 4 not in encode_text(CHARACTERS, "<|yue|>")


def test_rare_characters_are_unknown():
    tokens = character_tokens(["aab", "a"], minimum=2)
    assert encode_text(tokens, "ab") == [3, 2]
    with pytest.raises(CorpusError, match="no character occurs 9 times"):
        character_tokens(["aab"], minimum=9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="abé 吃x", min_size=1), min_size=1).filter(lambda some: any(map(str.strip, some))))
def test_texts_of_the_corpus_come_back(texts):
    tokens = character_tokens(texts)
    for text in texts:
        assert decode_tokens(tokens, encode_text(tokens, text)) == " ".join(text.split())


def test_pieces_of_words():
    tokens = bpe_tokens(SENTENCES, size=40, languages=("zh",))
    assert (tokens.pad_token_id, tokens.eos_token_id, language_id(tokens, "zh")) == (0, 1, 3)
    assert len(tokens) <= 40
    the = encode_text(tokens, "the")
    assert tokens.convert_ids_to_tokens(the) == ["▁the"]
    for sentence in SENTENCES:
        assert decode_tokens(tokens, encode_text(tokens, sentence)) == sentence
        assert len(encode_text(tokens, sentence)) < len(sentence)
    assert bpe_tokens(SENTENCES, size=40).get_vocab() == bpe_tokens(SENTENCES, size=40).get_vocab()


def test_as_many_pieces_as_asked_for_or_an_error():
    assert len(bpe_tokens(SENTENCES, size=25)) == 25
    characters = len(set("▁" + "".join(SENTENCES)) - {" "})
    with pytest.raises(RecipeError, match=rf"vocabulary of 9 pieces has no place for the {characters + 3} single"):
        bpe_tokens(SENTENCES, size=9)
    assert len(bpe_tokens(SENTENCES, size=characters + 3)) == characters + 3


@pytest.mark.parametrize("tokens", [CHARACTERS, bpe_tokens(SENTENCES, 40, ("zh",))], ids=["characters", "bpe"])
def test_saved_and_loaded(tokens, tmp_path):
    tokens.save_pretrained(tmp_path)
    for loaded in (PreTrainedTokenizerFast.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert loaded.get_vocab() == tokens.get_vocab()
        assert encode_text(loaded, "cab <blk> 吃") == encode_text(tokens, "cab <blk> 吃")
        assert decode_tokens(loaded, range(len(tokens))) == decode_tokens(tokens, range(len(tokens)))
        assert language_id(loaded, "zh") == 3


def test_unknown_languages():
    with pytest.raises(RecipeError, match="no token for the language 'en'; it has yue, zh"):
        language_id(CHARACTERS, "en")
    with pytest.raises(RecipeError, match="it has none"):
        language_id(character_tokens(["a"]), "en")


def test_transcripts_of_a_corpus():
    rows = Dataset.from_dict({"id": ["a", "b"], "text": ["yes", " "], "number": [1, 2], "empty": ["", None]})
    assert transcripts(rows) == ["yes", None]
    for column, message in (
        ("words", "no column 'words' with transcripts; it has empty, id, number, text. Name one"),
        ("empty", "all 2 transcripts in column 'empty' are empty; name another column with data.text"),
        ("number", "column 'number' holds int values; transcripts are text"),
    ):
        with pytest.raises(CorpusError, match=message):
            transcripts(rows, column)
    with pytest.raises(CorpusError, match="there is no transcript to make a vocabulary from"):
        character_tokens(["", " "])
