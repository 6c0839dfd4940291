"""Independent pieces of work in threads: for compiled code and array code, which release the lock. Layer 0."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
from threadpoolctl import ThreadpoolController


def n_threads() -> int:
    """As many as NUMBA_NUM_THREADS says, else as there are processors for this process."""
    return numba.config.NUMBA_NUM_THREADS


def in_threads(function: Callable, pieces: Sequence, threads: int | None = None) -> list:
    """Results of `function` for all pieces, in their order; products within take one thread each, of BLAS and of
    OpenMP. `threads` None: as many as `n_threads`."""
    threads = n_threads() if threads is None else threads
    if min(len(pieces), threads) < 2:
        return [function(piece) for piece in pieces]
    libraries = _libraries("torch" in sys.modules)
    alone = {"limits": 1, "user_api": "openmp"}
    pool = ThreadPoolExecutor(threads, initializer=lambda: libraries.limit(**alone))
    with libraries.limit(limits=1, user_api="blas"), pool:
        return list(pool.map(function, pieces))


@cache
def _libraries(with_torch: bool) -> ThreadpoolController:
    """What brings threads of its own; looking for it takes longer than a small piece of work."""
    return ThreadpoolController()
