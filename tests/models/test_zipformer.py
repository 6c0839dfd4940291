"""The Zipformer encoder: against plain loops, its sizes, lengths, padding, chunks and settings."""

import pytest
import torch
import zipformer_oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_zipformer import CHUNKS, SIX, batch, drawn, model
from transformers import AutoConfig, AutoModel

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.encoder_dialect import padding_leaks
from hf_dialects.models.modeling_zipformer import ZipformerEncoder, ZipformerModel


@pytest.mark.parametrize(
    "options",
    [
        {},
        CHUNKS,
        CHUNKS | {"left_context_frames": -1},
        CHUNKS | {"left_context_frames": 0},
        {"causal": True},
        CHUNKS | {"chunk_size": 32},  # longer than the utterances
    ],
    ids=["whole", "chunks", "all to the left", "one to the left", "causal", "one chunk"],
)
def test_six_stacks_against_plain_loops(options):
    config = ZipformerConfig(**SIX | options)
    encoder = drawn(ZipformerEncoder(config)).double()
    lengths = torch.tensor([21, 13, 6])
    x = torch.randn(3, 21, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        found, _ = encoder(x, lengths)
    parameters = {name: value.numpy() for name, value in encoder.state_dict().items()}
    for row, length in enumerate(lengths.tolist()):
        expected = zipformer_oracle.encode(parameters, config, list(x[row].numpy()), length)
        kept = (length + 1) // 2
        expected = torch.tensor(expected[:kept])
        torch.testing.assert_close(found[row, :kept], expected, atol=1e-5, rtol=1e-5)
    assert found.std() > 0.1, "equal frames would prove nothing"


@pytest.mark.parametrize(
    ("preset", "encoder", "unused"),
    [("small", 21_377_826, 2_944), ("medium", 63_382_150, 5_760), ("large", 146_013_641, 9_344)],
)
def test_as_many_parameters_as_published(preset, encoder, unused):
    """Published totals count one more scale per channel and layer, which icefall's layers hold and never use."""
    with torch.device("meta"):
        found = ZipformerModel(ZipformerConfig.preset(preset))
    assert sum(one.numel() for one in found.encoder.parameters()) == encoder - unused
    assert sum(one.numel() for one in found.encoder_embed.parameters()) == 611_953
    assert unused == sum(
        width * layers for width, layers in zip(found.config.encoder_dims, found.config.num_encoder_layers, strict=True)
    )


def test_lengths_are_those_of_the_frames():
    encoder = model()
    for n_frames in range(9, 42):
        output = encoder(torch.zeros(1, n_frames, 12), output_hidden_states=True)
        for found, last in ((output.last_hidden_state, True), (output.hidden_states[0], False)):
            assert found.shape[1] == encoder._get_feat_extract_output_lengths(torch.tensor(n_frames), last)
    features, mask = batch([41, 30, 9, 8, 17])
    assert encoder(features, mask).frame_mask.sum(1).tolist() == [9, 6, 1, 0, 3]
    assert encoder(features).frame_mask.all()


def test_hidden_states_come_before_the_last_downsampling():
    features, mask = batch([41, 30])
    output = model()(features, mask, output_hidden_states=True)
    assert [state.shape for state in output.hidden_states] == [(2, 17, width) for width in model().config.hidden_sizes]
    assert output.last_hidden_state.shape == (2, 9, 20)
    assert model()(features, mask).hidden_states is None
    assert model()(features, mask, return_dict=False)[0].shape == (2, 9, 20)


@given(
    lengths=st.lists(st.integers(9, 75), min_size=2, max_size=4),
    options=st.sampled_from([{}, {"causal": True}, CHUNKS, CHUNKS | {"chunk_size": 16, "left_context_frames": -1}]),
    padding=st.sampled_from([-23.0, float("nan"), 3e38]),
)
@settings(max_examples=15, deadline=None)
def test_pad_invariant_frames_do_not_notice_padding(lengths, options, padding):
    encoder = model(pad_invariant=True, **options)
    features, mask = batch(lengths, padding=padding)
    with torch.no_grad():
        together = encoder(features, mask, output_hidden_states=True)
        for row, length in enumerate(lengths):
            alone = encoder(features[row : row + 1, :length], output_hidden_states=True)
            kept = alone.last_hidden_state.shape[1]
            assert together.frame_mask[row].sum() == kept
            torch.testing.assert_close(
                together.last_hidden_state[row, :kept], alone.last_hidden_state[0], atol=1e-5, rtol=1e-4
            )
            for one, other in zip(together.hidden_states, alone.hidden_states, strict=True):
                torch.testing.assert_close(one[row, : other.shape[1]], other[0], atol=1e-5, rtol=1e-4)


def test_the_default_lets_padding_in_at_the_end_only_of_the_front_end():
    features, mask = batch([81, 40])
    plain, invariant = model(), model(pad_invariant=True)
    alone = plain(features[1:, :40], output_hidden_states=True)
    together = plain(features, mask, output_hidden_states=True)
    moved = (together.hidden_states[0][1, :16] - alone.hidden_states[0][0]).abs().amax(-1)
    assert moved[:13].max() < 1e-5
    assert moved[13:].min() > 1e-3
    assert torch.equal(alone.last_hidden_state, invariant(features[1:, :40]).last_hidden_state)
    assert padding_leaks(plain.config)
    assert not padding_leaks(invariant.config)


def test_a_chunk_sees_nothing_of_what_follows_it():
    """Frames of the first chunk, 8 at 50 Hz, stay when the features behind those that they see change."""
    encoder = model(**CHUNKS).encoder
    x = torch.randn(1, 24, 8)
    later = x.clone()
    later[:, 8:] += 1
    one, other = (encoder(values)[1][-1] for values in (x, later))
    assert torch.equal(one[:, :8], other[:, :8])
    assert not torch.isclose(one[:, 8:], other[:, 8:]).all(-1).any()
    one, other = (model().encoder(values)[1][-1] for values in (x, later))
    assert not torch.isclose(one, other).all(-1).any(), "without chunks every frame sees every other"


def test_saved_and_loaded(tmp_path):
    encoder = model(**CHUNKS)
    encoder.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is ZipformerModel
    assert type(AutoConfig.from_pretrained(tmp_path)) is ZipformerConfig
    assert again.config.encoder_dims == encoder.config.encoder_dims
    features, mask = batch([41, 30])
    assert torch.equal(encoder(features, mask).last_hidden_state, again.eval()(features, mask).last_hidden_state)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder_dims": (8, 8)}, "one number per stack, found downsampling_factors 6, .* encoder_dims 2,"),
        ({"num_heads": (4, 4, 0, 8, 4, 4)}, r"num_heads must be positive, found \[4, 4, 0, 8, 4, 4\]"),
        ({"encoder_dims": (8, 8, 8, 8, 8, 10)}, "encoder_dims must be multiples of 4, found"),
        ({"feedforward_dims": (8, 8, 8, 8, 8, 10)}, "feedforward_dims must be multiples of 4, found"),
        ({"cnn_module_kernels": (31, 30, 15, 15, 15, 31)}, r"cnn_module_kernels must be odd, found \[31, 30"),
        ({"pos_dim": 47}, "pos_dim must be even .pairs of cosine and sine., found 47"),
        ({"num_mel_bins": 6}, "num_mel_bins must be at least 7, found 6"),
        ({"frontend_channels": (8, 32)}, r"frontend_channels needs 3 numbers, found \[8, 32\]"),
        ({"output_downsampling_factor": 0}, "output_downsampling_factor must be positive, found 0"),
        ({"chunk_size": 16}, "chunk_size is 16, but only a causal model has chunks: set causal=True"),
        (
            {"chunk_size": 12, "causal": True},
            r"divisible by every one of downsampling_factors \[1, 2, 4, 8, 4, 2\], fo",
        ),
        ({"chunk_size": 0, "causal": True}, "chunk_size must be -1 or divisible"),
        ({"chunk_size": 8, "causal": True, "left_context_frames": -2}, "left_context_frames must be -1 .all. or at"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), found 1.0"),
        ({"layer_skip_rate": 0.5}, r"layer_skip_rate is 0.5; times the square root of the largest factor \(8\)"),
        ({"blank_token_id": 500}, "blank_token_id is 500, but vocab_size 500 has tokens 0 to 499"),
        (
            {"attention_decoder_heads": 7},
            r"attention_decoder_dim \(512\) must be a multiple of attention_decoder_heads",
        ),
    ],
)
def test_settings_that_do_not_go_together(fields, message):
    with pytest.raises(ValueError, match=message):
        ZipformerConfig(**fields)


def test_presets():
    assert ZipformerConfig.preset("small").hidden_size == 256
    assert ZipformerConfig.preset("large", causal=True).causal
    yubao = ZipformerConfig.preset("yubao")
    assert (sum(yubao.num_encoder_layers), yubao.hidden_size, yubao.num_hidden_layers) == (19, 768, 6)
    assert (yubao.vocab_size, yubao.attention_decoder_layers) == (3818, 6)
    with pytest.raises(ValueError, match="preset is 'tiny'; it must be one of: small, medium, large, yubao"):
        ZipformerConfig.preset("tiny")
