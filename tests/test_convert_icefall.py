"""Zipformers of icefall: names and sizes, the same numbers there and back, folders and files."""

import json
import math
from pathlib import Path

import pytest
import torch
from icefall_weights import PUBLISHED, is_unused, made, shapes
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional
from transformers import AutoModel, AutoModelForRNNT

from hf_dialects.convert_icefall import convert_icefall, convert_state_dict, export_icefall, icefall_state_dict
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.icefall_config import icefall_config
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectModel
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.saving import load_for_inference

VECTORS = Path(__file__).parent / "vectors"
FULL = {"ctc": True, "attention_layers": 2}
KINDS = [{}, FULL, {"causal": True}, {"context": 1}, {"context": 3, "ctc": True}, {"factors": (2, 1, 2)}]


def save(path, content):
    torch.save(content, path)
    return path


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert [
        name for name in one if one[name].dtype != other[name].dtype or not torch.equal(one[name], other[name])
    ] == []


@pytest.mark.parametrize(
    ("preset", "layers", "n_tensors", "n_parameters"),
    [
        ("small", 0, None, 23_285_615),
        ("medium", 0, None, 65_549_011),
        ("large", 0, None, 148_439_574),
        ("small", 6, None, 47_449_443),
        ("medium", 6, None, 91_285_703),
        ("large", 6, 1_034, 175_749_130),
    ],
)
def test_names_shapes_and_totals_of_published_models(preset, layers, n_tensors, n_parameters):
    published = shapes(**PUBLISHED[preset], attention_layers=layers)
    assert sum(map(math.prod, published.values())) == n_parameters
    assert n_tensors in (None, len(published))
    config = ZipformerConfig.preset(preset, attention_decoder_layers=layers)
    found = icefall_config(published)
    assert found.to_dict() == config.to_dict()
    with torch.device("meta"):
        model = ZipformerForRNNT(found)
    ours = {name.removeprefix("zipformer."): tuple(one.shape) for name, one in model.state_dict().items()}
    assert ours == {name: shape for name, shape in published.items() if not is_unused(name)}


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_there_and_back_is_bit_equal(changes):
    weights = made(**changes)
    model = convert_state_dict(weights)
    assert type(model) is ZipformerForRNNT
    assert not model.training
    assert_equal(icefall_state_dict(model), weights)
    again = convert_state_dict(icefall_state_dict(model))
    assert_equal(again.state_dict(), model.state_dict())
    assert again.config.to_dict() == model.config.to_dict()


def test_sizes_are_read_off_the_shapes():
    config = convert_state_dict(made(**FULL, causal=True, context=3)).config
    assert config.downsampling_factors == (1, 2, 4)
    assert config.num_encoder_layers == (1, 2, 1)
    assert config.encoder_dims == (8, 16, 12)
    assert config.feedforward_dims == (16, 24, 16)
    assert config.num_heads == (2, 4, 2)
    assert config.cnn_module_kernels == (7, 5, 7)
    assert (config.query_head_dim, config.pos_head_dim, config.value_head_dim, config.pos_dim) == (32, 4, 12, 6)
    assert (config.frontend_channels, config.num_mel_bins, config.output_downsampling_factor) == ((2, 3, 4), 80, 2)
    assert (config.vocab_size, config.decoder_dim, config.joiner_dim, config.context_size) == (11, 8, 10, 3)
    assert (config.causal, config.ctc) == (True, True)
    assert config.attention_decoder_layers == 2
    assert (config.attention_decoder_dim, config.attention_decoder_ffn_dim) == (16, 12)


def test_heads_of_other_sizes_want_the_size_of_queries():
    weights = made(query=6, position=3, value=5)
    with pytest.raises(CheckpointError, match=r"queries of 32 channels would have .* of position.*give query_head_dim"):
        convert_state_dict(weights)
    with pytest.raises(CheckpointError, match=r"queries of 5 channels would have .* give query_head_dim as it was"):
        convert_state_dict(weights, query_head_dim=5)
    told = convert_state_dict(weights, query_head_dim=6)
    noted = convert_state_dict(weights, settings={"query_head_dim": "6,6,6"})
    for config in (told.config, noted.config):
        assert config.num_heads == (2, 4, 2)
        assert (config.query_head_dim, config.pos_head_dim, config.value_head_dim) == (6, 3, 5)


