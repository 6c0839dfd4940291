"""The batch size is the fastest of the first windows, and remembered."""

import pytest
import tiny

from hf_dialects import batch_size
from hf_dialects.batch_size import ROUNDS, SIZES, BatchSize, fastest


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(batch_size, "_chosen", {})


def measured(seconds, kind=("a",)) -> BatchSize:
    """One that has seen passes that take `seconds(n, number of the pass)`."""
    size = BatchSize(None, kind=kind)
    for number in range(1 + ROUNDS * len(SIZES)):
        size.took([[0] * 80] * size.current, seconds(size.current, number))
    return size


def test_the_fastest_size_is_kept_for_the_same_kind_of_model():
    size = measured(lambda n, number: 1.0 + 0.5 * n)
    assert size.current == 8
    assert BatchSize(None, kind=("a",)).current == 8
    assert BatchSize(None, kind=("b",)).current == 1
    assert measured(lambda n, number: n**1.2, kind=("b",)).current == 1


def test_slow_first_passes_and_short_windows_do_not_count():
    assert measured(lambda n, number: 100.0 if number < 5 else {1: 1, 2: 1.2, 4: 4, 8: 9}[n]).current == 2
    size = BatchSize(None, kind=("c",))
    size.took([[0] * 80], 1.0)
    assert size.current == 1
    size.took([[0] * 80], 1.0)
    assert size.current == 2
    size.took([[0] * 80, [0] * 7], 0.0)
    size.took([[0] * 7, [0] * 7], 0.0)
    size.took([[0] * 80], 0.0)
    assert size.current == 2, "passes of other windows count"


def test_a_given_number_wins_and_accelerators_take_more():
    given = BatchSize(3, kind=("a",))
    given.took([[0]] * 3, 1.0)
    assert given.current == 3
    assert BatchSize(None, "cuda").current == 16
    assert BatchSize.of(tiny.model("wav2vec2"), None, 8.0).current == 1


def test_a_larger_batch_must_be_clearly_faster():
    assert fastest({1: 1.0, 2: 0.99, 4: 0.98, 8: 0.975}) == 1
    assert fastest({1: 1.0, 2: 0.9, 4: 0.89, 8: 0.5}) == 8
