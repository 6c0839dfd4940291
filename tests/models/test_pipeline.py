"""The windowed pipeline: what it takes, what it answers, and that batches, prediction and windows agree."""

import io

import numpy as np
import pytest
import soundfile
import tiny
import torch
from datasets import Dataset
from transformers import WhisperFeatureExtractor

from hf_dialects.data.audio import encode
from hf_dialects.errors import DialectError
from hf_dialects.inference import predict
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.pipeline_dialect import DialectPipeline, load_audio, minimum_samples, spans_of

RATE = tiny.RATE


def pipe_of(name: str = "wav2vec2", **options) -> DialectPipeline:
    return DialectPipeline(model=tiny.model(name, **options), feature_extractor=tiny.feature_extractor(name))


def scores(answer: list[dict]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in answer}


@pytest.fixture(scope="module")
def pipe():
    return pipe_of()


@pytest.fixture(scope="module")
def recording():
    """2.3 s of 16-bit samples, so that a WAV file holds them exactly."""
    return (np.round(tiny.waveform(2.3) * 2**15) / 2**15).astype(np.float32)


def test_path_bytes_array_and_dicts_answer_alike(pipe, recording, tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, recording, RATE, subtype="PCM_16")
    content = path.read_bytes()
    stereo = io.BytesIO()
    soundfile.write(stereo, np.stack([recording, recording], 1), RATE, format="WAV", subtype="PCM_16")
    expected = scores(pipe(recording))
    assert list(expected) == sorted(expected, key=expected.get, reverse=True)
    assert sum(expected.values()) == pytest.approx(1)
    for given in (
        str(path),
        path,
        content,
        stereo.getvalue(),
        recording.astype(np.float64),
        {"array": recording, "sampling_rate": RATE},
        {"raw": recording.tolist(), "sampling_rate": RATE},
        {"bytes": content, "path": None},
        {"bytes": None, "path": str(path)},
    ):
        assert scores(pipe(given)) == pytest.approx(expected, abs=1e-7)


def test_other_rates_are_resampled(pipe):
    times = np.arange(2 * 44100) / 44100
    wave = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    same = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    resampled = load_audio({"array": wave, "sampling_rate": 44100}, RATE)
    assert len(resampled) == len(same)
    assert np.abs(resampled - same)[200:-200].max() < 1e-3
    assert scores(pipe({"array": wave, "sampling_rate": 44100})) == pytest.approx(scores(pipe(same)), abs=1e-3)


