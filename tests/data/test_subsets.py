"""hf_dialects.data.subsets: hours of every dialect, nothing in both parts, independent draws."""

import warnings

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data import low_resource_subsets, subset_overlap
from hf_dialects.errors import CorpusError

LABELS = ["arz", "cmn", "pol"]


def corpus(seed=0, n=600, recordings=100, shortest=5.0, longest=60.0, **columns):
    """Segments of recordings of speakers, a speaker of one dialect with two recordings."""
    random = np.random.default_rng(seed)
    recording = random.integers(recordings, size=n)
    data = {
        "id": [f"u{i:04d}" for i in range(n)],
        "dialect": (recording // 2 % 3).tolist(),
        "recording": [f"r{one}" for one in recording],
        "speaker": [f"s{one // 2}" for one in recording],
        "duration": random.uniform(shortest, longest, size=n).tolist(),
    }
    return Dataset.from_dict(data | columns).cast_column("dialect", ClassLabel(names=LABELS))


def hours(rows, label=None):
    durations = np.array(rows["duration"])
    return durations[[label is None or one == label for one in rows["dialect"]]].sum() / 3600


def rows_of(subset):
    return {id: part for part, rows in subset.items() for id in rows["id"]}


@given(seed=st.integers(0, 10**6), wanted=st.floats(0.05, 1.2), share=st.sampled_from([0.1, 0.25]))
@settings(max_examples=8, deadline=None)
def test_hours_are_within_one_example_and_nothing_stands_in_both_parts(seed, wanted, share):
    rows = corpus(seed)
    longest = max(rows["duration"]) / 3600
    for subset in low_resource_subsets(rows, wanted, n_subsets=2, seed=seed, dev_share=share):
        assert list(subset) == ["train", "validation"]
        for label in range(3):
            got = hours(subset["train"], label) + hours(subset["validation"], label)
            assert wanted <= got < wanted + longest
        for column in ("id", "recording", "speaker"):
            assert not set(subset["train"][column]) & set(subset["validation"][column])
        assert set(rows_of(subset)) <= set(rows["id"])
        assert len(rows_of(subset)) == sum(map(len, subset.values()))


def test_the_validation_part_has_its_share_of_every_dialect():
    for subset in low_resource_subsets(corpus(n=1500, recordings=600), 1.5, dev_share=0.2):
        for label in range(3):
            part, whole = hours(subset["validation"], label), 1.5
            assert part / whole == pytest.approx(0.2, abs=0.06)


def test_no_share_leaves_the_part_out():
    (subset,) = low_resource_subsets(corpus(), 0.3, n_subsets=1, dev_share=0)
    assert list(subset) == ["train"]


def test_the_same_seed_draws_the_same_whatever_the_order_of_rows():
    rows = corpus()
    first = [rows_of(one) for one in low_resource_subsets(rows, 0.3)]
    shuffled = rows.shuffle(seed=5)
    assert [rows_of(one) for one in low_resource_subsets(shuffled, 0.3)] == first
    assert [rows_of(one) for one in low_resource_subsets(rows, 0.3, seed=1)] != first
    assert [rows_of(one) for one in low_resource_subsets(rows, 0.3, n_subsets=5)][:3] == first
    assert [one["train"]["id"][:] for one in low_resource_subsets(rows, 0.3)] == [
        sorted(k for k, v in one.items() if v == "train") for one in first
    ]


def test_a_dialect_is_drawn_without_regard_to_the_others():
    rows = corpus()
    alone = rows.filter(lambda row: row["dialect"] == 1)
    (of_all,), (of_one,) = (low_resource_subsets(one, 0.3, n_subsets=1, dev_share=0) for one in (rows, alone))
    assert {
        id for id, label in zip(of_all["train"]["id"], of_all["train"]["dialect"], strict=True) if label == 1
    } == set(of_one["train"]["id"])


def test_subsets_are_independent_draws_from_everything():
    rows = corpus(n=900, shortest=20, longest=20)  # 5 h in all, some 1.7 h of each dialect
    subsets = low_resource_subsets(rows, 0.5, n_subsets=6)
    table = subset_overlap(subsets)
    assert list(table.index) == [(a, b) for a in range(6) for b in range(a + 1, 6)]
    per_dialect = np.bincount(rows["dialect"])
    # 90 of n examples are drawn of each dialect; of the 90 of another draw 90 / n are among them
    expected = (90 * 90 / per_dialect).sum() / 270
    assert table["share"].mean() == pytest.approx(expected, abs=0.03)
    ids = [rows_of(one) for one in subsets]
    first = table.loc[(0, 1)]
    assert first["shared"] == len(set(ids[0]) & set(ids[1])) > 0
    assert first["share"] == first["shared"] / 270
    crossing = [id for id in ids[0] if ids[0][id] == "train" and ids[1].get(id) == "validation"]
    assert first["train_in_validation"] == len(crossing)
    assert subset_overlap(subsets[:1]).empty


def test_every_example_is_as_likely_to_be_drawn():
    rows = corpus(n=60, shortest=20, longest=20)
    counts = dict.fromkeys(rows["id"], 0)
    for seed in range(40):
        (subset,) = low_resource_subsets(rows, 5 * 20 / 3600, n_subsets=1, seed=seed, dev_share=0)
        for id in subset["train"]["id"]:
            counts[id] += 1
    sizes = np.bincount(rows["dialect"])[rows["dialect"]]
    standardised = (np.array(list(counts.values())) - 40 * 5 / sizes) / np.sqrt(40 * 5 / sizes * (1 - 5 / sizes))
    assert abs(standardised).max() < 4


def test_a_dialect_with_less_gives_all_it_has_and_is_named():
    rows = corpus(n=300, recordings=90)
    few = [i for i, label in enumerate(rows["dialect"]) if label != 2 or i % 10 == 0]
    rows = rows.select(few)
    has = hours(rows, 2)
    message = rf"1 of 3 dialects have less than 0.5 h and give all they have to every subset: pol \({has:.2f} h\)$"
    with pytest.warns(UserWarning, match=message):
        subsets = low_resource_subsets(rows, 0.5)
    for subset in subsets:
        assert hours(subset["train"], 2) + hours(subset["validation"], 2) == pytest.approx(has)


def test_a_dialect_of_one_speaker_goes_into_training_and_is_named():
    rows = corpus()
    speakers = ["only" if label == 0 else one for label, one in zip(rows["dialect"], rows["speaker"], strict=True)]
    rows = rows.remove_columns("speaker").add_column("speaker", speakers)
    with pytest.warns(UserWarning, match="subset 0 has no validation examples of arz: what was drawn of it is of one"):
        (subset,) = low_resource_subsets(rows, 0.3, n_subsets=1)
    assert 0 not in subset["validation"]["dialect"]
    assert hours(subset["train"], 0) >= 0.3


def test_unknown_groups_are_unrelated_and_columns_may_be_absent():
    rows = corpus().remove_columns(["speaker", "recording"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (subset,) = low_resource_subsets(rows, 0.3, n_subsets=1)
    assert hours(subset["train"]) + hours(subset["validation"]) >= 0.9
    nulls = rows.add_column("speaker", [None] * len(rows))
    assert [rows_of(one) for one in low_resource_subsets(nulls, 0.3, n_subsets=1)] == [rows_of(subset)]
    (by_session,) = low_resource_subsets(
        rows.add_column("session", [f"t{i % 20}" for i in range(len(rows))]), 0.3, n_subsets=1, by="session"
    )
    assert not set(by_session["train"]["session"]) & set(by_session["validation"]["session"])


def test_what_does_not_fit_is_told():
    rows = corpus(n=30)
    with pytest.raises(CorpusError, match=r"one split, but the corpus has train, test; give one, such as corpus\['tr"):
        low_resource_subsets(DatasetDict(train=rows, test=rows))
    for wrong in ({"hours_per_dialect": 0}, {"n_subsets": 0}, {"dev_share": 1.0}):
        with pytest.raises(CorpusError, match="expected hours above 0, at least one subset and a share"):
            low_resource_subsets(rows, **wrong)
    with pytest.raises(CorpusError, match="the corpus has no column 'duration'"):
        low_resource_subsets(rows.remove_columns("duration"))
    durations = [None if i == 4 else 1.0 for i in range(30)]
    with pytest.raises(CorpusError, match="1 of 30 examples have no duration, the first is row 4; subsets by hours"):
        low_resource_subsets(rows.remove_columns("duration").add_column("duration", durations))
    with pytest.raises(CorpusError, match="the corpus holds no example and no id"):
        low_resource_subsets(rows.select([]))
