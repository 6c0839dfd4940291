"""Windows cut out of one pass of the front against windows that go through the model one at a time."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    HubertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMForSequenceClassification,
)

from hf_dialects.errors import DialectError
from hf_dialects.frames import encoder_of
from hf_dialects.models.encoder_dialect import frame_stride, minimum_input
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.recordings import Recording
from hf_dialects.shared_front import block_frames, frame_span, front_frames
from hf_dialects.windowing import Windowing

ON_GRID = ("wav2vec2", "hubert", "wavlm")
STOCK = {
    "wav2vec2": Wav2Vec2ForSequenceClassification,
    "hubert": HubertForSequenceClassification,
    "wavlm": WavLMForSequenceClassification,
}


def plain(model, extractor, waveform: np.ndarray, spans) -> list[torch.Tensor]:
    """Logits of windows of the normalised recording, one at a time, by the model itself."""
    samples = Recording.of(waveform, tiny.RATE).survey.normalized(waveform) if extractor.do_normalize else waveform
    unchanged = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    with torch.inference_mode():
        return [model(**extract(unchanged, [samples[start:end]])).logits for start, end in spans]


@pytest.mark.parametrize("encoder", ON_GRID)
@pytest.mark.parametrize("do_normalize", [True, False])
def test_shared_windows_are_bit_equal_to_windows_one_at_a_time(encoder, do_normalize):
    extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize, return_attention_mask=True)
    waveform = tiny.waveform(4.37)
    torch.manual_seed(0)
    for model in (tiny.model(encoder), STOCK[encoder](tiny.ENCODERS[encoder]()).eval()):
        windowing = Windowing(model, extractor, 1.0, 0.25, "recording")
        spans = windowing.spans(len(waveform))
        expected = plain(model, extractor, waveform, spans)
        recording = Recording.of(waveform, tiny.RATE)
        with windowing.running():
            found = [model(**windowing.inputs([window])).logits for window in windowing.windows(recording)]
        assert len(found) == len(spans) == 15
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        assert not isinstance(encoder_of(model).feature_extractor, torch.nn.Identity), "the front is not put back"


def test_with_windows_on_their_own_the_extractor_sees_each():
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    waveform = tiny.waveform(2.2)
    windowing = Windowing(model, extractor, 1.0, 0.5)
    with windowing.running():
        for window in windowing.windows(Recording.of(waveform, tiny.RATE)):
            expected = extract(extractor, [waveform[window.start : window.end]])
            found = windowing.inputs([window])
            assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def encoder():
    return tiny.model("wav2vec2").dialect.encoder


@settings(max_examples=12, deadline=None)
@given(st.integers(21000, 60000), st.integers(257, 400), st.lists(st.integers(1, 50000), max_size=4))
def test_blocks_of_the_front_are_one_pass(encoder, n_samples, block, places):
    samples = torch.from_numpy(tiny.waveform(3.75)[:n_samples])
    with torch.inference_mode():
        expected = encoder.feature_extractor(samples[None])[0].T
        given = torch.tensor_split(samples, sorted(min(place, n_samples) for place in places))
        found = torch.cat(list(front_frames(encoder.feature_extractor, encoder.config, given, block)))
    assert torch.equal(found, expected)
    assert block_frames(encoder.config) == 257  # of 80 samples each


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_the_frames_of_a_window_are_those_wholly_inside(start, length):
    config = Wav2Vec2Config(**tiny.SIZE, **tiny.FRONT)
    hop, receptive = frame_stride(config), minimum_input(config)
    end = start + length
    inside = [frame for frame in range(200) if start <= frame * hop and frame * hop + receptive <= end]
    assert list(range(*frame_span(start, end, config))) == inside


def test_what_cannot_be_shared_is_refused_with_the_reason():
    samples = tiny.feature_extractor("wav2vec2")

    def refused(model, extractor, window_s, stride_s=None) -> str:
        with pytest.raises(DialectError, match='normalize="recording" cannot be used: ') as error:
            Windowing(model, extractor, window_s, stride_s, "recording")
        assert 'or take normalize="window"' in str(error.value)
        return str(error.value)

    group = Wav2Vec2Config(**tiny.SIZE | tiny.FRONT | {"feat_extract_norm": "group", "do_stable_layer_norm": False})
    grouped = Wav2Vec2ForSequenceClassification(group)
    assert "group-normalised" in refused(grouped, samples, 1.0, 0.5)
    assert "no convolutional front on samples" in refused(tiny.model("whisper"), tiny.feature_extractor("whisper"), 1.0)
    # tiny encoders have a frame every 80 samples, 5 ms
    message = refused(tiny.model("wav2vec2"), samples, 1.0, 0.333)
    assert "windows start every 5328 samples, but frames every 80" in message
    assert "multiple of 0.005 s, such as 0.335" in message
    Windowing(tiny.model("wav2vec2"), samples, 1.0, 0.335, "recording")
    Windowing(tiny.model("wav2vec2"), samples, None, None, "window")
    with pytest.raises(ValueError, match="normalize is 'clip'; it must be one of: window, recording"):
        Windowing(tiny.model("wav2vec2"), samples, normalize="clip")


def test_quiet_windows_are_left_out_of_both():
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    waveform = tiny.waveform(4.0)
    waveform[16000:40000] = 0
    recording = Recording.of(waveform, tiny.RATE)
    spans = []
    for normalize in ("window", "recording"):
        windowing = Windowing(model, extractor, 1.0, 0.5, normalize, min_speech=0.5)
        with windowing.running():
            spans.append([(window.start, window.share) for window in windowing.windows(recording)])
    assert spans[0] == spans[1]
    assert [start for start, _ in spans[0]] == [0, 8000, 32000, 40000, 48000]