def test_answer_is_the_mean_softmax_over_the_configured_windows(pipe, recording):
    spans = [(0, 16000), (8000, 24000), (16000, 32000), (24000, 36800)]  # 1 s every 0.5 s, the last one shorter
    with torch.no_grad():
        each = [pipe.model(**extract(pipe.feature_extractor, [recording[a:b]])).logits.softmax(-1)[0] for a, b in spans]
    answer = pipe(recording, windows=True)
    assert [(one["start_s"], one["end_s"]) for one in answer["windows"]] == [(a / RATE, b / RATE) for a, b in spans]
    for one, expected in zip(answer["windows"], each, strict=True):
        assert list(one["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    mean = dict(zip(tiny.LABELS, torch.stack(each).mean(0).tolist(), strict=True))
    assert scores(answer["labels"]) == pytest.approx(mean, abs=1e-6)


def test_windows_of_the_call_override_the_configured_ones(pipe, recording):
    answer = pipe(recording, windows=True, window_s=2.0, stride_s=1.0)
    assert [(one["start_s"], one["end_s"]) for one in answer["windows"]] == [(0.0, 2.0), (1.0, 2.3)]


def test_top_k(pipe, recording):
    everything = pipe(recording, top_k=None)
    assert len(everything) == 3
    assert pipe(recording, top_k=1) == everything[:1]
    assert pipe(recording, top_k=9) == everything


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_batches_answer_as_single_windows(name):
    pipe = pipe_of(name)
    clips = [tiny.waveform(seconds, seed) for seed, seconds in enumerate((2.3, 0.4, 1.0, 1.7, 0.75))]
    single = [pipe(clip, windows=True) for clip in clips]
    batched = pipe(clips, windows=True, batch_size=4)
    assert [len(one["windows"]) for one in batched] == [4, 1, 1, 3, 1]
    for one, other in zip(single, batched, strict=True):
        assert scores(one["labels"]) == pytest.approx(scores(other["labels"]), abs=1e-5)
        for window, same in zip(one["windows"], other["windows"], strict=True):
            assert window["scores"] == pytest.approx(same["scores"], abs=1e-5)
    spread = {round(one["windows"][0]["scores"]["north"], 6) for one in single}
    assert len(spread) == len(clips), "equal answers would prove nothing"


@pytest.mark.parametrize("name", ["wav2vec2", "whisper"])
def test_prediction_over_a_corpus_answers_alike(name):
    pipe = pipe_of(name)
    files = [encode(tiny.waveform(seconds, seed), RATE) for seed, seconds in enumerate((2.3, 0.4, 1.6))]
    corpus = Dataset.from_dict({"audio": [{"bytes": one, "path": None} for one in files], "id": ["a", "b", "c"]})
    found = predict(pipe.model, pipe.feature_extractor, corpus, batch_size=3, progress=False)
    assert found.ids == ["a", "b", "c"]
    assert found.windows.tolist() == [4, 1, 3]
    for content, probabilities in zip(files, found.probabilities, strict=True):
        assert scores(pipe(content)) == pytest.approx(dict(zip(tiny.LABELS, probabilities, strict=True)), abs=1e-5)


def test_group_normalised_fronts_give_the_same_predictions_for_every_batch_size():
    front = tiny.FRONT | {"feat_extract_norm": "group", "do_stable_layer_norm": False}
    model = tiny.model("wav2vec2")
    model = type(model)(type(model.config)(**model.config.to_dict() | {"encoder_config": tiny.SIZE | front})).eval()
    seconds = [0.4, 0.9, 0.5, 1.3, 0.4, 0.7, 1.9, 0.9, 0.6]
    cells = [{"bytes": encode(tiny.waveform(one, seed), RATE), "path": None} for seed, one in enumerate(seconds)]
    corpus = Dataset.from_dict({"audio": cells, "id": [str(number) for number in range(len(cells))]})
    extractor = tiny.feature_extractor("wav2vec2")
    one, four = (predict(model, extractor, corpus, batch_size=size, progress=False) for size in (1, 4))
    assert one.ids == four.ids
    assert np.abs(one.probabilities - four.probabilities).max() < 1e-6


def test_bad_input_is_explained(pipe, tmp_path):
    text = tmp_path / "notes.wav"
    text.write_text("not audio")
    empty = io.BytesIO()
    soundfile.write(empty, np.zeros(0, np.float32), RATE, format="WAV")
    wave = tiny.waveform(1.0)
    cases = [
        (text, "notes.wav cannot be read as audio"),
        (tmp_path / "missing.wav", "missing.wav cannot be read as audio"),
        (b"not audio", "9 bytes of audio cannot be read as audio"),
        (empty.getvalue(), "bytes of audio holds no samples"),
        (np.zeros(0, np.float32), "the waveform holds no samples"),
        (np.where(np.arange(16000) == 7, np.nan, wave), "the waveform holds NaN or infinite samples: export it again"),
        (np.stack([wave, wave]), r"the waveform has shape \(2, 16000\): one channel \(S,\) is expected"),
        ({"sampling_rate": 16000}, 'no audio found: give a path, bytes, an array, or a dict with "array"'),
        (wave[:100], r"the recording has 100 samples \(0.006 s at 16000 Hz\), the encoder needs at least 560"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            pipe(given)


def test_windows_that_do_not_fit_are_explained():
    whisper = pipe_of("whisper")
    with pytest.raises(
        ValueError, match=r"window_s is 2.5 s, but the encoder takes 2.01 s at most: set a shorter window"
    ):
        whisper(tiny.waveform(3.0), window_s=2.5)
    corpus = Dataset.from_dict({"audio": [{"bytes": encode(tiny.waveform(1.0), RATE), "path": None}], "id": ["a"]})
    with pytest.raises(DialectError, match=r"window_s is 2.5 s, but the encoder takes 2.01 s"):
        predict(whisper.model, whisper.feature_extractor, corpus, window_s=2.5, progress=False)
    with pytest.raises(DialectError, match="stride_s must be above 0 and at most window_s"):
        predict(whisper.model, whisper.feature_extractor, corpus, window_s=1.0, stride_s=1.5, progress=False)


def test_stride_comes_from_the_configuration_unless_given():
    extractor, config = tiny.feature_extractor("wav2vec2"), tiny.model("wav2vec2").config
    assert spans_of(2 * RATE, extractor, config, 1.0) == [(0, 16000), (8000, 24000), (16000, 32000)]
    assert spans_of(2 * RATE, extractor, config, 1.0, 1.0) == [(0, 16000), (16000, 32000)]


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_the_shortest_recording_still_has_a_frame(name):
    model, extractor = tiny.model(name), tiny.feature_extractor(name)
    shortest = extract(extractor, [tiny.waveform(1.0)[: minimum_samples(extractor, model.config)]])
    with torch.no_grad():
        output = model.dialect(**shortest)
    assert output.frame_mask.sum() >= 1
    assert torch.isfinite(output.embeddings).all()
    assert output.embeddings.abs().sum() > 0


def test_the_extractor_of_pretrained_whisper_pads_with_silence_and_never_cuts():
    model, extractor = tiny.model("whisper"), WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    inputs = extract(extractor, [tiny.waveform(0.4), tiny.waveform(1.0)])
    assert inputs["input_features"].shape == (2, 20, 100)
    assert inputs["attention_mask"].sum(1).tolist() == [40, 100]
    silence = inputs["input_features"][0, :, 45:]
    assert silence.std() < 1e-6
    assert silence.mean() == pytest.approx(inputs["input_features"][0].min().item(), abs=1e-6)
    with pytest.raises(
        ValueError, match=r"an utterance lasts 1.50 s, the encoder takes 1.00 s: cut the recording into"
    ):
        extract(extractor, [tiny.waveform(1.5)])
    assert (
        len(DialectPipeline(model=model, feature_extractor=extractor)(tiny.waveform(1.5), windows=True)["windows"]) == 2
    )
