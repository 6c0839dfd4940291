"""Search for the best token sequences, in batches: greedy and beam search of a transducer and of an attention decoder.

B utterances, T encoder frames, D channels of the encoder, K hypotheses per utterance, V tokens of the vocabulary.

Each search returns the tokens of every utterance, without blank, start and end, and their log-probabilities.
"""

import torch
from torch.nn.functional import pad

from .heads_zipformer import Joiner, PredictionNetwork, TransformerDecoder

Found = tuple[list[list[int]], list[float]]


def greedy_search(
    prediction: PredictionNetwork,
    joiner: Joiner,
    frames: torch.Tensor,
    lengths: torch.Tensor,
    blank_token_id: int,
    max_symbols_per_frame: int = 1,
) -> Found:
    """Take the most probable symbol; a blank, or the last symbol of a frame, leads on to the next frame.

    The log-probability is that of the path.

    Args:
        frames: (B, T, D).
        lengths: (B,) int, frames of each utterance.
        blank_token_id: index of the blank.
        max_symbols_per_frame: tokens that a frame may emit.
    """
    batch, n_frames = frames.shape[:2]
    frames = joiner.encoder_proj(frames)
    context = torch.tensor([_start(prediction, blank_token_id)], device=frames.device).expand(batch, -1)
    state = joiner.decoder_proj(prediction.step(context))
    tokens = torch.full((batch, n_frames, max_symbols_per_frame), blank_token_id, device=frames.device)
    scores = frames.new_zeros(batch, dtype=torch.float32)
    for t in range(n_frames):
        active = t < lengths
        for number in range(max_symbols_per_frame):
            best, symbol = joiner(frames[:, t], state).float().log_softmax(-1).max(-1)
            scores += best.masked_fill(~active, 0)
            active = active & (symbol != blank_token_id)
            tokens[:, t, number] = symbol.masked_fill(~active, blank_token_id)
            context = torch.where(active[:, None], torch.cat([context[:, 1:], symbol[:, None]], 1), context)
            state = joiner.decoder_proj(prediction.step(context))
            if max_symbols_per_frame > 1 and not active.any():
                break
    found = [[token for token in row if token != blank_token_id] for row in tokens.flatten(1).tolist()]
    return found, scores.tolist()


def modified_beam_search(
    prediction: PredictionNetwork,
    joiner: Joiner,
    frames: torch.Tensor,
    lengths: torch.Tensor,
    blank_token_id: int,
    num_beams: int = 4,
    length_normalized: bool = True,
) -> Found:
    """Beam search where a frame emits at most one token and paths of the same tokens add up.

    At each frame the best K of all continuations stay; of these, those that spell the same are then one hypothesis.
    The log-probability is that of all paths kept: with a beam wide enough to keep all, the negative of `rnnt_loss` of
    the modified topology.

    Args:
        frames: (B, T, D).
        lengths: (B,) int, frames of each utterance.
        blank_token_id: index of the blank.
        num_beams: K.
        length_normalized: choose by log-probability per token, counting the `context_size` symbols before the first
            one, as icefall does; otherwise by log-probability.
    """
    frames = joiner.encoder_proj(frames)
    start = _start(prediction, blank_token_id)
    hypotheses: list[dict[tuple[int, ...], float]] = [{(): 0.0} for _ in frames]
    lengths = lengths.tolist()
    for t in range(max(lengths)):
        active = [row for row, length in enumerate(lengths) if t < length]
        kept = [list(hypotheses[row].items()) for row in active]
        width = max(map(len, kept))
        contexts = [[(*start, *spelt)[-len(start) :] for spelt, _ in one] for one in kept]
        contexts = [one + [tuple(start)] * (width - len(one)) for one in contexts]
        before = [[score for _, score in one] + [float("-inf")] * (width - len(one)) for one in kept]
        state = joiner.decoder_proj(prediction.step(torch.tensor(contexts, device=frames.device)))  # (active, K, …)
        scores = joiner(frames[active, t, None], state).float().log_softmax(-1)  # (active, K, V)
        scores = scores + torch.tensor(before, device=frames.device)[..., None]
        vocabulary = scores.shape[-1]
        best, index = scores.flatten(1).topk(min(num_beams, width * vocabulary))
        for row, one, values, indices in zip(active, kept, best.tolist(), index.tolist(), strict=True):
            merged: dict[tuple[int, ...], list[float]] = {}
            for value, place in zip(values, indices, strict=True):
                if value > float("-inf"):
                    parent, token = divmod(place, vocabulary)
                    spelt = one[parent][0] + (() if token == blank_token_id else (token,))
                    merged.setdefault(spelt, []).append(value)
            hypotheses[row] = {spelt: _log_sum(values) for spelt, values in merged.items()}
    found = []
    for one in hypotheses:
        found.append(max(one, key=lambda spelt, of=one: of[spelt] / (len(spelt) + len(start)) ** length_normalized))
    return [list(spelt) for spelt in found], [one[spelt] for one, spelt in zip(hypotheses, found, strict=True)]


