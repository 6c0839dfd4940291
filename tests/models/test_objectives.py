import inspect
import math
import pickle
import sys

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses, miners

from hf_dialects.models.objectives_dialect import OBJECTIVES, build_objective

SETTINGS = [
    ("supcon", {}),
    ("supcon", {"temperature": 0.5, "denominator": "negatives"}),
    ("triplet", {}),
    ("triplet", {"margin": 0.3, "normalize": False, "reduction": "all"}),
    ("multi_similarity", {}),
    ("multi_similarity", {"alpha": 1.0, "beta": 10.0, "base": 0.2, "epsilon": None}),
]
each = pytest.mark.parametrize(("name", "options"), SETTINGS)


def at(*degrees, dtype=torch.float64):
    """Points on the unit circle."""
    angles = torch.tensor(degrees, dtype=dtype).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def random_batch(size, width=8, classes=3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(size, width, generator=generator, dtype=torch.float64).to(dtype)
    return vectors, torch.arange(size) % classes


def expected(name, vectors, labels, **options):
    return getattr(reference, name)(vectors.double().tolist(), labels.tolist(), **options)


def test_supervised_contrastive_by_hand():
    points, labels = at(0, 60, 180), torch.tensor([0, 0, 1])  # cosines .5, -1 and -.5; the third has no positive
    everyone = (math.log(math.exp(0.5) + math.exp(-1)) + math.log(math.exp(0.5) + math.exp(-0.5))) / 2 - 0.5
    assert build_objective("supcon", temperature=1)(points, labels).item() == pytest.approx(everyone)
    negatives = build_objective("supcon", temperature=1, denominator="negatives")(points, labels)
    assert negatives.item() == pytest.approx((-1.5 - 1.0) / 2)


def test_triplet_by_hand():
    points, labels = at(0, 90, 180), torch.tensor([0, 0, 1])
    # anchor 0: √2 - 2 + .05 < 0; anchor 90: √2 - √2 + .05
    assert build_objective("triplet")(points, labels).item() == pytest.approx(0.05)
    assert build_objective("triplet", reduction="all")(points, labels).item() == pytest.approx(0.025)
    # the second ten times as long: d = √101, 2 and √101 + margin
    long = points * torch.tensor([[1.0], [10.0], [1.0]])
    assert build_objective("triplet", normalize=False)(long, labels).item() == pytest.approx(
        (math.sqrt(101) - 2 + 0.05 + 0.05) / 2
    )
    assert build_objective("triplet")(long, labels).item() == pytest.approx(0.05)


def test_multi_similarity_by_hand():
    points, labels = at(0, 60, 60), torch.tensor([0, 0, 1])
    # anchor 0: positive .5, negative .5; anchor 60: positive .5, negative 1
    by_hand = math.log(2) / 2 + (math.log(2) + math.log(1 + math.exp(25))) / 2 / 50
    assert build_objective("multi_similarity")(points, labels).item() == pytest.approx(by_hand)
    # the negative is far: no pair is worth learning from
    far = at(0, 60, 180)
    assert build_objective("multi_similarity")(far, labels).item() == 0
    assert build_objective("multi_similarity", epsilon=None)(far, labels).item() == pytest.approx(math.log(2) / 2)


def test_multi_similarity_with_one_selected_pair_of_each_kind():
    points, labels = at(0, 60, -56), torch.tensor([0, 0, 1])  # anchor 0: positive .5, negative .56; anchor 60: .5, -.44
    cosine = distances.CosineSimilarity()
    pairs = miners.MultiSimilarityMiner()(points, labels)
    assert [len(indices) for indices in pairs] == [1, 1, 1, 1]
    assert losses.MultiSimilarityLoss(distance=cosine)(points, labels, pairs) == 0, "the library no longer drops it"
    loss = build_objective("multi_similarity")(points, labels).item()
    assert loss == pytest.approx(
        (math.log(2) / 2 + math.log(1 + math.exp(50 * (math.cos(math.radians(56)) - 0.5))) / 50) / 2
    )


@each
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_equals_the_loop(name, options, clips):
    labels = torch.tensor([label for label, _ in clips])
    points = at(*(30 * step for _, step in clips)) * torch.arange(1, len(clips) + 1)[:, None]  # with duplicates
    assert build_objective(name, **options)(points, labels).item() == pytest.approx(
        expected(name, points, labels, **options), abs=1e-9
    )


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_equals_the_loop_in_every_precision(name, options, dtype):
    vectors, labels = random_batch(32, 64, dtype=dtype)
    objective = build_objective(name, **options)
    loss = objective(vectors, labels)
    assert loss.shape == ()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(expected(name, vectors, labels, **options), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(objective(vectors, labels), loss)


def test_long_vectors_keep_their_distances():
    vectors, labels = random_batch(32, 64, dtype=torch.float32)
    vectors = 0.01 * vectors + 30  # lengths of 240, distances of 0.1
    options = {"normalize": False, "reduction": "all"}
    loss = build_objective("triplet", **options)(vectors, labels).item()
    assert loss == pytest.approx(expected("triplet", vectors, labels, **options), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("supcon", losses.SupConLoss()),
        ("triplet", losses.TripletMarginLoss()),
        ("multi_similarity", losses.MultiSimilarityLoss()),
    ],
)
def test_equals_the_library_where_every_anchor_has_a_positive(name, library):
    vectors, labels = random_batch(18)
    pairs = miners.MultiSimilarityMiner()(vectors, labels) if name == "multi_similarity" else None
    torch.testing.assert_close(build_objective(name)(vectors, labels), library(vectors, labels, pairs))


@each
def test_gradient_equals_finite_differences(name, options):
    vectors, labels = random_batch(7, 3)
    objective = build_objective(name, **options)
    assert objective(vectors, labels) != 0
    assert torch.autograd.gradcheck(lambda given: objective(given, labels), vectors.requires_grad_())


@each
@pytest.mark.parametrize(
    ("vectors", "labels", "zero"),
    [
        pytest.param(at(), [], True, id="no example"),
        pytest.param(at(10), [0], True, id="one example"),
        pytest.param(at(10, 20, 40), [0, 1, 2], True, id="no positives"),
        pytest.param(at(10, 20, 40), [1, 1, 1], None, id="no negatives"),
        pytest.param(at(10, 10, 10, 10), [0, 0, 1, 1], False, id="all equal"),
        pytest.param(at(10, 10, 200, 200), [0, 0, 1, 1], None, id="equal within classes"),
        pytest.param(0 * at(1, 2, 3, 4), [0, 0, 1, 1], False, id="all zero"),
        pytest.param(at(10, 30, 20, 50) * torch.tensor([[0.0], [1], [1], [1]]), [0, 0, 1, 1], None, id="one zero"),
        pytest.param(at(10, 30, 20, 50) * 1e-30, [0, 0, 1, 1], None, id="tiny"),
        pytest.param(at(10, 30, 20, 50) * 1e18, [0, 0, 1, 1], None, id="huge"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_degenerate_batches_are_finite(name, options, vectors, labels, zero, dtype):
    vectors = vectors.to(dtype).requires_grad_()
    loss = build_objective(name, **options)(vectors, torch.tensor(labels, dtype=torch.long))
    loss.backward()
    assert loss.isfinite()
    assert vectors.grad.isfinite().all()
    if zero is not None:
        assert (loss == 0) == zero
    if zero:
        assert (vectors.grad == 0).all()


@pytest.mark.parametrize(
    ("name", "options", "zero"),
    [
        ("supcon", {}, False),
        ("supcon", {"denominator": "negatives"}, True),
        ("triplet", {}, True),
        ("multi_similarity", {}, True),
        ("multi_similarity", {"epsilon": None}, False),
    ],
)
def test_one_dialect_alone(name, options, zero):
    vectors, labels = random_batch(6, classes=1)
    loss = build_objective(name, **options)(vectors, labels).item()
    assert loss == pytest.approx(expected(name, vectors, labels, **options))
    assert (loss == 0) == zero


@each
def test_a_zero_vector_does_not_take_over_the_gradient(name, options):
    vectors, labels = random_batch(8)
    vectors[0] = 0
    vectors.requires_grad_()
    build_objective(name, **options)(vectors, labels).backward()
    assert vectors.grad.abs().max() < 100


@each
def test_clip_without_a_partner_is_left_out(name, options):
    vectors, labels = random_batch(6, classes=2)
    alone = torch.cat([vectors, -vectors[:1]]), torch.cat([labels, torch.tensor([9])])
    assert build_objective(name, **options)(*alone).item() == pytest.approx(expected(name, *alone, **options))


@each
def test_order_of_the_batch_does_not_matter(name, options):
    vectors, labels = random_batch(10)
    objective = build_objective(name, **options)
    torch.testing.assert_close(objective(vectors.flip(0), labels.flip(0)), objective(vectors, labels))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_length_of_embeddings_does_not_matter_by_default(name):
    vectors, labels = random_batch(10)
    objective = build_objective(name)
    torch.testing.assert_close(objective(vectors * torch.arange(1, 11)[:, None], labels), objective(vectors, labels))


@each
def test_gradient_descent_separates_the_classes(name, options):
    vectors, labels = random_batch(12)
    vectors.requires_grad_()
    objective = build_objective(name, **options)
    optimiser = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        objective(vectors, labels).backward()
        optimiser.step()
    similarity = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    same = labels[:, None] == labels
    assert similarity[same].min() > similarity[~same].max()


@each
def test_survives_pickling(name, options):
    objective = build_objective(name, **options)
    batch = random_batch(6)
    assert torch.equal(pickle.loads(pickle.dumps(objective))(*batch), objective(*batch))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("arcface", {}, "objective is 'arcface'; it must be one of: supcon, triplet, multi_similarity"),
        ("supcon", {"margin": 1}, "objective 'supcon' has no option 'margin'; it takes: temperature, denominator"),
        ("triplet", {"tau": 1}, "has no option 'tau'; it takes: margin, normalize, reduction"),
        ("multi_similarity", {"gamma": 1}, "has no option 'gamma'; it takes: alpha, beta, base, epsilon"),
        ("supcon", {"temperature": 0}, "temperature is 0; it must be a number above 0"),
        ("supcon", {"temperature": "0.1"}, "temperature is '0.1'; it must be a number above 0"),
        ("supcon", {"temperature": math.nan}, "temperature is nan; it must be a number above 0"),
        ("supcon", {"denominator": "others"}, "denominator is 'others'; it must be one of: all, negatives"),
        ("triplet", {"normalize": "no"}, "normalize is 'no'; it must be one of: True, False"),
        ("triplet", {"reduction": "sum"}, "reduction is 'sum'; it must be one of: nonzero, all"),
        ("multi_similarity", {"epsilon": "off"}, "epsilon is 'off'; it must be a number"),
    ],
)
def test_messages(name, options, message):
    with pytest.raises(ValueError) as caught:
        build_objective(name, **options)
    assert message in str(caught.value)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(2,\)"):
        build_objective("supcon")(torch.zeros(3, 2), torch.zeros(2))


@pytest.mark.parametrize("name", ["triplet", "multi_similarity"])
def test_missing_library_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(ImportError, match="pip install pytorch-metric-learning"):
        build_objective(name)


def test_every_objective_names_its_source():
    for objective in OBJECTIVES.values():
        assert "arXiv:" in inspect.getdoc(objective)
