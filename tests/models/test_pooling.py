import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.models.pooling_dialect import POOLINGS, build_pooling

CHANNELS = 5
GARBAGE = [math.nan, math.inf, -math.inf, 3e38, 0.0]

WITHOUT_BATCH = [name for name in POOLINGS if name != "ecapa"]  # that one has a batch normalisation, see test_ecapa
names = pytest.mark.parametrize("name", WITHOUT_BATCH)


def built(name, dtype=torch.float64):
    torch.manual_seed(0)
    return build_pooling(name, CHANNELS).to(dtype)


def batch(lengths, seed=0, dtype=torch.float64, padding=0.0):
    """frames (B, T, D) of the given lengths, the rest of every row filled with `padding`, and their mask."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    frames = torch.randn(*mask.shape, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return frames.to(dtype).masked_fill(~mask[..., None], padding), mask


lengths = st.lists(st.integers(1, 7), min_size=1, max_size=4)
seeds = st.integers(0, 2**31)


def test_values_by_hand():
    frames = torch.tensor([[[1.0, -1.0], [3.0, -1.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert build_pooling("mean", 2)(frames, mask).tolist() == [[2.0, -1.0]]
    assert build_pooling("max", 2)(frames, mask).tolist() == [[3.0, -1.0]]
    assert build_pooling("statistics", 2)(frames, mask)[0].tolist() == pytest.approx([2, -1, 1, math.sqrt(1e-7)])
    attention, attentive = build_pooling("attention", 2), build_pooling("attentive_statistics", 2)
    for pooling in (attention, attentive):
        pooling.score.weight.data = torch.tensor(
            [[math.log(3) / 2, 0.0]]
        )  # the second frame weighs three times the first
    assert attention(frames, mask)[0].tolist() == pytest.approx([2.5, -1])
    assert attentive(frames, mask)[0].tolist() == pytest.approx([2.5, -1, math.sqrt(0.75), math.sqrt(1e-7)])


@names
@given(lengths, seeds)
@settings(max_examples=25, deadline=None)
def test_equals_the_loop_over_each_row(name, lengths, seed):
    pooling = built(name)
    frames, mask = batch(lengths, seed)
    attention = pooling.score.weight[0].tolist() if hasattr(pooling, "score") else None
    expected = [reference.pool(name, row[:n].tolist(), attention) for row, n in zip(frames, lengths, strict=True)]
    assert pooling(frames, mask).tolist() == [pytest.approx(row, abs=1e-9) for row in expected]


@names
@given(lengths, seeds, st.sampled_from(GARBAGE), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_padding_changes_nothing_whatever_it_holds(name, lengths, seed, garbage, more):
    pooling = built(name)
    lengths = [*lengths, max(lengths) + more]  # every other row has padding
    frames, mask = batch(lengths, seed, padding=garbage)
    frames.requires_grad_()
    pooled = pooling(frames, mask)
    for row, n, together in zip(frames, lengths, pooled, strict=True):
        torch.testing.assert_close(together, pooling(row[None, :n])[0])
    pooled.square().sum().backward()
    assert frames.grad.isfinite().all()
    assert (frames.grad[~mask] == 0).all()
    assert all(parameter.grad.isfinite().all() for parameter in pooling.parameters())


@names
@given(st.permutations(range(6)))
@settings(max_examples=10, deadline=None)
def test_order_of_frames_does_not_matter(name, order):
    frames, mask = batch([6, 4])
    torch.testing.assert_close(built(name)(frames[:, order], mask[:, order]), built(name)(frames, mask))


@names
def test_row_without_frames_gives_zeros_and_takes_no_gradient(name):
    pooling = built(name)
    frames, mask = batch([0, 3], padding=math.nan)
    frames.requires_grad_()
    pooled = pooling(frames, mask)
    assert (pooled[0] == 0).all()
    assert (pooled[1] != 0).all()
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either
        pooling(frames, mask).sum().backward()
    assert (frames.grad[0] == 0).all()
    assert frames.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in pooling.parameters())


@names
@pytest.mark.parametrize("n_frames", [1, 4])
def test_equal_frames_have_finite_gradients(name, n_frames):
    frames = torch.ones(2, n_frames, CHANNELS, requires_grad=True)
    pooled = built(name, torch.float32)(frames)
    pooled.square().sum().backward()
    assert pooled.isfinite().all()
    assert frames.grad.isfinite().all()


@names
def test_gradient_equals_finite_differences(name):
    frames, mask = batch([4, 2])
    assert torch.autograd.gradcheck(lambda given: built(name)(given, mask), frames.requires_grad_())


@pytest.mark.parametrize("name", ["attention", "attentive_statistics"])
def test_attention_learns(name):
    pooling = built(name)
    pooling(*batch([5, 3])).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in pooling.parameters())


@names
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(name, dtype):
    frames, mask = batch([500, 300], dtype=dtype)
    frames = frames + 64  # far from 0, where means and deviations of low precision go wrong
    pooling = built(name, dtype)
    precise = built(name, torch.float64)
    precise.load_state_dict(pooling.state_dict())
    expected = precise(frames.double(), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pooling(frames, mask)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.double(), expected, rtol=0.51 * torch.finfo(dtype).eps, atol=0)  # rounded once


@names
def test_float32_under_autocast_stays_float32(name):
    frames, mask = batch([50, 30], dtype=torch.float32)
    pooling = built(name, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = pooling(frames, mask)
    assert torch.equal(inside, pooling(frames, mask))


@names
def test_size_and_integer_masks(name):
    pooling = built(name)
    frames, mask = batch([3, 2])
    assert pooling(frames, mask).shape == (2, pooling.output_size(CHANNELS))
    assert pooling.output_size(CHANNELS) == (10 if "statistics" in name else 5)
    assert torch.equal(pooling(frames, mask.long()), pooling(frames, mask))
    assert torch.equal(pooling(frames, torch.ones_like(mask)), pooling(frames))


def test_messages():
    with pytest.raises(
        ValueError, match="pooling is 'median'; it must be one of: mean, max, attention, statistics, att"
    ):
        build_pooling("median", 4)
    with pytest.raises(ValueError, match=r"mask \(B, T\), found \(2, 3, 5\) and \(2, 4\)"):
        built("mean")(torch.zeros(2, 3, 5), torch.ones(2, 4, dtype=torch.bool))
