"""Searches: against plain loops over one utterance, against all sequences one by one, batches against single ones."""

import math
from itertools import product

import pytest
import torch

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.decoding_zipformer import attention_search, greedy_search, modified_beam_search, padded
from hf_dialects.models.heads_zipformer import Joiner, PredictionNetwork, TransformerDecoder
from hf_dialects.models.transducer_zipformer import rnnt_loss

BLANK, END = 0, 1
LENGTHS = torch.tensor([9, 4, 12, 1])


def drawn(module, scale):
    """The module in eval mode with weights from N(0, scale), so that what comes next depends on what was."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in module.parameters():
            one.copy_(scale * torch.randn(one.shape, generator=generator))
    return module.eval()


def transducer(vocabulary=6, context_size=2):
    config = ZipformerConfig(vocab_size=vocabulary, decoder_dim=8, joiner_dim=8, context_size=context_size)
    prediction, joiner = drawn(PredictionNetwork(config), 0.8), drawn(Joiner(config), 0.3)
    with torch.no_grad():
        joiner.output_linear.bias[BLANK] += 1.5  # so that searches meet blanks and tokens
    return prediction, joiner, config.hidden_size


def attention_decoder(vocabulary=5):
    config = ZipformerConfig(
        vocab_size=vocabulary,
        attention_decoder_layers=2,
        attention_decoder_dim=8,
        attention_decoder_heads=2,
        attention_decoder_ffn_dim=16,
    )
    return drawn(TransformerDecoder(config), 0.5), config.hidden_size


def noise(lengths, channels, scale=0.3, seed=0):
    """(B, T, D) of random numbers, padding included."""
    shape = len(lengths), int(lengths.max()), channels
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def log_probs(prediction, joiner, frame, tokens):
    """Log-probabilities (V,) of the next symbol after a frame (D,) and a list of tokens."""
    history = torch.tensor([[BLANK, *tokens]])
    state = joiner.decoder_proj(prediction(history)[0, -1])
    return joiner(joiner.encoder_proj(frame), state).log_softmax(-1)


def plain_greedy(prediction, joiner, frames, max_symbols):
    tokens, score = [], 0.0
    for frame in frames:
        for _ in range(max_symbols):
            best, symbol = log_probs(prediction, joiner, frame, tokens).max(-1)
            score += best.item()
            if symbol == BLANK:
                break
            tokens.append(symbol.item())
    return tokens, score


def plain_beam(prediction, joiner, frames, num_beams):
    """All hypotheses at the end, {tokens: log-probability}."""
    beam = {(): 0.0}
    for frame in frames:
        every = []
        for tokens, score in beam.items():
            following = log_probs(prediction, joiner, frame, tokens)
            for symbol, value in enumerate(following.tolist()):
                every.append((score + value, tokens if symbol == BLANK else (*tokens, symbol)))
        beam = {}
        for score, tokens in sorted(every, reverse=True)[:num_beams]:
            beam[tokens] = math.log(math.exp(score) + math.exp(beam.get(tokens, -math.inf)))
    return beam


@pytest.mark.parametrize("context_size", [1, 2, 3])
def test_step_of_the_prediction_network_is_its_last_output(context_size):
    prediction, *_ = transducer(context_size=context_size)
    tokens = torch.tensor([[0, 3, 5, 2, 4], [0, 1, 1, 4, 3]])
    torch.testing.assert_close(prediction.step(tokens[:, -context_size:]), prediction(tokens)[:, -1])
    start = torch.tensor([[-1] * (context_size - 1) + [BLANK]])
    torch.testing.assert_close(prediction.step(start), prediction(tokens)[:1, 0])


def test_prediction_network_by_hand():
    prediction, *_ = transducer()
    weight, embedding = prediction.conv.weight, prediction.embedding.weight  # (8, 4, 2), two groups of four channels
    expected = [
        max(
            0.0,
            sum(
                (weight[c, i, k] * embedding[token][4 * (c // 4) + i]).item()
                for i in range(4)
                for k, token in enumerate((3, 5))
            ),
        )
        for c in range(8)
    ]
    assert prediction(torch.tensor([[0, 3, 5]]))[0, -1].tolist() == pytest.approx(expected, abs=1e-6)
    assert any(expected)


@torch.no_grad()
@pytest.mark.parametrize("context_size", [1, 2, 3])
@pytest.mark.parametrize("max_symbols", [1, 3])
def test_greedy_is_the_plain_loop(context_size, max_symbols):
    prediction, joiner, channels = transducer(context_size=context_size)
    frames = noise(LENGTHS, channels)
    found, scores = greedy_search(prediction, joiner, frames, LENGTHS, BLANK, max_symbols)
    for row, length in enumerate(LENGTHS.tolist()):
        tokens, score = plain_greedy(prediction, joiner, frames[row, :length], max_symbols)
        assert found[row] == tokens
        assert scores[row] == pytest.approx(score, abs=1e-4)
    longest = max(map(len, found))
    assert longest < 12 if max_symbols == 1 else longest > 12, "blanks, and frames of several tokens"
    assert len({tuple(one) for one in found}) == 4


@torch.no_grad()
@pytest.mark.parametrize("num_beams", [1, 2, 5])
@pytest.mark.parametrize("context_size", [1, 2])
def test_beam_is_the_plain_loop(num_beams, context_size):
    prediction, joiner, channels = transducer(context_size=context_size)
    frames = noise(LENGTHS, channels)
    found, scores = modified_beam_search(prediction, joiner, frames, LENGTHS, BLANK, num_beams)
    for row, length in enumerate(LENGTHS.tolist()):
        beam = plain_beam(prediction, joiner, frames[row, :length], num_beams)
        best = max(beam, key=lambda tokens, of=beam: of[tokens] / (len(tokens) + context_size))
        assert tuple(found[row]) == best
        assert scores[row] == pytest.approx(beam[best], abs=1e-4)
    greedy = greedy_search(prediction, joiner, frames, LENGTHS, BLANK)[0]
    assert (found == greedy) == (num_beams == 1)


@torch.no_grad()
@pytest.mark.parametrize("length_normalized", [False, True])
def test_a_wide_beam_finds_the_best_of_all_sequences(length_normalized):
    prediction, joiner, channels = transducer(vocabulary=3)
    n_frames = 4
    frames = noise(torch.tensor([n_frames]), channels)
    every = [tokens for length in range(n_frames + 1) for tokens in product((1, 2), repeat=length)]
    scores = {}
    for tokens in every:
        states = joiner.decoder_proj(prediction(torch.tensor([[BLANK, *tokens]])))
        logits = joiner(joiner.encoder_proj(frames)[:, :, None], states[:, None])
        lengths = torch.tensor([n_frames]), torch.tensor([len(tokens)])
        target = torch.tensor([tokens], dtype=torch.long)
        scores[tokens] = -rnnt_loss(logits, target, *lengths, reduction="sum", topology="modified").item()
    assert math.fsum(map(math.exp, scores.values())) == pytest.approx(1, abs=1e-5)
    best = max(every, key=lambda tokens: scores[tokens] / (len(tokens) + 2) ** length_normalized)
    lengths = torch.tensor([n_frames])
    found, [score] = modified_beam_search(prediction, joiner, frames, lengths, BLANK, 1000, length_normalized)
    assert tuple(found[0]) == best
    assert score == pytest.approx(scores[best], abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("search", "options"), [(greedy_search, (2,)), (modified_beam_search, (4,))])
def test_a_batch_of_the_transducer_gives_what_single_utterances_give(search, options):
    prediction, joiner, channels = transducer()
    frames = noise(LENGTHS, channels)
    found, scores = search(prediction, joiner, frames, LENGTHS, BLANK, *options)
    for row, length in enumerate(LENGTHS.tolist()):
        one = search(prediction, joiner, frames[row : row + 1, :length], LENGTHS[row : row + 1], BLANK, *options)
        assert one[0] == [found[row]]
        assert one[1] == pytest.approx([scores[row]], abs=1e-4)


def following(decoder, frames, tokens):
    """Log-probabilities (V,) of what follows the tokens, without a cache."""
    cache = decoder.start(frames[None], torch.ones(1, len(frames), dtype=torch.bool))
    return decoder(torch.tensor([tokens]), cache)[0, -1].log_softmax(-1).tolist()


def plain_attention_beam(decoder, frames, prompt, num_beams, limit):
    """(tokens, log-probability) of one utterance; lists instead of tensors, no cache."""
    live, ended = [(0.0, [])], []
    for _ in range(limit):
        every = []
        for score, tokens in live:
            values = following(decoder, frames, [*prompt, *tokens])
            every += [(score + value, [*tokens, token]) for token, value in enumerate(values)]
        every.sort(reverse=True)
        live = [one for one in every if one[1][-1] != END][:num_beams]
        ended += [one for one in every[:num_beams] if one[1][-1] == END]
        means = sorted((score / len(tokens) for score, tokens in ended), reverse=True)
        if len(ended) >= num_beams and means[num_beams - 1] >= max(score / len(tokens) for score, tokens in live):
            break
    score, tokens = max(ended or live, key=lambda one: one[0] / len(one[1]))
    return [token for token in tokens if token != END], score


def ragged_mask(lengths):
    return torch.arange(int(lengths.max())) < lengths[:, None]


@torch.no_grad()
def test_attention_decoder_step_by_step_is_the_whole():
    decoder, channels = attention_decoder()
    frames, mask = noise(LENGTHS, channels), ragged_mask(LENGTHS)
    tokens = torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(0))
    whole = decoder(tokens, decoder.start(frames, mask))
    cache = decoder.start(frames, mask)
    steps = [decoder(tokens[:, :3], cache), *(decoder(tokens[:, i : i + 1], cache) for i in range(3, 6))]
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 5
    later = decoder(changed, decoder.start(frames, mask))
    assert torch.equal(later[:, :4], whole[:, :4])
    assert not torch.isclose(later[:, 4:], whole[:, 4:]).all(-1).any()
    noisy = frames.masked_fill(~mask[..., None], 1e3)
    torch.testing.assert_close(decoder(tokens, decoder.start(noisy, mask)), whole)


@torch.no_grad()
@pytest.mark.parametrize("num_beams", [1, 2, 4])
@pytest.mark.parametrize("prefix", [[], [3], [4, 2]])
def test_attention_beam_is_the_plain_loop(num_beams, prefix):
    decoder, channels = attention_decoder()
    frames, prompt = noise(LENGTHS, channels), [END, *prefix]
    prompts = torch.tensor([prompt] * 4)
    found, scores = attention_search(decoder, frames, ragged_mask(LENGTHS), prompts, END, 7, num_beams)
    for row, length in enumerate(LENGTHS.tolist()):
        tokens, score = plain_attention_beam(decoder, frames[row, :length], prompt, num_beams, 7)
        assert found[row] == tokens
        assert scores[row] == pytest.approx(score, abs=1e-4)


@torch.no_grad()
def test_prefixes_of_rows_lead_to_different_tokens():
    decoder, channels = attention_decoder()
    frames = noise(torch.tensor([9]), channels).expand(3, -1, -1)
    prompts = torch.tensor([[END, 2], [END, 3], [END, 4]])
    found, _ = attention_search(decoder, frames, torch.ones(3, 9, dtype=torch.bool), prompts, END, 6)
    assert len({tuple(one) for one in found}) == 3


@torch.no_grad()
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_attention_beam_finds_the_best_of_all_sequences(length_penalty):
    decoder, channels = attention_decoder(vocabulary=4)
    frames, limit = noise(torch.tensor([5]), channels), 4
    scores = {}
    for length in range(limit):
        for tokens in product((0, 2, 3), repeat=length):
            spelt, total = [END, *tokens, END], 0.0
            for i in range(1, len(spelt)):
                total += following(decoder, frames[0], spelt[:i])[spelt[i]]
            scores[tokens] = total
    best = max(scores, key=lambda tokens: scores[tokens] / (len(tokens) + 1) ** length_penalty)
    mask = torch.ones(1, 5, dtype=torch.bool)
    found, [score] = attention_search(decoder, frames, mask, torch.tensor([[END]]), END, limit, 200, length_penalty)
    assert tuple(found[0]) == best
    assert score == pytest.approx(scores[best], abs=1e-5)


def test_token_lists_become_a_tensor():
    sequences, lengths = padded([[3, 4], [], [5]], 0, torch.device("cpu"))
    assert sequences.tolist() == [[3, 4], [0, 0], [5, 0]]
    assert lengths.tolist() == [2, 0, 1]
    sequences, lengths = padded([[], []], 0, torch.device("cpu"))
    assert sequences.shape == (2, 0)
    assert sequences.dtype == torch.long
