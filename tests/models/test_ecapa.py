"""The ECAPA-TDNN encoder and its pooling: sizes as published, no notice taken of padding, what training moves."""

from itertools import pairwise

import pytest
import tiny
import torch
from torch import nn

from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_ecapa_dialect import EcapaConfig
from hf_dialects.models.decibel_mel_dialect import decibel_mel, mel_filters
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.models.modeling_ecapa_dialect import EcapaModel
from hf_dialects.models.pooling_dialect import build_pooling
from hf_dialects.models.tdnn_dialect import FrameNorm, mirrored

LENGTHS = [1, 2, 3, 5, 9, 30]


def size(model) -> int:
    return sum(one.numel() for one in model.parameters())


def settled(model):
    """The model in eval mode with running statistics that are not those of a new one."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, FrameNorm):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model.eval()


def batch(lengths=LENGTHS, bins=20, padding=0.0):
    """Features (B, F, M), padded with `padding`, and their mask."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    features = torch.randn(*mask.shape, bins, generator=torch.Generator().manual_seed(0))
    return features.masked_fill(~mask[..., None], padding), mask


@pytest.mark.parametrize(
    ("encoder", "embedding_size", "millions"),
    [
        ({"channels": 512}, 192, 6.2),  # the paper's two models
        ({}, 192, 14.7),
        ({"num_mel_bins": 60, "hidden_size": 3072}, 256, 21.06),  # VoxLingua107, by the layers of its released file
    ],
)
def test_as_many_parameters_as_published(encoder, embedding_size, millions):
    config = EcapaConfig(**encoder)
    options = {"embedding_size": embedding_size}
    with torch.device("meta"):
        model = DialectModel(DialectConfig(encoder_config=config, pooling="ecapa", pooling_options=options))
    assert size(model) == pytest.approx(millions * 1e6, rel=0.02)
    assert size(model) == counted(config, embedding_size)


def counted(config: EcapaConfig, embedding_size: int, attention_size: int = 128) -> int:
    """Parameters of the published layers, each convolution with a bias, each normalisation with two vectors."""

    def layer(inputs, outputs, kernel):
        return inputs * outputs * kernel + outputs + 2 * outputs

    c, d, width = config.channels, config.hidden_size, config.channels // 8
    squeeze = (c * 128 + 128) + (128 * c + c)
    block = layer(c, c, 1) + 7 * layer(width, width, 3) + layer(c, c, 1) + squeeze
    pooling = (
        layer(3 * d, attention_size, 1) + (attention_size * d + d) + 4 * d + (2 * d * embedding_size) + embedding_size
    )
    return layer(config.num_mel_bins, c, 5) + 3 * block + layer(3 * c, d, 1) + pooling


