import hashlib
from itertools import product

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.leakage import assert_no_leakage, column_values, label_determined_by, leakage
from hf_dialects.data.splits import _assign_groups, _best_step, group_folds, group_split, split_fingerprint
from hf_dialects.errors import CorpusError


def corpus(rows: list[dict], labels=("a", "b", "c")) -> Dataset:
    """Rows of (speaker, site, dialect ...); ids follow the position."""
    columns = {name: [row.get(name) for row in rows] for name in ("speaker", "site", "sentence_id", "source")}
    columns["dialect"] = [row.get("dialect") for row in rows]
    columns["id"] = [row.get("id", f"clip-{i:04d}") for i, row in enumerate(rows)]
    features = {name: Value("string") for name in columns} | {"dialect": ClassLabel(names=list(labels))}
    return Dataset.from_dict(columns, features=Features(features))


def nested(n_speakers: dict[str, int], examples: int = 5) -> Dataset:
    """Every speaker of one dialect only, with the same number of examples."""
    rows = [
        {"speaker": f"{dialect}{s}", "dialect": dialect}
        for dialect, n in n_speakers.items()
        for s in range(n)
        for _ in range(examples)
    ]
    return corpus(rows, labels=n_speakers)


@st.composite
def corpora(draw):
    """Three dialects, speakers that may speak two of them, sites shared by speakers, some of either unknown."""
    rows = []
    for dialect in range(draw(st.integers(1, 3))):
        for speaker in range(draw(st.integers(4, 9))):
            site = draw(st.sampled_from([None, f"site-{dialect}-{speaker}", f"site-{dialect}-{speaker // 2}"]))
            name = draw(st.sampled_from([None, f"s-{dialect}-{speaker}", f"s-{dialect}-{speaker}", "traveller"]))
            for _ in range(draw(st.integers(1, 4))):
                rows.append({"speaker": name, "site": site, "dialect": dialect})
    rows.append({"speaker": "somebody", "site": "somewhere", "dialect": 0})
    return corpus(rows)


def ids(splits) -> dict[str, set]:
    return {name: set(part["id"]) for name, part in splits.items()}


@settings(max_examples=40, deadline=None)
@given(corpora(), st.integers(0, 3))
def test_split_is_a_partition_that_no_group_crosses(dataset, seed):
    splits = group_split(dataset, by=("speaker", "site"), seed=seed, allow_missing=True)
    assert sorted(id for part in splits.values() for id in part["id"]) == sorted(dataset["id"])
    for name in ("speaker", "site"):
        places = {}
        for split, part in splits.items():
            for value in part[name]:
                places.setdefault(value, set()).add(split)
        places.pop(None, None)
        assert all(len(found) == 1 for found in places.values())
    assert_no_leakage(splits, ("speaker", "site"))


@settings(max_examples=25, deadline=None)
@given(corpora(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_split_depends_on_the_seed_and_not_on_the_order_of_rows(dataset, seed, random):
    order = list(range(len(dataset)))
    random.shuffle(order)
    options = {"by": ("speaker", "site"), "seed": seed, "allow_missing": True}
    once, again = group_split(dataset, **options), group_split(dataset.select(order), **options)
    assert {name: part["id"] for name, part in once.items()} == {name: part["id"] for name, part in again.items()}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(3, 8), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 5))
def test_every_class_with_three_groups_is_in_every_split(n_speakers, examples, seed):
    dataset = nested({f"d{i}": n for i, n in enumerate(n_speakers)}, examples)
    for part in group_split(dataset, seed=seed).values():
        assert set(part["dialect"]) == set(range(len(n_speakers)))


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 5), st.integers(0, 3), st.data())
def test_folds_test_every_example_once(k, seed, data):
    dataset = nested({"a": data.draw(st.integers(k, 9)), "b": data.draw(st.integers(k, 9))}, examples=2)
    folds = group_folds(dataset, k, seed=seed)
    assert len(folds) == k
    assert sorted(id for fold in folds for id in fold["test"]["id"]) == sorted(dataset["id"])
    for i, fold in enumerate(folds):
        assert list(fold["validation"]["id"]) == list(folds[(i + 1) % k]["test"]["id"])
        assert sum(len(part) for part in fold.values()) == len(dataset)
        assert_no_leakage(fold, "speaker")
        assert all(set(part["dialect"]) == {0, 1} for part in fold.values())


def test_sizes_are_met_exactly_where_the_groups_allow():
    splits = group_split(nested({"a": 20, "b": 10, "c": 40}))
    shares = {name: np.bincount(part["dialect"]).tolist() for name, part in splits.items()}
    assert shares == {"train": [80, 40, 160], "validation": [10, 5, 20], "test": [10, 5, 20]}


def test_seeds_give_different_splits():
    dataset = nested({"a": 20, "b": 20})
    assert len({split_fingerprint(group_split(dataset, seed=seed)["test"]) for seed in range(5)}) == 5


