"""What training does to the Zipformer: initial weights, dropout, skipped layers, limits, checkpointing, bfloat16."""

import pytest
import torch
from tiny_zipformer import CHUNKS, SIX, batch, drawn, model
from torch import nn

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.layers_zipformer import (
    BiasNorm,
    Bypass,
    Downsample,
    Limit,
    SharedDropout,
    swoosh_l,
    swoosh_r,
)
from hf_dialects.models.modeling_zipformer import ZipformerModel


def test_gradient_does_not_notice_padding_that_is_no_number():
    features, mask = batch([40, 21], padding=float("nan"))
    encoder = ZipformerModel(ZipformerConfig(**SIX, pad_invariant=True)).train()
    output = encoder(features, mask)
    output.last_hidden_state[output.frame_mask].square().mean().backward()
    assert all(one.grad.isfinite().all() for one in encoder.parameters())


def test_checkpointed_gradients_equal_plain_ones_with_dropout_and_skipped_layers():
    features, mask = batch([41, 30, 25])
    gradients, outputs = [], []
    for checkpointing in (False, True):
        encoder = drawn(ZipformerModel(ZipformerConfig(**SIX, layer_skip_rate=0.1))).train()
        if checkpointing:
            encoder.gradient_checkpointing_enable()
            assert encoder.encoder.encoders[0].layers[0].gradient_checkpointing
        torch.manual_seed(3)
        outputs.append(encoder(features, mask).last_hidden_state)
        outputs[-1].square().mean().backward()
        gradients.append({name: one.grad for name, one in encoder.named_parameters()})
    assert torch.equal(*outputs)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)
    assert all(gradient.any() for gradient in gradients[0].values())


def test_bfloat16_is_close():
    encoder = ZipformerModel(ZipformerConfig(**SIX)).eval()
    features, mask = batch([61, 40])
    expected = encoder(features, mask).last_hidden_state
    output = encoder.to(torch.bfloat16)(features.to(torch.bfloat16), mask)
    assert output.last_hidden_state.dtype == torch.bfloat16
    assert (output.last_hidden_state.float() - expected)[output.frame_mask].norm() < 0.03 * expected.norm()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = encoder.float()(features, mask).last_hidden_state
    assert (mixed - expected)[output.frame_mask].norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("function", [swoosh_l, swoosh_r, drawn(BiasNorm(64))])
def test_of_bfloat16_only_the_result_is_rounded(function):
    values = (3 * torch.randn(100, 64)).to(torch.bfloat16)
    found, expected = function(values), function(values.float()).to(torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_training_without_dropout_and_skipped_layers_is_evaluation():
    rates = {"dropout": 0.0, "position_dropout": 0.0, "layer_skip_rate": 0.0}
    encoder = drawn(ZipformerModel(ZipformerConfig(**SIX, **rates)))
    features, mask = batch([41, 30])
    expected = encoder(features, mask).last_hidden_state
    assert torch.equal(encoder.train()(features, mask).last_hidden_state, expected)
    for name in rates:
        encoder = drawn(ZipformerModel(ZipformerConfig(**SIX, **rates | {name: 0.2}))).train()
        assert not torch.allclose(encoder(features, mask).last_hidden_state, expected), name


def test_a_skipped_layer_leaves_whole_utterances_as_they_were():
    bypass = Bypass(3, skip_rate=0.25).train()
    before, after = torch.zeros(4000, 2, 3), torch.ones(4000, 2, 3)
    torch.manual_seed(0)
    found = bypass(before, after)
    assert found.unique().tolist() == [0, 0.5]
    assert torch.equal(found[:, :1, :1].expand_as(found), found)
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert bypass.eval()(before, after).unique().tolist() == [0.5]
    config = ZipformerConfig(**SIX)
    rates = [blocks[0].bypass.skip_rate for blocks in (_layers(stack) for stack in model().encoder.encoders)]
    assert rates == [config.layer_skip_rate * factor**0.5 for factor in config.downsampling_factors]


def _layers(stack):
    return stack.layers if hasattr(stack, "layers") else stack.encoder.layers


def test_dropout_is_shared_over_time():
    dropout = SharedDropout(0.25)
    torch.manual_seed(0)
    found = dropout(torch.ones(50, 3, 80))
    assert torch.equal(found[:, :1].expand_as(found), found)
    assert sorted(found.unique().tolist()) == [0, pytest.approx(4 / 3)]
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert len(found[:, 0].unique(dim=0)) == 50
    assert torch.equal(dropout.eval()(found), found)


def test_a_parameter_outside_its_limits_moves_back():
    parameter = torch.tensor([0.1, 0.1, 0.5, 0.5, 1.2, 1.2], requires_grad=True)
    limited = Limit.apply(parameter, 0.2, 1.0)
    assert torch.equal(limited, parameter)
    (limited * torch.tensor([1.0, -1, 1, -1, 1, -1])).sum().backward()
    assert parameter.grad.tolist() == [-1, -1, 1, -1, 1, 1]  # steps go against the gradient
    norm = BiasNorm(4).train()
    nn.init.constant_(norm.log_scale, 2.0)
    (-norm(torch.randn(3, 4)).square().sum()).backward()
    assert norm.log_scale.grad > 0


def test_initial_weights():
    config = ZipformerConfig(**SIX | CHUNKS)
    encoder = ZipformerModel(config)
    layer = encoder.encoder.encoders[0].layers[0]
    for module, scale in (
        (layer.self_attn_weights.in_proj, 6**-0.25),
        (layer.self_attn_weights.linear_pos, 0.05),
        (layer.self_attn1.out_proj, 0.05),
        (layer.nonlin_attention.out_proj, 0.05),
        (layer.conv_module1.out_proj, 0.05),
        (layer.feed_forward1.out_proj, 0.1),
        (layer.feed_forward1.in_proj, 1.0),
        (encoder.encoder_embed.convnext.pointwise_conv2, 0.01),
    ):
        bound = scale * module.weight[0].numel() ** -0.5
        assert 0.7 * bound < module.weight.abs().max() <= bound
        if module.bias is not None:
            assert 0 < module.bias.abs().max() <= (bound if scale == 1 else 0.1 * scale)
    assert all((one.bypass_scale == 0.5).all() for one in encoder.modules() if isinstance(one, Bypass))
    assert all((one.log_scale == 1).all() for one in encoder.modules() if isinstance(one, BiasNorm))
    assert not any(one.bias.any() for one in encoder.modules() if isinstance(one, Downsample))
    assert not layer.conv_module1.depthwise_conv.chunkwise_conv_scale.any()
