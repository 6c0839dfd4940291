"""The configuration of a Zipformer of icefall, read off the shapes of its tensors and what its training noted."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from hf_dialects.errors import CheckpointError
from hf_dialects.models.configuration_zipformer import ZipformerConfig

Shapes = Mapping[str, tuple[int, ...]]
QUERY, POSITION, VALUE = 32, 4, 12  # channels of a head in icefall's recipes
BINS = 80
NOTED = {  # what shapes do not tell, and its name in the checkpoints of a training
    "num_mel_bins": "feature_dim",
    "query_head_dim": "query_head_dim",
    "attention_decoder_heads": "attention_decoder_num_heads",
    "blank_token_id": "blank_id",
    "bos_token_id": "sos_id",
    "eos_token_id": "eos_id",
    "prune_range": "prune_range",
    "lm_scale": "lm_scale",
    "am_scale": "am_scale",
    "simple_loss_scale": "simple_loss_scale",
    "attention_loss_scale": "attention_decoder_loss_scale",
    "ctc_loss_scale": "ctc_loss_scale",
    "loss_warmup_steps": "warm_step",
}


def icefall_config(
    shapes: Shapes, settings: Mapping | None = None, heads: bool = True, overrides: Mapping | None = None
) -> ZipformerConfig:
    """The configuration that tensors of these names and shapes have.

    Channels of an attention head cannot be told from shapes alone. They follow from those of its queries, which are
    `query_head_dim` of the overrides, of the settings, or icefall's 32; without either of the first two the rest must
    turn out as in icefall's recipes.

    Args:
        shapes: of the tensors, by icefall's names.
        settings: options of the training, by icefall's names, as its checkpoints hold them.
        heads: whether there is a transducer, and what else belongs to recognition.
        overrides: fields of `ZipformerConfig`.

    Raises:
        CheckpointError: these are no tensors of a Zipformer, or sizes contradict one another.
    """
    _check_names(overrides or {})
    told = _noted(settings or {}) | dict(overrides or {})
    try:
        sizes = _encoder(shapes, told.get("query_head_dim"), told.get("num_mel_bins", BINS))
        if heads:
            sizes |= _heads(shapes)
    except KeyError as error:
        raise CheckpointError(
            f"{error.args[0]} is missing, so this is no Zipformer of icefall's recipe zipformer/; found are "
            f"{len(shapes)} tensors such as {', '.join(list(shapes)[:3])}"
        ) from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError("a tensor that tells a size has another number of dimensions than expected") from error
    try:
        return ZipformerConfig(**sizes | told)
    except Exception as error:  # also of the type check of configurations, which has errors of its own
        raise CheckpointError(f"the sizes make no Zipformer: {' '.join(str(error).split())}") from error


def read_tokens(path: str | Path) -> dict[str, int]:
    """Symbols and their ids from icefall's tokens.txt, without the disambiguation symbols #0, #1 …

    Raises:
        CheckpointError: there is no such file, a line is not a symbol and its id, or ids are not 0, 1, 2 …
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); icefall's tokens.txt is expected") from error
    tokens = {}
    for number, line in enumerate(lines, 1):
        symbol, _, identity = line.rpartition(" ") if " " in line else line.rpartition("\t")
        if not identity.isdecimal() or symbol in tokens:
            raise CheckpointError(f"{path}, line {number} is {line!r}; a symbol of its own and its id are expected")
        if not re.fullmatch(r"#\d+", symbol):
            tokens[symbol] = int(identity)
    if sorted(tokens.values()) != list(range(len(tokens))):
        raise CheckpointError(f"{path} has {len(tokens)} tokens, whose ids are not 0 to {len(tokens) - 1}")
    return tokens


def special_tokens(tokens: Mapping[str, int]) -> dict[str, int]:
    """Fields of the configuration that follow from a vocabulary: ids of blank, start and end, where it has them."""
    names = {
        "blank_token_id": ("<blk>", "<blank>"),
        "bos_token_id": ("<sos/eos>", "<sos>"),
        "eos_token_id": ("<sos/eos>", "<eos>"),
    }
    found = {ours: [tokens[name] for name in theirs if name in tokens] for ours, theirs in names.items()}
    return {ours: ids[0] for ours, ids in found.items() if ids}


def read_overrides(given: Iterable[str]) -> dict:
    """Fields of the configuration from `["query_head_dim=16", "pad_invariant=true"]`.

    Raises:
        CheckpointError: one that is not of this form, or an unknown field.
    """
    found = {}
    for one in given:
        name, equals, text = one.partition("=")
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            raise CheckpointError(
                f"{one!r} is no setting; {name if equals else 'query_head_dim'}= and a number, a list such as [4,4,8], "
                "true, false or null are expected"
            ) from None
    _check_names(found)
    return found


def _check_names(overrides: Iterable[str]) -> None:
    known = list(ZipformerConfig.__annotations__)
    for name in overrides:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(NOTED)} and the others of its class"
            raise CheckpointError(f"{name} is no field of a Zipformer's configuration; {hint}")


