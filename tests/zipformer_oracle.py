"""A Zipformer encoder for one utterance in plain loops over frames, heads and taps, independent of the package.

Frames are lists of vectors (numpy, float64); parameters a dict of arrays by name.
"""

import math

import numpy as np


def encode(p, config, frames, length):
    """Output frames of an utterance of `length` frames in a batch padded to `len(frames)`."""
    outputs, x = [], frames
    for stack, factor in enumerate(config.downsampling_factors):
        x = [resized(frame, config.encoder_dims[stack]) for frame in x]
        prefix, options = f"encoders.{stack}.", (config, stack, length)
        if factor == 1:
            x = layers(p, prefix, x, *options)
        else:
            slow = downsample(p[f"{prefix}downsample.bias"], x)
            slow = layers(p, f"{prefix}encoder.", slow, *options)
            scale = p[f"{prefix}out_combiner.bypass_scale"]
            x = [frame + (slow[t // factor] - frame) * scale for t, frame in enumerate(x)]
        outputs.append(x)
    x = outputs[-1]
    for earlier in outputs[-2::-1]:
        x = [np.concatenate([frame, other[len(frame) :]]) for frame, other in zip(x, earlier, strict=True)]
    return downsample(p["downsample_output.bias"], x)


def layers(p, prefix, x, config, stack, length):
    factor, chunk = config.downsampling_factors[stack], config.chunk_size
    sound = [t * factor < length for t in range(len(x))]

    def sees(i, j):
        if chunk > 0:
            own, other = i * factor // chunk, j * factor // chunk
            left = max(1, config.left_context_frames // chunk) if config.left_context_frames >= 0 else own
            if not own - left <= other <= own:
                return False
        return sound[j]

    for number in range(config.num_encoder_layers[stack]):
        name, start = f"{prefix}layers.{number}.", x
        weights = attention_weights(p, f"{name}self_attn_weights.", x, sees, config, config.num_heads[stack])
        x = plus(x, feed_forward(p, f"{name}feed_forward1.", x))
        x = plus(x, nonlin_attention(p, f"{name}nonlin_attention.", x, weights[0]))
        x = plus(x, self_attention(p, f"{name}self_attn1.", x, weights, config.value_head_dim))
        x = plus(x, convolution(p, f"{name}conv_module1.", x, sound, config.causal, chunk // factor))
        x = plus(x, feed_forward(p, f"{name}feed_forward2.", x))
        x = bypass(p, f"{name}bypass_mid.", start, x)
        x = plus(x, self_attention(p, f"{name}self_attn2.", x, weights, config.value_head_dim))
        x = plus(x, convolution(p, f"{name}conv_module2.", x, sound, config.causal, chunk // factor))
        x = plus(x, feed_forward(p, f"{name}feed_forward3.", x))
        bias, log_scale = p[f"{name}norm.bias"], p[f"{name}norm.log_scale"]
        x = [frame * math.exp(log_scale) / math.sqrt(np.mean((frame - bias) ** 2)) for frame in x]
        x = bypass(p, f"{name}bypass.", start, x)
    return x


def attention_weights(p, prefix, x, sees, config, num_heads):
    """weights[h][i][j]"""
    q, k, s = config.query_head_dim, config.query_head_dim, config.pos_head_dim
    projected = [linear(p, f"{prefix}in_proj", frame) for frame in x]
    weights = []
    for h in range(num_heads):
        rows = []
        for i, mine in enumerate(projected):
            query = mine[h * q : (h + 1) * q]
            place_query = mine[num_heads * (q + k) + h * s : num_heads * (q + k) + (h + 1) * s]
            scores = []
            for j, other in enumerate(projected):
                key = other[num_heads * q + h * k : num_heads * q + (h + 1) * k]
                place = (p[f"{prefix}linear_pos.weight"] @ position(j - i, config.pos_dim))[h * s : (h + 1) * s]
                scores.append(query @ key + place_query @ place if sees(i, j) else -1000.0)
            exponentials = [math.exp(score - max(scores)) for score in scores]
            rows.append([one / sum(exponentials) for one in exponentials])
        weights.append(rows)
    return weights


def position(offset, dim):
    root = math.sqrt(dim)
    compressed = root * np.sign(offset) * (math.log(abs(offset) + root) - math.log(root))
    angle = math.atan(2 * math.pi * compressed / dim)
    vector = [f((k + 1) * angle) for k in range(dim // 2) for f in (math.cos, math.sin)]
    return np.array([*vector[:-1], 1.0])


def self_attention(p, prefix, x, weights, size):
    values = [linear(p, f"{prefix}in_proj", frame) for frame in x]
    mixed = []
    for i in range(len(x)):
        heads = [
            sum(row[i][j] * value[h * size : (h + 1) * size] for j, value in enumerate(values))
            for h, row in enumerate(weights)
        ]
        mixed.append(linear(p, f"{prefix}out_proj", np.concatenate(heads)))
    return mixed


def nonlin_attention(p, prefix, x, weights):
    parts = [np.split(linear(p, f"{prefix}in_proj", frame), 3) for frame in x]
    inner = [value * np.tanh(gate) for gate, value, _ in parts]
    averaged = [sum(w * one for w, one in zip(row, inner, strict=True)) for row in weights]
    return [linear(p, f"{prefix}out_proj", one * part[2]) for one, part in zip(averaged, parts, strict=True)]


def feed_forward(p, prefix, x):
    hidden = [swoosh(linear(p, f"{prefix}in_proj", frame), 4, 0.035) for frame in x]
    return [linear(p, f"{prefix}out_proj", frame) for frame in hidden]


def convolution(p, prefix, x, sound, causal, chunk):
    halves = [np.split(linear(p, f"{prefix}in_proj", frame), 2) for frame in x]
    gated = [a / (1 + np.exp(-b)) * kept for (a, b), kept in zip(halves, sound, strict=True)]
    name = f"{prefix}depthwise_conv"
    if causal:
        made = chunk_causal(p, f"{name}.", gated, chunk if 0 < chunk <= len(x) else len(x))
    else:
        made = [taps(p, name, gated, t, 0, len(x)) for t in range(len(x))]
    return [linear(p, f"{prefix}out_proj", swoosh(frame, 1, 0.313261687)) for frame in made]


def chunk_causal(p, prefix, x, chunk):
    scale = p[f"{prefix}chunkwise_conv_scale"]
    size, made = scale.shape[-1], []
    for t in range(len(x)):
        start = t // chunk * chunk
        from_start, from_end = t - start, start + chunk - t
        factor = 1.0
        if from_start < size:
            factor = factor + scale[0, :, from_start]
        if from_end <= size:
            factor = factor + scale[1, :, size - from_end]
        kernel = p[f"{prefix}causal_conv.weight"][:, 0]
        past = p[f"{prefix}causal_conv.bias"] + sum(
            kernel[:, -1 - back] * x[t - back] for back in range(kernel.shape[1]) if t >= back
        )
        made.append(past + factor * taps(p, f"{prefix}chunkwise_conv", x, t, start, min(start + chunk, len(x))))
    return made


def taps(p, name, x, t, first, end):
    """A depthwise convolution at frame t that sees frames first … end - 1."""
    kernel = p[f"{name}.weight"][:, 0]
    total = p[f"{name}.bias"]
    for tap in range(kernel.shape[1]):
        if first <= (at := t + tap - kernel.shape[1] // 2) < end:
            total = total + kernel[:, tap] * x[at]
    return total


def downsample(bias, x):
    weights, factor = np.exp(bias) / np.exp(bias).sum(), len(bias)
    starts = range(0, len(x), factor)
    return [sum(w * x[min(start + i, len(x) - 1)] for i, w in enumerate(weights)) for start in starts]


def linear(p, name, x):
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def swoosh(x, shift, offset):
    return np.log(1 + np.exp(x - shift)) - 0.08 * x - offset


def bypass(p, prefix, before, after):
    return [a + (b - a) * p[f"{prefix}bypass_scale"] for a, b in zip(before, after, strict=True)]


def plus(x, y):
    return [a + b for a, b in zip(x, y, strict=True)]


def resized(x, channels):
    return np.concatenate([x[:channels], np.zeros(max(0, channels - len(x)))])
