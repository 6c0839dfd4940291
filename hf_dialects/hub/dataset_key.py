"""The key of the pseudonyms: random, in a file that only its owner reads, and never sent."""

import os
import secrets
import stat
from pathlib import Path

from hf_dialects.errors import DialectError

VARIABLE = "HF_DIALECTS_ID_KEY"  # holds the key itself, for machines that keep no files
FILE = "id.key"
BYTES = 32


def read_key(path: Path, report=print) -> bytes:
    """The key in the environment variable HF_DIALECTS_ID_KEY, else in the file, which is made where it is not there.

    Raises:
        DialectError: no 64 hexadecimal digits, or a file that others may read.
    """
    if given := os.environ.get(VARIABLE):
        return _key(given, f"the environment variable {VARIABLE}")
    if not path.exists():
        key = secrets.token_bytes(BYTES)
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.hex() + "\n")
        report(f"{path} holds a new key of the pseudonyms: keep it, the same key gives the same pseudonyms again")
        return key
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DialectError(f"others may read the key {path}: chmod 600 {path}")
    return _key(path.read_text("utf-8"), str(path))


def _key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != BYTES:
        raise DialectError(f"{where} holds no key: {2 * BYTES} hexadecimal digits are expected")
    return key
