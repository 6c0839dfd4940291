"""Independent pieces of work, spread over threads: for compiled code and array code, which release the lock."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
from threadpoolctl import threadpool_limits


def n_threads() -> int:
    """As many as NUMBA_NUM_THREADS says, else as there are processors for this process."""
    return numba.config.NUMBA_NUM_THREADS


def in_threads(function: Callable, pieces: Sequence) -> list:
    """Results of `function` for all pieces, in their order; matrix products within take one thread each."""
    if len(pieces) < 2 or n_threads() < 2:
        return [function(piece) for piece in pieces]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads()) as pool:
        return list(pool.map(function, pieces))