def test_seeds_give_different_splits_of_unequal_groups():
    counts = np.random.default_rng(0).integers(5, 200, (40, 1)) * np.eye(2, dtype=int)[np.arange(40) % 2]
    assert len({tuple(_assign_groups(counts, np.array([0.8, 0.1, 0.1]), seed)[0]) for seed in range(5)}) > 1


def cost(counts, splits, sizes, penalty=0.0) -> float:
    """What the search lowers, written out."""
    total = 0.0
    for s, size in enumerate(sizes):
        inside = counts[splits == s]
        total += sum((inside[:, c].sum() / counts[:, c].sum() - size) ** 2 for c in range(counts.shape[1]))
        total += (inside.sum() / counts.sum() - size) ** 2
        total += penalty * sum(inside[:, c].sum() == 0 for c in range(counts.shape[1]))
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_each_step_is_the_best_move_or_else_the_best_exchange(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (7, 2)) + np.eye(2, dtype=int)[np.arange(7) % 2]
    sizes, splits = np.array([0.5, 0.3, 0.2]), rng.integers(0, 3, 7)
    now = cost(counts, splits, sizes, penalty=50)

    def after(groups, theirs):
        changed = splits.copy()
        changed[groups] = theirs
        return cost(counts, changed, sizes, penalty=50)

    move = min(after(g, s) for g in range(7) for s in range(3))
    exchange = min(after([g, h], splits[[h, g]]) for g in range(7) for h in range(7))
    expected = move if move < now - 1e-9 else exchange
    share = np.c_[counts / counts.sum(0), counts.sum(1) / counts.sum()]
    step = _best_step(splits, share, (counts > 0).astype(float), sizes, 50.0)
    if expected < now - 1e-9:
        assert after(*step) == pytest.approx(expected, abs=1e-8)
    else:
        assert step is None


def test_search_comes_close_to_the_best_of_all_assignments():
    rng = np.random.default_rng(0)
    sizes = np.array([0.6, 0.2, 0.2])

    excess = []
    for _ in range(6):
        counts = np.zeros((8, 2), dtype=int)
        counts[np.arange(8), np.arange(8) % 2] = rng.integers(1, 30, 8)
        counts[7] = rng.integers(1, 30, 2)  # a group with both classes
        everywhere = [
            np.array(splits)
            for splits in product(range(3), repeat=8)
            if all(len({s for s, n in zip(splits, counts[:, c], strict=True) if n}) == 3 for c in range(2))
        ]
        best = min(cost(counts, splits, sizes) for splits in everywhere)
        found, missing = _assign_groups(counts, sizes, seed=0)
        assert not missing.any()
        excess.append(cost(counts, found, sizes) - best)
    assert min(excess) >= -1e-9
    assert max(excess) < 0.01
    assert np.median(excess) < 1e-9


def test_links_through_a_third_example_hold_a_group_together():
    # speaker x at two places, speaker y at one of them: all one group
    linked = [
        {"speaker": "x", "site": "p", "dialect": "a"},
        {"speaker": "x", "site": "q", "dialect": "a"},
        {"speaker": "y", "site": "q", "dialect": "a"},
        {"speaker": None, "site": "p", "dialect": "a"},
    ]
    others = [{"speaker": f"o{i}", "site": f"o{i}", "dialect": "a"} for i in range(6)]
    for seed in range(5):
        splits = group_split(corpus(linked + others), by=("speaker", "site"), sizes=(0.5, 0.25, 0.25), seed=seed)
        holding = [part for part in ids(splits).values() if part & {f"clip-000{i}" for i in range(4)}]
        assert len(holding) == 1


def test_a_class_whose_groups_also_hold_other_classes_is_in_every_split():
    rows = [{"speaker": f"s{s}", "dialect": "ab"[d]} for s in range(3) for d in range(2)]
    rows += [{"speaker": f"t{s}", "dialect": "c"} for s in range(3)]
    for seed in range(5):
        for part in group_split(corpus(rows), seed=seed).values():
            assert set(part["dialect"]) == {0, 1, 2}


def test_a_split_of_size_zero_is_left_out():
    splits = group_split(nested({"a": 10, "b": 2}), sizes=(0.5, 0, 0.5))
    assert list(splits) == ["train", "test"]
    assert [len(part) for part in splits.values()] == [30, 30]


