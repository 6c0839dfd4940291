"""Low-resource subsets as splits of a grid."""

import pytest
from datasets import DatasetDict

from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError
from hf_dialects.reproduce.map_mix_subsets import describe_overlap, low_resource
from hf_dialects.reproduce.run_table import TableOptions, splits_of

SECONDS = 20


@pytest.fixture(scope="module")
def subsets():
    options = TableOptions("map-mix-table1", out=None, smoke=True, hours=SECONDS / 3600, splits=2, progress=False)
    return splits_of(options, {})


def test_every_subset_has_its_hours_and_the_whole_test_split(subsets):
    corpus = load_fixture()
    for one in subsets:
        assert sorted(one.splits["test"]["id"]) == sorted(corpus["test"]["id"])
        seconds = dict.fromkeys(range(4), 0.0)
        for name in ("train", "validation"):
            for dialect, duration in zip(one.splits[name]["dialect"], one.splits[name]["duration"], strict=True):
                seconds[dialect] += duration
        assert all(SECONDS <= found < SECONDS + 3 for found in seconds.values())
        assert one.by == ("speaker",)
        assert not set(one.splits["train"]["speaker"]) & set(one.splits["validation"]["speaker"])


def test_overlap_is_told(subsets):
    ids = [{*one.splits["train"]["id"], *one.splits["validation"]["id"]} for one in subsets]
    share = len(ids[0] & ids[1]) / min(map(len, ids))
    assert 0 < share < 1
    assert describe_overlap(subsets) == f"Two of the subsets share {share:.1%} of their recordings."


def test_a_corpus_without_a_test_split_is_refused():
    train = load_fixture()["train"]
    for corpus, found in ((DatasetDict(train=train), "train"), (train, "none")):
        with pytest.raises(CorpusError, match=f"its splits: {found}"):
            low_resource(corpus, {}, 1.0, 1)
