import doctest
import importlib
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import triple_loop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_dialects.abx import abx
from hf_dialects.abx.counts import Counter
from hf_dialects.abx.distances import checked_vectors
from hf_dialects.abx.task import Task
from hf_dialects.errors import DialectError

CONDITIONS = [
    {},
    {"by": ("sentence",)},
    {"across": ("sentence",)},
    {"differ": ("speaker",)},
    {"by": ("sentence",), "differ": ("speaker",)},
    {"across": ("sentence",), "differ": ("speaker",)},
    {"across": ("sentence", "gender")},
    {"differ": ("speaker", "sentence")},
    {"by": ("gender",), "across": ("sentence",), "differ": ("speaker",)},
    {"min_gap_s": 0.5},
    {"differ": ("recording",), "min_gap_s": 2.0},
    {"by": ("gender",), "min_gap_s": 1.0},
]
some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tasks(draw, smallest=0):
    """Few directions and few values, so that there are duplicates, ties and cells of one item."""
    n = draw(st.integers(3, 12))
    whole = st.integers(-2, 2)
    vectors = draw(st.lists(st.lists(whole, min_size=3, max_size=3), min_size=n, max_size=n))
    vectors = np.array([vector if any(vector) or not smallest else [1, 0, 0] for vector in vectors])

    def column(values):
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))

    starts = np.array(column([0.0, 0.5, 1.0, 2.5, 4.0]))
    attributes = {
        "dialect": column("abc"),
        "sentence": column([1, 2, 3]),
        "speaker": column("pqrs"),
        "gender": column("fm"),
        "recording": column("uvw"),
        "start_s": starts,
        "end_s": starts + 1,
    }
    return vectors, attributes, draw(st.sampled_from(CONDITIONS))


def as_dict(result, conditions):
    by, across = conditions.get("by", ()), conditions.get("across", ())
    found = {}
    for row in result.cells.to_dict("records"):
        values = (tuple(row[f"{name}{of}"] for name in across) for of in ("_ab", "_x"))
        key = (row["on_a"], row["on_b"], tuple(row[name] for name in by), *values)
        found[key] = row["score"], row["triples"]
    assert len(found) == len(result.cells)
    return found


def check(vectors, attributes, conditions, order, distance, **options):
    """The result equals the triple loop, cell by cell; where that finds nothing there is an error."""
    expected = triple_loop.cells(order, attributes, "dialect", **conditions)
    if not expected:
        with pytest.raises(DialectError, match=r"no triple|all .* items have the same dialect"):
            abx(vectors, attributes, "dialect", distance=distance, **conditions, **options)
        return
    result = abx(vectors, attributes, "dialect", distance=distance, **conditions, **options)
    found = as_dict(result, conditions)
    full = {cell: of_cell for cell, of_cell in found.items() if of_cell[1]}
    assert {cell: count for cell, (_, count) in full.items()} == {cell: n for cell, (_, n) in expected.items()}
    for cell, (right, total) in expected.items():
        assert full[cell][0] == float(right / total), cell
    assert all(np.isnan(score) for score, count in found.values() if not count)
    assert result.score == pytest.approx(triple_loop.score(expected), abs=1e-12)
    total = sum(right for right, _ in expected.values()) / sum(count for _, count in expected.values())
    weighted = abx(vectors, attributes, "dialect", distance=distance, weighted=True, **conditions, **options)
    assert weighted.score == pytest.approx(float(total), abs=1e-12)


@some
@given(tasks(smallest=1))
def test_cosine_equals_the_triple_loop(task):
    vectors, attributes, conditions = task
    check(vectors, attributes, conditions, triple_loop.cosine_order(vectors), "cosine")


@some
@given(tasks())
def test_euclidean_equals_the_triple_loop_zero_vectors_included(task):
    vectors, attributes, conditions = task
    check(vectors, attributes, conditions, triple_loop.euclidean_order(vectors), "euclidean")


@some
@given(tasks(smallest=1), st.integers(1, 3000))
def test_blocks_of_any_size_and_the_torch_path_count_alike(task, memory):
    vectors, attributes, conditions = task
    order = triple_loop.cosine_order(vectors)
    check(vectors, attributes, conditions, order, "cosine", max_memory_bytes=memory)
    check(vectors, attributes, conditions, order, "angular", device="cpu:0")


