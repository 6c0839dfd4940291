"""Batches of windows, and predictions of corpora that are not fully labelled."""

import numpy as np
import tiny
from datasets import Dataset

from hf_dialects.data.audio import encode
from hf_dialects.inference import WAITING, batches, predict


def windows(lengths: list[int]):
    return ((row, np.zeros(length, np.float32)) for row, length in enumerate(lengths))


def test_windows_of_one_length_share_a_batch_and_none_is_lost():
    lengths = [5, 7, 5, 5, 7, 9, 5]
    found = list(batches(windows(lengths), 2, same_length=True))
    assert all(len({len(window) for _, window in batch}) == 1 and len(batch) <= 2 for batch in found)
    assert sorted(row for batch in found for row, _ in batch) == list(range(7))
    mixed = list(batches(windows(lengths), 3, same_length=False))
    assert [[row for row, _ in batch] for batch in mixed] == [[0, 1, 2], [3, 4, 5], [6]]


def test_windows_of_many_lengths_do_not_pile_up():
    taken = 0

    def counted():
        nonlocal taken
        for one in windows(list(range(1, 1001))):
            taken += 1
            yield one

    given, most = 0, 0
    for batch in batches(counted(), 4, same_length=True):
        most = max(most, taken - given)
        given += len(batch)
    assert given == 1000
    assert most == WAITING * 4


def test_recordings_without_a_label_have_gold_minus_one():
    cells = [{"bytes": encode(tiny.waveform(0.5, seed), tiny.RATE), "path": None} for seed in range(3)]
    corpus = Dataset.from_dict({"audio": cells, "id": ["a", "b", "c"], "dialect": [2, None, 0]})
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    assert predict(model, extractor, corpus, progress=False).gold.tolist() == [2, -1, 0]
    assert predict(model, extractor, corpus.remove_columns("dialect"), progress=False).gold.tolist() == [-1, -1, -1]
