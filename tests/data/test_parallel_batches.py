"""Batches of parallel sentences: what they hold, that ranks share them out, and what is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.parallel_batches import ParallelBatches, parallel_rows
from hf_dialects.errors import CorpusError, RecipeError

# 5 sentences in 4 varieties, two takes of each
SENTENCES = [f"s{i}" for i in range(5) for _ in range(8)]
VARIETIES = [variety for _ in range(5) for variety in "aabbccdd"]


def test_a_batch_holds_other_varieties_of_every_sentence():
    batches = ParallelBatches(SENTENCES, VARIETIES, batch_size=9, utterances=3).global_batches(epoch=0)
    assert len(batches) == 5  # 40 examples, 9 at a time
    for batch in batches:
        said = {}
        for row in batch:
            said.setdefault(SENTENCES[row], []).append(VARIETIES[row])
        assert sorted(map(len, said.values())) == [3, 3, 3]
        assert all(len(set(found)) == 3 for found in said.values())


def test_all_utterances_are_drawn_in_time():
    sampler = ParallelBatches(SENTENCES, VARIETIES, batch_size=8, utterances=4)
    drawn = {row for epoch in range(20) for batch in sampler.global_batches(epoch) for row in batch}
    assert drawn == set(range(40))


@given(seed=st.integers(0, 5), epoch=st.integers(0, 5), world=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_ranks_take_slices_of_the_same_batches(seed, epoch, world):
    def sampler(rank: int) -> ParallelBatches:
        return ParallelBatches(SENTENCES, VARIETIES, 8, 4, seed=seed, rank=rank, world_size=world)

    slices = []
    for rank in range(world):
        one = sampler(rank)
        one.set_epoch(epoch)
        slices.append([[index for _, index in batch] for batch in one])
    joined = [[index for part in parts for index in part] for parts in zip(*slices, strict=True)]
    assert joined == sampler(0).global_batches(epoch)
    assert joined == ParallelBatches(SENTENCES, VARIETIES, 8, 4, seed=seed).global_batches(epoch)


def test_seed_and_epoch_change_the_batches():
    one = ParallelBatches(SENTENCES, VARIETIES, 8, 4, seed=1)
    assert one.global_batches(0) == one.global_batches(0)
    assert one.global_batches(0) != one.global_batches(1)
    assert one.global_batches(0) != ParallelBatches(SENTENCES, VARIETIES, 8, 4, seed=2).global_batches(0)


def test_sentences_of_one_variety_and_unknown_ones_are_left_out():
    sentences = ["x", "x", "y", "y", "z", "z", None, "", "w"]
    varieties = ["a", "b", "a", "b", "c", "c", "a", "b", "a"]
    rows = [[group.tolist() for group in said] for said in parallel_rows(sentences, varieties)]
    assert rows == [[[0], [1]], [[2], [3]]]
    sampler = ParallelBatches(sentences, varieties, batch_size=8, utterances=4)  # no sentence has four
    assert sampler.left_out == 5
    assert [sorted(batch) for batch in sampler.global_batches(0)] == [[0, 1, 2, 3]]


def test_too_few_sentences_say_how_many_there_are():
    with pytest.raises(
        CorpusError, match=r"5 of 5 sentences are said in two varieties or more, but a batch of 24 with 4 "
    ):
        ParallelBatches(SENTENCES, VARIETIES, batch_size=24, utterances=4)
    with pytest.raises(CorpusError, match=r"0 of 5 sentences .* needs the same id in every variety"):
        ParallelBatches(SENTENCES, ["a"] * 40, batch_size=8, utterances=4)


@pytest.mark.parametrize(("batch_size", "utterances"), [(4, 4), (9, 4), (8, 1)])
def test_batches_without_two_sentences_of_two_utterances_are_refused(batch_size, utterances):
    with pytest.raises(RecipeError, match=rf"a batch of {batch_size} with {utterances} utterances"):
        ParallelBatches(SENTENCES, VARIETIES, batch_size, utterances)
