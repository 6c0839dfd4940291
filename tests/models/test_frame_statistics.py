"""Statistics of frames that a model holds: what `encode` makes of them, and that they survive saving bit by bit."""

from copy import deepcopy

import numpy as np
import pytest
import tiny
import torch
from transformers import AutoModel

from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.retrieval import FrameStatistics
from hf_dialects.saving import load_for_inference, save_for_hub

WAVES = [tiny.waveform(seconds, seed) for seed, seconds in enumerate((0.6, 1.1, 0.8))]


def fitted(model, layers, whiten=False, source="FLEURS train", kind="wav2vec2"):
    """Statistics of the frames of `WAVES` in some layers."""
    extractor = tiny.feature_extractor(kind)
    frames = {layer: model.encode(WAVES, extractor, layer=layer, frames=True) for layer in layers}
    return {layer: FrameStatistics.fit(frames[layer], source, "abc", whiten=whiten) for layer in layers}


@pytest.mark.parametrize("whiten", [False, True])
def test_frames_are_those_that_the_statistics_give(whiten):
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    statistics = fitted(model, (1, -1), whiten)
    plain = {layer: model.encode(WAVES, extractor, layer=layer, frames=True) for layer in (1, -1)}
    model.set_frame_statistics(statistics)
    assert model.config.frame_statistics == {
        "source": "FLEURS train",
        "whitened": whiten,
        "sizes": {"1": 32, "3": 32},
    }
    for layer in (1, -1):
        found = model.encode(WAVES, extractor, layer=layer, frames=True, centred=True)
        for one, expected, raw in zip(found, statistics[layer].apply(plain[layer]), plain[layer], strict=True):
            assert one.dtype == np.float32
            assert one.shape == raw.shape
            np.testing.assert_allclose(one, expected, atol=2e-5)
        joined = np.concatenate(found).astype(np.float64)
        assert np.abs(joined.mean(0)).max() < 1e-4
        if whiten:
            assert np.abs(np.cov(joined.T) - np.eye(32)).max() < 0.2
        assert np.abs(np.concatenate(plain[layer]).mean(0)).max() > 0.01, "frames had no centre to lose"
    untouched = model.encode(WAVES[0], extractor, layer=1, frames=True)
    assert np.array_equal(untouched, plain[1][0]), "without centred nothing changes"


@pytest.mark.parametrize("kind", tiny.ENCODERS)
@pytest.mark.parametrize("bare", [False, True])
def test_a_saved_and_loaded_model_gives_the_same_bits(tmp_path, kind, bare):
    model, extractor = tiny.model(kind), tiny.feature_extractor(kind)
    model.set_frame_statistics(fitted(model, (2, 3), whiten=True, kind=kind))
    model = model.base_model if bare else model
    expected = model.encode(WAVES, extractor, layer=2, frames=True, centred=True)
    save_for_hub(model, extractor, tmp_path / "model")
    loaded = {AutoModel.from_pretrained(tmp_path / "model"): DialectModel}
    loaded[load_for_inference(tmp_path / "model", head=False)[0]] = (
        DialectModel if bare else DialectForAudioClassification
    )
    for one, type_ in loaded.items():
        assert type(one) is type_
        assert one.config.frame_statistics["source"] == "FLEURS train"
        one = deepcopy(one)  # weights mapped from a file are aligned otherwise, and some kernels then round otherwise
        for frames, before in zip(one.encode(WAVES, extractor, 2, True, True), expected, strict=True):
            assert np.array_equal(frames, before)
    assert len({len(frames) for frames in expected}) == 3, "frames of padding would be equally many"


def test_statistics_stay_exact_in_half_precision_and_can_be_taken_away(tmp_path):
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    model.set_frame_statistics(fitted(model, (2,)))
    save_for_hub(model, extractor, tmp_path / "model")
    half = AutoModel.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half.centring.mean_2, model.dialect.centring.mean_2)
    assert half.encode(WAVES[0], extractor, 2, True, True).dtype == np.float32
    model.set_frame_statistics(None)
    save_for_hub(model, extractor, tmp_path / "model")
    again = AutoModel.from_pretrained(tmp_path / "model")
    assert again.centring is None
    assert again.config.frame_statistics is None


def test_what_does_not_fit_is_named():
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    with pytest.raises(ValueError, match="centred is for frames, of a model with statistics: call set_frame_stat"):
        model.encode(WAVES[0], extractor, frames=True, centred=True)
    one = fitted(model, (1,))
    with pytest.raises(ValueError, match=r"statistics are of 'FLEURS train', 'other'; expected those of one set"):
        model.set_frame_statistics(one | fitted(model, (2,), source="other"))
    with pytest.raises(ValueError, match=r"of 'FLEURS train', some of them whitened; expected"):
        model.set_frame_statistics(one | fitted(model, (2,), whiten=True))
    with pytest.raises(ValueError, match="layer is 9, the encoder has 3 blocks: take 0 to 3"):
        model.set_frame_statistics({9: one[1]})
    with pytest.raises(ValueError, match="statistics are of nothing"):
        model.set_frame_statistics({})
    assert model.config.frame_statistics is None, "a refused call changes nothing"
    model.set_frame_statistics(one)
    with pytest.raises(ValueError, match="layer 2 has no frame statistics, the model holds those of: 1"):
        model.encode(WAVES[0], extractor, layer=2, frames=True, centred=True)
    with pytest.raises(ValueError, match="layer is 4, the encoder has 3 blocks: take 0 to 3, or -1 to -4"):
        model.encode(WAVES[0], extractor, layer=4)