def attention_search(
    decoder: TransformerDecoder,
    frames: torch.Tensor,
    frame_mask: torch.Tensor,
    prompts: torch.Tensor,
    eos_token_id: int,
    max_new_tokens: int,
    num_beams: int = 1,
    length_penalty: float = 1.0,
) -> Found:
    """Beam search of the attention decoder; greedy with one hypothesis.

    The best hypothesis has the highest log-probability / (tokens with the end) ** length_penalty. The search for an
    utterance is over when K hypotheses have ended and none that goes on is better so far than the worst of the best K;
    where none has ended, the best of those without end is taken.

    Args:
        frames: (B, T, D).
        frame_mask: (B, T) bool, True = speech.
        prompts: (B, P) int, tokens that the decoder is given first.
        eos_token_id: index of the end.
        max_new_tokens: tokens at most, with the end.
        num_beams: K.
        length_penalty: 0 prefers short sequences, more than 1 long ones.
    """
    batch, device = len(frames), frames.device
    cache = decoder.start(frames.repeat_interleave(num_beams, 0), frame_mask.repeat_interleave(num_beams, 0))
    tokens = prompts.repeat_interleave(num_beams, 0)
    scores = torch.full((batch, num_beams), float("-inf"), device=device)
    scores[:, 0] = 0
    live: list[list[tuple[list[int], float]]] = [[([], 0.0)] for _ in range(batch)]
    ended: list[list[tuple[list[int], float]]] = [[] for _ in range(batch)]  # with the end

    def rank(one: tuple[list[int], float]) -> float:
        return one[1] / len(one[0]) ** length_penalty if one[0] else 0.0

    for _ in range(max_new_tokens):
        following = decoder(tokens, cache)[:, -1].float().log_softmax(-1)  # (B K, V)
        vocabulary = following.shape[-1]
        following = following.view(batch, num_beams, vocabulary) + scores[..., None]
        best, index = following.flatten(1).topk(min(2 * num_beams, num_beams * vocabulary))
        steps = []  # of all rows: parent, token, log-probability
        for row, (values, indices) in enumerate(zip(best.tolist(), index.tolist(), strict=True)):
            new = []
            for place, (value, candidate) in enumerate(zip(values, indices, strict=True)):
                parent, token = divmod(candidate, vocabulary)
                if value == float("-inf"):
                    break
                if token != eos_token_id and len(new) < num_beams:
                    new.append((parent, token, value))
                elif token == eos_token_id and place < num_beams:
                    ended[row].append(([*live[row][parent][0], token], value))
            if new:
                live[row] = [([*live[row][parent][0], token], value) for parent, token, value in new]
            ended[row] = sorted(ended[row], key=rank, reverse=True)[:num_beams]
            if len(ended[row]) == num_beams and rank(ended[row][-1]) >= max(map(rank, live[row])):
                new = []
            steps += new + [(0, eos_token_id, float("-inf"))] * (num_beams - len(new))
        parents, chosen, values = zip(*steps, strict=True)
        scores = torch.tensor(values, device=device).view(batch, num_beams)
        if bool((scores == float("-inf")).all()):
            break
        rows = torch.arange(batch, device=device).repeat_interleave(num_beams) * num_beams
        cache.reorder(rows + torch.tensor(parents, device=device))
        tokens = torch.tensor(chosen, device=device)[:, None]
    found = [max(ended[row] or live[row], key=rank) for row in range(batch)]
    return [[token for token in one if token != eos_token_id] for one, _ in found], [score for _, score in found]


def padded(rows: list[list[int]], value: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists → (B, U) int64, padded on the right with `value`, and their lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    width = max(map(len, rows))
    return torch.stack(
        [pad(torch.tensor(row, dtype=torch.long, device=device), (0, width - len(row)), value=value) for row in rows]
    ), lengths


def _start(prediction: PredictionNetwork, blank_token_id: int) -> list[int]:
    """The context before the first token: no tokens, then the blank."""
    return [-1] * (prediction.context_size - 1) + [blank_token_id]


def _log_sum(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).logsumexp(0))
