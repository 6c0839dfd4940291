"""Random draws that depend on what they are for, and on nothing else."""

from hashlib import blake2b

import numpy as np

__all__ = ["generator"]


def generator(seed: int, epoch: int, id: object, purpose: str = "") -> np.random.Generator:
    """Generator for one example in one epoch, the same in every worker, rank, process and order of calls.

    Args:
        seed: seed of the run.
        epoch: 0-based epoch.
        id: the example's `id`, or any number or text that names what is drawn for.
        purpose: keeps draws of one example apart ("crop", "augment", "mixing weight").
    """
    # repr of a list keeps ("a", "bc") and ("ab", "c") apart; str() makes numpy numbers equal to Python's
    key = repr([str(seed), str(epoch), str(id), purpose]).encode("utf-8", "surrogatepass")
    return np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(key, digest_size=16).digest(), "big")))