def test_reference_vectors_under_their_own_names():
    """A front-end and an encoder that fit one another, from two files of icefall's numbers."""
    vectors = {}
    for file, part in (("frontend_tiny", "encoder_embed."), ("encoder3", "encoder.")):
        with safe_open(VECTORS / f"{file}.safetensors", "pt") as found:
            vectors[part] = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118
    weights = {
        part + name.removeprefix("param."): tensor
        for part, tensors in vectors.items()
        for name, tensor in tensors.items()
        if name.startswith("param.")
    }
    model = convert_state_dict(weights, encoder_only=True, query_head_dim=8)
    assert type(model) is ZipformerModel
    close = {"atol": 2e-5, "rtol": 1e-4}
    with torch.no_grad():
        front = vectors["encoder_embed."]
        torch.testing.assert_close(model.encoder_embed(front["x"]), front["y"], **close)
        deep = vectors["encoder."]
        frames, _ = model.encoder(deep["x"].transpose(0, 1), deep["lens"])
        torch.testing.assert_close(frames.transpose(0, 1), deep["y"], **close)
        whole = model(front["x"]).last_hidden_state
        torch.testing.assert_close(whole, model.encoder(front["y"])[0], **close)
    back = icefall_state_dict(model)
    assert back.keys() == weights.keys()
    assert [name for name in weights if not torch.equal(back[name], weights[name])] == [*filter(is_unused, weights)]


def test_heads_compute_with_the_released_weights():
    weights = made(**FULL)
    model = convert_state_dict(weights)
    embedded = weights["decoder.embedding.weight"][torch.tensor([0, 3, 5])]
    padded = functional.pad(embedded, (0, 0, 1, 0)).T[None]
    states = functional.conv1d(padded, weights["decoder.conv.weight"], groups=2)[0].T.relu()
    torch.testing.assert_close(model.decoder(torch.tensor([[0, 3, 5]]))[0], states)
    frames = torch.randn(3, 16)
    joined = frames @ weights["joiner.encoder_proj.weight"].T + weights["joiner.encoder_proj.bias"]
    joined = joined + states @ weights["joiner.decoder_proj.weight"].T + weights["joiner.decoder_proj.bias"]
    expected = joined.tanh() @ weights["joiner.output_linear.weight"].T + weights["joiner.output_linear.bias"]
    found = model.joiner(model.joiner.encoder_proj(frames), model.joiner.decoder_proj(states))
    torch.testing.assert_close(found, expected)
    expected = frames @ weights["ctc_output.1.weight"].T + weights["ctc_output.1.bias"]
    torch.testing.assert_close(model.ctc_output(frames), expected)


def test_tensors_that_do_not_fit_are_listed():
    weights = made()
    wrong = weights | {
        "joiner.output_linear.bias": torch.zeros(3),
        "codebook_loss_net.weight": torch.zeros(2),
        "simple_am_proj.bias": torch.zeros(11, dtype=torch.int64),
    }
    del wrong["encoder.encoders.1.encoder.layers.1.norm.log_scale"]
    with pytest.raises(CheckpointError) as caught:
        convert_state_dict(wrong)
    assert str(caught.value) == (
        "the tensors do not make this model; 1 missing: encoder.encoders.1.encoder.layers.1.norm.log_scale; 1 not "
        "expected: codebook_loss_net.weight; 1 of another shape: joiner.output_linear.bias (3,) instead of (11,); 1 "
        "of another kind: simple_am_proj.bias torch.int64"
    )
    many = {name: one for name, one in weights.items() if ".layers.1." not in name} | {
        "encoder.encoders.1.encoder.layers.1.norm.bias": torch.zeros(16)
    }
    with pytest.raises(CheckpointError, match=r"; 42 missing: encoder\.encoders\.1\.(\S+, ){9}\S+ …$"):
        convert_state_dict(many)
    for value in (float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match=r"; 1 not finite: simple_lm_proj\.bias$"):
            convert_state_dict(weights | {"simple_lm_proj.bias": torch.full((11,), value)})


