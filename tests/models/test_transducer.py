"""Transducer losses: against k2's and torchaudio's numbers, against all paths one by one, and their gradients."""

import math
from pathlib import Path

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers.loss import loss_rnnt

from hf_dialects.models.lattice_zipformer import TOPOLOGIES
from hf_dialects.models.transducer_zipformer import (
    REDUCTIONS,
    prune_ranges,
    pruned_rnnt_loss,
    rnnt_loss,
    simple_rnnt_loss,
    take_ranges,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "rnnt.safetensors"
SCALES = {"plain": (0, 0), "lm0.25_am0": (0.25, 0), "lm0.1_am0.1": (0.1, 0.1)}


@pytest.fixture
def vectors():
    return load_file(VECTORS)


def utterances(vectors):
    return vectors["symbols"], vectors["T_lens"], vectors["U_lens"]


def batch(logit_lengths, target_lengths, vocabulary=7, seed=0, dtype=torch.float32):
    """Random logits (B, T, U + 1, V) and targets with padding of -100, and their lengths."""
    generator = torch.Generator().manual_seed(seed)
    size, n_frames, n_targets = len(logit_lengths), max(logit_lengths), max(target_lengths)
    logits = 2 * torch.randn(size, n_frames, n_targets + 1, vocabulary, generator=generator, dtype=dtype)
    targets = torch.randint(1, vocabulary, (size, n_targets), generator=generator)
    lengths = torch.tensor(logit_lengths), torch.tensor(target_lengths)
    targets[torch.arange(n_targets) >= lengths[1][:, None]] = -100
    return logits.requires_grad_(), targets, *lengths


def gradients(loss, *tensors):
    return torch.autograd.grad(loss.sum(), tensors)


def windows(values, ranges):
    """(B, T, U + 1, V) at (B, T, R)."""
    return values.gather(2, ranges[..., None].expand(*ranges.shape, values.shape[-1]))


def paths(log_probs, target, topology, t=0, u=0):
    """Log-probabilities of all paths from cell (t, u) on, one by one; the blank is 0."""
    if t == len(log_probs):
        return [0.0] if u == len(target) else []
    found = [log_probs[t][u][0] + rest for rest in paths(log_probs, target, topology, t + 1, u)]
    if u < len(target):
        token = log_probs[t][u][target[u]] + (log_probs[t][u + 1][0] if topology == "constrained" else 0)
        found += [token + rest for rest in paths(log_probs, target, topology, t + (topology != "regular"), u + 1)]
    return found


def enumerated(logits, targets, logit_lengths, target_lengths, topology):
    losses = []
    for one, target, length, count in zip(
        logits.detach().double().log_softmax(-1), targets, logit_lengths, target_lengths, strict=True
    ):
        every = paths(one[:length].tolist(), target[:count].tolist(), topology)
        losses.append(-math.log(math.fsum(map(math.exp, every))))
    return losses


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_loss_is_that_of_all_paths(topology):
    logits, *rest = batch([4, 3, 1, 4], [3, 0, 1, 2], vocabulary=4, dtype=torch.float64)
    loss = rnnt_loss(logits, *rest, reduction="none", topology=topology)
    assert loss.tolist() == pytest.approx(enumerated(logits, *rest, topology), rel=1e-12)


def test_one_frame_and_one_token_by_hand():
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]]).log()[None, None]  # blank and two tokens
    lengths = torch.tensor([1]), torch.tensor([1])
    loss = rnnt_loss(logits, torch.tensor([[2]]), *lengths, reduction="sum")
    assert loss.exp().item() == pytest.approx(1 / (0.25 * 0.2))  # the token in state 0, the blank in state 1