@pytest.mark.parametrize("padding", [0.0, float("nan"), 3e38])
def test_frames_do_not_notice_padding(padding):
    encoder = settled(EcapaModel(EcapaConfig(**tiny.ECAPA)))
    features, mask = batch(padding=padding)
    output = encoder(features, attention_mask=mask, output_hidden_states=True)
    for row, length in enumerate(LENGTHS):
        alone = encoder(features[row : row + 1, :length], output_hidden_states=True)
        for together, one in zip(output.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(together[row, :length], one[0], atol=2e-5, rtol=1e-4)
    assert output.hidden_states[-1] is output.last_hidden_state
    assert len(output.hidden_states) == 4


@pytest.mark.parametrize("padding", [0.0, float("nan")])
def test_the_pooled_vector_does_not_notice_padding(padding):
    pooling = settled(build_pooling("ecapa", 6, attention_size=4, embedding_size=3))
    frames, mask = batch(bins=6, padding=padding)
    frames.requires_grad_()
    pooled = pooling(frames, mask)
    assert pooled.shape == (len(LENGTHS), pooling.output_size(6)) == (len(LENGTHS), 3)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(pooled[row], pooling(frames[row : row + 1, :length])[0])
    pooled.square().sum().backward()
    assert frames.grad.isfinite().all()
    assert (frames.grad[~mask] == 0).all()


def test_training_does_not_notice_padding_either():
    """Batch statistics are those of speech: more padding moves neither the loss nor a gradient."""
    features, mask = batch([9, 30, 14])
    more = nn.functional.pad(features, (0, 0, 0, 25), value=9.0), nn.functional.pad(mask, (0, 25))
    found = []
    for one in ((features, mask), more):
        model = tiny.model("ecapa", pooling="ecapa", pooling_options={"attention_size": 4, "embedding_size": 8}).train()
        loss = model(input_features=one[0], attention_mask=one[1], labels=torch.tensor([0, 1, 2])).loss
        loss.backward()
        found.append([loss, *(parameter.grad for parameter in model.parameters()), *model.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_normalisation_equals_torch_on_the_frames_that_count():
    values, mask = torch.randn(3, 4, 7), torch.arange(7)[None] < torch.tensor([7, 2, 4])[:, None]
    ours, theirs = FrameNorm(4), nn.BatchNorm1d(4)
    for norm in (ours, theirs):
        nn.init.uniform_(norm.weight, 0.5, 2)
    theirs.load_state_dict(ours.state_dict())
    expected = theirs(values.transpose(1, 2)[mask])
    torch.testing.assert_close(ours(values, mask).transpose(1, 2)[mask], expected, atol=1e-6, rtol=1e-5)
    for one, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(ours.eval()(values), theirs.eval()(values), atol=1e-6, rtol=1e-5)


def test_one_frame_and_frozen_layers_use_the_running_statistics():
    norm = settled(nn.Sequential(FrameNorm(4)))[0].train()
    before = [one.clone() for one in norm.buffers()]
    one_frame, several = torch.randn(1, 4, 1), torch.randn(2, 4, 5)
    found = norm(one_frame)
    norm.weight.requires_grad_(False)
    frozen = norm(several)
    assert all(torch.equal(one, other) for one, other in zip(before, norm.buffers(), strict=True))
    norm.eval()
    assert torch.equal(found, norm(one_frame))
    assert torch.equal(frozen, norm(several))


def test_mirrored_ends():
    values = torch.tensor([[[1.0, 2.0, 3.0, 4.0]], [[5.0, 6.0, 0.0, 0.0]], [[7.0, 0.0, 0.0, 0.0]]])
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    found = mirrored(values, 2, mask)[:, 0].tolist()
    assert found[0] == [3, 2, 1, 2, 3, 4, 3, 2]
    assert found[1][:6] == [5, 6, 5, 6, 5, 6]  # shorter than the reach: to and fro
    assert found[2][:5] == [7] * 5
    assert torch.equal(mirrored(values[:1], 2), mirrored(values[:1], 2, mask[:1]))
    assert mirrored(values[1:2, :, :2], 3)[0, 0].tolist() == [6, 5, 6, 5, 6, 5, 6, 5]


def test_saved_statistics_and_pooling_come_back(tmp_path):
    options = {"attention_size": 4, "embedding_size": 8}
    model = settled(tiny.model("ecapa", pooling="ecapa", pooling_options=options))
    model.save_pretrained(tmp_path)
    again = DialectForAudioClassification.from_pretrained(tmp_path)
    assert type(again.config.encoder_config) is EcapaConfig
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    new = DialectForAudioClassification.from_encoder_pretrained(str(tmp_path), id2label={0: "a", 1: "b"})
    for name, tensor in model.dialect.state_dict().items():
        assert torch.equal(tensor, new.dialect.state_dict()[name]), name
    other = DialectModel.from_encoder_pretrained(str(tmp_path), pooling="mean")
    assert other.config.pooling_options is None
    assert torch.equal(other.encoder.stem.norm.running_mean, model.dialect.encoder.stem.norm.running_mean)
    larger = DialectModel.from_encoder_pretrained(
        str(tmp_path), pooling="ecapa", pooling_options=options | {"embedding_size": 9}
    )
    assert larger.embedding_size == 9


def test_gradient_reaches_every_parameter_of_encoder_and_pooling():
    options = {"attention_size": 4, "embedding_size": 8}
    model = tiny.model("ecapa", pooling="ecapa", pooling_options=options).train()
    features, mask = batch([9, 30, 14])
    model(input_features=features, attention_mask=mask, labels=torch.tensor([0, 1, 2])).loss.backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.isfinite().all()] == []
    without = [name for name, one in model.named_parameters() if one.grad.abs().max() < 1e-12]
    assert set(without) <= {"dialect.pooling.score.bias"}  # shares of frames do not depend on it


def test_a_last_batch_of_one_recording_trains():
    model = tiny.model("ecapa", pooling="ecapa", pooling_options={"embedding_size": 8}).train()
    features, mask = batch([12])
    loss = model(input_features=features, attention_mask=mask, labels=torch.tensor([1])).loss
    loss.backward()
    assert loss.isfinite()
    assert all(one.grad.isfinite().all() for one in model.parameters())


def test_freezing():
    model = tiny.model("ecapa")
    model.freeze_encoder(1)
    frozen = {name.split(".")[0] for name, one in model.dialect.encoder.named_parameters() if not one.requires_grad}
    assert frozen == {"stem", "layers"}
    assert all(one.requires_grad for one in model.dialect.encoder.layers[1:].parameters())
    below = tiny.model("ecapa", layer=1)
    assert not any(one.requires_grad for one in below.dialect.encoder.aggregation.parameters())


def test_settings_that_are_not_valid():
    wide = EcapaConfig(**tiny.ECAPA | {"hidden_size": 96})
    assert DialectModel(DialectConfig(encoder_config=wide)).embedding_size == 96
    with pytest.raises(ValueError, match="ecapa encoder has 32 channels in its blocks and 96 in its frames"):
        DialectConfig(encoder_config=wide, layer="weighted")
    with pytest.raises(ValueError, match=r"one number per block, found \[3, 3, 3\] and \[2, 3\]"):
        EcapaConfig(dilations=[2, 3])
    with pytest.raises(ValueError, match="kernel sizes must be odd, found 4 for the input"):
        EcapaConfig(input_kernel_size=4)
    with pytest.raises(ValueError, match=r"channels \(100\) must be a multiple of res2net_scale \(8\)"):
        EcapaConfig(channels=100)
    with pytest.raises(ValueError, match="'width'; the options of ecapa pooling are: attention_size, embedding_size"):
        build_pooling("ecapa", 4, width=3)
    with pytest.raises(ValueError, match="the options of mean pooling are: none"):
        build_pooling("mean", 4, width=3)
    with pytest.raises(ValueError, match=r"takes features \(B, F, 20\), found \(1, 5, 40\)"):
        EcapaModel(EcapaConfig(**tiny.ECAPA))(torch.zeros(1, 5, 40))


def test_decibel_features_by_the_definition():
    waveform = torch.from_numpy(tiny.waveform(0.05))
    found = decibel_mel(waveform, 6, 16000, 400, 400, 160)
    assert found.shape == (6, 6)
    padded = nn.functional.pad(waveform, (200, 200))
    angle = torch.outer(torch.arange(201.0), torch.arange(400.0)) * (2 * torch.pi / 400)
    window = 0.54 - 0.46 * torch.cos(2 * torch.pi * torch.arange(400) / 400)
    for frame in range(6):
        samples = (padded[160 * frame : 160 * frame + 400] * window).double()
        power = (samples @ angle.double().cos().T).square() + (samples @ angle.double().sin().T).square()
        expected = 10 * (power @ mel_filters(6, 16000, 400).double()).log10()
        torch.testing.assert_close(found[frame].double(), expected, atol=1e-3, rtol=0)


def test_decibel_filters_and_range():
    filters = mel_filters(3, 16000, 400)  # 40 Hz from line to line
    edges = [700 * (10 ** (mel / 2595) - 1) for mel in (0, 710.0084, 1420.0168, 2130.0251)]
    for bin, (below, centre) in enumerate(pairwise(edges)):
        for line in (0, 5, 20, 60, 100, 200):
            expected = max(0.0, 1 - abs(40 * line - centre) / (centre - below))
            assert filters[line, bin].item() == pytest.approx(expected, abs=1e-4)
    burst = torch.zeros(16000)
    burst[8000:8400] = 0.5 * torch.sin(torch.arange(400) * 0.8)
    levels = decibel_mel(burst, 20, 16000, 400, 400, 160)
    assert levels.max() - levels.min() == pytest.approx(80)
    assert levels.isfinite().all()
    assert decibel_mel(torch.zeros(800), 20, 16000, 400, 400, 160).unique().tolist() == [pytest.approx(-100)]


def test_decibel_extractor(tmp_path):
    extractor = DialectFeatureExtractor(feature_size=20, hop_s=0.01, window_s=0.025, n_fft=400, scale="decibel")
    extractor.save_pretrained(tmp_path)
    again = DialectFeatureExtractor.from_pretrained(tmp_path)
    waveforms = [tiny.waveform(0.5, 0), tiny.waveform(0.2, 1)]
    features = extract(again, waveforms)
    assert features["attention_mask"].sum(1).tolist() == [51, 21]
    own = decibel_mel(torch.from_numpy(waveforms[1]), 20, 16000, 400, 400, 160)
    torch.testing.assert_close(features["input_features"][1, :21], own - own.mean(0))
    with pytest.raises(ValueError, match=r"scale must be one of log, decibel, without frames.*found 'decibel' and 100"):
        DialectFeatureExtractor(scale="decibel", frames=100)
