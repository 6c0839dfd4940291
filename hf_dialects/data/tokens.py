"""Vocabularies of characters or BPE pieces, made from the transcripts of a corpus, as transformers' tokenizers.

The blank of a transducer is token 0, start and end of the attention decoder are token 1, what is unknown is token 2;
tokens that stand for languages follow, then characters or pieces. Text is in Unicode's form NFC, runs of white space
are one space. `save_pretrained` writes tokenizer.json, which `AutoTokenizer.from_pretrained` reads.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hf_dialects.data.leakage import column_values
from hf_dialects.errors import CorpusError, RecipeError

__all__ = [
    "KINDS",
    "bpe_tokens",
    "character_tokens",
    "decode_tokens",
    "encode_text",
    "language_id",
    "listed_tokens",
    "transcripts",
]

KINDS = ("characters", "bpe")
BLANK, END, UNKNOWN = SPECIAL = ("<blk>", "<sos/eos>", "<unk>")


def character_tokens(texts: Iterable[str], languages: Sequence[str] = (), minimum: int = 1):
    """A token for every character, the space among them.

    Args:
        texts: transcripts.
        languages: names, such as "zh", each with a token before those of the characters.
        minimum: how often a character must occur; rarer ones are unknown.

    Returns:
        `transformers.PreTrainedTokenizerFast`.

    Raises:
        CorpusError: no text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    normalize = _normalizer().normalize_str
    counts = Counter(character for text in _given(texts) for character in normalize(text))
    characters = sorted(one for one, count in counts.items() if count >= minimum)
    if not characters:
        raise CorpusError(f"no character occurs {minimum} times in the transcripts; lower data.tokens.minimum")
    special = _special(languages)
    vocabulary = {token: number for number, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _finished(tokenizer, special)


def bpe_tokens(texts: Iterable[str], size: int = 500, languages: Sequence[str] = ()):
    """Pieces of words by byte pair encoding; a piece that begins a word starts with "▁".

    Args:
        texts: transcripts.
        size: tokens in all. Fewer come out where the transcripts have no more pairs to merge.
        languages: as in `character_tokens`.

    Returns:
        `transformers.PreTrainedTokenizerFast`.

    Raises:
        CorpusError: no text.
        RecipeError: `size` has no place for every character.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts, special = _given(texts), _special(languages)
    normalize = _normalizer().normalize_str
    fewest = len({character for text in texts for character in "▁" + normalize(text)} - {" "}) + len(special)
    if size < fewest:
        raise RecipeError(
            f"a vocabulary of {size} pieces has no place for the {fewest} single characters and special tokens of "
            "these transcripts; raise data.tokens.size"
        )
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    )
    return _finished(tokenizer, special)


def listed_tokens(vocabulary: Mapping[str, int]):
    """A vocabulary whose symbols are known, but not how texts are cut into them: good for `decode_tokens` alone.

    Args:
        vocabulary: symbol → id; "▁" begins a word, symbols in angle brackets are not shown.

    Returns:
        `transformers.PreTrainedTokenizerFast`.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    special = [symbol for symbol in vocabulary if len(symbol) > 2 and symbol.startswith("<") and symbol.endswith(">")]
    tokenizer = Tokenizer(models.WordLevel(dict(vocabulary), unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=special, clean_up_tokenization_spaces=False
    )


def encode_text(tokenizer, text: str) -> list[int]:
    """Token ids of a text; names of special tokens within it are plain text."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def decode_tokens(tokenizer, ids: Iterable[int]) -> str:
    """The text of token ids; special tokens and negative ids (padding) are left out."""
    return tokenizer.decode([int(one) for one in ids if one >= 0], skip_special_tokens=True).strip()


def language_id(tokenizer, language: str) -> int:
    """Id of the token that stands for a language.

    Raises:
        RecipeError: the vocabulary has none.
    """
    known = {token[2:-2]: number for token, number in tokenizer.get_added_vocab().items() if token.startswith("<|")}
    if language not in known:
        raise RecipeError(
            f"the vocabulary has no token for the language {language!r}; it has {', '.join(sorted(known)) or 'none'}"
        )
    return known[language]


def transcripts(dataset, column: str = "text") -> list[str | None]:
    """What is said in each row, None where it is empty.

    Raises:
        CorpusError: no such column, or a column without any text.
    """
    if column not in dataset.column_names:
        raise CorpusError(
            f"the corpus has no column {column!r} with transcripts; it has {', '.join(sorted(dataset.column_names))}. "
            "Name one of them with data.text, or add the transcripts"
        )
    texts = [text if text is None or str(text).strip() else None for text in column_values(dataset, column)]
    if wrong := next((text for text in texts if text is not None and not isinstance(text, str)), None):
        raise CorpusError(f"column {column!r} holds {type(wrong).__name__} values; transcripts are text")
    if not any(texts):
        raise CorpusError(
            f"all {len(texts)} transcripts in column {column!r} are empty; name another column with data.text"
        )
    return texts


def _given(texts: Iterable[str]) -> list[str]:
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise CorpusError("there is no transcript to make a vocabulary from: all are empty")
    return texts


def _special(languages: Sequence[str]) -> list[str]:
    return [*SPECIAL, *(f"<|{name}|>" for name in languages)]


def _normalizer():
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()],
    )


def _finished(tokenizer, special: list[str]):
    from transformers import PreTrainedTokenizerFast

    tokenizer.normalizer = _normalizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=BLANK,
        bos_token=END,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=special[len(SPECIAL) :],
        clean_up_tokenization_spaces=False,
    )
