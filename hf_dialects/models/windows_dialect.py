"""Where the windows of a recording start and end. Plain integers, no tensor."""

TAILS = ("keep", "drop")


def window_spans(
    n_samples: int,
    sampling_rate: int,
    window_s: float | None,
    stride_s: float | None = None,
    tail: str = "keep",
    minimum_samples: int = 1,
) -> list[tuple[int, int]]:
    """Cut a recording into overlapping windows.

    Windows start at 0, stride, 2·stride …; the last one is the first to reach the end of the recording, and may
    be shorter.

    Args:
        n_samples: length of the recording.
        sampling_rate: Hz.
        window_s: length of a window in seconds; None for one window over everything.
        stride_s: seconds between two starts, at most `window_s`; None for windows side by side.
        tail: "keep" a last window shorter than the others, or "drop" it. Either way a recording shorter than one window
            keeps the only window it has.
        minimum_samples: shortest input that the encoder takes. A shorter last window is dropped, unless it is
            the only one.

    Returns:
        (start, end) in samples, end excluded, at least one, in order of time.

    Raises:
        ValueError: an empty recording, one shorter than the encoder's minimum, or lengths that leave speech unheard.
    """
    if tail not in TAILS:
        raise ValueError(f"tail is {tail!r}; it must be one of: {', '.join(TAILS)}")
    if n_samples < max(1, minimum_samples):
        raise ValueError(
            f"the recording has {n_samples} samples ({n_samples / sampling_rate:.3f} s at {sampling_rate} Hz), "
            f"the encoder needs at least {max(1, minimum_samples)}: leave it out or give a longer one"
        )
    if window_s is None:
        return [(0, n_samples)]
    window, stride = _in_samples(window_s, stride_s, sampling_rate, minimum_samples)
    n_strides = -(-max(0, n_samples - window) // stride)  # rounded up: the last window reaches the end
    spans = [(start, min(start + window, n_samples)) for start in range(0, n_strides * stride + 1, stride)]
    shortest = window if tail == "drop" else minimum_samples
    start, end = spans[-1]
    return spans[:-1] if len(spans) > 1 and end - start < shortest else spans


def _in_samples(window_s: float, stride_s: float | None, sampling_rate: int, minimum_samples: int) -> tuple[int, int]:
    stride_s = window_s if stride_s is None else stride_s
    if not 0 < stride_s <= window_s:
        raise ValueError(
            f"stride_s must be above 0 and at most window_s, found stride_s={stride_s}, window_s={window_s}: "
            "a longer stride would leave speech unheard"
        )
    window, stride = round(window_s * sampling_rate), max(1, round(stride_s * sampling_rate))
    if window < max(1, minimum_samples):
        raise ValueError(
            f"window_s is {window_s} s, {window} samples at {sampling_rate} Hz, but the encoder needs at least "
            f"{max(1, minimum_samples)}: set a longer window"
        )
    return window, stride
