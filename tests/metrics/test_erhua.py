import pytest

from hf_dialects.metrics.erhua import KEPT, SUFFIXED, remove_erhua

SUFFIX = {
    "花儿": "花",
    "鸟儿": "鸟",
    "玩儿": "玩",
    "玩儿玩儿": "玩玩",
    "这儿": "这",
    "那儿和哪儿": "那和哪",
    "一会儿": "一会",
    "一点儿也不": "一点也不",
    "有点儿冷": "有点冷",
    "老头儿": "老头",
    "小孩儿": "小孩",
    "男孩儿女孩儿": "男孩女孩",
    "孙女儿": "孙女",
    "闺女儿": "闺女",
    "胡同儿口儿": "胡同口",
    "大伙儿": "大伙",
    "没事儿": "没事",
    "聊天儿": "聊天",
    "模特儿": "模特",
    "从小儿": "从小",
}
WORD = (
    *("儿子", "儿童", "女儿", "婴儿", "幼儿", "儿女", "孤儿", "胎儿", "少儿", "新生儿", "婴幼儿", "儿歌", "儿科"),
    *("小儿子", "小女儿", "大儿媳", "女儿童装", "妇女儿童", "留守儿童", "幼儿园", "孤儿院", "托儿所", "育儿经"),
    *("生儿育女", "妻儿老小", "混血儿", "早产儿", "侄儿", "孩儿", "我儿", "台儿庄", "鹿儿岛", "正儿八经", "吊儿郎当"),
    *("儿", "儿行千里母担忧", "KTV儿", "x儿"),
)
BOTH = {
    "这儿的女儿玩儿得很开心": "这的女儿玩得很开心",
    "一会儿女孩来了": "一会女孩来了",
    "一会儿儿子来了": "一会儿子来了",
    "我儿子在那儿玩儿": "我儿子在那玩",
    "这儿子真好": "这儿子真好",
    "花儿童话": "花儿童话",  # 花儿 or 儿童: cannot be told without the sense
}


@pytest.mark.parametrize(("text", "without"), SUFFIX.items())
def test_the_suffix_goes(text, without):
    assert remove_erhua(text) == without


@pytest.mark.parametrize("word", [*WORD, *KEPT])
def test_words_stay(word):
    assert remove_erhua(word) == word
    assert remove_erhua(f"看见{word}了") == f"看见{word}了" or word[0] == "儿"


@pytest.mark.parametrize(("text", "without"), BOTH.items())
def test_both_in_one_sentence(text, without):
    assert remove_erhua(text) == without


@pytest.mark.parametrize("word", [word for word in SUFFIXED if "[" not in word])
def test_the_suffix_goes_also_before_what_would_be_a_word_with_it(word):
    assert remove_erhua(f"{word}儿女生") == f"{word}女生"
    assert remove_erhua(f"{word}儿") == word
