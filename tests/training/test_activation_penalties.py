"""Balancer and Whiten: their formulas by hand, by finite differences and by eigenvalues, and where descent leads."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.training.activation_penalties import Balancer, Whiten, scheduled, whiteness

LIMITS = Balancer(0.3, 0.95, 0.5, 1.0)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def penalties(frames: np.ndarray, limits: Balancer) -> np.ndarray:
    """Equation 9 as it is written, channel by channel."""
    found = []
    for channel in frames.T:
        share = [math.atanh(2 * one - 1) / (math.sqrt(math.pi) * math.log(2)) for one in (0.3, 0.95)]
        sizes = [math.sqrt(math.pi / 2) * one for one in (limits.min_abs, limits.max_abs)]
        mean, size = channel.mean() / channel.std(), math.sqrt((channel**2).mean())
        found.append(abs(math.log(np.clip(size, *sizes) / size)) + abs(mean - np.clip(mean, *share)))
    return np.array(found)


def differences(function, frames: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Gradient of a function of frames by central differences."""
    found = np.zeros_like(frames)
    for place in np.ndindex(*frames.shape):
        values = []
        for sign in (1, -1):
            moved = frames.copy()
            moved[place] += sign * step
            values.append(function(moved))
        found[place] = (values[0] - values[1]) / (2 * step)
    return found


def test_penalty_of_a_channel_by_hand():
    frames = torch.tensor([[1.0, 0.5, 0.0], [3.0, -0.5, 0.0]], dtype=torch.float64)
    found = Balancer(0.05, 0.95, 0.2, 1.0).penalty(frames)
    # mean 2, deviation 1, rms √5: limits are artanh(0.9) / (√π ln 2) = 1.198318 and √(π / 2) = 1.253314
    assert found[0].item() == pytest.approx(2 - 1.198318 + math.log(math.sqrt(5) / 1.253314), abs=1e-5)
    assert found[1].item() == 0  # mean 0, rms 0.5 between 0.25 and 1.25
    assert math.isfinite(found[2].item())
    # the approximation of the inverse error function that icefall documents: 0.0407316 at 0.05
    one = Balancer(0, 0.525, 0, 100).penalty(frames)[0].item()
    assert one == pytest.approx(2 - 0.0407316414, abs=1e-8)


@pytest.mark.parametrize("shift", [-1.0, 0.4, 2.0])
def test_balancer_adds_the_normalised_gradient_of_its_penalty(shift):
    size = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    frames, gradient = (drawn(7, 3) + shift) * size, drawn(7, 3, seed=1)
    assert LIMITS.penalty(frames).numpy() == pytest.approx(penalties(frames.numpy(), LIMITS), abs=1e-12)
    assert (LIMITS.penalty(frames) > 0).any()
    own = differences(lambda moved: penalties(moved, LIMITS).sum(), frames.numpy())
    for channel in range(3):
        if (rms := math.sqrt((own[:, channel] ** 2).mean())) > 0:
            own[:, channel] *= 0.04 / rms
    found = LIMITS.added(frames.requires_grad_(), gradient)
    assert found.numpy() == pytest.approx(own * gradient.abs().numpy(), abs=1e-7)


def test_nothing_is_added_within_the_limits_and_to_what_is_always_zero():
    inside = drawn(400, 2)
    assert (Balancer().penalty(inside) == 0).all()
    for frames in (inside, torch.zeros(5, 2)):
        assert (Balancer().added(frames.requires_grad_(), torch.ones_like(frames)) == 0).all()
    still = torch.zeros(5, 2).requires_grad_()
    assert (Whiten(1.5).added(still, torch.ones(5, 2)) == 0).all()


