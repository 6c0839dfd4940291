"""ScaledAdam does what its formulas say, step by step, and goes on after a resume as if it had not stopped."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from torch import nn

from hf_dialects.errors import DialectError, RecipeError
from hf_dialects.training.optimisers import ScaledAdam, build_scaled_adam

SHAPES = [(3, 4), (3, 4), (3, 4), (5,), (2, 3, 2), (1,), (), (1, 1), (6,), (4,)]
TINY, LARGE, AT_BOUND = 8, 9, 5  # tensors below the smallest size, above the largest, and a single element near 10


def start(seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    values = [random.normal(0, 0.3, shape) for shape in SHAPES]
    values[TINY] = values[TINY] * 1e-6
    values[LARGE] = np.array([2.9, -3.1, 3.0, 3.05])
    values[AT_BOUND] = np.array([9.999])
    return values


def gradients(step: int, spikes: tuple[int, ...] = ()) -> list[np.ndarray]:
    random = np.random.default_rng([7, step])
    size = 10.0 ** random.uniform(-1, 1) * (1e4 if step in spikes else 1)
    found = [size * random.normal(0.1, 1, shape) for shape in SHAPES]
    found[AT_BOUND] = -np.abs(found[AT_BOUND])
    return found


def trained(optimizer, params, steps, spikes=()) -> list[np.ndarray]:
    for step in steps:
        for p, gradient in zip(params, gradients(step, spikes), strict=True):
            p.grad = torch.tensor(gradient, dtype=p.dtype)
        optimizer.step()
    return [p.detach().numpy().copy() for p in params]


def parameters(dtype=torch.float64) -> list[nn.Parameter]:
    return [nn.Parameter(torch.tensor(value, dtype=dtype)) for value in start()]


def by_formulas(values, steps, spikes, lr, clipping_scale=2.0, period=100):
    """The formulas tensor by tensor, in float64; also how often a step was clipped."""
    size = [math.sqrt(np.mean(p**2)) for p in values]
    m, v = ([np.zeros_like(p) for p in values] for _ in range(2))
    h, w = [[] for _ in values], [0.0] * len(values)
    norms, threshold, clipped = [], None, 0
    for t in range(steps):
        grads = gradients(t, spikes)
        if clipping_scale is not None and t > 0:
            squares = [(g**2).sum() * (0.01 if g.size == 1 else size[k] ** 2) for k, g in enumerate(grads)]
            norms.append(math.sqrt(sum(squares)))
            if t in (10, 20, 40) and t < period:
                threshold = 2 * clipping_scale * sorted(norms[-t:])[2 * (t // 4)]
            elif t % period == 0:
                threshold = clipping_scale * sorted(norms[-period:])[2 * (period // 4)]
            if threshold is not None:
                factor = min(1.0, threshold / norms[-1])
                clipped += factor < 1
                grads = [g * factor for g in grads]
        for k, (p, g) in enumerate(zip(values, grads, strict=True)):
            v[k] = 0.98 * v[k] + 0.02 * g**2
            correction = 1 - 0.98 ** (t + 1)
            if p.size == 1:
                delta = -0.1 * lr * g / (np.sqrt(v[k] / correction) + 1e-8)
            else:
                h[k].append((p * g).sum())
                if t % 4 == 3:
                    size[k] = math.sqrt(np.mean(p**2))
                root = np.sqrt(v[k] / correction if correction < 0.99 else v[k])
                delta = -lr * g / (root + 1e-8) * max(size[k], 1e-5)
                if t % 4 == 3:
                    b, n = 0.98**4, (t + 1) // 4
                    w[k] = b * w[k] + (1 - b) * np.mean(np.square(h[k]))
                    s = -0.1 * lr * math.sqrt(1 - b**n) * sum(h[k]) / (np.sqrt(w[k]) + 1e-8)
                    s = 0.0 if size[k] < 1e-5 else min(max(s, -0.1), 0.1, (3 - size[k]) / size[k])
                    delta, h[k] = delta + p * s, []
            m[k] = 0.9 * m[k] + 0.1 * delta
            values[k] = p + m[k] if p.size > 1 else np.clip(p + m[k], -10, 10)
    return values, clipped


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (26, {}),
        (26, {"lr": 2.0}),  # scales at their bounds, single elements at theirs
        (26, {"clipping_scale": None}),
        (70, {"clipping_update_period": 15}),
        (260, {}),  # the threshold of all hundred norms, and past the bias correction
    ],
)
def test_every_step_is_that_of_the_formulas(steps, options):
    spikes = (5, 11, 12, 17, 24, 33, 61, 150)
    params = parameters()
    optimizer = ScaledAdam(params, **options)
    lr, period = options.get("lr", 0.045), options.get("clipping_update_period", 100)
    expected, clipped = by_formulas(start(), steps, spikes, lr, options.get("clipping_scale", 2.0), period)
    found = trained(optimizer, params, range(steps), spikes)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)
    assert clipped == 0 if "clipping_scale" in options else clipped >= 3
    if "lr" in options:
        assert found[AT_BOUND] == 10


def test_float32_is_that_of_the_formulas_too():
    params = parameters(torch.float32)
    expected, _ = by_formulas(start(), 26, (11, 17), 0.045)
    for one, other in zip(trained(ScaledAdam(params), params, range(26), (11, 17)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-6)


def test_first_step_by_hand():
    """size sqrt(12.5), no momentum yet: a tenth of 0.045 times the size, against the sign of the gradient."""
    p, scalar = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor(1.0))
    p.grad, scalar.grad = torch.tensor([0.2, -5.0]), torch.tensor(7.0)
    ScaledAdam([p, scalar]).step()
    step = 0.1 * 0.045 * math.sqrt(12.5)
    torch.testing.assert_close(p.detach(), torch.tensor([3 - step, 4 + step]))
    torch.testing.assert_close(scalar.detach(), torch.tensor(1 - 0.1 * 0.1 * 0.045))


@pytest.mark.parametrize("stop", [1, 6, 21, 41])
def test_resuming_equals_not_stopping(stop):
    whole = parameters(torch.float32)
    expected = trained(ScaledAdam(whole), whole, range(50), (12, 44))
    params = parameters(torch.float32)
    optimizer = ScaledAdam(params)
    trained(optimizer, params, range(stop), (12, 44))
    file = BytesIO()
    torch.save(optimizer.state_dict(), file)
    again = ScaledAdam(params, lr=1.0, clipping_scale=9.0)  # what was saved counts
    again.load_state_dict(torch.load(BytesIO(file.getvalue()), weights_only=True))
    for one, other in zip(trained(again, params, range(stop, 50), (12, 44)), expected, strict=True):
        assert np.array_equal(one, other)


def test_groups_are_clipped_apart():
    params = parameters()
    optimizer = ScaledAdam([{"params": params[:5], "lr": 0.01}, {"params": params[5:]}])
    for step in range(30):
        for k, (p, gradient) in enumerate(zip(params, gradients(step), strict=True)):
            p.grad = torch.tensor(gradient) * (1e3 if k >= 5 and step == 25 else 1)
        optimizer.step()
    alone = parameters()[:5]
    first = ScaledAdam(alone, lr=0.01)
    for step in range(30):
        for p, gradient in zip(alone, gradients(step)[:5], strict=True):
            p.grad = torch.tensor(gradient)
        first.step()
    assert all(torch.equal(p, other) for p, other in zip(params[:5], alone, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", [0, 3, 30])
def test_a_gradient_that_is_not_finite_counts_as_zero(value, step):
    found = []
    for broken in (True, False):
        params = parameters()
        optimizer = ScaledAdam(params)
        trained(optimizer, params, range(step))
        for p, gradient in zip(params, gradients(step), strict=True):
            p.grad = torch.tensor(gradient) if broken else torch.zeros_like(p)
        if broken:
            params[1].grad[0, 0] = value
        optimizer.step()
        found.append([p.detach().clone() for p in params])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert all(one.isfinite().all() for one in found[0])


def test_mostly_broken_gradients_end_the_training_with_advice():
    p = nn.Parameter(torch.ones(3))
    optimizer = ScaledAdam([p])
    message = r"half of the last 10 gradients were not finite at step 11: lower the learning rate \(now 0.045\)"
    for step in range(10):
        p.grad = torch.full((3,), math.nan if step % 3 else 1.0)
        optimizer.step()
    with pytest.raises(DialectError, match=message):
        optimizer.step()


def test_a_parameter_without_gradient_counts_as_one_with_a_gradient_of_zero():
    found = []
    for missing in (True, False):
        params = parameters()
        optimizer = ScaledAdam(params)
        trained(optimizer, params, range(5))
        params[0].grad = None if missing else torch.zeros_like(params[0])
        optimizer.step()
        found.append(params)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_it_fits_a_small_network_and_takes_a_closure():
    torch.manual_seed(0)
    x = torch.randn(64, 5)
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = build_scaled_adam(model, 0.045, {})

    def closure():
        optimizer.zero_grad()
        loss = (model(x)[:, 0] - x.prod(1)).square().mean()
        loss.backward()
        return loss.detach()

    first = float(optimizer.step(closure))
    for _ in range(150):
        last = float(optimizer.step(closure))
    assert last < 0.2 * first


def test_only_weights_that_are_trained_and_only_options_that_exist():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert [p.shape for p in build_scaled_adam(model, 0.01, {}).param_groups[0]["params"]] == [(2, 3)]
    with pytest.raises(RecipeError, match=r"optimiser_options \{'clip': 2\} do not fit scaled_adam: .*'clip'"):
        build_scaled_adam(model, 0.01, {"clip": 2})
