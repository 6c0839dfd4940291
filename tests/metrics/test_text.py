import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import DialectError, MissingExtra
from hf_dialects.metrics import text as text_module
from hf_dialects.metrics.text import has_han, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我們在說話。", "我 们 在 说 话"),
        ("頭髮 和 發展", "头 发 和 发 展"),
        ("乾燥", "干 燥"),
        ("乾 坤", "乾 坤"),  # as the phrase 乾坤
        ("爲什麽，甚麼", "为 什 么 甚 么"),
        ("佢哋喺度傾偈", "佢 哋 喺 度 倾 偈"),
        ("這兒的女兒玩兒", "这 的 女 儿 玩"),
        ("花 儿", "花"),
        ("我用 iPhone１５ 聽 Taylor Swift", "我 用 iphone15 听 taylor swift"),
        ("AA制", "aa 制"),
        ("ＡＢＣ，１２３！", "abc 123"),
        ("〇三年", "〇 三 年"),
        ("カタカナ と ひらがな", "カ タ カ ナ と ひ ら が な"),
        ("L’acqua È fredda — no?", "l'acqua è fredda no"),
        ("'quoted' rock'n'roll dogs'", "quoted rock'n'roll dogs"),
        ("a​b\tc\nd", "ab c d"),
        ("semi-final 3.5 50%", "semi final 3 5 50"),
        ("أَهْلًا، بِكَ؟", "أَهْلًا بِكَ"),
        ("नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("한국어 말", "한국어 말"),
        ("。！？", ""),
        ("", ""),
    ],
)
def test_by_hand(text, expected):
    assert normalise(text) == expected


def test_options():
    assert normalise("看著這兒", simplify=None, keep_erhua=True) == "看 著 這 兒"
    assert normalise("看著著名", simplify="tw2s") == "看 着 著 名"
    assert normalise("裏面", simplify="hk2s") == "里 面"
    assert normalise("玩兒", keep_erhua=True) == "玩 儿"
    with pytest.raises(DialectError, match="simplify is 's2t'; it must be t2s, tw2s, hk2s or None"):
        normalise("a", simplify="s2t")


PIECES = st.lists(st.sampled_from("我們乾坤燥頭髮發女見 ,。!'aBé1カ") | st.just("Ab ") | st.just("兒童"), max_size=12)


@settings(max_examples=100, deadline=None)
@given(PIECES)
def test_twice_is_once_and_spaces_and_punctuation_between_characters_change_nothing(pieces):
    text = "".join(pieces)
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())
    plain = [piece for piece in pieces if has_han(piece)]
    spoken = normalise("".join(plain))
    assert normalise(" ".join(plain)) == normalise("、".join(plain)) == spoken


def test_without_opencc_the_message_names_the_extra_and_other_scripts_need_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "opencc", None)
    text_module._converter.cache_clear()
    with pytest.raises(MissingExtra, match=r"opencc is not installed; run: pip install 'hf-dialects\[asr\]'"):
        normalise("我們")
    assert normalise("Ciao, Bella") == "ciao bella"
    assert normalise("我們", simplify=None) == "我 們"
