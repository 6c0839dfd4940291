"""Independent pieces of work in threads: for compiled code and array code, which release the lock. Layer 0."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
from threadpoolctl import threadpool_limits


def n_threads() -> int:
    """As many as NUMBA_NUM_THREADS says, else as there are processors for this process."""
    return numba.config.NUMBA_NUM_THREADS


def in_threads(function: Callable, pieces: Sequence, threads: int | None = None) -> list:
    """Results of `function` for all pieces, in their order; products within take one thread each, of BLAS and of
    OpenMP. `threads` None: as many as `n_threads`."""
    threads = n_threads() if threads is None else threads
    if min(len(pieces), threads) < 2:
        return [function(piece) for piece in pieces]
    pool = ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1, "openmp"))
    with threadpool_limits(1, "blas"), pool:
        return list(pool.map(function, pieces))
