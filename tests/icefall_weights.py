"""State dicts as icefall's recipe zipformer/ saves them, by its own names."""

import torch

SIZES = {  # options of its training, those of attention heads at its defaults
    "factors": (1, 2, 4),
    "layers": (1, 2, 1),
    "dims": (8, 16, 12),
    "ff": (16, 24, 16),
    "heads": (2, 4, 2),
    "kernels": (7, 5, 7),
    "pos_dim": 6,
    "query": 32,
    "position": 4,
    "value": 12,
    "front": (2, 3, 4),
    "causal": False,
    "vocabulary": 11,
    "decoder": 8,
    "joiner": 10,
    "context": 2,
    "ctc": False,
    "attention_layers": 0,
    "attention_dim": 16,
    "attention_ff": 12,
}
TABLE = {"factors": (1, 2, 4, 8, 4, 2), "heads": (4, 4, 4, 8, 4, 4), "kernels": (31, 31, 15, 15, 15, 31)}
TABLE |= {"pos_dim": 48, "front": (8, 32, 128), "vocabulary": 500, "decoder": 512, "joiner": 512}
TABLE |= {"attention_dim": 512, "attention_ff": 2048}
PUBLISHED = {
    "small": TABLE | {"layers": (2,) * 6, "dims": (192, *(256,) * 5), "ff": (512, *(768,) * 5)},
    "medium": TABLE
    | {
        "layers": (2, 2, 3, 4, 3, 2),
        "dims": (192, 256, 384, 512, 384, 256),
        "ff": (512, 768, 1024, 1536, 1024, 768),
    },
    "large": TABLE
    | {
        "layers": (2, 2, 4, 5, 4, 2),
        "dims": (192, 256, 512, 768, 512, 256),
        "ff": (512, 768, 1536, 2048, 1536, 768),
    },
}


def shapes(**changes) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all that is saved for an 80-bin model of `SIZES`, changed as given."""
    size, found = SIZES | changes, {}

    def layer(name, outputs, inputs, *kernel, bias=True):
        found[f"{name}.weight"] = (outputs, inputs, *kernel)
        if bias:
            found[f"{name}.bias"] = (outputs,)

    first, second, third = size["front"]
    layer("encoder_embed.conv.0", first, 1, 3, 3)
    layer("encoder_embed.conv.4", second, first, 3, 3)
    layer("encoder_embed.conv.7", third, second, 3, 3)
    layer("encoder_embed.convnext.depthwise_conv", third, 1, 7, 7)
    layer("encoder_embed.convnext.pointwise_conv1", 3 * third, third, 1, 1)
    layer("encoder_embed.convnext.pointwise_conv2", third, 3 * third, 1, 1)
    layer("encoder_embed.out", size["dims"][0], 19 * third)
    found |= {"encoder_embed.out_norm.bias": (size["dims"][0],), "encoder_embed.out_norm.log_scale": ()}
    stacks = zip(*(size[name] for name in ("factors", "layers", "dims", "ff", "heads", "kernels")), strict=True)
    for stack, (factor, layers, dim, ff, heads, kernel) in enumerate(stacks):
        name = f"encoder.encoders.{stack}"
        if factor > 1:
            found |= {f"{name}.downsample.bias": (factor,), f"{name}.out_combiner.bypass_scale": (dim,)}
            name += ".encoder"
        for number in range(layers):
            one = f"{name}.layers.{number}"
            found |= {f"{one}.bypass{part}": (dim,) for part in (".bypass_scale", "_mid.bypass_scale", "_scale")}
            found |= {f"{one}.norm.bias": (dim,), f"{one}.norm.log_scale": ()}
            layer(f"{one}.self_attn_weights.in_proj", heads * (2 * size["query"] + size["position"]), dim)
            layer(f"{one}.self_attn_weights.linear_pos", heads * size["position"], size["pos_dim"], bias=False)
            for which, hidden in ((1, 3 * ff // 4), (2, ff), (3, 5 * ff // 4)):
                layer(f"{one}.feed_forward{which}.in_proj", hidden, dim)
                layer(f"{one}.feed_forward{which}.out_proj", dim, hidden)
            layer(f"{one}.nonlin_attention.in_proj", 9 * dim // 4, dim)
            layer(f"{one}.nonlin_attention.out_proj", dim, 3 * dim // 4)
            for which in (1, 2):
                layer(f"{one}.self_attn{which}.in_proj", heads * size["value"], dim)
                layer(f"{one}.self_attn{which}.out_proj", dim, heads * size["value"])
                module = f"{one}.conv_module{which}"
                layer(f"{module}.in_proj", 2 * dim, dim)
                layer(f"{module}.out_proj", dim, dim)
                if size["causal"]:
                    layer(f"{module}.depthwise_conv.causal_conv", dim, 1, (kernel + 1) // 2)
                    layer(f"{module}.depthwise_conv.chunkwise_conv", dim, 1, kernel)
                    found[f"{module}.depthwise_conv.chunkwise_conv_scale"] = (2, dim, kernel)
                else:
                    layer(f"{module}.depthwise_conv", dim, 1, kernel)
    found["encoder.downsample_output.bias"] = (2,)
    width, vocabulary = max(size["dims"]), size["vocabulary"]
    found["decoder.embedding.weight"] = (vocabulary, size["decoder"])
    if size["context"] > 1:
        found["decoder.conv.weight"] = (size["decoder"], 4, size["context"])
    layer("joiner.encoder_proj", size["joiner"], width)
    layer("joiner.decoder_proj", size["joiner"], size["decoder"])
    layer("joiner.output_linear", vocabulary, size["joiner"])
    layer("simple_am_proj", vocabulary, width)
    layer("simple_lm_proj", vocabulary, size["decoder"])
    if size["ctc"]:
        layer("ctc_output.1", vocabulary, width)
    if size["attention_layers"]:
        dim, hidden = size["attention_dim"], size["attention_ff"]
        found["attention_decoder.decoder.embed.weight"] = (vocabulary, dim)
        layer("attention_decoder.decoder.output_layer", vocabulary, dim)
        for number in range(size["attention_layers"]):
            one = f"attention_decoder.decoder.layers.{number}"
            for norm in ("norm_self_attn", "norm_src_attn", "norm_ff"):
                found |= {f"{one}.{norm}.weight": (dim,), f"{one}.{norm}.bias": (dim,)}
            for attention, source in (("self_attn", dim), ("src_attn", width)):
                layer(f"{one}.{attention}.linear_q", dim, dim)
                layer(f"{one}.{attention}.linear_k", dim, source)
                layer(f"{one}.{attention}.linear_v", dim, source)
                layer(f"{one}.{attention}.out_proj", dim, dim)
            layer(f"{one}.feed_forward.0", hidden, dim)
            layer(f"{one}.feed_forward.3", dim, hidden)
    return found


def is_unused(name: str) -> bool:
    """Whether it is the scale that every layer has and none uses."""
    return name.endswith(".bypass_scale") and name.removesuffix(".bypass_scale")[-1].isdigit()


def made(seed: int = 0, **changes) -> dict[str, torch.Tensor]:
    """Random weights; unused scales stay where training leaves them."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.full(shape, 0.5) if is_unused(name) else 0.3 * torch.randn(shape, generator=generator)
        for name, shape in shapes(**changes).items()
    }
