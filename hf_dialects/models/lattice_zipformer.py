"""The lattice of a transducer: the sum over its paths, and how probable each of its arcs is.

B utterances, T encoder frames, U target tokens, N rows of the recursion.

An utterance has the cells (t, u): t frames passed, u tokens emitted. From each leads an arc for the blank and one for
the next token. The topology says where to:

    regular      blank to (t + 1, u), token to (t, u + 1): any number of tokens in a frame
    modified     blank to (t + 1, u), token to (t + 1, u + 1): at most one token in a frame
    constrained  as modified, and a token is followed by a blank within its frame

The recursion goes over rows of cells that depend on the row before only: diagonals t + u for the regular topology,
frames for the others. The gradient of an arc's log-probability is the probability that a path takes the arc, so that
nothing is recorded for a backward pass through the loop.

Source: Graves 2012, "Sequence transduction with recurrent neural networks", sections 2.4 and 2.5.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

TOPOLOGIES = ("regular", "modified", "constrained")
IMPOSSIBLE = float("-inf")


def path_losses(
    tokens: torch.Tensor,
    blanks: torch.Tensor,
    logit_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    topology: str = "regular",
    want_occupations: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """-log of the sum over the paths from (0, 0) to (T_b, U_b), differentiable.

    Args:
        tokens, blanks: (B, T, U + 1) float32 or float64, log-probabilities of the arcs that leave each cell; what is
            beyond the lengths does not count. The sums are in float64 where the device has it: in float32 the
            gradients of a minute of speech would be off by 0.01.
        logit_lengths, target_lengths: (B,) int64.
        topology: one of `TOPOLOGIES`.
        want_occupations: compute the last two results also where no gradient is needed; None otherwise.

    Returns:
        Losses (B,), infinite where no path is possible; the probabilities (B, T, U + 1) that a path takes the token's
        arc and the blank's, without gradient.

    Raises:
        ValueError: NaN.
    """
    frames = torch.arange(tokens.shape[1], device=tokens.device)[:, None]
    states = torch.arange(tokens.shape[2], device=tokens.device)
    length, count = logit_lengths[:, None, None], target_lengths[:, None, None]
    tokens = tokens.masked_fill((frames >= length) | (states >= count), IMPOSSIBLE)
    blanks = blanks.masked_fill((frames >= length) | (states > count), IMPOSSIBLE)
    for row in (tokens.isnan() | blanks.isnan()).flatten(1).any(1).nonzero()[:1, 0].tolist():
        raise ValueError(f"the log-probabilities of utterance {row} hold NaN: its logits must be finite")
    if topology == "constrained":
        tokens = tokens + pad(blanks[..., 1:], (0, 1))
    want_occupations = want_occupations or tokens.requires_grad or blanks.requires_grad
    total, *occupations = _LogProbability.apply(
        tokens, blanks, logit_lengths, target_lengths, topology == "regular", want_occupations
    )
    return -total, *occupations


class _LogProbability(torch.autograd.Function):
    """Log of the sum over all paths (B,), and the probability that a path takes an arc, two of (B, T, U + 1)."""

    @staticmethod
    def forward(ctx, tokens, blanks, logit_lengths, target_lengths, diagonal, want_occupations):
        n_frames, dtype = tokens.shape[1], tokens.dtype
        if tokens.device.type != "mps":
            tokens, blanks = tokens.double(), blanks.double()
        token_rows, blank_rows = _rows(tokens, diagonal), _rows(blanks, diagonal)  # (N, B, U + 1)
        n_rows, batch, n_states = token_rows.shape
        # beyond the last cell a free blank leads on to the last row: all utterances end in it
        end = logit_lengths + target_lengths if diagonal else logit_lengths
        rows = torch.arange(n_rows, device=tokens.device)[:, None, None]
        states = torch.arange(n_states, device=tokens.device)
        blank_rows.masked_fill_((rows >= end[:, None]) & (states == target_lengths[:, None]), 0)

        forward = tokens.new_full((n_rows + 1, batch, 1 + n_states), IMPOSSIBLE)  # a state before 0 is never reached
        forward[0, :, 1] = 0
        arriving = pad(token_rows[..., :-1], (1, 0), value=IMPOSSIBLE)
        for n in range(n_rows):
            torch.logaddexp(
                forward[n, :, 1:] + blank_rows[n], forward[n, :, :-1] + arriving[n], out=forward[n + 1, :, 1:]
            )
        forward = forward[..., 1:]
        total = forward[-1].gather(1, target_lengths[:, None])[:, 0]
        if not want_occupations:
            return total.to(dtype), None, None

        backward = tokens.new_full((n_rows + 1, batch, n_states + 1), IMPOSSIBLE)
        backward[-1].scatter_(1, target_lengths[:, None], 0)
        for n in reversed(range(n_rows)):
            following = backward[n + 1]
            torch.logaddexp(
                following[:, :-1] + blank_rows[n], following[:, 1:] + token_rows[n], out=backward[n, :, :-1]
            )
        before = forward[:-1] - total.masked_fill(total == IMPOSSIBLE, 0)[:, None]
        token_rows += before + backward[1:, :, 1:]
        blank_rows += before + backward[1:, :, :-1]
        valid = torch.arange(n_frames, device=tokens.device)[:, None] < logit_lengths[:, None, None]
        occupations = [(_grid(one.exp_(), n_frames, diagonal) * valid).to(dtype) for one in (token_rows, blank_rows)]
        ctx.save_for_backward(*occupations)
        ctx.mark_non_differentiable(*occupations)
        return total.to(dtype), *occupations

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        tokens, blanks = ctx.saved_tensors
        return gradient[:, None, None] * tokens, gradient[:, None, None] * blanks, None, None, None, None


def _rows(scores: torch.Tensor, diagonal: bool) -> torch.Tensor:
    """(B, T, U + 1) → rows of the recursion (N, B, U + 1): row n holds the cells t + u = n, or the frame t = n.

    A view of a row that is one entry longer than the next shifts each state by one.
    """
    if not diagonal:
        return scores.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    batch, n_frames, n_states = scores.shape
    n_rows = n_frames + n_states - 1
    wide = pad(scores.mT, (0, n_states), value=IMPOSSIBLE).flatten(1)
    return wide[:, : n_states * n_rows].view(batch, n_states, n_rows).permute(2, 0, 1).contiguous()


def _grid(rows: torch.Tensor, n_frames: int, diagonal: bool) -> torch.Tensor:
    """The inverse of `_rows`."""
    if not diagonal:
        return rows.transpose(0, 1)
    n_rows, batch, n_states = rows.shape
    flat = pad(rows.permute(1, 2, 0).flatten(1), (0, n_states))
    return flat.view(batch, n_states, n_rows + 1)[..., :n_frames].mT