def test_a_channel_that_is_always_positive_is_pushed_to_its_share():
    frames = drawn(500, 2) + torch.tensor([4.0, 0.0])
    assert (frames > 0).double().mean(0)[0] == 1
    balancer = Balancer(0.3, 0.7, 0.0, 100.0)
    before = frames[:, 1].clone()
    for _ in range(12):
        frames = frames - 10 * balancer.added(frames.detach().requires_grad_(), torch.ones_like(frames))
    shares = (frames > 0).double().mean(0)
    assert 0.55 < shares[0] < 0.72  # limits of normal values are a little closer to one half
    assert torch.equal(frames[:, 1], before)


def test_a_channel_that_is_too_small_grows():
    frames = 0.01 * drawn(500, 1)
    balancer = Balancer(0.0, 1.0, 0.2, 1.0)
    for _ in range(40):
        frames = frames - 0.5 * balancer.added(frames.detach().requires_grad_(), torch.ones_like(frames))
    assert 0.19 < frames.abs().mean() < 0.25


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 3), st.integers(2, 12))
def test_whiteness_is_that_of_the_eigenvalues(seed, groups, size, n_frames):
    frames = drawn(n_frames, groups * size, seed=seed) @ drawn(groups * size, groups * size, seed=seed + 1)
    values = []
    for group in np.split(frames.numpy(), groups, axis=1):
        values += list(np.linalg.eigvalsh(np.atleast_2d(np.cov(group, rowvar=False))))
    expected = np.square(values).mean() / np.mean(values) ** 2
    assert whiteness(frames, groups).item() == pytest.approx(expected, rel=1e-8)


def test_white_frames_have_whiteness_one_and_a_single_direction_has_all_channels():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert whiteness(5 + 3 * signs).item() == pytest.approx(1)
    assert whiteness(drawn(9, 1) @ drawn(1, 6, seed=1)).item() == pytest.approx(6)
    assert whiteness(drawn(200_000, 4)).item() == pytest.approx(1, abs=1e-3)
    assert whiteness(drawn(3, 8)).item() >= 8 / 2


def test_whiten_adds_a_gradient_of_a_given_norm_above_its_limit():
    frames, gradient = drawn(8, 4) @ drawn(4, 4, seed=1), drawn(8, 4, seed=2)
    found = whiteness(frames, 2).item()
    assert found > 1.2
    own = differences(lambda moved: whiteness(torch.from_numpy(moved), 2).item(), frames.numpy())
    expected = own / np.linalg.norm(own) * 0.025 * np.linalg.norm(gradient.numpy())
    frames.requires_grad_()
    added = Whiten(found - 0.01, groups=2, scale=0.025).added(frames, gradient)
    assert added.numpy() == pytest.approx(expected, abs=1e-8)
    assert (Whiten(found + 0.01, groups=2).added(frames, gradient) == 0).all()


def test_descent_makes_frames_whiter_until_the_limit():
    frames = drawn(50, 1) @ torch.ones(1, 6, dtype=torch.float64) + 0.1 * drawn(50, 6, seed=1)
    whiten, before = Whiten(3.0, scale=0.05), whiteness(frames).item()
    for _ in range(60):
        frames = frames - whiten.added(frames.detach().requires_grad_(), torch.ones_like(frames))
    assert before > 5.5
    assert 2.8 < whiteness(frames).item() <= 3.0


def test_limits_may_follow_a_schedule():
    rising = ((0, 2.0), (100, 6.0))
    assert [scheduled(rising, batch) for batch in (0, 25, 100, 1e9)] == [2, 3, 6, 6]
    assert scheduled(0.3, 50) == 0.3
    frames = (drawn(8, 1) @ drawn(1, 4, seed=1)).requires_grad_()  # whiteness 4
    gradient = torch.ones_like(frames)
    assert Whiten(rising).added(frames, gradient, 40).abs().sum() > 0
    assert Whiten(rising).added(frames, gradient, 60).abs().sum() == 0
    assert Balancer(min_abs=((0, 0.0), (100, 50.0))).penalty(frames, 100).sum() > Balancer().penalty(frames).sum()
