"""Where a result comes from: versions, device, command, without paths of the machine and without tokens."""

import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("hf-dialects", "torch", "torchaudio", "transformers", "datasets", "accelerate", "numpy", "scikit-learn")
HIDDEN = "***"

_TOKEN = re.compile(r"\b(?:hf_(?!dialects\b)|api_org_)[\w.-]+")
_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_SECRET_OPTION = re.compile(r"token(?!i)|password|secret|api.?key", re.IGNORECASE)
_ABSOLUTE_PATH = re.compile(r"""(?<![\w./~:-])/[^\s,;:'"\])}]+""")


def environment(device: str, seconds: float, argv: Sequence[str] | None = None) -> dict:
    """The part of `results.json` in which two equal runs may differ.

    Args:
        device: what the model ran on, such as "cpu".
        seconds: how long the run took.
        argv: the command; None takes that of this process.
    """
    return {
        "versions": versions(),
        "device": device,
        "command": command(sys.argv if argv is None else argv),
        "seconds": round(float(seconds), 1),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command(argv: Sequence[str]) -> str:
    """A command as a shell would take it: absolute paths become relative or lose their folders, secrets become ***."""
    words, hide = [], False
    for word in argv:
        words.append(HIDDEN if hide else anonymous(word))
        hide = word.startswith("-") and "=" not in word and bool(_SECRET_OPTION.search(word))
    return shlex.join(words)


def anonymous(word: str) -> str:
    """One word of a command, or any text, without absolute paths and secrets."""
    key, equals, value = word.partition("=")
    if equals and _SECRET_OPTION.search(key):
        return f"{key}={HIDDEN}"
    if equals and value.startswith("/"):
        return f"{anonymous(key)}={anonymous(value)}"
    word = word.removeprefix("file://")
    # a word that starts with a slash is one path, blanks and all
    word = _relative(word) if word.startswith("/") else _ABSOLUTE_PATH.sub(lambda found: _relative(found.group()), word)
    return _TOKEN.sub(HIDDEN, _CREDENTIALS.sub(HIDDEN, word))


def _relative(path: str) -> str:
    """Below the working directory: relative to it; elsewhere: the last part."""
    here, path = Path.cwd(), Path(os.path.normpath(path))
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name
