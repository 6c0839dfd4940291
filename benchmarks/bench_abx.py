"""ABX: exact counts against three nested loops, and against the matrix product they cannot do without."""

from collections.abc import Callable

import numpy as np
from measure import Row, interleaved

from hf_dialects.abx import abx
from hf_dialects.abx.dtw import dtw_distances

SIZE, DIALECTS, SPEAKERS = 1024, 4, 40
FEW, MANY = 120, 1000
FRAMES, SNIPPETS = 49, 60  # 1 s at 20 ms


def bench_abx_pooled(rounds: int) -> list[Row]:
    """Pooled vectors: n to n² log n, where the loop takes n³."""
    few, many, twice = (data(n) for n in (FEW, MANY, 2 * MANY))
    small = interleaved({"fast": counted(*few), "loop": lambda: triple_loop(*few)}, min(rounds, 5))
    units = [vectors.astype(np.float64) for vectors, _ in (many, twice)]
    large = interleaved(
        {
            "product": lambda: units[0] @ units[0].T,
            "fast": counted(*many),
            "differ": counted(*many, differ="speaker"),
        },
        rounds,
    )
    growth = interleaved({"once": counted(*many), "twice": counted(*twice)}, min(rounds, 5))
    note = f"{1000 * large['fast'].seconds:.0f} ms, product alone {1000 * large['product'].seconds:.0f} ms, D = {SIZE}"
    return [
        Row(
            f"abx of {FEW} vectors: triple loop over ready distances / all of abx",
            small["loop"].ratio,
            f"{1000 * small['fast'].seconds:.1f} ms with it",
            at_least=3,
        ),
        Row(f"abx of {MANY} vectors / float64 matrix product alone", large["fast"].ratio, note, at_most=4),
        Row(
            f"abx of {MANY} vectors with three different speakers / without",
            large["differ"].seconds / large["fast"].seconds,
            at_most=1.5,
        ),
        Row(f"abx of {2 * MANY} vectors / of {MANY}", growth["twice"].ratio, "n² log n is 4.4", at_most=5),
    ]


def bench_abx_sequences(rounds: int) -> list[Row]:
    """Frame sequences: dynamic time warping against the products of their frames."""
    random = np.random.default_rng(0)
    lengths = FRAMES + random.integers(-5, 6, SNIPPETS)
    sequences = [random.standard_normal((length, SIZE)).astype(np.float32) for length in lengths]
    frames = np.concatenate(sequences)
    half = len(frames) // 2
    unlike = ~np.eye(SNIPPETS, dtype=bool)
    found = interleaved(
        {
            # half of all products: a pair is computed once
            "product": lambda: frames[:half] @ frames.T,
            "dtw": lambda: dtw_distances(sequences, "cosine", unlike),
        },
        min(rounds, 5),
    )
    pairs = SNIPPETS * (SNIPPETS - 1) / 2
    note = f"{1e6 * found['dtw'].seconds / pairs:.0f} µs per pair of {FRAMES} frames, D = {SIZE}"
    return [Row("dynamic time warping / float32 product of the frames alone", found["dtw"].ratio, note, at_most=2)]


def data(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random vectors (n, D) float32 with dialects, and speakers nested in them."""
    random = np.random.default_rng(n)
    speaker = random.integers(SPEAKERS, size=n)
    vectors = random.standard_normal((n, SIZE)).astype(np.float32)
    return vectors, {"dialect": speaker % DIALECTS, "speaker": speaker}


def counted(vectors: np.ndarray, attributes: dict, **conditions) -> Callable[[], float]:
    """A function that makes the test."""
    return lambda: abx(vectors, attributes, "dialect", **conditions).score


def triple_loop(vectors: np.ndarray, attributes: dict) -> float:
    """Mean over the triples of every pair of dialects, then over the pairs, in plain Python."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = (1 - units @ units.T).tolist()
    dialects = attributes["dialect"].tolist()
    right, total = {}, {}
    for x, row in enumerate(distances):
        for a, near in enumerate(row):
            if a == x or dialects[a] != dialects[x]:
                continue
            for b, far in enumerate(row):
                if dialects[b] != dialects[x]:
                    pair = dialects[x], dialects[b]
                    right[pair] = right.get(pair, 0) + (near < far) + 0.5 * (near == far)
                    total[pair] = total.get(pair, 0) + 1
    return sum(right[pair] / total[pair] for pair in right) / len(right)
