from itertools import chain

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_dialects.data.samplers import Balanced, Buckets, ClassesByExamples, RandomBatches, build_sampler
from hf_dialects.errors import RecipeError

SEED = 7


@st.composite
def built(draw, names=("random", "buckets", "balanced", "classes_x_examples")):
    """A function (rank, world_size) -> sampler, over a corpus of uneven classes and lengths."""
    name = draw(st.sampled_from(names))
    n = draw(st.integers(8, 120))
    labels = draw(st.lists(st.sampled_from("aaabbc"), min_size=n, max_size=n))
    lengths = draw(st.lists(st.floats(0.5, 8), min_size=n, max_size=n))
    batch_size = draw(st.sampled_from([8, 12, 16]))
    options = {}
    if name == "buckets":
        options = {"max_seconds": draw(st.sampled_from([None, 64.0, 100.0])), "bucket_batches": draw(st.integers(1, 5))}
    if name == "classes_x_examples":
        assume(len(set(labels)) > 1)
    return lambda rank=0, world_size=1: build_sampler(
        name, batch_size, lengths=lengths, labels=labels, seed=SEED, rank=rank, world_size=world_size, **options
    )


@settings(max_examples=80, deadline=None)
@given(built(), st.integers(2, 4), st.integers(0, 3))
def test_processes_share_the_batches_of_one(make, world_size, epoch):
    single, ranks = make(), [make(rank, world_size) for rank in range(world_size)]
    for sampler in [single, *ranks]:
        sampler.set_epoch(epoch)
    slices = [list(sampler) for sampler in ranks]
    assert [list(chain(*parts)) for parts in zip(*slices, strict=True)] == list(single)
    for parts in zip(*slices, strict=True):
        sizes = [len(part) for part in parts]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
    assert all(len(part) <= ranks[0].batch_size for parts in slices for part in parts)


@settings(max_examples=80, deadline=None)
@given(built(("random", "buckets", "balanced")), st.integers(0, 5))
def test_an_epoch_holds_every_example_once(make, epoch):
    sampler = make()
    batches = sampler.global_batches(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(sampler.n_examples))
    assert len(batches) == len(sampler)
    assert max(map(len, batches)) <= sampler.global_batch_size
    if getattr(sampler, "max_seconds", None) is None:
        assert max(map(len, batches)) - min(map(len, batches)) <= 1
        assert len(batches) == -(-sampler.n_examples // sampler.global_batch_size)


@settings(max_examples=40, deadline=None)
@given(built())
def test_epochs_differ_and_repeat_exactly(make):
    once, again = make(), make()
    assert once.global_batches(3) == again.global_batches(3)
    assert once.global_batches(3) != once.global_batches(4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.3, 10), min_size=12, max_size=200), st.integers(1, 3), st.integers(0, 3))
def test_buckets_keep_to_the_limit_in_seconds(lengths, world_size, epoch):
    sampler = Buckets(lengths, 16, world_size=world_size, max_seconds=60, bucket_batches=2)
    batches = sampler.global_batches(epoch)
    assert len(batches) == len(sampler)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[index] for index in batch) <= 60
        assert world_size <= len(batch) <= 16


@pytest.mark.parametrize("n", range(3, 30))
def test_no_bucket_is_too_small_for_the_processes(n):
    sampler = Buckets([10.0] * n, 16, world_size=3, max_seconds=60)  # six to a batch
    assert min(len(batch) for batch in sampler.global_batches(0)) >= 3
    assert max(len(batch) for batch in sampler.global_batches(0)) <= 6


