"""SeqSim of all pairs of utterances, and the best match among many."""

import numpy as np
import torch
from measure import Row, interleaved

from hf_dialects.retrieval import search, seqsim_matrix
from hf_dialects.retrieval.quantised import is_fast

CHANNELS, PHONES = 512, 200
N, SHORTEST, LONGEST = 24, 100, 300  # utterances of 2 to 6 s at 50 frames a second
QUERIES, TARGETS = 64, (256, 50, 150)  # how many, and their frames


def bench_seqsim(rounds: int) -> list[Row]:
    """The ways to score all pairs, and exact search by 8 bits, against a loop over pairs."""
    random = np.random.default_rng(0)
    xs, ys = spoken(N, SHORTEST, LONGEST, 1.0, random)
    ways = {
        "loop": lambda: loop(xs, ys),
        "float32": lambda: seqsim_matrix(xs, ys),
        "int8": lambda: seqsim_matrix(xs, ys, precision="int8"),
        "padded torch": lambda: padded(xs, ys),
        "symmetric float32": lambda: seqsim_matrix(xs),
    }
    found = interleaved(ways, rounds)
    pairs = f"{N} x {N} utterances of {SHORTEST} to {LONGEST} frames, D = {CHANNELS}"
    flops = 2 * CHANNELS * sum(map(len, xs)) * sum(map(len, ys))
    note = f"{pairs}; loop {flops / found['loop'].seconds / 1e9:.0f} GFLOP/s"
    vnni = f"VNNI {'yes' if is_fast() else 'no: search takes float32'}"
    error = np.abs(seqsim_matrix(xs, ys, precision="int8") - seqsim_matrix(xs, ys)).max()
    symmetric = found["symmetric float32"].seconds / found["float32"].seconds
    rows = [
        Row("seqsim_matrix float32 / loop over pairs", found["float32"].ratio, note, at_most=1.0),
        Row("seqsim_matrix int8 / loop over pairs", found["int8"].ratio, f"{vnni}; off by {error:.4f} at most", goal()),
        Row("padded torch.bmm with masks / loop over pairs", found["padded torch"].ratio),
        Row("seqsim_matrix symmetric / full", symmetric, at_most=0.75),
    ]
    return rows + [searched(noise, rounds) for noise in (1.0, 3.0, 5.0)]


def goal() -> float | None:
    """Half the time of the loop where the processor can."""
    return 0.5 if is_fast() else None


def searched(noise: float, rounds: int) -> Row:
    """Exact search with 8 bits, where the first queries show that it pays, against float32 alone."""
    queries, targets = spoken(*TARGETS, noise, np.random.default_rng(0))
    queries = queries[:QUERIES]
    ways = {
        "float32": lambda: search(queries, targets, precision="float32"),
        "int8": lambda: search(queries, targets),
    }
    found = interleaved(ways, rounds)
    exact, fast = (way()[0][:, 0] for way in ways.values())
    scores = np.sort(seqsim_matrix(queries, targets), axis=1)
    margin = np.median(scores[:, -1] - scores[:, -2])
    right = np.mean(exact == np.arange(len(exact)))
    note = f"{QUERIES} queries, {len(targets)} targets; {np.mean(exact == fast):.0%} the same, {right:.0%} right"
    return Row(
        f"search / search in float32, best above second by {margin:.3f}", found["int8"].ratio, note, at_most=1.15
    )


def loop(xs: list[np.ndarray], ys: list[np.ndarray]) -> np.ndarray:
    """Equations 1 to 3 pair by pair, frames of length one beforehand."""
    xs, ys = ([one / np.linalg.norm(one, axis=1, keepdims=True) for one in side] for side in (xs, ys))
    scores = np.empty((len(xs), len(ys)))
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            products = x @ y.T
            recall, precision = products.max(axis=1).mean(), products.max(axis=0).mean()
            scores[i, j] = 2 * precision * recall / (precision + recall)
    return scores


def padded(xs: list[np.ndarray], ys: list[np.ndarray]) -> torch.Tensor:
    """All ys padded to the longest and masked, an x at a time."""
    lengths = torch.tensor([len(y) for y in ys])
    batch = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(y) for y in ys], batch_first=True)  # (M, T, D)
    batch = torch.nn.functional.normalize(batch, dim=-1)
    mask = torch.arange(batch.shape[1]) < lengths[:, None]  # (M, T)
    rows = []
    for x in xs:
        frames = torch.nn.functional.normalize(torch.from_numpy(x), dim=-1)
        products = torch.bmm(frames.expand(len(ys), -1, -1), batch.transpose(1, 2))  # (M, T1, T)
        recall = products.masked_fill(~mask[:, None], -torch.inf).amax(dim=2).mean(dim=1)
        precision = (products.amax(dim=1) * mask).sum(dim=1) / lengths
        rows.append(2 * precision * recall / (precision + recall))
    return torch.stack(rows)


def spoken(n: int, shortest: int, longest: int, noise: float, random: np.random.Generator) -> tuple[list, list]:
    """Two voices saying the same n sentences: phones of 2 to 12 frames, with noise of their own, (T, D) float32."""
    phones = random.standard_normal((PHONES, CHANNELS))
    sentences = [random.integers(PHONES, size=longest) for _ in range(n)]
    lengths = random.integers(shortest, longest, n)

    def say(sentence: np.ndarray, length: int) -> np.ndarray:
        frames = np.repeat(phones[sentence], random.integers(2, 13, len(sentence)), axis=0)[:length]
        return (frames + noise * random.standard_normal(frames.shape)).astype(np.float32)

    return tuple([say(*one) for one in zip(sentences, lengths, strict=True)] for _ in range(2))