def _noted(settings: Mapping) -> dict:
    found = {}
    for ours, theirs in NOTED.items():
        if settings.get(theirs) is None:
            continue
        values = set(str(settings[theirs]).split(","))
        try:
            (number,) = map(float, values)
        except ValueError:
            raise CheckpointError(
                f"{theirs} of the training was {settings[theirs]!r}; one number for all stacks is expected"
            ) from None
        found[ours] = int(number) if number.is_integer() else number
    return found


def _encoder(shapes: Shapes, query: int | None, num_mel_bins: int) -> dict:
    stacks = range(_count(shapes, "encoder.encoders."))
    factors = [shapes.get(f"encoder.encoders.{stack}.downsample.bias", (1,))[0] for stack in stacks]
    parts = [
        f"encoder.encoders.{stack}.{'encoder.' if factor > 1 else ''}layers."
        for stack, factor in zip(stacks, factors, strict=True)
    ]
    layers = [part + "0." for part in parts] or ["encoder.encoders.0.layers.0."]
    causal = layers[0] + "conv_module1.depthwise_conv.causal_conv.weight" in shapes
    convolution = "conv_module1.depthwise_conv." + ("chunkwise_conv.weight" if causal else "weight")
    channels = [shapes[f"encoder_embed.conv.{number}.weight"][0] for number in (0, 4, 7)]
    _check_bins(shapes["encoder_embed.out.weight"][1], channels[-1], num_mel_bins)
    return {
        "num_mel_bins": num_mel_bins,
        "downsampling_factors": factors,
        "num_encoder_layers": [_count(shapes, part) for part in parts],
        "encoder_dims": [shapes[layer + "norm.bias"][0] for layer in layers],
        "feedforward_dims": [shapes[layer + "feed_forward2.in_proj.weight"][0] for layer in layers],
        "cnn_module_kernels": [shapes[layer + convolution][2] for layer in layers],
        **_attention(shapes, layers, query),
        "frontend_channels": channels,
        "output_downsampling_factor": shapes.get("encoder.downsample_output.bias", (1,))[0],
        "causal": causal,
    }


def _attention(shapes: Shapes, layers: Iterable[str], query: int | None) -> dict:
    """Heads of each stack and their channels: H (2 q + p) rows in one tensor, H p and H v in others."""
    found, heads = set(), []
    for layer in layers:
        positions = shapes[layer + "self_attn_weights.linear_pos.weight"]
        queries = (shapes[layer + "self_attn_weights.in_proj.weight"][0] - positions[0]) / 2
        values = shapes[layer + "self_attn1.in_proj.weight"][0]
        heads.append(queries / (query or QUERY))
        found.add((positions[0] / heads[-1], values / heads[-1], positions[1]))
    position, value, pos_dim = min(found)
    whole = all(float(number).is_integer() for number in (*heads, position, value))
    if len(found) > 1 or not whole or (query is None and (position, value) != (POSITION, VALUE)):
        raise CheckpointError(
            f"heads with queries of {query or QUERY} channels would have {position:g} channels of position and "
            f"{value:g} of value, {', '.join(f'{number:g}' for number in heads)} heads in the stacks"
            f"{'' if query else f'; icefall has {POSITION} and {VALUE}'}: give query_head_dim as it was in training"
        )
    return {
        "num_heads": [int(number) for number in heads],
        "query_head_dim": query or QUERY,
        "pos_head_dim": int(position),
        "value_head_dim": int(value),
        "pos_dim": pos_dim,
    }


def _check_bins(columns: int, channels: int, num_mel_bins: int) -> None:
    found, expected = columns // channels, ((num_mel_bins - 1) // 2 - 1) // 2
    if found != expected:
        raise CheckpointError(
            f"the front-end was made for features of {4 * found + 3} to {4 * found + 6} bins, not {num_mel_bins}: give "
            "num_mel_bins as it was in training"
        )


def _heads(shapes: Shapes) -> dict:
    if "decoder.embedding.weight" not in shapes:
        others = sorted({name.split(".")[0] for name in shapes} - {"encoder", "encoder_embed"})
        raise CheckpointError(
            f"there is no transducer (decoder and joiner), the heads are: {', '.join(others) or 'none'}; take the "
            "encoder alone (--encoder-only)"
        )
    embedding = shapes["decoder.embedding.weight"]
    attention = "attention_decoder.decoder."
    sizes = {
        "vocab_size": embedding[0],
        "decoder_dim": embedding[1],
        "joiner_dim": shapes["joiner.encoder_proj.weight"][0],
        "context_size": shapes.get("decoder.conv.weight", (0, 0, 1))[2],
        "ctc": "ctc_output.1.weight" in shapes,
        "attention_decoder_layers": _count(shapes, attention + "layers."),
    }
    if sizes["attention_decoder_layers"]:
        sizes["attention_decoder_dim"] = shapes[attention + "embed.weight"][1]
        sizes["attention_decoder_ffn_dim"] = shapes[attention + "layers.0.feed_forward.0.weight"][0]
    return sizes


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules there are under a name."""
    numbers = (re.match(r"\d+", name.removeprefix(prefix)) for name in shapes if name.startswith(prefix))
    return 1 + max((int(number[0]) for number in numbers if number), default=-1)