def test_full_loss_is_k2s(vectors):
    logits = vectors["full.logits"].requires_grad_()
    loss = rnnt_loss(logits, *utterances(vectors), reduction="none")
    torch.testing.assert_close(loss.detach(), vectors["full.loss"], rtol=1e-5, atol=0)
    (gradient,) = gradients(loss, logits)
    for name in ("grad", "torchaudio_grad"):
        torch.testing.assert_close(gradient, vectors[f"full.{name}"], rtol=0, atol=5e-5)
    for topology in ("modified", "constrained"):
        loss = rnnt_loss(logits.detach(), *utterances(vectors), reduction="none", topology=topology)
        torch.testing.assert_close(loss[:2], vectors[f"full.loss_{topology}"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", SCALES)
def test_simple_loss_is_k2s(vectors, name):
    am, lm = vectors["am"].requires_grad_(), vectors["lm"].requires_grad_()
    loss, (tokens, blanks) = simple_rnnt_loss(
        am, lm, *utterances(vectors), 0, *SCALES[name], reduction="none", return_occupations=True
    )
    torch.testing.assert_close(loss.detach(), vectors[f"simple.{name}.loss"], rtol=1e-5, atol=0)
    for found, expected in zip(gradients(loss, am, lm), ("grad_am", "grad_lm"), strict=True):
        torch.testing.assert_close(found, vectors[f"simple.{name}.{expected}"], rtol=0, atol=5e-5)
    assert not tokens.requires_grad
    assert not blanks.requires_grad
    assert (tokens[..., -1] == 0).all()
    expected = vectors[f"simple.{name}.px_occ"][..., :-1].mT  # k2's has one frame more
    torch.testing.assert_close(tokens[..., :-1], expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(blanks, vectors[f"simple.{name}.py_occ"].mT, rtol=0, atol=5e-5)


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_windows_and_pruned_loss_are_k2s(vectors, size):
    _, logit_lengths, target_lengths = utterances(vectors)
    occupations = (vectors[f"simple.lm0.25_am0.{name}_occ"].mT for name in ("px", "py"))
    tokens, blanks = occupations
    tokens = torch.nn.functional.pad(tokens[:, :-1], (0, 1))
    ranges = prune_ranges(tokens, blanks, logit_lengths, target_lengths, size)
    assert torch.equal(ranges, vectors[f"pruned.s{size}.ranges"])
    logits = windows(vectors["full.logits"], ranges).requires_grad_()
    loss = pruned_rnnt_loss(logits, ranges, *utterances(vectors), reduction="none")
    torch.testing.assert_close(loss.detach(), vectors[f"pruned.s{size}.loss"], rtol=1e-5, atol=0)
    expected = vectors[f"pruned.s{size}.grad_pruned_logits"]
    torch.testing.assert_close(*gradients(loss, logits), expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("logit_lengths", "target_lengths", "vocabulary", "blank"),
    [([20, 13, 1], [6, 0, 4], 5, 0), ([3, 9], [12, 2], 30, 29), ([1], [1], 2, 0), ([8, 8], [0, 0], 3, 2)],
)
def test_full_loss_is_torchaudios(logit_lengths, target_lengths, vocabulary, blank):
    logits, targets, *lengths = batch(logit_lengths, target_lengths, vocabulary)
    if blank:
        targets = torch.where(targets >= 0, targets - 1, targets)  # 0 … V - 2
    loss = rnnt_loss(logits, targets, *lengths, blank_token_id=blank, reduction="none")
    expected = torchaudio.functional.rnnt_loss(
        logits, targets.clamp(min=0).int(), *(one.int() for one in lengths), blank=blank, reduction="none"
    )
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*gradients(loss, logits), *gradients(expected, logits), rtol=0, atol=1e-5)


def test_gradient_of_a_minute_of_speech_is_exact():
    arguments = batch([1500, 1400], [150, 149], vocabulary=5)
    (single,) = gradients(rnnt_loss(*arguments, reduction="none"), arguments[0])
    double = arguments[0].detach().double().requires_grad_()
    (expected,) = gradients(rnnt_loss(double, *arguments[1:], reduction="none"), double)
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_gradients_are_those_of_finite_differences(topology):
    logits, *rest = batch([3, 2], [2, 1], vocabulary=3, dtype=torch.float64)
    options = {"reduction": "none", "topology": topology}
    assert torch.autograd.gradcheck(lambda x: rnnt_loss(x, *rest, **options), logits)
    generator = torch.Generator().manual_seed(1)
    am = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    lm = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    for scales in SCALES.values():
        assert torch.autograd.gradcheck(
            lambda x, y, s=scales: simple_rnnt_loss(x, y, *rest, 0, *s, **options), (am, lm)
        )
    _, occupations = simple_rnnt_loss(am, lm, *rest, topology=topology, return_occupations=True)
    ranges = prune_ranges(*occupations, *rest[1:], 2, topology)
    assert ranges.shape[2] < logits.shape[2]
    pruned = windows(logits.detach(), ranges).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pruned_rnnt_loss(x, ranges, *rest, **options), pruned)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_simple_loss_is_the_full_loss_of_a_sum(topology):
    generator = torch.Generator().manual_seed(0)
    _, *rest = batch([6, 5], [3, 4], vocabulary=8)
    am, lm = (torch.randn(2, size, 8, generator=generator, dtype=torch.float64) for size in (6, 5))
    simple = simple_rnnt_loss(am, lm, *rest, reduction="none", topology=topology)
    full = rnnt_loss(am[:, :, None] + lm[:, None], *rest, reduction="none", topology=topology)
    torch.testing.assert_close(simple, full, rtol=1e-12, atol=0)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_windows_of_all_tokens_give_the_full_loss(topology):
    logits, *rest = batch([9, 5, 7], [4, 5, 0])
    nothing = torch.zeros(3, 9, 6)
    ranges = prune_ranges(nothing, nothing, *rest[1:], prune_range=50, topology=topology)
    assert torch.equal(ranges, torch.arange(6).expand(3, 9, 6))
    full = rnnt_loss(logits, *rest, reduction="none", topology=topology)
    pruned = pruned_rnnt_loss(logits, ranges, *rest, reduction="none", topology=topology)
    assert torch.equal(full, pruned)
    assert torch.equal(*gradients(full, logits), *gradients(pruned, logits))


def plain_ranges(tokens, blanks, length, count, size, jump):
    """Windows of one utterance, frame by frame."""
    n_frames, n_states = len(blanks), len(blanks[0])
    starts = []
    for t in range(n_frames):
        weights = []
        for first in range(n_states - size + 1):
            below = tokens[t][first - 1] if first else 0
            weights.append(sum(blanks[t][first : first + size]) - below)
        starts.append(weights.index(max(weights)) if t < length - 1 else max(count - size + 1, 0))
    for t in reversed(range(n_frames - 1)):
        starts[t] = min(starts[t], starts[t + 1])
    for t in reversed(range(n_frames - 1)):
        starts[t] = max(starts[t], starts[t + 1] - jump)
    return [[min(start, jump * t) + r for r in range(size)] for t, start in enumerate(starts)]


SIZES = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 6), st.sampled_from(["regular", "modified"]), st.integers(0, 1000))
def test_windows_are_those_found_frame_by_frame(sizes, prune_range, topology, seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = [torch.tensor(one) for one in zip(*sizes, strict=True)]
    shape = len(sizes), int(lengths[0].max()), int(lengths[1].max()) + 1
    tokens, blanks = (torch.randint(0, 9, shape, generator=generator) / 8 for _ in range(2))  # sums are exact
    ranges = prune_ranges(tokens, blanks, *lengths, prune_range, topology)
    size = ranges.shape[2]
    for row, (length, count) in enumerate(sizes):
        jump = size - 1 if topology == "regular" else 1
        assert ranges[row].tolist() == plain_ranges(
            tokens[row].tolist(), blanks[row].tolist(), length, count, size, jump
        )


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 6), st.sampled_from(TOPOLOGIES), st.integers(0, 1000))
def test_a_path_leads_through_the_windows(sizes, prune_range, topology, seed):
    if topology != "regular":
        sizes = [(length, min(length, count)) for length, count in sizes]
    logits, *rest = batch(*(list(one) for one in zip(*sizes, strict=True)), seed=seed)
    am, lm = logits[:, :, 0].detach(), logits[:, 0].detach()
    _, occupations = simple_rnnt_loss(5 * am, lm, *rest, topology=topology, return_occupations=True)
    ranges = prune_ranges(*occupations, *rest[1:], prune_range, topology)
    size = ranges.shape[2]
    enough = [math.ceil(count / length) + 1 for length, count in sizes] if topology == "regular" else []
    assert size == min(max([prune_range, *enough]), lm.shape[1])
    for row, (length, count) in enumerate(sizes):
        start = ranges[row, :, 0]
        jump = size - 1 if topology == "regular" else 1
        assert start[0] == 0
        assert ranges[row, length - 1, -1] >= count
        assert ((start.diff() >= 0) & (start.diff() <= jump)).all()
    pruned = pruned_rnnt_loss(windows(logits, ranges), ranges, *rest, reduction="none", topology=topology)
    full = rnnt_loss(logits, *rest, reduction="none", topology=topology)
    assert pruned.isfinite().all()
    assert (pruned >= full - 1e-4).all()


