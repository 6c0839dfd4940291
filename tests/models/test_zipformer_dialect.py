"""The Zipformer within a dialect model: training, loading, layers, frames, the shortest input."""

import numpy as np
import pytest
import tiny
import torch
from tiny_zipformer import SIX, model

from hf_dialects.errors import DialectError
from hf_dialects.frames import encode_frames, frame_rate_hz
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.encoder_dialect import blocks, minimum_input
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, extract
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.models.pipeline_dialect import minimum_samples
from hf_dialects.training.build import own_extractor

WITHIN = {"id2label": {0: "a", 1: "b"}, "window_s": 1.0, "stride_s": 0.5}


def features_of(seconds):
    return dict(extract(tiny.feature_extractor("zipformer"), [tiny.waveform(one, i) for i, one in enumerate(seconds)]))


def test_within_a_dialect_model_one_step_trains():
    config = ZipformerConfig(**SIX | {"num_mel_bins": 20}, pad_invariant=True)
    classifier = DialectForAudioClassification(DialectConfig(encoder_config=config, **WITHIN)).train()
    inputs = features_of([0.9, 0.4])
    output = classifier.dialect(**inputs)
    assert output.last_hidden_state.shape == (2, 21, 20)
    assert output.frame_mask.sum(1).tolist() == [21, 8]  # 90 and 40 feature frames
    assert classifier.dialect(**inputs, layer=1).frame_mask.sum(1).tolist() == [41, 16]
    before = {name: one.detach().clone() for name, one in classifier.named_parameters()}
    optimiser = torch.optim.SGD(classifier.parameters(), lr=10.0)
    loss = classifier(**inputs, labels=torch.tensor([0, 1])).loss
    loss.backward()
    optimiser.step()
    assert loss.isfinite()
    assert [name for name, one in classifier.named_parameters() if torch.equal(one, before[name])] == []
    classifier.eval()
    together = classifier(**inputs).logits
    alone = classifier(**{name: one[1:, :40] for name, one in inputs.items()}).logits
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_a_pretrained_encoder_is_taken_bit_equal_and_made_pad_invariant(tmp_path):
    encoder = model()
    encoder.save_pretrained(tmp_path)
    overrides = {"pad_invariant": True}
    new = DialectModel.from_encoder_pretrained(str(tmp_path), encoder_overrides=overrides)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, new.encoder.state_dict()[name]), name
    assert new.encoder.encoder.downsample_output.pad_invariant
    new.freeze_encoder(2)
    frozen = {
        name.split(".encoders.")[-1].split(".")[0] for name, p in new.encoder.named_parameters() if not p.requires_grad
    }
    assert frozen == {"encoder_embed", "0", "1"}
    assert len(blocks(new.encoder)) == 6


def test_layers_below_the_last():
    equal = SIX | {"num_mel_bins": 20, "encoder_dims": (12,) * 6}
    below = DialectModel(DialectConfig(encoder_config=ZipformerConfig(**equal), layer=2))
    assert below(**features_of([0.9, 0.4])).frame_mask.sum(1).tolist() == [41, 16]
    trained = {name for name, one in below.encoder.named_parameters() if one.requires_grad}
    assert not [name for name in trained if ".encoders.2." in name or "downsample_output" in name]
    with pytest.raises(ValueError, match="last frames of the zipformer encoder come at a lower rate"):
        DialectConfig(encoder_config=ZipformerConfig(**equal), layer="weighted")
    with pytest.raises(ValueError, match="zipformer encoder has 8, 12, 16, 20 channels in its blocks and 20 in its"):
        DialectConfig(encoder_config=ZipformerConfig(**SIX), layer=2)
    extractor = tiny.feature_extractor("zipformer")
    frames = encode_frames(below, extractor, tiny.waveform(2.0))[-1]
    assert frames.shape == (48, 12)  # 200 feature frames
    for chunk_s, context_s in ((0.4, 100.0), (0.4, 0.1), (0.04, 0.0)):
        chunked = encode_frames(below, extractor, tiny.waveform(2.0), chunk_s=chunk_s, context_s=context_s)[-1]
        assert chunked.shape == frames.shape
        assert np.allclose(chunked, frames, atol=1e-5) == (context_s == 100.0)
    assert frame_rate_hz(below, extractor) == 25
    with pytest.raises(
        DialectError, match=r"lower rate than those below, which layers \[2, 6\] ask for: take the last"
    ):
        encode_frames(below, extractor, tiny.waveform(1.0), (2, -1))


def test_shortest_input():
    config = ZipformerConfig(**SIX)
    assert minimum_input(config) == 9
    assert minimum_samples(tiny.feature_extractor("zipformer"), config) == 8 * 160
    assert minimum_samples(DialectFeatureExtractor(hop_s=0.01, window_s=0.025), config) == 8 * 160 + 400
    with pytest.raises(ValueError, match=r"features \(B, F, 12\) of at least 9 frames, found \(1, 8, 12\)"):
        model()(torch.zeros(1, 8, 12))
    with pytest.raises(ValueError, match=r"features \(B, F, 12\) of at least 9 frames, found \(1, 20, 80\)"):
        model()(torch.zeros(1, 20, 80))


def test_features_of_an_encoder_from_scratch():
    config = ZipformerConfig(**SIX)
    extractor = own_extractor(config, {})
    assert type(extractor) is ZipformerFeatureExtractor
    assert extractor.feature_size == 12
    assert type(own_extractor(config, {"hop_s": 0.01})) is DialectFeatureExtractor
