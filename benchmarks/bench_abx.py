"""ABX: exact counts against comparing all triples, and against the matrix product they cannot do without."""

from collections.abc import Callable

import numpy as np
from measure import Row, interleaved

from hf_dialects.abx import abx
from hf_dialects.abx.dtw import dtw_distances

SIZE, DIALECTS, SPEAKERS = 512, 4, 40
NUMBERS = (50, 200, 1000)
SEQUENCES, SHORTEST, LONGEST = 60, 8, 60  # frames


def bench_abx_pooled(rounds: int) -> list[Row]:
    """Pooled vectors: n² log n, where comparing all triples takes n³."""
    rows = []
    for n in NUMBERS:
        vectors, attributes = data(n)
        units = vectors.astype(np.float64)
        ways = {"product": lambda units=units: units @ units.T, "fast": counted(vectors, attributes)}
        few = interleaved(
            {"fast": ways["fast"], "all": lambda given=(vectors, attributes): all_triples(*given)},
            max(rounds, 7) if n < NUMBERS[-1] else 1,
        )
        own, expected = ways["fast"](), all_triples(vectors, attributes)
        note = f"{1000 * few['fast'].seconds:.1f} ms with it; scores differ by {abs(own - expected):.2g}"
        last = n == NUMBERS[-1]
        rows.append(
            Row(f"abx of {n} vectors: all triples at once / abx", few["all"].ratio, note, at_least=3 if last else None)
        )
        large = interleaved(ways, max(rounds, 7))
        note = f"product {1000 * large['product'].seconds:.2f} ms, D = {SIZE}"
        name = f"abx of {n} vectors / float64 matrix product alone"
        rows.append(Row(name, large["fast"].ratio, note, at_most=2.3 if last else None))
    growth = interleaved({"once": counted(*data(n)), "twice": counted(*data(2 * n))}, min(rounds, 5))
    rows.append(Row(f"abx of {2 * n} vectors / of {n}", growth["twice"].ratio, "n² log n is 4.4", at_most=5))
    apart = interleaved({"abx": counted(*data(n)), "differ": counted(*data(n), differ="speaker")}, max(rounds, 7))
    name = f"abx of {n} vectors with three different speakers / without"
    return [*rows, Row(name, apart["differ"].ratio, at_most=1.5)]


def bench_abx_sequences(rounds: int) -> list[Row]:
    """Frame sequences: dynamic time warping against the products of their frames."""
    random = np.random.default_rng(0)
    lengths = random.integers(SHORTEST, LONGEST + 1, SEQUENCES)
    sequences = [random.standard_normal((length, SIZE)).astype(np.float32) for length in lengths]
    pairs = [(i, j) for i in range(SEQUENCES) for j in range(i + 1, SEQUENCES)]
    unlike = ~np.eye(SEQUENCES, dtype=bool)
    found = interleaved(
        {
            "dtw": lambda: dtw_distances(sequences, "cosine", unlike),
            "products": lambda: [sequences[i] @ sequences[j].T for i, j in pairs],
        },
        max(rounds, 7),
    )
    note = f"{1e6 * found['dtw'].seconds / len(pairs):.0f} µs per pair of {SHORTEST} to {LONGEST} frames, D = {SIZE}"
    name = "frame products of every pair alone / dynamic time warping with them"
    return [Row(name, found["products"].ratio, note, at_least=0.8)]


def data(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random vectors (n, D) float32 with dialects, and speakers nested in them."""
    random = np.random.default_rng(n)
    speaker = random.integers(SPEAKERS, size=n)
    vectors = random.standard_normal((n, SIZE)).astype(np.float32)
    return vectors, {"dialect": speaker % DIALECTS, "speaker": speaker}


def counted(vectors: np.ndarray, attributes: dict, **conditions) -> Callable[[], float]:
    """A function that makes the test."""
    return lambda: abx(vectors, attributes, "dialect", **conditions).score


def all_triples(vectors: np.ndarray, attributes: dict) -> float:
    """The definition, with every triple of a pair of dialects compared at once: mean over its triples, then over the
    pairs (Schatz et al. 2013; error rate = 1 - score)."""
    units = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    distances = 1 - units @ units.T
    members = [np.flatnonzero(attributes["dialect"] == dialect) for dialect in range(DIALECTS)]
    scores = []
    for a in members:
        near = distances[np.ix_(a, a)]  # X, A
        other_than_x = ~np.eye(len(a), dtype=bool)
        for b in members:
            if b is not a:
                far = distances[np.ix_(a, b)]  # X, B
                right = (near[:, :, None] < far[:, None]) + 0.5 * (near[:, :, None] == far[:, None])
                scores.append(right[other_than_x].mean())
    return float(np.mean(scores))
