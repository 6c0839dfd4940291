"""What the file of a recording says beside its samples: tags, and texts at its ends."""

from collections.abc import Iterable
from io import BytesIO

from hf_dialects.hub.dataset_pseudonyms import LONG, SHORT, holds

ENDS = 2**16  # bytes at both ends of a file, where tags stand
NAME_BYTES = 5  # a shorter name stands among samples by chance
PROGRAM = "software"  # the one tag that is not about the recording


def tags(data: bytes) -> dict[str, str]:
    """Title, artist, comment … of a recording, as far as libsndfile reads them; none of a file that it cannot read."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            found = file.copy_metadata()
    except (RuntimeError, UnicodeDecodeError):  # tags in no encoding that is known are looked for by their bytes
        return {}
    return {name: text for name, text in found.items() if text.strip() and name != PROGRAM}


def told_name(data: bytes, names: Iterable[str], found: dict[str, str]) -> str | None:
    """The first of some names that a recording's file tells, or None.

    From three letters on a name counts as a word of a tag, numbers from five digits on; from five letters on it counts
    at both ends of the file as well, in UTF-8 or UTF-16, from six on in upper or lower case.

    Args:
        found: the tags.
    """
    ends = data if len(data) <= 2 * ENDS else data[:ENDS] + data[-ENDS:]
    folded, text = ends.lower(), "\n".join(found.values())
    for name in names:
        plain, *wide = (name.encode(one, "replace") for one in ("utf-8", "utf-16-le", "utf-16-be"))
        told = len(name) >= (NAME_BYTES if name.isdecimal() else SHORT) and holds(text, name)
        if len(plain) >= NAME_BYTES:
            told |= plain in ends or any(one.lower() in folded for one in wide)
        if told or (len(plain) >= LONG and plain.lower() in folded):
            return name
    return None