def test_buckets_save_padding():
    lengths = np.random.default_rng(0).uniform(1, 8, 2000)

    def waste(sampler):
        padded = sum(len(batch) * lengths[batch].max() for batch in sampler.global_batches(0))
        return 1 - lengths.sum() / padded

    assert waste(RandomBatches(2000, 32)) > 0.35
    assert waste(Buckets(lengths, 32)) < 0.05
    assert waste(Buckets(lengths, 32, max_seconds=150)) < 0.05

    needed, left = 0, sorted(lengths)  # longest first, as many as fit
    while left:
        del left[-min(32, int(150 // left[-1])) :]
        needed += 1
    assert needed <= len(Buckets(lengths, 32, max_seconds=150)) <= 1.05 * needed + 1


def test_buckets_mix_lengths_over_the_epoch():
    lengths = np.linspace(1, 8, 400)
    means = [lengths[batch].mean() for batch in Buckets(lengths, 10).global_batches(0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5
    within = [lengths[batch] for batch in Buckets(lengths, 10).global_batches(0)]
    assert not all(np.all(np.diff(batch) > 0) for batch in within), "sorted batches would load the last process most"


def is_contrastive(batch, labels) -> bool:
    return (np.unique(np.asarray(labels)[batch], return_counts=True)[1] >= 2).sum() >= 2


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from("aaaaaaabcd"), min_size=8, max_size=100), st.sampled_from([4, 7, 16]), st.integers(0, 2)
)
def test_balanced_batches_hold_two_pairs_while_the_data_allow(labels, batch_size, epoch):
    sampler = Balanced(labels, batch_size)
    batches = sampler.global_batches(epoch)
    contrastive = [is_contrastive(batch, labels) for batch in batches]
    assert sum(contrastive) == sampler.contrastive_batches
    assert contrastive == sorted(contrastive, reverse=True), "those without come last"
    assert sum(len(batch) for batch, good in zip(batches, contrastive, strict=True) if not good) == sampler.left_over
    if not all(contrastive):
        # no further batch could be had: taking two pairs for each leaves one class with pairs, or small batches
        pairs = np.unique(labels, return_counts=True)[1] // 2
        possible = max_couples_by_hand(sorted(pairs))
        assert sum(contrastive) == min(possible, sum(len(batch) >= 4 for batch in batches))


def max_couples_by_hand(pairs: list[int]) -> int:
    """Always from the two classes with the most pairs."""
    couples = 0
    while len(pairs) > 1 and pairs[-2] > 0:
        pairs[-1] -= 1
        pairs[-2] -= 1
        pairs.sort()
        couples += 1
    return couples


def test_balanced_counts_what_is_left_over():
    labels = ["a"] * 26 + ["b"] * 6  # three pairs of b serve three of four batches
    sampler = Balanced(labels, 8)
    assert (len(sampler), sampler.contrastive_batches, sampler.left_over) == (4, 3, 8)
    assert Balanced(["a"] * 20, 8).contrastive_batches == 0
    labels = ["a"] * 70 + list("bcd") * 10  # 15 pairs of the others, each to be kept for a pair of a
    sampler = Balanced(labels, 4)
    assert (len(sampler), sampler.contrastive_batches, sampler.left_over) == (25, 15, 40)
    for epoch in range(5):
        assert sum(is_contrastive(batch, labels) for batch in sampler.global_batches(epoch)) == 15
    everything = Balanced(list("abcd") * 8, 8)
    assert (everything.contrastive_batches, everything.left_over) == (4, 0)


def test_balanced_batches_use_all_classes_for_their_pairs():
    labels = np.repeat(np.arange(12), 20)
    seen = np.zeros(12, dtype=int)
    for batch in Balanced(labels, 8).global_batches(0):
        classes, counts = np.unique(labels[batch], return_counts=True)
        seen[classes[counts >= 2]] += 1
    assert seen.min() >= 1


def test_classes_by_examples_draws_that_many_of_each():
    labels = np.array(["a"] * 50 + ["b"] * 10 + ["c"] * 3)  # c has fewer than four examples: they repeat
    sampler = ClassesByExamples(labels, 8, classes=2, examples=4)
    assert sampler.with_replacement
    assert not RandomBatches(8, 4).with_replacement
    drawn = np.zeros(3)
    for batch in sampler.global_batches(0) + sampler.global_batches(1):
        classes, counts = np.unique(labels[batch], return_counts=True)
        assert counts.tolist() == [4, 4]
        assert all(
            len(set(np.array(batch)[labels[batch] == name])) == min(4, (labels == name).sum()) for name in classes
        )
        drawn += [name in classes for name in "abc"]
    assert len(sampler) == 8
    assert drawn.min() > 0


@pytest.mark.parametrize(
    ("given_options", "expected"),
    [({}, (4, 4)), ({"examples": 8}, (2, 8)), ({"classes": 2}, (2, 8)), ({"classes": 4, "examples": 4}, (4, 4))],
)
def test_classes_by_examples_fills_in_the_other_number(given_options, expected):
    sampler = ClassesByExamples(list("abcde") * 10, 16, **given_options)
    assert (sampler.classes, sampler.examples) == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bucket", {}, "no sampler 'bucket'; choose one of random, buckets, balanced, classes_x_examples"),
        ("buckets", {"max_second": 3}, "no option 'max_second'; did you mean 'max_seconds'"),
        ("random", {"zzz": 3}, "no option 'zzz'; its options: none"),
        ("buckets", {"lengths": None}, "'buckets' needs lengths"),
        ("buckets", {"lengths": [1.0, None, 2.0]}, r"1 of 3 have none above 0 \(first: row 1, None\)"),
        ("buckets", {"max_seconds": 4.0}, "longest of 9 examples of 5.0 s, a batch may hold 0 examples"),
        ("buckets", {"max_seconds": 20, "world_size": 3}, "a batch may hold 2 examples; for 3 processes raise them"),
        ("balanced", {"batch_size": 2}, "batch_size >= 4, got 2"),
        ("random", {"world_size": 4, "rank": 4}, "rank must be between 0 and 3"),
        (
            "random",
            {"world_size": 5, "batch_size": 5},
            "9 examples in .* at most 5 leave a batch of 4 for 5 processes",
        ),
        ("random", {"world_size": 8, "batch_size": 8}, "leave a batch of 4 for 8 processes; use a larger batch_size"),
        ("classes_x_examples", {"classes": 3}, "a batch of 8 of 3 classes x 2 examples"),
        ("classes_x_examples", {"classes": 4, "examples": 2}, "with 2 to 3 classes"),
    ],
)
def test_what_cannot_be_built_is_refused(name, options, message):
    arguments = {"lengths": [1.0, 2, 3, 4, 5, 1, 2, 3, 4], "labels": list("aaabbbccc"), "batch_size": 8} | options
    with pytest.raises(RecipeError, match=message):
        build_sampler(name, **arguments)


class Pairs:
    """Dataset whose items are the keys they are asked for."""

    def __len__(self):
        return 23

    def __getitem__(self, key):
        return key


def keys(batches) -> list:
    return list(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_passes_epoch_and_index(workers):
    from torch.utils.data import DataLoader

    sampler = RandomBatches(23, 5, seed=SEED)
    sampler.set_epoch(4)
    loader = DataLoader(Pairs(), batch_sampler=sampler, collate_fn=keys, num_workers=workers)
    assert list(loader) == [[(4, index) for index in batch] for batch in sampler.global_batches(4)]
    assert len(loader) == 5


def test_accelerate_prepares_and_skips():
    from accelerate.data_loader import prepare_data_loader, skip_first_batches
    from torch.utils.data import DataLoader

    sampler = RandomBatches(23, 5, seed=SEED)
    plain = DataLoader(Pairs(), batch_sampler=sampler, collate_fn=keys)
    expected = [[(2, index) for index in batch] for batch in sampler.global_batches(2)]
    sampler.set_epoch(2)
    assert list(skip_first_batches(plain, 3)) == expected[3:]

    sampler.set_epoch(0)
    prepared = prepare_data_loader(plain, num_processes=1, process_index=0)
    prepared.set_epoch(2)
    assert sampler.epoch == 2
    assert list(prepared) == expected
    assert prepared.total_batch_size == 5

    sampler.set_epoch(0)
    prepared.set_epoch(2)
    skipping = skip_first_batches(prepared, 3)
    assert len(skipping) == 2
    skipping.set_epoch(2)
    assert list(skipping) == expected[3:]
    skipping.set_epoch(3)  # reaches the sampler through the wrapper that skips
    assert sampler.epoch == 3


def test_an_epoch_under_way_keeps_its_number():
    sampler = RandomBatches(23, 5)
    iterator = iter(sampler)
    first = next(iterator)
    sampler.set_epoch(1)
    assert {epoch for batch in [first, *iterator] for epoch, _ in batch} == {0}
