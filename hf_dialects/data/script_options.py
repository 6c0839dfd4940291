"""Options of a corpus: what its `rows` takes besides the folder, given as KEY=VALUE."""

from collections.abc import Callable, Sequence
from inspect import Parameter, signature

from hf_dialects.errors import CorpusError

__all__ = ["read_options"]


def read_options(rows: Callable, given: Sequence[str]) -> dict:
    """Keyword arguments for `rows` from `["languages=en_us,fr_fr", "seed=1"]`.

    A value becomes what the default of its keyword is: text, a whole number, or a tuple of words at the commas.

    Raises:
        CorpusError: no such option, one given twice, or a value that is no number where one is expected.
    """
    known = {
        name: one.default for name, one in signature(rows).parameters.items() if one.kind is Parameter.KEYWORD_ONLY
    }
    found: dict = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or name not in known:
            takes = f"it takes {', '.join(f'{name}=…' for name in known)}" if known else "it takes none"
            raise CorpusError(f"{one!r} is no option of this corpus; {takes}")
        if name in found:
            raise CorpusError(f"option {name} is given twice; separate several values by commas")
        found[name] = _value(name, text, known[name])
    return found


def _value(name: str, text: str, default: object) -> object:
    if isinstance(default, tuple):
        return tuple(word.strip() for word in text.split(",") if word.strip())
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise CorpusError(f"{name}={text}: a whole number is expected, such as {name}={default}") from None
    return text
