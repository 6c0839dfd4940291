"""The Zipformer gives the numbers of icefall's implementation, module by module; see vectors/README.md."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.layers_zipformer import (
    BiasNorm,
    Bypass,
    ChunkCausalConv,
    Downsample,
    ZipformerLayer,
    relative_positions,
    swoosh_l,
    swoosh_r,
)
from hf_dialects.models.modeling_zipformer import (
    ZipformerEncoder,
    ZipformerFrontEnd,
    outside_chunks,
    with_channels,
)

VECTORS = Path(__file__).parent.parent / "vectors"
ENCODER = {"atol": 2e-5, "rtol": 1e-4}
PRIMITIVE = {"atol": 1e-6, "rtol": 1e-6}


def load(name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors of a file, and the sizes it was made with."""
    with safe_open(VECTORS / f"{name}.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["config"])  # noqa: SIM118


def filled(module: torch.nn.Module, vectors: dict[str, torch.Tensor], prefix: str = "param.") -> torch.nn.Module:
    """The module with given parameters, all of which it must have but each layer's unused scale."""
    given = {name.removeprefix(prefix): value for name, value in vectors.items() if name.startswith(prefix)}
    unused = [name for name in given if name.rpartition(".bypass_scale")[0].split(".")[-1].isdigit()]
    given = {name: value for name, value in given.items() if name not in (*unused, "bypass_scale")}
    module.load_state_dict(given)
    return module.eval().requires_grad_(False)


def config_of(sizes: dict) -> ZipformerConfig:
    """Configuration of a stack of one layer, or of an encoder."""
    return ZipformerConfig(
        downsampling_factors=sizes.get("downsampling_factor", [1]),
        num_encoder_layers=sizes.get("num_encoder_layers", [1]),
        encoder_dims=sizes.get("encoder_dim") or [sizes["embed_dim"]],
        **{
            ours: value if isinstance(value := sizes[theirs], list) else [value]
            for ours, theirs in (
                ("feedforward_dims", "feedforward_dim"),
                ("num_heads", "num_heads"),
                ("cnn_module_kernels", "cnn_module_kernel"),
            )
        },
        **{name: sizes[name] for name in ("query_head_dim", "value_head_dim", "pos_head_dim", "pos_dim")},
        causal=sizes.get("causal", False),
    )


@pytest.fixture(scope="module")
def primitives():
    return load("primitives")[0]


def test_swoosh(primitives):
    for name, function in (("l", swoosh_l), ("r", swoosh_r)):
        torch.testing.assert_close(function(primitives["swoosh.x"]), primitives[f"swoosh_{name}.y"], **PRIMITIVE)


def test_bias_norm(primitives):
    norm = BiasNorm(10)
    norm.load_state_dict({name: primitives[f"biasnorm.{name}"] for name in ("bias", "log_scale")})
    torch.testing.assert_close(norm.eval()(primitives["biasnorm.x"]), primitives["biasnorm.y"], **PRIMITIVE)


def test_bypass(primitives):
    bypass = Bypass(5).eval()
    bypass.load_state_dict({"bypass_scale": primitives["bypass.scale"]})
    found = bypass(primitives["bypass.orig"], primitives["bypass.new"])
    torch.testing.assert_close(found, primitives["bypass.y"], **PRIMITIVE)


@pytest.mark.parametrize("n_frames", [16, 13, 1])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_downsample(primitives, factor, n_frames):
    case = f"downsample.ds{factor}_T{n_frames}."
    module = Downsample(factor)
    module.load_state_dict({"bias": primitives[f"{case}bias"]})
    found = module(primitives[f"{case}x"].transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(found, primitives[f"{case}y"], **PRIMITIVE)


def test_upsample(primitives):
    found = primitives["upsample.x"].repeat_interleave(3, 0)
    assert torch.equal(found, primitives["upsample.factor3.y"])


@pytest.mark.parametrize("channels", [4, 9])
def test_change_of_channels(primitives, channels):
    assert torch.equal(with_channels(primitives["channels.x"], channels), primitives[f"channels.to{channels}"])


@pytest.mark.parametrize(("dim", "n_frames", "left"), [(16, 9, 0), (48, 40, 0), (48, 6, 11), (192, 3, 0)])
def test_relative_positions(primitives, dim, n_frames, left):
    expected = primitives[f"posenc.dim{dim}_T{n_frames}_left{left}"][0]
    found = relative_positions(n_frames + left, dim)[: len(expected)]  # frames to the left only make it longer
    torch.testing.assert_close(found, expected, **PRIMITIVE)


@pytest.mark.parametrize("chunk_size", [-1, 4, 5, 8, 32])
def test_chunk_causal_convolution(primitives, chunk_size):
    module = filled(ChunkCausalConv(6, 7), primitives, "chunkconv.param.")
    found = module(primitives["chunkconv.x"], chunk_size=chunk_size)
    torch.testing.assert_close(found, primitives[f"chunkconv.y_chunk{chunk_size}"], **PRIMITIVE)


def test_front_end():
    vectors, sizes = load("frontend_tiny")
    channels = [sizes["out_channels"]] * 6
    config = ZipformerConfig(encoder_dims=channels, frontend_channels=sizes["layer_channels"])
    module, seen = filled(ZipformerFrontEnd(config), vectors), {}
    for name in ("convnext", "out"):
        module.get_submodule(name).register_forward_hook(lambda _, given, made, name=name: seen.update({name: made}))
    module.convnext.register_forward_pre_hook(lambda _, given: seen.update(conv=given[0]))
    torch.testing.assert_close(module(vectors["x"]), vectors["y"], **ENCODER)
    for name, value in seen.items():
        torch.testing.assert_close(value, vectors[f"stage.{name}"], **ENCODER)
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["layer", "layer_causal"])
def test_layer_and_its_modules(name):
    vectors, sizes = load(name)
    layer, seen = filled(ZipformerLayer(config_of(sizes), 0), vectors), {}
    stages = [key.removeprefix("stage.") for key in vectors if key.startswith("stage.")]
    for stage in stages:
        layer.get_submodule(stage).register_forward_hook(lambda _, given, made, stage=stage: seen.update({stage: made}))
    x, positions, padding = vectors["x"].transpose(0, 1), vectors["pos_emb"][0], vectors["padding_mask"]
    blocked = padding[:, None, None]
    torch.testing.assert_close(layer(x, positions).transpose(0, 1), vectors["y_nomask"], **ENCODER)
    torch.testing.assert_close(layer(x, positions, blocked, padding).transpose(0, 1), vectors["y"], **ENCODER)
    for stage, value in seen.items():
        torch.testing.assert_close(value.transpose(0, 1), vectors[f"stage.{stage}"], **ENCODER)
    assert len(seen) == len(stages) == 11
    if sizes["causal"]:
        outside = outside_chunks(13, 4, 1)
        assert torch.equal(outside, vectors["attn_mask_chunk4_left1"])
        found = layer(x, positions, outside | blocked, padding, 4).transpose(0, 1)
        torch.testing.assert_close(found, vectors["y_chunk4_left1"], **ENCODER)


def test_encoder():
    vectors, sizes = load("encoder3")
    encoder = filled(ZipformerEncoder(config_of(sizes)), vectors)
    frames, states = encoder(vectors["x"].transpose(0, 1), vectors["lens"])
    torch.testing.assert_close(frames.transpose(0, 1), vectors["y"], **ENCODER)
    for stack, state in enumerate(states[1:]):
        torch.testing.assert_close(state.transpose(0, 1), vectors[f"stage.stack{stack}"], **ENCODER)
    alone, _ = encoder(vectors["x"][: vectors["lens"][-1], -1:].transpose(0, 1))
    torch.testing.assert_close(alone.transpose(0, 1), vectors["y_single_last"], **ENCODER)


def test_filter_banks():
    vectors, _ = load("fbank")
    found = ZipformerFeatureExtractor()(vectors["waveform"], sampling_rate=16000, return_tensors="pt")
    torch.testing.assert_close(found["input_features"][0], vectors["fbank"], atol=1e-3, rtol=0)