def test_rows_of_windows():
    states = torch.arange(24.0).view(2, 4, 3)
    ranges = torch.tensor([[[0, 1], [2, 3]], [[1, 2], [1, 2]]])
    assert torch.equal(
        take_ranges(states, ranges), torch.stack([states[0, [0, 1, 2, 3]], states[1, [1, 2, 1, 2]]]).view(2, 2, 2, 3)
    )


def test_padding_counts_nowhere():
    logits, targets, *lengths = batch([9, 5, 7], [2, 4, 1])
    single = [
        rnnt_loss(logits[i : i + 1, :t, : u + 1], targets[i : i + 1, :u], *(one[i : i + 1] for one in lengths))
        for i, (t, u) in enumerate(zip(*(one.tolist() for one in lengths), strict=True))
    ]
    (expected,) = gradients(torch.stack(single), logits)
    with torch.no_grad():
        for i, (t, u) in enumerate(zip(*(one.tolist() for one in lengths), strict=True)):
            logits[i, t:] = float("nan")
            logits[i, :, u + 1 :] = float("nan")
    losses = rnnt_loss(logits, targets, *lengths, reduction="none")
    torch.testing.assert_close(losses / lengths[1], torch.stack(single))
    torch.testing.assert_close(*gradients(losses / lengths[1], logits), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(dtype):
    logits, *rest = batch([9, 5], [2, 4])
    low = logits.detach().to(dtype).requires_grad_()
    exact = low.detach().float().requires_grad_()
    losses = [rnnt_loss(one, *rest, reduction="none") for one in (low, exact)]
    assert losses[0].dtype == torch.float32
    assert torch.equal(*losses)
    found, expected = (gradients(loss, one)[0] for loss, one in zip(losses, (low, exact), strict=True))
    assert torch.equal(found, expected.to(dtype))


def test_autocast_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    _, *rest = batch([6, 5], [3, 4], vocabulary=8)
    am, lm = (torch.randn(2, size, 8, generator=generator) for size in (6, 5))
    expected = simple_rnnt_loss(am, lm, *rest, lm_scale=0.25)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (am @ lm.mT).dtype == torch.bfloat16
        assert torch.equal(simple_rnnt_loss(am, lm, *rest, lm_scale=0.25), expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_those_of_transformers(reduction):
    logits, targets, *lengths = batch([9, 5, 7], [2, 4, 1])
    expected = loss_rnnt.rnnt_loss(logits, targets.clamp(min=0), *lengths, blank_token_id=0, reduction=reduction)
    torch.testing.assert_close(rnnt_loss(logits, targets, *lengths, reduction=reduction), expected)


def test_mean_over_tokens_is_finite_without_tokens():
    logits, *rest = batch([3, 2], [0, 0])
    losses = rnnt_loss(logits, *rest, reduction="none")
    torch.testing.assert_close(rnnt_loss(logits, *rest, reduction="mean"), losses.mean())
    torch.testing.assert_close(rnnt_loss(logits, *rest, reduction="mean_volume"), losses.sum())


def test_an_impossible_utterance_has_an_infinite_loss_and_no_gradient():
    logits, targets, *lengths = batch([3, 3], [1, 1])
    with torch.no_grad():
        logits[0, :, :, targets[0, 0]] = float("-inf")
    losses = rnnt_loss(logits, targets, *lengths, reduction="none")
    assert losses[0] == float("inf")
    assert losses[1].isfinite()
    (gradient,) = gradients(losses, logits)
    assert (gradient[0] == 0).all()
    assert gradient[1].abs().sum() > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(2, 4, 3)}, r"logits \(B, T, U \+ 1, V\) must be of a float type, found \(2, 4, 3\)"),
        ({"logits": torch.zeros(2, 4, 4, 7, dtype=torch.long)}, "float type, found .* torch.int64"),
        ({"logits": torch.full((2, 4, 4, 7), float("nan"))}, "utterance 0 hold NaN"),
        ({"targets": torch.ones(2, 4, dtype=torch.long)}, r"targets must be \(B, U\) = \(2, 3\).*found \(2, 4\)"),
        ({"targets": torch.tensor([[1, 2, 3], [0, 1, -100]])}, r"targets\[1, 0\] is 0.*other than the blank, 0"),
        ({"targets": torch.tensor([[1, 2, 7], [1, 1, -100]])}, r"targets\[0, 2\] is 7.*below 7"),
        ({"targets": torch.tensor([[1, -100, 3], [1, 1, -100]])}, r"targets\[0, 1\] is -100"),
        ({"logit_lengths": torch.tensor([4, 0])}, r"logit_lengths\[1\] must be within 1 and 4, found 0"),
        ({"logit_lengths": torch.tensor([5, 3])}, r"logit_lengths\[0\] must be within 1 and 4, found 5"),
        ({"logit_lengths": torch.tensor([4])}, r"logit_lengths must be \(2,\), one per utterance, found \(1,\)"),
        ({"target_lengths": torch.tensor([4, 2])}, r"target_lengths\[0\] must be within 0 and 3, found 4"),
        (
            {"logit_lengths": torch.tensor([2, 3]), "topology": "modified"},
            "utterance 0 has 3 target tokens and 2 frames",
        ),
        ({"topology": "diagonal"}, "topology must be one of regular, modified, constrained, found 'diagonal'"),
        ({"reduction": "average"}, "reduction must be one of none, sum, .*found 'average'"),
        ({"blank_token_id": 7}, "blank_token_id must be below the vocabulary of 7, found 7"),
    ],
)
def test_wrong_input_is_refused(change, message):
    logits, targets, logit_lengths, target_lengths = batch([4, 3], [3, 2])
    arguments = {
        "logits": logits,
        "targets": targets,
        "logit_lengths": logit_lengths,
        "target_lengths": target_lengths,
    }
    rnnt_loss(**arguments)
    with pytest.raises(ValueError, match=message):
        rnnt_loss(**arguments | change)


