"""Checkpoints load in a process without the package and give the same numbers; broken ones give clear errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
)

from hf_dialects.errors import CheckpointError
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.retrieval import FrameStatistics
from hf_dialects.saving import load_for_inference, model_files, save_for_hub

CONSUMER = """
import json, sys
sys.modules["hf_dialects"] = None  # any import of it fails
import numpy as np, torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

torch.set_num_threads(1)
folder, names = sys.argv[1], sys.argv[2:]
for name in names:
    path = f"{folder}/{name}"
    given = np.load(f"{path}.npz")
    inputs = {key: torch.from_numpy(given[key]) for key in given.files if key != "waveform"}
    with torch.no_grad():
        classifier = AutoModelForAudioClassification.from_pretrained(path, trust_remote_code=True).eval()
        logits = classifier(**inputs).logits.numpy()
        encoder = AutoModel.from_pretrained(path, trust_remote_code=True).eval()
        embeddings = encoder(**inputs).embeddings.numpy()
    extractor = AutoFeatureExtractor.from_pretrained(path, trust_remote_code=True)
    frames = encoder.encode(given["waveform"][:16000], extractor, layer=1, frames=True, centred=True)
    stock = pipeline("audio-classification", model=path, trust_remote_code=True)
    windowed = pipeline("dialect-identification", model=path, trust_remote_code=True)
    short = given["waveform"][:8000]
    answers = {
        "stock": stock(short),
        "stock_class": type(stock).__name__,
        "windowed": windowed(given["waveform"], windows=True),
        "windowed_class": type(windowed).__name__,
        "module": type(classifier).__module__,
    }
    np.savez(f"{path}.answers.npz", logits=logits, embeddings=embeddings, frames=frames)
    with open(f"{path}.json", "w") as file:
        json.dump(answers, file)
