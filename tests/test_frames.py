"""Frames of long recordings: as many as in one pass, equal to it where the context is whole, close where it is not."""

import numpy as np
import pytest
import tiny
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from hf_dialects.errors import DialectError
from hf_dialects.frames import encode_frames, encoder_of, encodes_in_blocks, frame_blocks, frame_rate_hz
from hf_dialects.models.encoder_dialect import frame_lengths, frame_stride, minimum_input
from hf_dialects.models.feature_extraction_dialect import extract, extract_whole
from hf_dialects.recordings import Recording

RATE = tiny.RATE
ANY_LENGTH = [name for name in tiny.ENCODERS if name != "whisper"]
AROUND = (-161, -160, -81, -80, -79, -2, -1, 0, 1, 59, 79, 80, 81, 159, 160, 161, 320, 400)  # samples around a boundary


@pytest.fixture(scope="module")
def models():
    return {name: (tiny.model(name), tiny.feature_extractor(name)) for name in tiny.ENCODERS}


@pytest.mark.parametrize("context_s", [0.0, 0.1])
@pytest.mark.parametrize("name", ANY_LENGTH)
def test_as_many_frames_as_in_one_pass(models, name, context_s):
    model, extractor = models[name]
    whole = tiny.waveform(1.5)
    for boundary in (8000, 16000):
        for offset in AROUND:
            waveform = whole[: boundary + offset]
            expected = len(model.encode(waveform, extractor, frames=True))
            found = encode_frames(model, extractor, waveform, chunk_s=0.25, context_s=context_s)[-1]
            assert found.shape == (expected, 32), f"{len(waveform)} samples"
            assert found.dtype == np.float32


def test_receptive_fields_longer_than_the_stride():
    config = Wav2Vec2Config(**tiny.SIZE, **tiny.FRONT | {"conv_kernel": (10, 5, 5), "conv_stride": (5, 2, 2)})
    model, extractor = Wav2Vec2Model(config).eval(), tiny.feature_extractor("wav2vec2")
    assert (minimum_input(config), frame_stride(config)) == (70, 20)
    waveform = tiny.waveform(0.6)
    one_pass = encode_frames(model, extractor, waveform, (0,))[0]
    chunked = encode_frames(model, extractor, waveform, (0,), chunk_s=0.1, context_s=0.05)[0]
    assert np.abs(one_pass - chunked).max() < 1e-5
    without = encode_frames(model, extractor, waveform, (0,), chunk_s=0.1, context_s=0.0)[0]
    assert len(without) == len(one_pass) == (len(waveform) - 70) // 20 + 1


