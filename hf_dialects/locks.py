"""Files that one process at a time holds. Layer 0."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, one process at a time
    fcntl = None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, made here and taken away at the end; waits while another process holds it.

    The system gives the lock back when its process ends, however it ends: a killed one leaves the file, which then
    holds nobody up.

    Raises:
        FileNotFoundError: the folder of the file is not there.
    """
    while True:
        file = path.open("a")
        if fcntl is None:
            break
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        except FileNotFoundError:
            pass
        file.close()  # its last holder took it away while we waited: it locks nothing any more
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a forked process has the file open, too
        file.close()