def test_columns_of_unknown_values_make_every_example_its_own_group():
    rows = [{"speaker": f"s{i}" if i < 2 else None, "dialect": "a"} for i in range(20)]
    splits = group_split(corpus(rows), seed=1)
    assert [len(part) for part in splits.values()] == [16, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"3 splits need at least 3 groups over speaker in every class of dialect, but 'b' has 2"),
        ({}, r"Use fewer splits .* drop the class, split by another `by`, or pass allow_missing=True"),
        ({"by": "village"}, r"no column 'village'; it has dialect, id, "),
        ({"by": "site"}, r"no example has a value in site"),
        ({"sizes": (0.8, 0.1)}, r"three shares .* got \[0.8, 0.1\]"),
        ({"sizes": (0.8, 0.1, 0.3)}, r"sum to 1"),
    ],
)
def test_what_cannot_be_split_is_refused(options, message):
    with pytest.raises(CorpusError, match=message):
        group_split(nested({"a": 6, "b": 2}), **options)


def test_missing_classes_can_be_allowed():
    splits = group_split(nested({"a": 10, "b": 1}), allow_missing=True)
    assert [set(part["dialect"]) for part in splits.values()] == [{0, 1}, {0}, {0}]


def test_bad_ids_and_labels_are_named():
    with pytest.raises(CorpusError, match="id 'x' stands in rows 0 and 2"):
        group_split(corpus([{"id": "x", "dialect": 0}, {"dialect": 0}, {"id": "x", "dialect": 0}]), by=())
    with pytest.raises(CorpusError, match=r"1 examples have no value in 'dialect' \(ids 'clip-0001'\)"):
        group_split(corpus([{"dialect": 0}, {"dialect": None}]), by=())
    with pytest.raises(CorpusError, match="k must be at least 3"):
        group_folds(nested({"a": 6}), 2)


def test_classes_that_cannot_be_in_every_split_are_named():
    # of four groups, any three share a class: with three splits two groups meet, and some class lacks one split
    rows = [
        {"speaker": f"s{s}", "dialect": d} for d, left_out in enumerate("0123") for s in range(4) if f"{s}" != left_out
    ]
    dataset = corpus(rows, labels="abcd")
    with pytest.raises(CorpusError, match=r"no assignment was found .* groups over speaker hold several classes"):
        group_split(dataset)
    assert sum(map(len, group_split(dataset, allow_missing=True).values())) == len(dataset)


def test_fingerprint_is_of_the_set_of_ids():
    dataset = nested({"a": 3})
    assert split_fingerprint(dataset) == split_fingerprint(dataset.select(range(len(dataset))[::-1]))
    assert split_fingerprint(dataset) != split_fingerprint(dataset.select(range(len(dataset) - 1)))
    two = corpus([{"id": "b", "dialect": 0}, {"id": "a", "dialect": 0}])
    assert split_fingerprint(two) == hashlib.sha256(b"a\0b\0").hexdigest()


def shared_sentence() -> DatasetDict:
    train = [
        {"speaker": "x", "site": "p", "sentence_id": "1", "dialect": 0},
        {"speaker": "y", "sentence_id": "2", "dialect": 0},
    ]
    test = [
        {"speaker": "x", "site": "q", "sentence_id": "1", "dialect": 0},
        {"speaker": "", "sentence_id": "1", "dialect": 0},
    ]
    return DatasetDict(train=corpus(train), test=corpus(test))


def test_leakage_counts_what_crosses():
    table = leakage(shared_sentence(), by=("speaker", "site", "sentence_id", "session"))
    assert list(table) == ["values", "crossing", "examples", "unknown", "leaks", "determines_label"]
    assert table.loc["speaker"].tolist() == [2, 1, 2, 1, True, False]
    assert table.loc["site"].tolist() == [2, 0, 0, 2, False, False]
    assert table.loc["sentence_id"].tolist() == [2, 1, 3, 0, False, False]
    assert table.loc["session"].tolist() == [0, 0, 0, 4, False, False]


def test_leakage_is_named():
    with pytest.raises(CorpusError, match=r"1 values of 'speaker' .* 'x' in train and test \(2 examples\)") as error:
        assert_no_leakage(shared_sentence())
    assert "sentence_id" not in str(error.value)


def test_label_determined_by_names_columns_that_give_the_label_away():
    rows = [{"speaker": f"s{i}", "dialect": "ab"[i % 2], "source": ["radio", None][i % 2]} for i in range(8)]
    assert label_determined_by(corpus(rows)) == {"source": 2}
    rows[0]["source"] = None  # one recording of the other kind, and it no longer settles the label
    assert label_determined_by(corpus(rows)) == {}
    # what is as fine as the speakers is no shortcut, nor is anything where there is one label
    assert label_determined_by(corpus([row | {"source": row["speaker"]} for row in rows])) == {}
    assert label_determined_by(corpus([row | {"dialect": "a"} for row in rows])) == {}


def test_column_values_are_none_where_nothing_is_known():
    dataset = Dataset.from_dict({"text": ["a", "", None], "number": [1.0, float("nan"), None]})
    assert column_values(dataset, "text") == ["a", None, None]
    assert column_values(dataset, "number") == [1.0, None, None]
