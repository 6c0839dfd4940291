"""Options that hold several values separated by commas."""

from collections.abc import Callable

from hf_dialects.errors import DialectError


def words(text: str) -> tuple[str, ...]:
    """`"site, speaker"` → `("site", "speaker")`."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str, kind: Callable, option: str) -> tuple:
    """`"-1,6"` → `(-1, 6)`.

    Args:
        kind: `int` or `float`.
        option: its name, for the message.

    Raises:
        DialectError: something else than numbers.
    """
    try:
        found = tuple(kind(word) for word in words(text))
    except ValueError:
        found = ()
    if not found:
        raise DialectError(f"{option} takes numbers separated by commas, such as {option}=1,2; got {text!r}")
    return found
