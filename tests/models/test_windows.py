import math
import subprocess
import sys

import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_dialects.models import windows_dialect
from hf_dialects.models.windows_dialect import window_spans

RATE = 16000

lengths = st.integers(1, 400)


@st.composite
def cuts(draw):
    window = draw(st.integers(1, 60))
    return draw(lengths), window, draw(st.integers(1, window))


def seconds(spans):
    return [(start / RATE, end / RATE) for start, end in spans]


@pytest.mark.parametrize(
    ("recording_s", "expected"),
    [
        (2, [(0, 2)]),
        (8, [(0, 8)]),
        (8.5, [(0, 8), (3, 8.5)]),
        (11, [(0, 8), (3, 11)]),
        (12, [(0, 8), (3, 11), (6, 12)]),
    ],
)
def test_windows_of_eight_seconds_every_three(recording_s, expected):
    assert seconds(window_spans(int(recording_s * RATE), RATE, 8.0, 3.0)) == expected


@pytest.mark.parametrize(
    ("recording_s", "expected"),
    [
        (2, [(0, 2)]),
        (6, [(0, 6)]),
        (8.9, [(0, 6)]),
        (9, [(0, 6), (3, 9)]),
        (14, [(0, 6), (3, 9), (6, 12)]),
    ],
)
def test_drop_keeps_full_windows_and_an_only_one(recording_s, expected):
    assert seconds(window_spans(int(recording_s * RATE), RATE, 6.0, 3.0, tail="drop")) == expected


def test_last_window_below_the_encoders_minimum_is_dropped():
    assert window_spans(1099, 100, 5.0, 5.0, minimum_samples=100) == [(0, 500), (500, 1000)]
    assert window_spans(1100, 100, 5.0, 5.0, minimum_samples=100) == [(0, 500), (500, 1000), (1000, 1100)]


def test_without_window_everything_is_one():
    assert window_spans(123456, RATE, None) == [(0, 123456)]
    assert window_spans(400, RATE, None, 3.0, "drop", 400) == [(0, 400)]


def test_without_stride_windows_lie_side_by_side():
    assert window_spans(25, 10, 1.0) == [(0, 10), (10, 20), (20, 25)]


@settings(deadline=None)
@given(cuts(), st.sampled_from(["keep", "drop"]), st.integers(1, 10))
def test_equals_walking_through_the_recording(cut, tail, minimum):
    n_samples, window, stride = cut
    assume(window >= minimum)
    expected = reference.windows(n_samples, window, stride, tail, minimum)
    if expected is None:
        with pytest.raises(ValueError, match=f"has {n_samples} samples"):
            window_spans(n_samples, 1, window, stride, tail, minimum)
    else:
        assert window_spans(n_samples, 1, window, stride, tail, minimum) == expected


@settings(deadline=None)
@given(cuts())
def test_keep_hears_every_sample_in_the_fewest_windows(cut):
    n_samples, window, stride = cut
    spans = window_spans(n_samples, 1, window, stride)
    assert set().union(*(range(start, end) for start, end in spans)) == set(range(n_samples))
    assert len(spans) == 1 + math.ceil(max(0, n_samples - window) / stride)
    assert [start for start, _ in spans] == [stride * index for index in range(len(spans))]


@settings(deadline=None)
@given(cuts())
def test_drop_is_keep_without_a_short_tail(cut):
    n_samples, window, stride = cut
    kept, dropped = (window_spans(n_samples, 1, window, stride, tail) for tail in ("keep", "drop"))
    assert dropped == ([span for span in kept if span[1] - span[0] == window] or kept)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, RATE, 8.0, 3.0), "has 0 samples (0.000 s at 16000 Hz), the encoder needs at least 1"),
        ((0, RATE, None), "has 0 samples"),
        ((399, RATE, 8.0, 3.0, "keep", 400), "has 399 samples (0.025 s at 16000 Hz), the encoder needs at least 400"),
        ((RATE, RATE, 2.0, 3.0), "at most window_s, found stride_s=3.0, window_s=2.0"),
        ((RATE, RATE, 2.0, 0.0), "stride_s must be above 0"),
        ((RATE, RATE, math.nan, 1.0), "stride_s must be above 0"),
        ((RATE, RATE, 0.01, 0.01, "keep", 400), "window_s is 0.01 s, 160 samples at 16000 Hz"),
        ((RATE, RATE, 8.0, 3.0, "pad"), "tail is 'pad'; it must be one of: keep, drop"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(ValueError) as caught:
        window_spans(*arguments)
    assert message in str(caught.value)


def test_imports_nothing_heavy():
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, windows_dialect.__file__], check=False).returncode == 0