@pytest.mark.parametrize("own_extractor", [True, False])
def test_as_many_frames_as_a_longer_whisper_would_give(models, own_extractor):
    """One pass over more than the encoder takes does not exist, so a Whisper of twice the length is asked."""
    model, extractor = models["whisper"]
    options = {"feature_size": 20}
    longer = tiny.feature_extractor("whisper")
    longer.frames = 200
    if not own_extractor:
        extractor, longer = (WhisperFeatureExtractor(chunk_length=seconds, **options) for seconds in (1, 2))
    for boundary in (16000, 24000, 31000):
        for offset in AROUND:
            waveform = tiny.waveform(2.0)[: boundary + offset]
            expected = int((extract(longer, [waveform])["attention_mask"].sum() + 1) // 2)
            assert len(encode_frames(model, extractor, waveform)[-1]) == expected, f"{len(waveform)} samples"


@pytest.mark.parametrize("name", ANY_LENGTH)
def test_whole_context_gives_one_pass(models, name):
    model, extractor = models[name]
    waveform = tiny.waveform(2.3)
    layers = (0, 1, -1)
    one_pass = encode_frames(model, extractor, waveform, layers)
    chunked = encode_frames(model, extractor, waveform, layers, chunk_s=0.4, context_s=100.0)
    for layer in layers:
        assert np.abs(one_pass[layer] - model.encode(waveform, extractor, layer=layer, frames=True)).max() < 1e-5
        assert np.abs(one_pass[layer] - chunked[layer]).max() < 1e-5
        assert one_pass[layer].std() > 0.01


@pytest.mark.parametrize("name", ANY_LENGTH)
def test_convolutions_give_one_pass_with_some_context(models, name):
    """The input of the first block depends on convolutions and on the normalisation of the whole recording only."""
    model, extractor = models[name]
    waveform = tiny.waveform(2.3) * np.linspace(0.1, 3, round(2.3 * RATE), dtype=np.float32)  # chunks differ in level
    one_pass = encode_frames(model, extractor, waveform, (0,))[0]
    chunked = encode_frames(model, extractor, waveform, (0,), chunk_s=0.4, context_s=0.2)[0]
    assert np.abs(one_pass - chunked).max() < 1e-5


@pytest.mark.parametrize("own_extractor", [True, False])
def test_whisper_front_gives_one_pass(own_extractor):
    """Before the position embeddings, which start anew in every pass."""
    model, extractor = tiny.model("whisper"), tiny.feature_extractor("whisper")
    if not own_extractor:
        extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    encoder = encoder_of(model)
    with torch.no_grad():
        encoder.embed_positions.weight.zero_()
        waveform = tiny.waveform(3.7)
        whole = extract_whole(extractor, waveform)
        expected = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.gelu(encoder.conv1(whole))))[0].T.numpy()
    found = encode_frames(model, extractor, waveform, (0,), chunk_s=0.3, context_s=0.2)[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected)[:-1].max() < 1e-5  # the last frame sees padding on its right


def test_a_pass_is_no_longer_than_chunk_and_context(models):
    model, extractor = models["wav2vec2"]
    lengths = []
    handle = encoder_of(model).register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_values"].shape[1]), with_kwargs=True
    )
    encode_frames(model, extractor, tiny.waveform(5.0), chunk_s=0.5, context_s=0.1)
    encode_frames(model, extractor, tiny.waveform(0.5), chunk_s=0.5)
    handle.remove()
    assert lengths[-1] == 8000
    assert len(lengths) == 11
    assert max(lengths[:-1]) <= 0.7 * RATE + 60  # and the receptive field of the last frame
    assert min(lengths[:-1]) >= 0.7 * RATE - 80  # the first and last pass have their context on one side


@pytest.mark.parametrize("context_s", [0.0, 0.1, 100.0])
@pytest.mark.parametrize("seconds", [0.2, 1.5, 3.7])
def test_a_recording_in_blocks_gives_the_frames_of_its_waveform(models, seconds, context_s):
    model, extractor = models["wav2vec2"]
    waveform = tiny.waveform(seconds) + np.float32(0.05)
    cuts = np.random.default_rng(0).integers(0, len(waveform), 6)
    blocks = np.split(waveform, sorted(cuts))
    passes: list[list[int]] = [[], []]
    found = []
    for given, lengths in zip((waveform, Recording(lambda: blocks, RATE)), passes, strict=True):
        handle = encoder_of(model).register_forward_pre_hook(
            lambda module, args, kwargs, lengths=lengths: lengths.append(kwargs["input_values"].shape[1]),
            with_kwargs=True,
        )
        parts = list(frame_blocks(model, extractor, given, (0, 3), chunk_s=0.4, context_s=context_s))
        handle.remove()
        found.append({index: np.concatenate([part[index] for part in parts]) for index in (0, 3)})
    whole, in_blocks = found
    assert passes[0] == passes[1]
    for index in (0, 3):
        assert whole[index].shape == in_blocks[index].shape
        assert np.abs(whole[index] - in_blocks[index]).max() < 2e-5
        assert (
            np.abs(
                whole[index] - encode_frames(model, extractor, waveform - 0.05, (index,), 0.4, context_s)[index]
            ).max()
            < 1e-3
        )


