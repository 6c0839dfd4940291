"""Erhua: the suffix 儿 of northern Mandarin, told from 儿 that is a word or part of one."""

import re

__all__ = ["remove_erhua"]

# The suffix whatever follows: 一会儿女孩来了 is not about 儿女, 男孩儿 and 孙女儿 have nothing of 孩儿 and 女儿.
SUFFIXED = (
    *("一会", "这会", "那会", "等会", "待会", "一点", "有点", "差点", "早点", "晚点", "从小", "打小"),
    *("男孩", "女孩", "小孩", "孙女", "侄女", "外甥女", "闺女", "仙女"),
    "[这那哪](?!儿子)",
)
# 儿 is the child, or a syllable of a name.
KEPT = (
    *("儿子", "儿女", "儿童", "儿孙", "儿媳", "儿科", "儿歌", "儿戏", "儿时", "儿化", "儿郎", "儿辈", "儿臣", "儿皇帝"),
    *("女儿", "婴儿", "幼儿", "少儿", "胎儿", "孤儿", "小儿", "妻儿", "孩儿", "孙儿", "侄儿", "男儿", "健儿", "宠儿"),
    *("弃儿", "患儿", "产儿", "新生儿", "早产儿", "混血儿", "畸形儿", "幸运儿", "弄潮儿", "流浪儿", "聋儿", "脑瘫儿"),
    *("育儿", "托儿所", "托儿带女", "生儿育女", "养儿", "痴儿", "娇儿", "佳儿", "乞儿", "我儿", "吾儿", "骄儿"),
    *("正儿八经", "吊儿郎当", "儿行千里", "儿大不由", "台儿庄", "鹿儿岛", "容祖儿", "上官婉儿"),
)
HAN = r"\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_ERHUA = re.compile(rf"(?P<suffixed>{'|'.join(SUFFIXED)})儿|(?P<kept>{'|'.join(KEPT)})|(?<=[{HAN}])儿")


def remove_erhua(text: str) -> str:
    """Text (simplified characters, without spaces between them) without the suffix: 花儿 → 花, 一会儿 → 一会.

    儿 stays where it stands first, after something else than a Chinese character, and in the words of a list: 儿子,
    儿童, 女儿, 婴儿, 幼儿 … The list knows few names of persons: an unknown 莺儿 loses its 儿.
    """
    return _ERHUA.sub(lambda match: match["suffixed"] or match["kept"] or "", text)
