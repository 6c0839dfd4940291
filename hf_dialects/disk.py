"""Files written whole or not at all, and a full disk told as such. Layer 0: of the package, imports its errors only."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_dialects.errors import DialectError

KEPT = "what was written before stays"
FULL = (errno.ENOSPC, errno.EDQUOT)
NOTHING = 2**20  # bytes left at which a failure without a cause is taken for a full disk


@contextmanager
def disk_space(target: str | Path, kept: str) -> Iterator[None]:
    """Turn what libraries raise when the disk is full while they write `target` into one clear error.

    Args:
        target: file or folder that is written.
        kept: what of the finished work stays, for the message.

    Raises:
        DialectError: the disk is full, or the quota used up. Everything else is passed on.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DialectError) or not _is_full(error, Path(target)):
            raise
        place = f"the disk that holds it is full ({_free(Path(target)) / 2**20:,.1f} MiB are left)"
        raise DialectError(
            f"{target} could not be written: {place}. Free some space, or name a folder on another disk, and run the "
            f"same command again; {kept}"
        ) from error


@contextmanager
def whole_file(path: str | Path, kept: str = KEPT) -> Iterator[Path]:
    """A path beside `path` to write to, renamed to it at the end: the file is whole or not there, also after a kill.

    What stood there before stays where an error ends the writing. Processes that write the same file at once do not
    meet: each has a path of its own, and the last one's file stays.

    Args:
        kept: see `disk_space`.

    Raises:
        DialectError: the disk is full.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_space(path, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _is_full(error: Exception, target: Path) -> bool:
    """safetensors quotes the system in an error of its own; torch only says that writing failed."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return "No space left on device" in str(error) or (isinstance(error, RuntimeError) and _free(target) < NOTHING)


def _free(target: Path) -> int:
    """Bytes left on the disk of a path that need not exist yet."""
    target = target.absolute()
    return shutil.disk_usage(next(path for path in (target, *target.parents) if path.exists())).free