def test_other_models_are_told():
    with pytest.raises(
        CheckpointError, match=r"encoder_embed\.conv\.0\.weight is missing, so this is no Zipformer .*2 t"
    ):
        convert_state_dict({"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)})
    weights = made(ctc=True)
    without = {name: one for name, one in weights.items() if not name.startswith(("decoder", "joiner", "simple"))}
    with pytest.raises(CheckpointError, match=r"no transducer .*the heads are: ctc_output; take the encoder alone"):
        convert_state_dict(without)
    assert type(convert_state_dict(without, encoder_only=True)) is ZipformerModel
    with pytest.raises(CheckpointError, match="made for features of 79 to 82 bins, not 40: give num_mel_bins as"):
        convert_state_dict(weights, num_mel_bins=40)
    assert convert_state_dict(weights, num_mel_bins=79).config.num_mel_bins == 79
    with pytest.raises(CheckpointError, match=r"query_dim is no field of .*did you mean query_head_dim\?"):
        convert_state_dict(weights, query_dim=32)
    with pytest.raises(CheckpointError, match="the sizes make no Zipformer: blank_token_id is 11, but vocab_size 11"):
        convert_state_dict(weights, blank_token_id=11)
    with pytest.raises(CheckpointError, match=r"the sizes make no Zipformer: .*chunk_size"):
        convert_state_dict(weights, chunk_size="all")
    with pytest.raises(CheckpointError, match="tensor that tells a size has another number of dimensions"):
        convert_state_dict(weights | {"decoder.embedding.weight": torch.zeros(())})


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_folder_and_back_to_a_file(tmp_path, suffix):
    weights = made(**FULL)
    path = tmp_path / f"weights{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save({"model": weights}, path)
    model = convert_icefall(path, tmp_path / "model", chunk_size=-1)
    again = AutoModelForRNNT.from_pretrained(tmp_path / "model")
    assert type(again) is ZipformerForRNNT
    assert_equal(again.state_dict(), model.state_dict())
    extractor = ZipformerFeatureExtractor.from_pretrained(tmp_path / "model")
    assert extractor.feature_size == 80
    export_icefall(tmp_path / "model", tmp_path / "back" / "pretrained.pt")
    exported = torch.load(tmp_path / "back" / "pretrained.pt", weights_only=True)
    assert_equal(exported["model"], weights)
    size = sum(tensor.numel() * 4 for tensor in weights.values())
    assert (tmp_path / "back" / "pretrained.pt").stat().st_size < 1.5 * size + 200_000
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    assert settings["dtype"] == "float32"


def test_an_encoder_alone_and_back(tmp_path):
    weights = made(**FULL)
    convert_icefall(save(tmp_path / "a.pt", weights), tmp_path / "model", encoder_only=True)
    assert type(AutoModel.from_pretrained(tmp_path / "model")) is ZipformerModel
    state = export_icefall(tmp_path / "model", tmp_path / "encoder.pt")
    assert_equal(state, {name: one for name, one in weights.items() if name.startswith("encoder")})


def test_a_converted_folder_is_an_encoder_of_dialect_models(tmp_path):
    weights = made(**FULL)
    convert_icefall(save(tmp_path / "a.pt", {"model": weights}), tmp_path / "model")
    model = DialectModel.from_encoder_pretrained(str(tmp_path / "model"), pooling="attention")
    bare, extractor = load_for_inference(tmp_path / "model", head=False)
    assert type(extractor) is ZipformerFeatureExtractor
    for one in (model, bare):
        assert type(one.encoder) is ZipformerModel
        used = {name: tensor for name, tensor in weights.items() if name.startswith("encoder") and not is_unused(name)}
        assert_equal(one.encoder.state_dict(), used)


def test_what_is_read_is_not_replaced(tmp_path):
    convert_icefall(save(tmp_path / "a.pt", made()), tmp_path / "model")
    inside = save(tmp_path / "model" / "a.pt", made())
    with pytest.raises(CheckpointError, match=r"a\.pt lies in \S+model, whose files are replaced: name another folder"):
        convert_icefall(inside, tmp_path / "model")
    assert inside.is_file()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(dtype):
    weights = {name: tensor.to(dtype) for name, tensor in made().items()}
    found = icefall_state_dict(convert_state_dict(weights))
    assert_equal(found, {name: tensor.float() for name, tensor in weights.items()})


def test_weights_of_float32_are_not_copied():
    weights = made()
    model = convert_state_dict(weights)
    assert model.joiner.output_linear.weight.data_ptr() == weights["joiner.output_linear.weight"].data_ptr()


def test_a_folder_that_cannot_be_exported_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere cannot be exported: .*\. A folder of a Zipf"):
        export_icefall(tmp_path / "nowhere", tmp_path / "a.pt")
    convert_icefall(save(tmp_path / "a.pt", made()), tmp_path / "model")
    content = (tmp_path / "model" / "model.safetensors").read_bytes()
    (tmp_path / "model" / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"cannot be exported: .*with a whole config\.json and m"):
        export_icefall(tmp_path / "model", tmp_path / "b.pt")
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    settings = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(settings | {"vocab_size": 12}))
    with pytest.raises(
        CheckpointError, match=r"7 of another shape: decoder\.embedding\.weight \(11, 8\) instead of \(12"
    ):
        export_icefall(tmp_path / "model", tmp_path / "b.pt")
    (tmp_path / "model" / "config.json").write_text(json.dumps(settings | {"architectures": ["DialectModel"]}))
    with pytest.raises(CheckpointError, match=r"model cannot be exported: its config\.json names DialectModel\. A"):
        export_icefall(tmp_path / "model", tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "a.pt", made())
    convert_icefall(path, tmp_path / "model")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hf_dialects.convert_icefall.torch.save", full)
    with pytest.raises(DialectError, match=r"b\.pt could not be written: the disk that holds it is full"):
        export_icefall(tmp_path / "model", tmp_path / "b.pt")
    monkeypatch.setattr(ZipformerForRNNT, "save_pretrained", full)
    with pytest.raises(DialectError, match=r"new could not be written: the disk that holds it is full"):
        convert_icefall(path, tmp_path / "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.pt", "model"]
