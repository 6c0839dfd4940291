"""Transducer losses in plain PyTorch, for any device and float type.

B utterances, T encoder frames, U target tokens, V tokens of the vocabulary with the blank, R symbols of a window.

Losses compute in float64 for float64 input and in float32 for all others, also under autocast.

Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training"; numbers as k2's.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .lattice_zipformer import IMPOSSIBLE, TOPOLOGIES, path_losses
from .layers_zipformer import precise

REDUCTIONS = ("none", "sum", "mean", "mean_batch", "mean_volume")


def rnnt_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    logit_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank_token_id: int = 0,
    reduction: str = "mean_volume",
    topology: str = "regular",
) -> torch.Tensor:
    """Transducer loss over all pairs of frame and token. Its arguments are those of the loss in transformers.

    Args:
        logits: (B, T, U + 1, V), before the softmax.
        targets: (B, U) int, without blanks; what is beyond `target_lengths` does not count.
        logit_lengths, target_lengths: (B,) int.
        blank_token_id: index of the blank.
        reduction: "none" for the losses (B,), "sum", "mean_batch" for the mean over utterances, "mean" for the mean of
            losses per target token, "mean_volume" for the sum of losses over the number of target tokens. An utterance
            (or batch) without target tokens counts as one token in the last two.
        topology: "regular", any number of tokens in a frame; "modified", at most one; "constrained", at most one and
            a blank after it.

    Returns:
        (), or (B,) without reduction. An utterance of probability 0 has an infinite loss and no gradient.

    Raises:
        ValueError: shapes that do not fit, lengths out of range, blanks or unknown tokens among the targets, more
            tokens than the topology can emit, NaN.
    """
    batch, n_frames, n_states, vocabulary = _shape(logits, "logits (B, T, U + 1, V)", 4)
    lengths = _checked(
        (batch, n_frames, n_states, vocabulary), targets, logit_lengths, target_lengths, blank_token_id, topology
    )
    tokens = _next_tokens(targets, lengths[1], blank_token_id)  # (B, U + 1)
    scores = _ArcScores.apply(logits, tokens[:, None].expand(batch, n_frames, n_states), blank_token_id)
    return _reduced(path_losses(*scores, *lengths, topology)[0], lengths[1], reduction)


def simple_rnnt_loss(
    encoder_logits: torch.Tensor,
    decoder_logits: torch.Tensor,
    targets: torch.Tensor,
    logit_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank_token_id: int = 0,
    lm_scale: float = 0.0,
    am_scale: float = 0.0,
    reduction: str = "mean_volume",
    topology: str = "regular",
    return_occupations: bool = False,
):
    """Transducer loss whose joiner is a sum, log softmax(encoder_logits + decoder_logits): no (T, U, V) is computed.

    With scales, the log-probabilities are (1 - lm_scale - am_scale) times these, plus lm_scale times those of
    `decoder_logits` alone, plus am_scale times those of `encoder_logits` with the mean distribution of `decoder_logits`
    over all positions of the batch (padding included, as in k2).

    Args:
        encoder_logits: (B, T, V).
        decoder_logits: (B, U + 1, V).
        lm_scale, am_scale: at least 0, at most 1 together.
        return_occupations: also return the probabilities of the arcs, which `prune_ranges` takes.
        targets, logit_lengths, target_lengths, blank_token_id, reduction, topology: as for `rnnt_loss`.

    Returns:
        The loss, or (loss, (token occupations (B, T, U + 1), blank occupations (B, T, U + 1))) without gradient;
        entry (t, u) is of the arc that leaves cell (t, u).

    Raises:
        ValueError: as `rnnt_loss`; scales out of range.
    """
    batch, n_frames, vocabulary = _shape(encoder_logits, "encoder_logits (B, T, V)", 3)
    expected = (batch, decoder_logits.shape[1] if decoder_logits.ndim == 3 else None, vocabulary)
    if tuple(decoder_logits.shape) != expected:
        raise ValueError(
            f"decoder_logits must be (B, U + 1, V) = ({batch}, U + 1, {vocabulary}) like encoder_logits "
            f"{tuple(encoder_logits.shape)}, found {tuple(decoder_logits.shape)}"
        )
    if min(lm_scale, am_scale) < 0 or lm_scale + am_scale > 1:
        raise ValueError(
            f"lm_scale and am_scale must be at least 0 and at most 1 together, found {lm_scale}, {am_scale}"
        )
    shape = (batch, n_frames, expected[1], vocabulary)
    lengths = _checked(shape, targets, logit_lengths, target_lengths, blank_token_id, topology)
    tokens = _next_tokens(targets, lengths[1], blank_token_id)
    with torch.autocast(encoder_logits.device.type, enabled=False):
        scores = _simple_scores(
            precise(encoder_logits), precise(decoder_logits), tokens, blank_token_id, lm_scale, am_scale
        )
        losses, *occupations = path_losses(*scores, *lengths, topology, return_occupations)
    loss = _reduced(losses, lengths[1], reduction)
    return (loss, tuple(occupations)) if return_occupations else loss


def prune_ranges(
    token_occupations: torch.Tensor,
    blank_occupations: torch.Tensor,
    logit_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    prune_range: int = 5,
    topology: str = "regular",
) -> torch.Tensor:
    """The window of numbers of emitted tokens that matters most at each frame.

    A window's weight is the probability of a blank within it less that of the token that leads into it from below.
    Windows never go back, the first holds 0 and the last the number of target tokens; one starts at most R - 1 tokens
    (1 where a frame emits at most one token) after that of the frame before, so that a path through them exists.

    Args:
        token_occupations, blank_occupations: (B, T, U + 1), from `simple_rnnt_loss`.
        logit_lengths, target_lengths: (B,) int.
        prune_range: R. Raised where the frames of an utterance are too few for its tokens; U + 1 at most.
        topology: as for `rnnt_loss`.

    Returns:
        (B, T, R) int64: consecutive numbers of 0 … U.

    Raises:
        ValueError: a prune_range that leaves no path.
    """
    smallest = 2 if topology == "regular" else 1
    if prune_range < smallest:
        raise ValueError(f"prune_range must be at least {smallest} for the {topology} topology, found {prune_range}")
    n_frames, n_states = blank_occupations.shape[1:]
    device = blank_occupations.device
    frames = torch.arange(n_frames, device=device)
    logit_lengths, target_lengths = logit_lengths.to(device).long(), target_lengths.to(device).long()
    if topology == "regular":
        prune_range = max(prune_range, 1 + int((target_lengths / logit_lengths).ceil().max()))
    size = min(prune_range, n_states)
    jump = size - 1 if topology == "regular" else 1

    weight = blank_occupations.unfold(2, size, 1).sum(-1)  # (B, T, U + 2 - R)
    weight = weight - pad(token_occupations, (1, 0))[..., : n_states - size + 1]
    last = (target_lengths - size + 1).clamp(min=0)[:, None]
    start = torch.where(frames < logit_lengths[:, None] - 1, weight.argmax(-1), last)  # (B, T)
    start = _never_falling(start)
    slack = _never_falling(jump * frames - start).clamp(min=0)
    return (jump * frames - slack)[..., None] + torch.arange(size, device=device)


def take_ranges(states: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
    """The rows of (B, U + 1, D) that the windows (B, T, R) name: (B, T, R, D)."""
    batch = torch.arange(len(states), device=states.device)[:, None, None]
    return states[batch, ranges]


def pruned_rnnt_loss(
    logits: torch.Tensor,
    ranges: torch.Tensor,
    targets: torch.Tensor,
    logit_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank_token_id: int = 0,
    reduction: str = "mean_volume",
    topology: str = "regular",
) -> torch.Tensor:
    """Transducer loss over the paths within windows.

    Args:
        logits: (B, T, R, V); entry (t, r) belongs to cell (t, ranges[t, r]).
        ranges: (B, T, R) int64, from `prune_ranges`.
        targets, logit_lengths, target_lengths, blank_token_id, reduction, topology: as for `rnnt_loss`, to which the
            loss is equal where R = U + 1.

    Returns:
        As `rnnt_loss`.

    Raises:
        ValueError: as `rnnt_loss`; ranges that do not fit.
    """
    batch, n_frames, size, vocabulary = _shape(logits, "logits (B, T, R, V)", 4)
    n_states = targets.shape[1] + 1 if targets.ndim == 2 else 1
    lengths = _checked(
        (batch, n_frames, n_states, vocabulary), targets, logit_lengths, target_lengths, blank_token_id, topology
    )
    if tuple(ranges.shape) != (batch, n_frames, size):
        raise ValueError(f"ranges must be (B, T, R) = {(batch, n_frames, size)}, found {tuple(ranges.shape)}")
    if ranges.numel() and (int(ranges.min()) < 0 or int(ranges.max()) >= n_states):
        raise ValueError(
            f"ranges must be within 0 and U = {n_states - 1}, found {int(ranges.min())} to {int(ranges.max())}"
        )
    tokens = _next_tokens(targets, lengths[1], blank_token_id)[:, None].expand(batch, n_frames, n_states)
    windows = _ArcScores.apply(logits, tokens.gather(2, ranges), blank_token_id)  # two (B, T, R)
    nothing = windows[0].new_full((batch, n_frames, n_states), IMPOSSIBLE)
    scores = (nothing.scatter(2, ranges, window) for window in windows)
    return _reduced(path_losses(*scores, *lengths, topology)[0], lengths[1], reduction)


def _simple_scores(encoder_logits, decoder_logits, tokens, blank_token_id, lm_scale, am_scale):
    """Log-probabilities (B, T, U + 1) of the next tokens (B, U + 1) and of the blank under a joiner that is a sum."""
    tiny = torch.finfo(encoder_logits.dtype).tiny
    encoder_max, decoder_max = (one.detach().amax(-1, keepdim=True) for one in (encoder_logits, decoder_logits))
    encoder_parts = (encoder_logits - encoder_max).exp()  # (B, T, V)
    decoder_parts = (decoder_logits - decoder_max).exp()  # (B, U + 1, V)
    both = (encoder_parts @ decoder_parts.mT + tiny).log() + encoder_max + decoder_max.mT  # (B, T, U + 1)
    blanks = torch.full_like(tokens, blank_token_id)
    columns = tokens[:, None].expand(*both.shape)
    unigram = None
    if am_scale:
        unigram = (decoder_parts / decoder_parts.sum(-1, keepdim=True)).mean((0, 1)) + tiny  # (V,)
        encoder_only = (encoder_parts @ unigram[:, None]).log() + encoder_max  # (B, T, 1)
    scores = []
    for wanted, of_encoder in (
        (tokens, encoder_logits.gather(2, columns)),
        (blanks, encoder_logits[..., blank_token_id, None]),
    ):
        of_decoder = decoder_logits.gather(2, wanted[..., None]).mT  # (B, 1, U + 1)
        score = (1 - lm_scale - am_scale) * (of_encoder + of_decoder - both)
        if lm_scale:
            score = score + lm_scale * (of_decoder - decoder_logits.logsumexp(-1)[:, None])
        if am_scale:
            score = score + am_scale * (of_encoder + unigram.log()[wanted][:, None] - encoder_only)
        scores.append(score)
    return scores


class _ArcScores(torch.autograd.Function):
    """Log-softmax of logits (…, V) at tokens (…) and at the blank, without keeping the log-softmax."""

    @staticmethod
    def forward(ctx, logits, tokens, blank_token_id):
        values = precise(logits)
        total = values.logsumexp(-1)
        ctx.save_for_backward(logits, total, tokens)
        ctx.blank_token_id = blank_token_id
        return values.gather(-1, tokens[..., None])[..., 0] - total, values[..., blank_token_id] - total

    @staticmethod
    @once_differentiable
    def backward(ctx, token_gradient, blank_gradient):
        logits, total, tokens = ctx.saved_tensors
        weight = -(token_gradient + blank_gradient)
        gradient = (precise(logits) - total[..., None]).exp_().mul_(weight[..., None])
        gradient.masked_fill_(weight[..., None] == 0, 0)  # padding may hold anything
        gradient.scatter_add_(-1, tokens[..., None], token_gradient[..., None])
        gradient[..., ctx.blank_token_id] += blank_gradient
        return gradient.to(logits.dtype), None, None


def _never_falling(values: torch.Tensor) -> torch.Tensor:
    """The largest integers (B, T) that are at most `values` and never fall from one frame to the next."""
    return values.flip(-1).cummin(-1).values.flip(-1)


def _next_tokens(targets: torch.Tensor, target_lengths: torch.Tensor, blank_token_id: int) -> torch.Tensor:
    """The token that follows each state (B, U + 1); the blank where none does."""
    valid = torch.arange(targets.shape[1], device=targets.device) < target_lengths[:, None]
    return pad(targets.long().masked_fill(~valid, blank_token_id), (0, 1), value=blank_token_id)


def _shape(values: torch.Tensor, what: str, n_axes: int) -> torch.Size:
    if values.ndim != n_axes or not values.is_floating_point():
        raise ValueError(f"{what} must be of a float type, found {tuple(values.shape)} {values.dtype}")
    return values.shape


def _checked(shape, targets, logit_lengths, target_lengths, blank_token_id, topology):
    """Both lengths, int64 on the device of the targets."""
    batch, n_frames, n_states, vocabulary = shape
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology must be one of {', '.join(TOPOLOGIES)}, found {topology!r}")
    if not 0 <= blank_token_id < vocabulary:
        raise ValueError(f"blank_token_id must be below the vocabulary of {vocabulary}, found {blank_token_id}")
    if tuple(targets.shape) != (batch, n_states - 1):
        raise ValueError(
            f"targets must be (B, U) = {(batch, n_states - 1)} to fit the logits, found {tuple(targets.shape)}"
        )
    lengths = []
    for name, found, least, most in (
        ("logit_lengths", logit_lengths, 1, n_frames),
        ("target_lengths", target_lengths, 0, n_states - 1),
    ):
        if tuple(found.shape) != (batch,):
            raise ValueError(f"{name} must be ({batch},), one per utterance, found {tuple(found.shape)}")
        for row, length in enumerate(found.tolist()):
            if not least <= length <= most:
                raise ValueError(f"{name}[{row}] must be within {least} and {most}, found {length}")
        lengths.append(found.to(targets.device).long())
    for row, (length, count) in enumerate(zip(*(one.tolist() for one in lengths), strict=True)):
        if topology != "regular" and count > length:
            raise ValueError(
                f"utterance {row} has {count} target tokens and {length} frames; the {topology} topology emits at most "
                "one token in a frame: leave it out or use the regular topology"
            )
    valid = torch.arange(n_states - 1, device=targets.device) < lengths[1][:, None]
    wrong = valid & ((targets < 0) | (targets >= vocabulary) | (targets == blank_token_id))
    for row, column in wrong.nonzero()[:1].tolist():
        raise ValueError(
            f"targets[{row}, {column}] is {int(targets[row, column])}; targets must be token ids below {vocabulary} "
            f"other than the blank, {blank_token_id}"
        )
    return lengths


def _reduced(losses: torch.Tensor, target_lengths: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, found {reduction!r}")
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean_batch":
        return losses.mean()
    if reduction == "mean":
        return (losses / target_lengths.clamp(min=1)).mean()
    return losses.sum() / target_lengths.sum().clamp(min=1)
