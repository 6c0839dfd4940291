"""Released ECAPA-TDNN weights: a made file of their layout, and its meaning written out with their own names."""

import json

import pytest
import tiny
import torch
from torch.nn import functional

from hf_dialects.cli.convert_ecapa import convert_ecapa as convert_command
from hf_dialects.convert_ecapa import convert_ecapa, convert_state_dict
from hf_dialects.errors import CheckpointError
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.training.build import build_model

SMALL = {"bins": 6, "channels": 16, "frames": 24, "embedding": 5, "attention": 4, "squeeze": 3, "scale": 8}
VOXLINGUA = {
    "bins": 60,
    "channels": 1024,
    "frames": 3072,
    "embedding": 256,
    "attention": 128,
    "squeeze": 128,
    "scale": 8,
}


def shapes(bins, channels, frames, embedding, attention, squeeze, scale) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the released `embedding_model.ckpt`: three blocks, the first layer sees five frames."""
    found = {}

    def convolution(name, inputs, outputs, kernel=1):
        found[f"{name}.conv.weight"], found[f"{name}.conv.bias"] = (outputs, inputs, kernel), (outputs,)

    def normalisation(name, size):
        found.update({f"{name}.norm.{key}": (size,) for key in ("weight", "bias", "running_mean", "running_var")})
        found[f"{name}.norm.num_batches_tracked"] = ()

    def layer(name, inputs, outputs, kernel=1):
        convolution(f"{name}.conv", inputs, outputs, kernel)
        normalisation(f"{name}.norm", outputs)

    layer("blocks.0", bins, channels, 5)
    for block in (1, 2, 3):
        layer(f"blocks.{block}.tdnn1", channels, channels)
        for part in range(scale - 1):
            layer(f"blocks.{block}.res2net_block.blocks.{part}", channels // scale, channels // scale, 3)
        layer(f"blocks.{block}.tdnn2", channels, channels)
        convolution(f"blocks.{block}.se_block.conv1", channels, squeeze)
        convolution(f"blocks.{block}.se_block.conv2", squeeze, channels)
    layer("mfa", 3 * channels, frames)
    layer("asp.tdnn", 3 * frames, attention)
    convolution("asp.conv", attention, frames)
    normalisation("asp_bn", 2 * frames)
    convolution("fc", 2 * frames, embedding)
    return found


def made(sizes, seed=0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(**sizes).items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            weights[name] = 0.5 * torch.randn(shape, generator=generator)
    return weights


def released_embedding(weights, features) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (D, T) and embedding of one utterance (T, M), from the released weights by their own names."""

    def convolved(name, values, dilation=1):
        weight = weights[f"{name}.conv.weight"]
        reach = dilation * (weight.shape[2] - 1) // 2
        values = functional.pad(values[None], (reach, reach), mode="reflect") if reach else values[None]
        return functional.conv1d(values, weight, weights[f"{name}.conv.bias"], dilation=dilation)[0]

    def normalised(name, values):
        mean, variance, weight, bias = (
            weights[f"{name}.norm.{key}"][:, None] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (values - mean) / (variance + 1e-5).sqrt() * weight + bias

    def layer(name, values, dilation=1):
        return normalised(f"{name}.norm", convolved(f"{name}.conv", values, dilation).relu())

    def deviations(values, shares):
        mean = (shares * values).sum(1, keepdim=True)
        return mean, (shares * (values - mean) ** 2).sum(1, keepdim=True).clamp(min=1e-12).sqrt()

    states = [layer("blocks.0", features.T)]
    for block in (1, 2, 3):
        inner = layer(f"blocks.{block}.tdnn1", states[-1])
        parts, before = [], 0
        for part, values in enumerate(inner.chunk(8)):
            if part:
                values = layer(f"blocks.{block}.res2net_block.blocks.{part - 1}", values + before, block + 1)
                before = values
            parts.append(values)
        inner = layer(f"blocks.{block}.tdnn2", torch.cat(parts))
        weight = convolved(f"blocks.{block}.se_block.conv1", inner.mean(1, keepdim=True)).relu()
        weight = convolved(f"blocks.{block}.se_block.conv2", weight).sigmoid()
        states.append(states[-1] + weight * inner)
    frames = layer("mfa", torch.cat(states[1:]))
    mean, deviation = deviations(frames, torch.full_like(frames, 1 / frames.shape[1]))
    seen = torch.cat([frames, mean.expand_as(frames), deviation.expand_as(frames)])
    shares = convolved("asp.conv", layer("asp.tdnn", seen).tanh()).softmax(1)
    statistics = normalised("asp_bn", torch.cat(deviations(frames, shares)))
    return frames, convolved("fc", statistics)[:, 0]


def test_frames_and_embedding_are_those_of_the_released_model():
    weights = {name: one.double() if one.is_floating_point() else one for name, one in made(SMALL).items()}
    model = convert_state_dict(weights).double()
    lengths = [40, 23, 6]
    features = torch.randn(3, 40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mask = torch.arange(40)[None] < torch.tensor(lengths)[:, None]
    output = model(input_features=features, attention_mask=mask)
    for row, length in enumerate(lengths):
        frames, embedding = released_embedding(weights, features[row, :length])
        torch.testing.assert_close(output.last_hidden_state[row, :length], frames.T)
        torch.testing.assert_close(output.embeddings[row], embedding)
    assert output.embeddings.std() > 0.1, "equal embeddings would prove nothing"


def test_every_released_tensor_has_its_place():
    weights = made(SMALL)
    model = convert_state_dict(weights)
    ours = model.state_dict()
    assert len(ours) == len(weights)
    assert sum(one.numel() for one in ours.values()) == sum(one.numel() for one in weights.values())
    assert ours["encoder.stem.norm.num_batches_tracked"] == 7
    assert not model.training
    config = model.config.encoder_config
    assert (config.num_mel_bins, config.channels, config.hidden_size, config.squeeze_size) == (6, 16, 24, 3)
    assert model.config.pooling_options == {"attention_size": 4, "embedding_size": 5}


def test_the_released_voxlingua_model_has_the_sizes_of_its_layout():
    with torch.device("meta"):
        weights = {name: torch.empty(shape) for name, shape in shapes(**VOXLINGUA).items()}
        weights = {name: one.long() if name.endswith("tracked") else one for name, one in weights.items()}
    with torch.device("meta"):
        model = convert_state_dict(weights)
    trained = [shape for name, shape in shapes(**VOXLINGUA).items() if "running" not in name and "tracked" not in name]
    published = sum(torch.Size(shape).numel() for shape in trained)
    assert published == 21_058_432
    assert sum(one.numel() for one in model.parameters()) == published
    assert model.embedding_size == 256


def test_a_converted_folder_is_fine_tuned_with_its_pooling(tmp_path):
    torch.save(made(SMALL), tmp_path / "embedding_model.ckpt")
    convert_ecapa(tmp_path / "embedding_model.ckpt", tmp_path / "encoder")
    model, extractor = build_model({"encoder": str(tmp_path / "encoder")}, ["north", "south"], None)
    assert type(model) is DialectForAudioClassification
    assert type(extractor) is DialectFeatureExtractor
    assert (extractor.feature_size, extractor.hop_length, extractor.window_length) == (6, 160, 400)
    assert (extractor.scale, extractor.normalize) == ("decibel", True)
    waveform = tiny.waveform(0.5)
    features = torch.from_numpy(extractor([waveform])["input_features"][0])
    _, expected = released_embedding(made(SMALL), features)
    torch.testing.assert_close(torch.from_numpy(model.encode(waveform, extractor)), expected, atol=1e-4, rtol=1e-4)
    plain, _ = build_model({"encoder": str(tmp_path / "encoder"), "pooling": "mean"}, ["north", "south"], None)
    assert plain.dialect.embedding_size == 24
    settings = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert settings["encoder_config"]["model_type"] == "ecapa"
    again = DialectModel.from_pretrained(tmp_path / "encoder")
    assert torch.equal(again.pooling.score.weight, made(SMALL)["asp.conv.conv.weight"])


def test_what_is_no_such_model_is_explained(tmp_path):
    weights = made(SMALL)
    with pytest.raises(CheckpointError, match=r"1 of 232 tensors are not named as .* the first: classifier\.weight"):
        convert_state_dict(weights | {"classifier.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"of 3 blocks: .*Missing key.*pooling\.linear\.bias"):
        convert_state_dict({name: one for name, one in weights.items() if name != "fc.conv.bias"})
    with pytest.raises(CheckpointError, match="make no ECAPA-TDNN of 3 blocks"):
        convert_state_dict(weights | {"mfa.conv.conv.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="make no ECAPA-TDNN of 4 blocks"):
        convert_state_dict(weights, dilations=(2, 3, 4, 5))
    (tmp_path / "broken.ckpt").write_bytes(b"PK no archive")
    with pytest.raises(CheckpointError, match=r"broken\.ckpt cannot be read as weights"):
        convert_ecapa(tmp_path / "broken.ckpt", tmp_path / "out")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match="holds list, a mapping of names to tensors is expected"):
        convert_ecapa(tmp_path / "list.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"fc.conv.weight": Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        convert_ecapa(tmp_path / "bomb.ckpt", tmp_path / "out")
    assert not Bomb.exploded


def explode():
    Bomb.exploded = True


class Bomb:
    exploded = False

    def __reduce__(self):
        return explode, ()


def test_the_command_writes_an_encoder(tmp_path, capsys):
    torch.save(made(SMALL), tmp_path / "embedding_model.ckpt")
    convert_command(tmp_path / "embedding_model.ckpt", tmp_path / "ecapa")
    assert "parameters" in capsys.readouterr().out
    assert DialectModel.from_pretrained(tmp_path / "ecapa").config.pooling == "ecapa"