assert not [name for name in sys.modules if name.startswith("hf_dialects.")]
"""


@pytest.fixture(scope="module")
def consumed(tmp_path_factory):
    """Every tiny encoder saved, then loaded and called in one process without the package."""
    folder = tmp_path_factory.mktemp("hub")
    names = ("mean", "statistics", "attention", "max", "attentive_statistics", "ecapa", "mean")
    poolings = dict(zip(tiny.ENCODERS, names, strict=True))
    for name in tiny.ENCODERS:
        model, extractor = tiny.model(name, pooling=poolings[name], layer="weighted"), tiny.feature_extractor(name)
        waveform = tiny.waveform(2.3)
        frames = model.encode(waveform[:16000], extractor, layer=1, frames=True)
        model.set_frame_statistics({1: FrameStatistics.fit([frames], "itself", "a", whiten=True)})
        save_for_hub(model, extractor, folder / name)
        np.savez(folder / f"{name}.npz", waveform=waveform, **_numpy(extract(extractor, [waveform[:16000]])))
    environment = os.environ | {
        "HF_MODULES_CACHE": str(tmp_path_factory.mktemp("modules")),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CONSUMER, str(folder), *tiny.ENCODERS]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _numpy(inputs) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in inputs.items()}


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_without_the_package_logits_embeddings_and_frames_are_bit_equal(consumed, name):
    model, extractor = load_for_inference(consumed / name)
    given, found = np.load(consumed / f"{name}.npz"), np.load(consumed / f"{name}.answers.npz")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        output = model(**{key: torch.from_numpy(given[key]) for key in given.files if key != "waveform"})
        frames = model.encode(given["waveform"][:16000], extractor, layer=1, frames=True, centred=True)
    torch.set_num_threads(threads)
    assert np.array_equal(found["frames"], frames)
    assert np.array_equal(found["logits"], output.logits.numpy())
    assert np.array_equal(found["embeddings"], output.embeddings.numpy())
    assert found["logits"].std() > 1e-4, "equal logits would prove nothing"


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_without_the_package_both_pipelines_answer_as_with_it(consumed, name):
    model, extractor = load_for_inference(consumed / name)
    found = json.loads((consumed / f"{name}.json").read_text())
    waveform = np.load(consumed / f"{name}.npz")["waveform"]
    pipe = DialectPipeline(model=model, feature_extractor=extractor)
    expected = pipe(waveform, windows=True)
    assert (found["stock_class"], found["windowed_class"]) == ("AudioClassificationPipeline", "DialectPipeline")
    assert found["module"].startswith("transformers_modules")
    assert [one["label"] for one in found["windowed"]["labels"]] == [one["label"] for one in expected["labels"]]
    assert len(found["windowed"]["windows"]) == len(expected["windows"]) == 4  # 1 s every 0.5 s of 2.3 s
    for one, other in zip(found["windowed"]["windows"], expected["windows"], strict=True):
        assert (one["start_s"], one["end_s"]) == (other["start_s"], other["end_s"])
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)
    one_window = pipe(waveform[:8000])  # shorter than a window: one pass, as the stock pipeline
    assert {one["label"]: one["score"] for one in found["stock"]} == pytest.approx(
        {one["label"]: one["score"] for one in one_window}, abs=1e-6
    )


@pytest.mark.parametrize("name", tiny.ENCODERS)
def test_with_the_package_checkpoints_load_without_remote_code(consumed, name):
    model = AutoModelForAudioClassification.from_pretrained(consumed / name)
    assert type(model) is DialectForAudioClassification
    assert type(AutoModel.from_pretrained(consumed / name)) is DialectModel
    assert type(AutoFeatureExtractor.from_pretrained(consumed / name)) is type(tiny.feature_extractor(name))


def test_folder_holds_weights_settings_and_every_model_file(consumed):
    names = {path.name for path in (consumed / "whisper").iterdir()}
    sources = {path.name for path in model_files()}
    assert {"modeling_dialect.py", "pooling_dialect.py", "windows_dialect.py", "ranks_dialect.py"} <= sources
    assert names == sources | {"model.safetensors", "config.json", "preprocessor_config.json"}
    for path in model_files():
        assert (consumed / "whisper" / path.name).read_bytes() == path.read_bytes()
    assert not [path for path in consumed.iterdir() if path.name.startswith(".")], "temporary folders are left"


def test_saving_again_replaces_a_checkpoint_and_keeps_its_card(tmp_path):
    folder = tmp_path / "model"
    extractor = tiny.feature_extractor("wav2vec2")
    save_for_hub(tiny.model("wav2vec2", seed=0), extractor, folder)
    (folder / "README.md").write_text("card")
    (folder / "old_dialect.py").write_text("stale")
    (folder / "training_args.bin").write_bytes(b"pickle")
    second = tiny.model("wav2vec2", seed=1)
    save_for_hub(second, extractor, folder)
    loaded, _ = load_for_inference(folder)
    assert all(torch.equal(one, other) for one, other in zip(loaded.parameters(), second.parameters(), strict=True))
    assert (folder / "README.md").read_text() == "card"
    assert not (folder / "old_dialect.py").exists()
    assert not (folder / "training_args.bin").exists()


@pytest.mark.parametrize("moment", ["weights", "rename"])
def test_interrupted_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch, moment):
    folder = tmp_path / "model"
    first, extractor = tiny.model("wav2vec2", seed=0), tiny.feature_extractor("wav2vec2")
    save_for_hub(first, extractor, folder)
    rename = Path.rename

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    def interrupt_second(path, target):
        return interrupt() if path.name.endswith(".new") else rename(path, target)

    if moment == "weights":
        monkeypatch.setattr(type(extractor), "save_pretrained", interrupt)
    else:
        monkeypatch.setattr(Path, "rename", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        save_for_hub(tiny.model("wav2vec2", seed=1), extractor, folder)
    monkeypatch.undo()
    loaded, _ = load_for_inference(folder)
    assert torch.equal(next(loaded.parameters()), next(first.parameters()))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(
        CheckpointError, match=r"is no checkpoint \(it has no config.json\): name a new or empty folder"
    ):
        save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "run" / "model"
    save_for_hub(tiny.model("wav2vec2", classifier_hidden=8), tiny.feature_extractor("wav2vec2"), folder)
    return folder


def test_load_takes_a_run_folder_and_gives_eval_mode(saved):
    model, extractor = load_for_inference(saved.parent)
    assert type(model) is DialectForAudioClassification
    assert not model.training
    assert extractor.sampling_rate == 16000
    assert list(model.config.id2label.values()) == list(tiny.LABELS)


def test_load_takes_a_stock_classifier(tmp_path):
    config = tiny.ENCODERS["wav2vec2"]()
    config.id2label = dict(enumerate(tiny.LABELS))
    stock = Wav2Vec2ForSequenceClassification(config).eval()
    stock.save_pretrained(tmp_path)
    tiny.feature_extractor("wav2vec2").save_pretrained(tmp_path)
    model, _ = load_for_inference(str(tmp_path))
    inputs = extract(tiny.feature_extractor("wav2vec2"), [tiny.waveform(0.5)])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, stock(**inputs).logits)


def test_a_bare_encoder_loads_only_where_no_head_is_needed(tmp_path):
    encoder = Wav2Vec2Model(tiny.ENCODERS["wav2vec2"]())
    encoder.save_pretrained(tmp_path)
    tiny.feature_extractor("wav2vec2").save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"has no weights for 4 parameters, the first: classifier.bias.*no audio class"
    ):
        load_for_inference(tmp_path)
    model, _ = load_for_inference(tmp_path, head=False)
    assert type(model) is DialectModel
    assert torch.equal(model.encoder.masked_spec_embed, encoder.masked_spec_embed)


def test_own_feature_extractor_comes_back(tmp_path):
    extractor = DialectFeatureExtractor(feature_size=20, bins_first=True, frames=100, hop_s=0.01, normalize=False)
    save_for_hub(tiny.model("whisper", window_s=0.9), extractor, tmp_path / "model")
    _, loaded = load_for_inference(tmp_path / "model")
    assert type(loaded) is DialectFeatureExtractor
    waveform = tiny.waveform(0.8)
    assert torch.equal(extract(loaded, [waveform])["input_features"], extract(extractor, [waveform])["input_features"])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"is no complete checkpoint, it lacks {name}: give a run folder"):
        load_for_inference(saved)


def test_truncated_weights(saved):
    content = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"weights of .* cannot be read .*truncated or corrupt; copy it again"):
        load_for_inference(saved)


def test_labels_that_do_not_fit_the_weights(saved):
    _change(saved / "config.json", id2label={"0": "north", "1": "south"}, label2id={"north": 0, "south": 1})
    with pytest.raises(
        CheckpointError, match=r"has weights for 3 labels, but its config.json names 2: north, south; take"
    ):
        load_for_inference(saved)


def test_settings_that_do_not_fit_the_weights(saved):
    _change(saved / "config.json", classifier_hidden=9)
    with pytest.raises(CheckpointError, match=r"do not fit its config.json: classifier\.\S+ is \(.*\), expected \(9"):
        load_for_inference(saved)


def test_settings_that_are_not_valid(saved):
    _change(saved / "config.json", pooling="median")
    with pytest.raises(CheckpointError, match="pooling is 'median'; it must be one of: mean"):
        load_for_inference(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot be loaded: .*config.json"):
        load_for_inference(saved)


def test_nothing_there(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="nowhere does not exist: give a run folder, a model folder or a Hub id"):
        load_for_inference(tmp_path / "nowhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="no-one/no-model cannot be loaded"):
        load_for_inference("no-one/no-model")


def _change(path: Path, **entries) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