def test_a_recording_is_read_as_its_frames_are_taken(models):
    model, extractor = models["wav2vec2"]
    blocks, read = np.split(tiny.waveform(10.0), 20), []

    def given():
        for block in blocks:
            read.append(len(block))
            yield block

    recording = Recording(given, RATE)
    read.clear()
    frames = frame_blocks(model, extractor, recording, (3,), chunk_s=1.0, context_s=0.1)
    taken = []
    for _ in frames:
        taken.append(sum(read) / RATE)
    assert len(taken) == 10
    assert taken == pytest.approx([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.0], abs=0.5)


def test_which_encoders_take_recordings_in_blocks(models):
    in_blocks = {name for name, given in models.items() if encodes_in_blocks(*given)}
    assert in_blocks == {"wav2vec2", "hubert", "wavlm"}


@pytest.mark.parametrize(("name", "rate"), zip(tiny.ENCODERS, (200, 200, 200, 50, 25, 50, 50), strict=True))
def test_frame_rate(models, name, rate):
    model, extractor = models[name]
    assert frame_rate_hz(model, extractor) == rate
    frames = encode_frames(model, extractor, tiny.waveform(7.0))[-1]
    assert len(frames) == pytest.approx(7.0 * rate, abs=4)  # convolutions without padding lose some


def test_real_whisper_extractor_has_fifty_frames_per_second(models):
    assert frame_rate_hz(models["whisper"][0], WhisperFeatureExtractor(feature_size=20)) == 50


def test_stock_classifiers_and_encoders_have_frames_too():
    for name, kind in (("wav2vec2", Wav2Vec2ForSequenceClassification), ("whisper", WhisperForAudioClassification)):
        extractor, model = tiny.feature_extractor(name), kind(tiny.ENCODERS[name]())
        waveform = tiny.waveform(0.7)
        found = encode_frames(model, extractor, waveform)[-1]
        assert np.array_equal(found, encode_frames(encoder_of(model), extractor, waveform)[-1])
        assert model.training, "the mode is given back"


def test_frames_below_an_adapter_are_counted_before_it():
    config = tiny.ENCODERS["wav2vec2"]()
    config.add_adapter = True
    model = type(tiny.model("wav2vec2"))(type(tiny.model("wav2vec2").config)(encoder_config=config, layer=1)).eval()
    encoder = encoder_of(model)
    assert int(frame_lengths(encoder, torch.tensor(16000))) == 25
    assert int(frame_lengths(encoder, torch.tensor(16000), adapted=False)) == 200
    inputs = extract(tiny.feature_extractor("wav2vec2"), [tiny.waveform(1.0), tiny.waveform(0.5)])
    assert model.base_model(**inputs).frame_mask.sum(1).tolist() == [200, 100]
    assert model.base_model(**inputs, layer=-1).frame_mask.sum(1).tolist() == [25, 13]
    with pytest.raises(DialectError, match="wav2vec2 encoder has an adapter, whose frames are not on the grid"):
        encode_frames(model, tiny.feature_extractor("wav2vec2"), tiny.waveform(1.0))


def test_what_cannot_be_encoded_is_explained(models):
    model, extractor = models["wav2vec2"]
    with pytest.raises(DialectError, match="layer is 4, the encoder has 3 blocks: take 0 to 3, or -1 to -4"):
        encode_frames(model, extractor, tiny.waveform(1.0), (4,))
    with pytest.raises(DialectError, match=r"has shape \(100,\): \(S,\) with at least 560 samples is expected"):
        encode_frames(model, extractor, tiny.waveform(1.0)[:100])
    with pytest.raises(DialectError, match=r"has shape \(2, 8000\)"):
        encode_frames(model, extractor, tiny.waveform(1.0).reshape(2, 8000))
    with pytest.raises(DialectError, match="wav2vec2 is no encoder with one frame per stretch of input_features"):
        encode_frames(model, tiny.feature_extractor("whisper"), tiny.waveform(1.0))
