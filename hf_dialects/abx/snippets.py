"""Snippets of any lengths cut out of long recordings and pooled: every layer, length and pooling from one pass.

Snippet k of length L holds the frames round(k·L·r) to round((k+1)·L·r) - 1 of its recording, r being the frames per
second, halves rounded up: snippets follow each other without a gap, and 1 s at 50 Hz is 50 frames. (A second of audio
that is encoded on its own gives 49 frames of 25 ms every 20 ms; cut out of the whole, the fiftieth reaches 5 ms into
the next snippet.) The last snippet of a recording may lack the frame or two that an encoder does not give at the end:
it counts as whole if the recording lasts as long.

S samples, T frames, D channels of a frame, n snippets, P size of a pooled vector.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hf_dialects.abx.pooler import Length, SnippetPooler, parts_of, pooled, spans
from hf_dialects.errors import DialectError

Encode = Callable[[np.ndarray], dict[int, np.ndarray]]


@dataclass(frozen=True)
class Piece:
    """A part of a recording that is encoded at once.

    Attributes:
        start, stop: samples that the encoder sees.
        skip: frames of context before the new ones.
        new: frames to take; None = as many as there are, in the last piece.
    """

    start: int
    stop: int
    skip: int
    new: int | None


def pieces(
    n_samples: int, frame_rate_hz: float, sampling_rate: int, piece_s: float = 60.0, context_s: float = 2.0
) -> list[Piece]:
    """Pieces of a recording that start on the frame grid; one piece for at most `piece_s`.

    Raises:
        DialectError: frames that are not a whole number of samples apart.
    """
    hop = round(sampling_rate / frame_rate_hz)
    if hop * frame_rate_hz != sampling_rate:
        raise DialectError(f"{frame_rate_hz:g} frames per second do not divide {sampling_rate} samples per second")
    n_frames = -(-n_samples // hop)
    n_pieces = max(1, -(-n_frames // max(1, round(piece_s * frame_rate_hz))))
    context = round(context_s * frame_rate_hz)
    found = []
    for number in range(n_pieces):
        first, end = n_frames * number // n_pieces, n_frames * (number + 1) // n_pieces
        start, last = max(0, first - context), number == n_pieces - 1
        stop = n_samples if last else min(n_samples, (end + context) * hop)
        found.append(Piece(start * hop, stop, first - start, None if last else end - first))
    return found


def stream_snippets(
    read: Callable[[int, int], np.ndarray],
    n_samples: int,
    encode: Encode,
    frame_rate_hz: float,
    lengths_s: Sequence[Length],
    parts: Sequence[str] = ("max", "mean", "std"),
    sampling_rate: int = 16000,
    tail: str = "drop",
    piece_s: float = 60.0,
    context_s: float = 2.0,
) -> Iterator[dict[tuple[int, Length], np.ndarray]]:
    """Pooled snippets of one recording as they are completed; memory holds the frames of one piece.

    A recording of more than `piece_s` is encoded in pieces with `context_s` on both sides, whose frames are thrown
    away. What the encoder does over its whole input (normalisation of level or of mel bins, attention) it then does
    over a piece, so values differ somewhat from those of one pass.

    Args:
        read: samples (start, stop) → (S,) float32; fewer than asked for only at the end.
        n_samples: of the recording.
        encode: (S,) → {layer: (T, D)}.
        frame_rate_hz: of `encode`.
        lengths_s, parts, tail: see `SnippetPooler`.

    Yields:
        {(layer, length): (n, P) float32}, in order, some without rows.

    Raises:
        DialectError: frames that do not fit the rate or are not finite; see also `SnippetPooler` and `pieces`.
    """
    poolers: dict[int, SnippetPooler] = {}
    duration_s = 0.0
    for piece in pieces(n_samples, frame_rate_hz, sampling_rate, piece_s, context_s):
        waveform = read(piece.start, piece.stop)
        duration_s = (piece.start + len(waveform)) / sampling_rate
        found = {}
        for layer, frames in encode(waveform).items():
            frames = _new_frames(frames, piece, len(waveform) / sampling_rate, frame_rate_hz)
            if not np.isfinite(frames).all():
                raise DialectError(f"layer {layer} gives values that are not finite: weights or precision are broken")
            pooler = poolers.setdefault(layer, SnippetPooler(lengths_s, frame_rate_hz, parts, tail))
            if len(frames):
                found |= {(layer, length): rows for length, rows in pooler.add(frames).items()}
        yield found
    yield {(layer, length): rows for layer, one in poolers.items() for length, rows in one.end(duration_s).items()}


def snippets(
    waveform: np.ndarray,
    encode: Encode,
    frame_rate_hz: float,
    lengths_s: Sequence[Length],
    poolings: Sequence[str] = ("max", "mean", "statistics"),
    **options,
) -> tuple[dict[tuple[int, Length, str], np.ndarray], dict[Length, np.ndarray]]:
    """Pooled consecutive snippets of one recording, all layers, lengths and poolings from one pass.

    Args:
        waveform: (S,) float32.
        encode, frame_rate_hz, lengths_s: see `stream_snippets`.
        poolings: some of "max", "mean", "statistics".
        options: sampling_rate, tail, piece_s and context_s of `stream_snippets`.

    Returns:
        ({(layer, length, pooling): (n, P) float32}, {length: (n, 2) start and end in seconds})

    Half a second of two channels at 8 frames per second, of which the second counts the frames:

    >>> encode = lambda waveform: {0: np.stack([[1] * 4, np.arange(4)], axis=1).astype(np.float32)}
    >>> vectors, seconds = snippets(np.zeros(8), encode, 8, [0.25, None], ["max", "mean"], sampling_rate=16)
    >>> vectors[0, 0.25, "mean"].tolist(), vectors[0, None, "max"].tolist()
    ([[1.0, 0.5], [1.0, 2.5]], [[1.0, 3.0]])
    >>> seconds[0.25].tolist()
    [[0.0, 0.25], [0.25, 0.5]]
    """
    parts = parts_of(poolings)
    rows: dict[tuple[int, Length], list[np.ndarray]] = {}
    for found in stream_snippets(
        lambda start, stop: waveform[start:stop], len(waveform), encode, frame_rate_hz, lengths_s, parts, **options
    ):
        for key, some in found.items():
            rows.setdefault(key, []).append(some)
    joined = {key: np.concatenate(some) for key, some in rows.items()}
    duration_s = len(waveform) / options.get("sampling_rate", 16000)
    counts = {length: len(some) for (_, length), some in joined.items()}
    vectors = {(*key, name): pooled(some, parts, name) for key, some in joined.items() for name in poolings}
    return vectors, {length: spans(n, length, duration_s) for length, n in counts.items()}


def _new_frames(frames: np.ndarray, piece: Piece, seconds: float, rate: float) -> np.ndarray:
    expected = seconds * rate
    if abs(len(frames) - expected) > 2 + 0.1 * rate:  # frames of up to a tenth of a second
        raise DialectError(
            f"{seconds:.2f} s of audio gave {len(frames)} frames; at {rate:g} frames per second about {expected:.0f} "
            "are expected: correct frame_rate_hz"
        )
    end = len(frames) if piece.new is None else piece.skip + piece.new
    if end > len(frames):
        raise DialectError(
            f"a piece of {seconds:.2f} s gave {len(frames)} frames, {end} are needed: take more context_s"
        )
    return frames[piece.skip : end]
