"""SeqSim with a gradient against the SeqSim of retrieval; the contrastive loss by hand and by loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.retrieval import seqsim_matrix
from hf_dialects.training.alignment_loss import alignment_loss, batch_seqsim


def batch(lengths, size=5, seed=0, padding=0.0, longest=None, shift=0.0, dtype=torch.float32):
    """Frames of these lengths, joined with padding to the right."""
    random = np.random.default_rng(seed)
    arrays = [random.standard_normal((length, size)).astype(np.float32) + shift for length in lengths]
    longest = longest or max(lengths)
    frames = torch.full((len(lengths), longest, size), padding, dtype=dtype)
    for row, array in enumerate(arrays):
        frames[row, : len(array)] = torch.from_numpy(array)
    return arrays, frames, torch.arange(longest) < torch.tensor(lengths)[:, None]


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5), seed=st.integers(0, 99), shift=st.sampled_from([0, 3])
)
@settings(max_examples=30, deadline=None)
def test_it_is_the_seqsim_of_retrieval(lengths, seed, shift):
    arrays, frames, mask = batch(lengths, seed=seed, shift=shift, padding=9.0, longest=8)
    # where Pr + Re is nearly 0, equation 3 magnifies the rounding of float32
    expected = seqsim_matrix(arrays)
    assert np.allclose(batch_seqsim(frames, mask), expected, rtol=1e-3, atol=1e-5)


def test_where_every_similarity_is_negative():
    east, west = [1.0, 0.0], [-1.0, 0.1]
    frames = torch.tensor([[east, east], [west, [0.0, 0.0]]])  # padding would be more alike
    mask = torch.tensor([[True, True], [True, False]])
    expected = seqsim_matrix([frames[0].numpy(), frames[1, :1].numpy()])
    assert expected[0, 1] < -0.9
    assert np.allclose(batch_seqsim(frames, mask), expected, atol=1e-6)


def test_padding_changes_neither_values_nor_gradients():
    results = []
    for padding, longest in ((0.0, 6), (50.0, 11)):
        _, frames, mask = batch([6, 3, 1, 4], padding=padding, longest=longest)
        frames.requires_grad_()
        alignment_loss(batch_seqsim(frames, mask), *labels([0, 0, 1, 1], [0, 1, 0, 1])).backward()
        assert frames.grad[~mask].abs().max() == 0
        results.append(frames.grad[:, :6])
    assert torch.allclose(*results, atol=1e-7)
    assert results[0].abs().max() > 1e-3, "no gradient: this test would prove nothing"


def test_gradient_is_that_of_finite_differences():
    _, frames, mask = batch([4, 2, 3, 1], dtype=torch.float64)

    def loss(frames):
        return alignment_loss(batch_seqsim(frames, mask), *labels([0, 0, 1, 1], [0, 1, 0, 1]), 0.3, 1.5)

    assert torch.autograd.gradcheck(loss, frames.requires_grad_())


def test_all_frames_that_are_a_maximum_take_gradient():
    """x is as close to two frames of y; both pull it, evenly, and the third one, in no maximum of Re, by Pr alone."""
    x, up, down, behind = [1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 0.2]
    frames = torch.tensor([[x] * 3, [up, down, behind]], dtype=torch.float64).requires_grad_()
    mask = torch.tensor([[True, False, False], [True, True, True]])
    units = frames / frames.norm(dim=-1, keepdim=True)
    (units[0, :1] @ units[1].T).amax(-1).sum().backward()  # Re of equation 1
    tied = frames.grad[1].norm(dim=-1).tolist()
    assert tied[0] == pytest.approx(tied[1])
    assert tied[0] > 0
    assert tied[2] == 0
    frames.grad = None
    batch_seqsim(frames, mask)[0, 1].backward()
    assert (frames.grad[mask].norm(dim=-1) > 0).all()
    # of the same length and opposite sign across: neither of the tied frames wins
    assert frames.grad[1, 0, 1].item() == pytest.approx(-frames.grad[1, 1, 1].item())


def labels(sentence, variety):
    return torch.tensor(sentence), torch.tensor(variety)


def test_loss_by_hand():
    """Utterances 0 to 2 say one sentence, 0 and 1 in the same variety; 3 says another: only 2 and 0, 1 are positive."""
    similarity = torch.tensor([[1.0, 0.9, 0.5, 0.2], [0.9, 1.0, 0.4, 0.1], [0.5, 0.4, 1.0, 0.3], [0.2, 0.1, 0.3, 1.0]])
    zero = math.log(math.exp(5) + math.exp(2)) - 5  # 0.9 is in neither sum
    one = math.log(math.exp(4) + math.exp(1)) - 4
    two = math.log(math.exp(5) + math.exp(4) + math.exp(3)) - (5 + 4) / 2
    found = alignment_loss(similarity, *labels([0, 0, 0, 1], [0, 0, 1, 0]), temperature=0.1)
    assert found.item() == pytest.approx((zero + one + two) / 3, abs=1e-6)  # 3 has no positive


def test_similarity_within_a_variety_of_one_sentence_plays_no_part():
    similarity = torch.rand(4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    alignment_loss(similarity, *labels([0, 0, 0, 1], [0, 0, 1, 0])).backward()
    assert similarity.grad[0, 1] == similarity.grad[1, 0] == 0
    assert similarity.grad.diagonal().abs().max() == 0
    assert similarity.grad[0, 2] != 0 != similarity.grad[0, 3]


def by_loops(similarity, sentence, variety, temperature, hardness):
    terms = []
    for i in range(len(sentence)):
        others = [similarity[i][j] / temperature for j in range(len(sentence)) if sentence[j] != sentence[i]]
        same = [j for j in range(len(sentence)) if sentence[j] == sentence[i] and variety[j] != variety[i]]
        same = [similarity[i][j] / temperature for j in same]
        if not same or not others:
            continue
        importance = [math.exp(hardness * one) for one in others]
        mean = sum(importance) / len(importance)
        negatives = sum(weight / mean * math.exp(one) for weight, one in zip(importance, others, strict=True))
        terms.append(math.log(sum(map(math.exp, same)) + negatives) - sum(same) / len(same))
    return sum(terms) / len(terms) if terms else 0.0


@given(
    seed=st.integers(0, 99),
    numbers=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=7),
    hardness=st.sampled_from([0.0, 0.5, 2.0]),
)
@settings(max_examples=40, deadline=None)
def test_loss_equals_loops(seed, numbers, hardness):
    n = len(numbers)
    similarity = np.random.default_rng(seed).uniform(-1, 1, (n, n))
    sentence, variety = zip(*numbers, strict=True)
    expected = by_loops(similarity.tolist(), sentence, variety, 0.2, hardness)
    found = alignment_loss(torch.from_numpy(similarity), *labels(sentence, variety), 0.2, hardness)
    assert found.item() == pytest.approx(expected, abs=1e-9)


def test_hardness_moves_gradient_to_the_negatives_that_are_alike():
    """Two negatives, of similarity 0.8 and 0.1."""
    share = []
    for hardness in (0.0, 2.0):
        similarity = torch.eye(4)
        similarity[0] = torch.tensor([1.0, 0.9, 0.8, 0.1])
        similarity.requires_grad_()
        alignment_loss(similarity, *labels([0, 0, 1, 2], [0, 1, 0, 0]), 0.5, hardness).backward()
        hard, easy = similarity.grad[0, 2:].tolist()
        share.append(hard / (hard + easy))
    assert share[1] > share[0] + 0.1


def test_a_batch_without_pairs_has_no_loss_but_a_gradient_path():
    similarity = torch.rand(3, 3, requires_grad=True)
    for sentence, variety in (([0, 1, 2], [0, 1, 2]), ([0, 0, 0], [0, 1, 2])):  # no positive; no negative
        loss = alignment_loss(similarity, *labels(sentence, variety))
        loss.backward()
        assert loss.item() == 0
        assert similarity.grad.abs().max() == 0