def test_wrong_parts_are_refused():
    logits, *rest = batch([4, 3], [3, 2])
    am, lm = logits[:, :, 0], logits[:, 0]
    with pytest.raises(ValueError, match=r"decoder_logits must be .* = \(2, U \+ 1, 7\).*found \(2, 4, 6\)"):
        simple_rnnt_loss(am, lm[..., 1:], *rest)
    with pytest.raises(ValueError, match=r"lm_scale and am_scale .* found 0.6, 0.5"):
        simple_rnnt_loss(am, lm, *rest, lm_scale=0.6, am_scale=0.5)
    _, occupations = simple_rnnt_loss(am, lm, *rest, return_occupations=True)
    with pytest.raises(ValueError, match="prune_range must be at least 2 for the regular topology, found 1"):
        prune_ranges(*occupations, *rest[1:], 1)
    ranges = prune_ranges(*occupations, *rest[1:], 2)
    with pytest.raises(ValueError, match=r"ranges must be \(B, T, R\) = \(2, 4, 4\), found \(2, 4, 2\)"):
        pruned_rnnt_loss(logits, ranges, *rest)
    with pytest.raises(ValueError, match="ranges must be within 0 and U = 3, found 1 to 4"):
        pruned_rnnt_loss(logits[:, :, :2], ranges + 1, *rest)