@some
@given(tasks(smallest=1), st.sampled_from(["cosine", "euclidean"]))
def test_ties_do_not_depend_on_precision_scale_or_order(task, distance):
    vectors, attributes, conditions = task
    try:
        score = abx(vectors, attributes, "dialect", distance=distance, **conditions).score
    except DialectError:
        return
    turned = {name: list(values)[::-1] for name, values in attributes.items()}
    scale = 0.1 if distance == "euclidean" else np.linspace(0.1, 3, len(vectors))[:, None]
    for others in (vectors.astype(np.float32), vectors * scale, vectors * 4.0**-9):
        assert abx(others, attributes, "dialect", distance=distance, **conditions).score == score
        assert abx(others[::-1], turned, "dialect", distance=distance, **conditions).score == pytest.approx(score)


def test_duplicates_tie_in_every_precision():
    """Copies of 40 random vectors in both dialects: every X is as near to the copy as to the original."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((40, 257))
    both = np.concatenate([vectors, vectors])
    attributes = {"dialect": np.repeat(["a", "b"], 40), "original": np.tile(np.arange(40), 2)}
    for dtype in (np.float32, np.float64):
        for distance in ("cosine", "euclidean"):
            one = abx(both.astype(dtype), attributes, "dialect", distance=distance, differ="original")
            assert one.score == 0.5, "triples of three originals come in mirrored pairs"
            assert one.cells["triples"].tolist() == [40 * 39 * 38] * 2


def test_large_blocks_equal_small_ones_and_threads_change_nothing(monkeypatch):
    random = np.random.default_rng(1)
    vectors = random.standard_normal((300, 20)).astype(np.float32)
    attributes = {"dialect": random.integers(3, size=300), "speaker": random.integers(12, size=300)}
    whole = abx(vectors, attributes, "dialect", differ="speaker")
    small = abx(vectors, attributes, "dialect", differ="speaker", max_memory_bytes=1 << 16)
    monkeypatch.setattr("hf_dialects.threads.n_threads", lambda: 3)
    monkeypatch.setattr("hf_dialects.abx.counts.n_threads", lambda: 3)
    threaded = abx(vectors, attributes, "dialect", differ="speaker")
    pd.testing.assert_frame_equal(whole.cells, small.cells)
    pd.testing.assert_frame_equal(whole.cells, threaded.cells)


def test_separate_clusters_score_one_and_labels_by_chance_a_half():
    random = np.random.default_rng(2)
    labels = np.repeat(["a", "b"], 50)
    near = random.standard_normal((100, 8)) * 0.1 + np.where(labels[:, None] == "a", 1, -1)
    assert abx(near, {"dialect": labels}, "dialect").score == 1
    assert abx(random.standard_normal((100, 8)), {"dialect": labels}, "dialect").score == pytest.approx(0.5, abs=0.05)


def test_sequences_equal_the_triple_loop_over_warped_distances():
    random = np.random.default_rng(3)
    kinds = [random.integers(-2, 3, (length, 4)) + np.array([3, 0, 0, 0]) for length in (1, 4, 2, 3, 5)]
    sequences = [kinds[k].astype(np.float64) for k in (0, 1, 2, 3, 4, 1, 2, 0, 3, 4)]
    distances = [[triple_loop.dtw(costs(x, y)) for y in sequences] for x in sequences]
    distances = np.round(distances, 9).tolist()  # ties of repeated sequences
    attributes = {
        "dialect": list("aabbbaabab"),
        "speaker": list("pqpqrrpqqr"),
        "sentence": [1, 1, 2, 1, 2, 2, 1, 2, 1, 2],
        "recording": list("uuvvvwwuwu"),
        "start_s": np.arange(10.0),
        "end_s": np.arange(10.0) + 1,
    }
    for conditions in ({}, {"differ": ("speaker",)}, {"across": ("sentence",)}, {"min_gap_s": 2}):
        check(sequences, attributes, conditions, triple_loop.matrix_order(distances), "cosine")
    check([torch.tensor(one) for one in sequences], attributes, {}, triple_loop.matrix_order(distances), "cosine")


def costs(x, y):
    return [[1 - u @ v / np.sqrt((u @ u) * (v @ v)) for v in y] for u in x]


def test_tensors_and_lists_of_vectors_are_taken():
    vectors = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    attributes = pd.DataFrame({"dialect": list("ab") * 6})
    score = abx(vectors, attributes, "dialect").score
    assert abx(list(vectors), attributes, "dialect").score == score
    assert abx(vectors.numpy().tolist(), attributes, on="dialect").score == score
    bfloat = vectors.to(torch.bfloat16)
    assert abx(bfloat, attributes, "dialect").score == abx(bfloat.float(), attributes, "dialect").score


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what happens without a GPU")
def test_without_a_gpu_the_processor_does_it_and_says_so():
    vectors, attributes = np.random.default_rng(0).random((8, 3)), {"dialect": list("ab") * 4}
    with pytest.warns(UserWarning, match="no CUDA device .* computed on the processor"):
        found = abx(vectors, attributes, "dialect", device="cuda").score
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found == abx(vectors, attributes, "dialect").score
    with pytest.raises(DialectError, match="device is 'tpu'; expected"):
        abx(vectors, attributes, "dialect", device="tpu")


def test_sequences_that_exceed_the_memory_are_refused():
    sequences, attributes = [np.ones((2, 2))] * 30, {"dialect": ["a", "b"] * 15}
    with pytest.raises(DialectError, match=r"distances between 30 sequences take .* GiB, more than max_memory_bytes"):
        abx(sequences, attributes, "dialect", max_memory_bytes=1000)


def test_weighted_counts_equal_the_weighted_triple_loop():
    """Every combination of conditions with groups that are nested, crossed, or cut across everything."""
    random = np.random.default_rng(4)
    n = 18
    vectors = random.integers(-2, 3, (n, 3)) + np.array([4, 0, 0])
    attributes = {
        "dialect": random.choice(list("abc"), n),
        "sentence": random.integers(3, size=n),
        "speaker": random.choice(list("pqrs"), n),
        "gender": random.choice(list("fm"), n),
        "recording": random.choice(list("uvw"), n),
        "start_s": np.arange(n) * 0.5,
        "end_s": np.arange(n) * 0.5 + 0.4,
    }
    order = cache(triple_loop.cosine_order(vectors))
    compared = 0
    for conditions in CONDITIONS:
        task = Task(attributes, n, "dialect", **conditions)
        counter = Counter(task, checked_vectors(vectors, "cosine"), "cosine")
        for name in ("speaker", "recording", "sentence"):
            groups = task.column(name).codes
            weights = random.choice([0, 0.5, 1, 2], size=(groups.max() + 1, 150)).astype(float)
            for draw in (0, 140):  # in the first and in the second block of draws
                kwargs = {"groups": groups, "weights": weights[:, draw], **conditions}
                expected = triple_loop.cells(order, attributes, "dialect", **kwargs)
                for counts in counter.weigh(groups, weights):
                    context = counts.context
                    for place in np.argwhere(counts.triples[draw] > 1e-9):
                        a, x, ab, b = place
                        values = task.on_column.values[counts.labels]
                        across = context.across_values
                        right, total = expected.pop((values[a], values[b], context.by, across[ab], across[x]))
                        assert counts.wins[draw][tuple(place)] == pytest.approx(float(right), abs=1e-9)
                        assert counts.triples[draw][tuple(place)] == pytest.approx(float(total))
                        compared += 1
                assert not any(total for _, total in expected.values())
    assert compared > 400


@pytest.mark.parametrize("name", ["score", "dtw"])
def test_examples_of_docstrings(name):
    module = importlib.import_module(f"hf_dialects.abx.{name}")
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 2) == (0, True)


def test_the_package_offers_its_names():
    import hf_dialects.abx as package

    assert set(package.__all__) <= set(dir(package))
    assert callable(package.abx)
    assert package.ABXResult.__name__ == "ABXResult"
    with pytest.raises(AttributeError, match=r"module 'hf_dialects.abx' has no attribute 'abc'"):
        _ = package.abc
