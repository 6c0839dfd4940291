"""Pairs: who is mixed with whom, by what weight, and that one and several processes see the same."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from hf_dialects.data.pairs import Pair, PairBatches, Placed, build_partners, with_partners
from hf_dialects.data.samplers import build_sampler
from hf_dialects.errors import CorpusError, RecipeError

CLUSTERS = ["a", "a", "b", "b", "b"]
N = 47
IDS = [f"clip-{row}" for row in range(N)]
LABELS = [row * 7 % 5 for row in range(N)]
REGIONS = np.array([("easy", "ambiguous", "hard", "ambiguous")[row % 4] for row in range(N)])
MIXUPS = ("random", "within", "across", "easy", "hard", "ambiguous_easy")


def batches(mixup, rank=0, world=1, batch_size=8, sampler="random", seed=3, labels=LABELS, **options) -> PairBatches:
    rows, partners = build_partners(mixup, IDS, labels, 5, seed, clusters=CLUSTERS, regions=REGIONS)
    chosen = [labels[row] for row in rows]
    lengths = [1 + row % 9 for row in rows]
    base = build_sampler(sampler, batch_size, lengths=lengths, labels=chosen, seed=seed, rank=rank, world_size=world)
    return PairBatches(base, rows, partners, **options)


def epoch_of(pairs: PairBatches, epoch: int) -> list[list]:
    pairs.set_epoch(epoch)
    return list(pairs)


def pairs_in(batch: list[Placed]) -> list[tuple[int, int, float]]:
    """(row, partner, weight) of the counted rows."""
    return [(one.row, batch[one.mixup_index].row, one.weight) for one in batch if one.mixup_index >= 0]


def may_mix(mixup: str, row: int, partner: int) -> bool:
    same_dialect = LABELS[row] == LABELS[partner]
    same_cluster = CLUSTERS[LABELS[row]] == CLUSTERS[LABELS[partner]]
    rules = {
        "random": True,
        "within": same_cluster and not same_dialect,
        "across": not same_cluster,
        "easy": REGIONS[partner] == "easy",
        "hard": REGIONS[partner] == "hard",
        "ambiguous_easy": REGIONS[row] == "ambiguous" and REGIONS[partner] == "easy",
    }
    return row != partner and rules[mixup]


@pytest.mark.parametrize("sampler", ["random", "buckets", "balanced"])
@pytest.mark.parametrize("mixup", MIXUPS)
def test_every_example_of_an_epoch_is_mixed_once_with_one_that_is_allowed(mixup, sampler):
    expected = [row for row in range(N) if mixup != "ambiguous_easy" or REGIONS[row] == "ambiguous"]
    for epoch in range(3):
        found = [pair for batch in epoch_of(batches(mixup, sampler=sampler), epoch) for pair in pairs_in(batch)]
        assert sorted(row for row, _, _ in found) == expected
        assert all(may_mix(mixup, row, partner) for row, partner, _ in found)
        assert all(0 <= weight <= 1 for _, _, weight in found)


@pytest.mark.parametrize("weight_per", ["batch", "pair"])
@pytest.mark.parametrize("mixup", MIXUPS)
def test_several_processes_see_the_pairs_of_one(mixup, weight_per):
    for world in (2, 3):
        for epoch in (0, 4):
            alone = epoch_of(batches(mixup, weight_per=weight_per), epoch)
            ranks = [epoch_of(batches(mixup, rank, world, weight_per=weight_per), epoch) for rank in range(world)]
            for whole, *parts in zip(alone, *ranks, strict=True):
                assert pairs_in(whole) == [pair for part in parts for pair in pairs_in(part)]
                counted = [sum(one.mixup_index >= 0 for one in part) for part in parts]
                assert max(counted) - min(counted) <= 1
            for part in (part for rank in ranks for part in rank):
                assert len({one.row for one in part}) == len(part), "no example is encoded twice"


def test_random_costs_no_encoder_rows_in_one_process_and_one_in_each_of_several():
    for batch in epoch_of(batches("random"), 0):
        assert sorted(one.mixup_index for one in batch) == list(range(len(batch))), "a permutation"
        assert all(one.mixup_index != place for place, one in enumerate(batch)), "that leaves nobody alone"
    for rank in range(2):
        for batch in epoch_of(batches("random", rank, 2), 0):
            assert sum(one.mixup_index < 0 for one in batch) == 1


@pytest.mark.parametrize("mixup", ["easy", "hard", "ambiguous_easy"])
def test_partners_from_a_region_cost_at_most_twice_the_rows(mixup):
    for batch in epoch_of(batches(mixup), 0):
        counted = sum(one.mixup_index >= 0 for one in batch)
        assert counted < len(batch) <= 2 * counted


@pytest.mark.parametrize("mixup", MIXUPS)
def test_partners_are_drawn_uniformly_from_those_allowed(mixup):
    row = 1
    allowed = [other for other in range(N) if may_mix(mixup, row, other)]
    sampler = batches(mixup)
    drawn = Counter(
        partner
        for epoch in range(400)
        for batch in epoch_of(sampler, epoch)
        for own, partner, _ in pairs_in(batch)
        if own == row
    )
    assert set(drawn) <= set(allowed)
    assert chisquare([drawn[other] for other in allowed]).pvalue > 1e-3


def test_siblings_come_from_the_corpus_where_the_batch_has_none():
    """Batches of two: the other example is mostly of another cluster."""
    placed = [one for batch in epoch_of(batches("within", batch_size=2), 0) for one in batch]
    assert sum(one.mixup_index < 0 for one in placed) > N // 2
    # a batch of three and nine different examples of which one fits: it is taken from the batch
    _, partners = build_partners("within", IDS, LABELS, 5, seed=0, clusters=CLUSTERS)
    first, sibling, stranger = (LABELS.index(dialect) for dialect in (0, 1, 3))
    assert partners.of([first, stranger, sibling], epoch=0)[0] == sibling


def test_a_dialect_alone_in_its_cluster_stays_unmixed():
    clusters = ["a", "a", "b", "b", "alone"]
    rows, partners = build_partners("within", IDS, LABELS, 5, seed=0, clusters=clusters)
    sampler = PairBatches(build_sampler("random", 8, n_examples=N), rows, partners)
    found = [pair for batch in epoch_of(sampler, 0) for pair in pairs_in(batch)]
    assert len(found) == N
    for row, partner, weight in found:
        assert (partner == row) == (LABELS[row] == 4)
        assert (weight == 1.0) == (LABELS[row] == 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mixup": "within", "clusters": list("abcde")},
            "for any of 47 training examples: every cluster has one dialect",
        ),
        ({"mixup": "across", "clusters": list("aaaaa")}, "for any of 47 training examples: all dialects are in one"),
        (
            {"mixup": "easy", "regions": np.array(["hard"] * N)},
            "mixup easy needs easy examples, but the data map has none",
        ),
        (
            {"mixup": "ambiguous_easy", "regions": np.array(["easy"] * N)},
            "needs ambiguous examples, but the data map has none among 47",
        ),
    ],
)
def test_nothing_to_mix_is_an_error(options, message):
    with pytest.raises(CorpusError, match=message):
        build_partners(options.pop("mixup"), IDS, LABELS, 5, 0, **options)


def test_one_example_has_no_partner():
    with pytest.raises(CorpusError, match="there is no other example"):
        build_partners("random", ["one"], [0], 2, 0)


def test_options_that_are_out_of_range():
    with pytest.raises(RecipeError, match=r"mixup_alpha must be above 0, found 0; for no mixing set mixup: none"):
        batches("random", alpha=0)
    with pytest.raises(RecipeError, match="mixup_weight_per is 'example'; choose one of batch, pair"):
        batches("random", weight_per="example")


def test_weights_follow_the_beta_distribution():
    for per in ("batch", "pair"):
        sampler = batches("random", weight_per=per, alpha=0.5)
        found = [
            {weight for _, _, weight in pairs_in(batch)} for epoch in range(40) for batch in epoch_of(sampler, epoch)
        ]
        assert all(len(weights) == 1 for weights in found) == (per == "batch")
        weights = sorted(weight for one in found for weight in one)
        assert len(set(weights)) == len(weights), "no two draws are the same"
        assert kstest(weights, "beta", args=(0.5, 0.5)).pvalue > 1e-3


def test_pairs_depend_on_seed_and_epoch_and_on_nothing_else():
    first, again = batches("easy", weight_per="pair"), batches("easy", weight_per="pair")
    epoch_of(again, 0)
    assert epoch_of(first, 2) == epoch_of(again, 2)
    assert epoch_of(first, 2) != epoch_of(first, 3)
    assert epoch_of(first, 2) != epoch_of(batches("easy", weight_per="pair", seed=4), 2)
    # the partner of a clip does not hang on its batch
    small = {row: rest for batch in epoch_of(batches("easy", batch_size=3), 2) for row, *rest in pairs_in(batch)}
    large = {row: rest for batch in epoch_of(batches("easy", batch_size=9), 2) for row, *rest in pairs_in(batch)}
    assert all(small[row][0] == large[row][0] for row in small)


def test_partners_that_are_not_in_the_batch_are_put_at_its_end_once():
    pairs = [Pair(2, 5, 9, 0.3), Pair(2, 7, 5, 0.4), Pair(2, 8, 8, 1.0), Pair(2, 6, 9, 0.5)]
    assert with_partners(pairs) == [
        Placed(2, 5, 4, 0.3),
        Placed(2, 7, 0, 0.4),
        Placed(2, 8, 2, 1.0),
        Placed(2, 6, 4, 0.5),
        Placed(2, 9, -1, 1.0),
    ]


def test_without_placing_the_slices_hold_rows_and_partners():
    alone = epoch_of(batches("random", place=False), 1)
    parts = [epoch_of(batches("random", rank, 2, place=False), 1) for rank in range(2)]
    assert alone == [one + other for one, other in zip(*parts, strict=True)]
    assert [(pair.row, pair.partner, pair.weight) for pair in alone[0]] == pairs_in(epoch_of(batches("random"), 1)[0])
