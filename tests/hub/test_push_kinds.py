"""Classifiers over other encoders, stock classifiers, encoders for retrieval and Zipformers come back from the Hub as
they were, with and without this package; their cards' snippets run."""

import json
import re
from importlib import import_module
from pathlib import Path

import finished
import numpy as np
import pushable
import pytest
import soundfile
import tiny
import torch
from huggingface_hub import ModelCard, constants
from loopback_hub import READER, WRITER, consume
from transformers import AutoModel, AutoModelForAudioClassification, AutoModelForRNNT
from transformers.pipelines import PIPELINE_REGISTRY

from hf_dialects.errors import CheckpointError
from hf_dialects.hub import push
from hf_dialects.hub.reload import check_reload, load_here
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.retrieval.scores import seqsim
from hf_dialects.saving import load_for_inference

CLASSIFIERS = ("wav2vec2", "wav2vec2-bert", "zipformer")  # raw samples, others' features, our features
NAMES = (*CLASSIFIERS, "plain", "retrieval", "recogniser", "frames")
CONSUMER = """
import contextlib, io, json, re, sys
sys.modules["hf_dialects"] = None  # any import of it fails
import numpy as np, soundfile, torch
from huggingface_hub import hf_hub_download
from transformers import (
    AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, AutoModelForRNNT, AutoTokenizer, pipeline
)

torch.set_num_threads(1)
waveform, rate = soundfile.read("recording.wav", dtype="float32")
said = {}
for name in sys.argv[1:]:
    repo = f"me/{name}"
    options = {} if name == "plain" else {"trust_remote_code": True}
    extractor = AutoFeatureExtractor.from_pretrained(repo, **options)
    inputs = extractor([waveform], sampling_rate=rate, padding=True, return_tensors="pt")
    with torch.no_grad():
        if name == "retrieval":
            model = AutoModel.from_pretrained(repo, **options)
            found = {"frames": model(**inputs).last_hidden_state, "embeddings": model(**inputs).embeddings}
            for layer in (2, 3):
                found[f"centred {layer}"] = torch.tensor(
                    model.encode(waveform, extractor, layer=layer, frames=True, centred=True))
        elif name in ("recogniser", "frames"):
            found = {"frames": AutoModel.from_pretrained(repo, **options)(**inputs).last_hidden_state}
        else:
            found = {"logits": AutoModelForAudioClassification.from_pretrained(repo, **options)(**inputs).logits}
            answers = pipeline("audio-classification", model=repo, **options)(waveform)
            said[f"{name} pipeline"] = {one["label"]: one["score"] for one in answers}
        if name == "recogniser":
            model = AutoModelForRNNT.from_pretrained(repo, **options)
            tokenizer = AutoTokenizer.from_pretrained(repo, **options)
            for method in ("greedy", "modified_beam_search"):
                found[method] = model.generate(**inputs, method=method).sequences
            said["text"] = tokenizer.decode(found["greedy"][0], skip_special_tokens=True)
    np.savez(f"{name}.npz", **{key: value.numpy() for key, value in found.items()})
    card = open(hf_hub_download(repo, "README.md"), encoding="utf-8").read()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for snippet in re.findall(r"```python\\n(.*?)```", card, re.DOTALL):
            exec(snippet, {})
    said[name] = printed.getvalue()
json.dump(said, open("said.json", "w"))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    runs = tmp_path_factory.mktemp("runs")
    found = {name: pushable.classifier(runs / name, corpus, name) for name in CLASSIFIERS}
    found |= {"plain": found["wav2vec2"], "retrieval": pushable.encoder(runs / "retrieval")}
    return found | {"recogniser": pushable.recogniser(runs / "asr"), "frames": pushable.zipformer(runs / "frames")}


@pytest.fixture(scope="module")
def hub(lasting_hub):
    return lasting_hub


@pytest.fixture(scope="module")
def pushed(hub, folders):
    """All of them; the check before a push has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("hf_dialects.hub.push"), "check_reload", lambda checkpoint, folder: None)
        options = {"license": "cc-by-4.0", "token": WRITER, "endpoint": hub.endpoint}
        return {name: push(folders[name], f"me/{name}", plain=name == "plain", **options) for name in NAMES}


@pytest.fixture(scope="module")
def consumed(hub, pushed, tmp_path_factory):
    """The folder of a process without the package that loaded everything from the Hub."""
    folder = tmp_path_factory.mktemp("consumer")
    for name, seed in (("recording.wav", 0), ("other.wav", 5)):
        soundfile.write(folder / name, tiny.waveform(1.0, seed), 16000, subtype="FLOAT")
    consume(hub, folder, CONSUMER, *NAMES)
    return folder


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs_of(extractor) -> dict:
    return extractor([tiny.waveform(1.0)], sampling_rate=16000, padding=True, return_tensors="pt")


def said(consumed) -> dict:
    return json.loads((consumed / "said.json").read_text())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_over_other_encoders(consumed, folders, name):
    model, extractor = load_for_inference(folders[name])
    with torch.no_grad():
        logits = model(**inputs_of(extractor)).logits
    assert np.array_equal(np.load(consumed / f"{name}.npz")["logits"], logits)
    assert logits.std() > 1e-4, "equal logits would prove nothing"
    expected = dict(zip(model.config.id2label.values(), logits[0].softmax(0).tolist(), strict=True))
    assert said(consumed)[f"{name} pipeline"] == pytest.approx(expected, abs=1e-6)
    assert said(consumed)[name].count("'score'") >= 3 * len(expected), "the card's snippets ran"


@pytest.mark.usefixtures("one_thread")
def test_a_stock_classifier_has_the_logits_of_the_dialect_model(consumed, folders, hub):
    model, extractor = load_for_inference(folders["plain"])
    with torch.no_grad():
        logits = model(**inputs_of(extractor)).logits.numpy()
    assert np.load(consumed / "plain.npz")["logits"] == pytest.approx(logits, abs=1e-5)
    files = set(hub.model("me/plain").files)
    assert not [path for path in files if path.endswith(".py")]
    config = json.loads(hub.model("me/plain").files["config.json"])
    assert config["architectures"] == ["Wav2Vec2ForSequenceClassification"]
    assert "auto_map" not in config
    assert "trust_remote_code" not in hub.model("me/plain").files["README.md"].decode()
    assert said(consumed)["plain"].count("'score'") == 4


@pytest.mark.usefixtures("one_thread")
def test_an_encoder_for_retrieval_with_its_statistics(consumed, folders):
    model, extractor, _, _ = load_here(folders["retrieval"])
    found = np.load(consumed / "retrieval.npz")
    with torch.no_grad():
        output = model(**inputs_of(extractor))
    assert np.array_equal(found["frames"], output.last_hidden_state)
    assert np.array_equal(found["embeddings"], output.embeddings)
    for layer in (2, 3):
        centred = model.encode(tiny.waveform(1.0), extractor, layer=layer, frames=True, centred=True)
        assert np.array_equal(found[f"centred {layer}"], centred)
    frames, alike = said(consumed)["retrieval"].splitlines()
    assert frames == str(tuple(found["frames"].shape[1:]))
    pair = [model.encode(tiny.waveform(1.0, seed), extractor, frames=True) for seed in (0, 5)]
    assert float(alike) == pytest.approx(seqsim(*pair), abs=1e-5)
    assert float(alike) < 0.999, "the same recording twice would prove nothing"


@pytest.mark.usefixtures("one_thread")
def test_a_recogniser_decodes_the_same(consumed, folders):
    model, extractor, encoder, tokenizer = load_here(folders["recogniser"])
    found, inputs = np.load(consumed / "recogniser.npz"), inputs_of(extractor)
    with torch.no_grad():
        assert np.array_equal(found["frames"], encoder(**inputs).last_hidden_state)
    for method in ("greedy", "modified_beam_search"):
        assert np.array_equal(found[method], model.generate(**inputs, method=method).sequences)
    text = tokenizer.decode(found["greedy"][0], skip_special_tokens=True)
    assert len(text) > 1, "an empty transcript would prove nothing"
    assert said(consumed)["text"] == text
    assert said(consumed)["recogniser"] == f"{text}\n{model.config.hidden_size}\n"


@pytest.mark.usefixtures("one_thread")
def test_a_zipformer_without_heads(consumed, folders):
    model, extractor, _, _ = load_here(folders["frames"])
    found = np.load(consumed / "frames.npz")["frames"]
    with torch.no_grad():
        assert np.array_equal(found, model(**inputs_of(extractor)).last_hidden_state)
    assert said(consumed)["frames"] == f"torch.Size({list(found.shape[1:])})\n"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "loader", "kind"),
    [
        ("wav2vec2", AutoModelForAudioClassification, DialectForAudioClassification),
        ("retrieval", AutoModel, DialectModel),
        ("recogniser", AutoModelForRNNT, ZipformerForRNNT),
        ("frames", AutoModel, ZipformerModel),
    ],
)
def test_with_the_package_no_flag_is_needed(pushed, hub, folders, monkeypatch, tmp_path, name, loader, kind):
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    model = loader.from_pretrained(f"me/{name}", token=READER, cache_dir=tmp_path)
    assert type(model) is kind
    here = load_here(folders[name])[0].state_dict()
    there = model.state_dict()
    assert set(here) == set(there)
    assert all(torch.equal(here[key], there[key]) for key in here)


def test_no_byte_that_was_received_is_secret_or_unlisted(pushed, hub, folders):
    everything = [one.body + one.path.encode() for one in hub.received] + list(hub.stored.values())
    for name, one in pushed.items():
        files = dict(hub.model(f"me/{name}").files)
        del files[".gitattributes"]
        assert one.files == sorted((path, len(content)) for path, content in files.items())
        assert json.loads(files["hf-dialects.json"])["files"] == sorted(files)
        everything += files.values()
        assert not [path for path in files if re.search(r"optimizer|\.(bin|pt|pkl|pth|wav|flac|parquet|html)$", path)]
    for secret in (WRITER, READER, str(Path.home()) + "/", *{str(folder.parent) for folder in folders.values()}):
        assert not [content for content in everything if secret.encode() in content]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("zipformer", "audio-classification"),
        ("plain", "audio-classification"),
        ("retrieval", "feature-extraction"),
        ("recogniser", "automatic-speech-recognition"),
        ("frames", "feature-extraction"),
    ],
)
def test_headers_say_what_the_hub_asks_for(pushed, hub, name, task):
    data = ModelCard(hub.model(f"me/{name}").files["README.md"].decode()).data
    assert (data.pipeline_tag, data.library_name, data.license) == (task, "transformers", "cc-by-4.0")
    assert {"speech", "hf-dialects"} <= set(data.tags)
    assert task in PIPELINE_REGISTRY.get_supported_tasks()
    assert len(hub.requests("POST /api/validate-yaml")) == len(NAMES)


def test_pictures_go_up_and_are_shown(pushed, hub):
    files = hub.model("me/wav2vec2").files
    for name in ("confusion", "reliability"):
        assert files[f"figures/{name}.png"].startswith(b"\x89PNG")
        assert f"](figures/{name}.png)" in files["README.md"].decode()


@pytest.mark.parametrize(("name", "first"), [("retrieval", "centred 2"), ("recogniser", "tokens")])
def test_what_comes_back_otherwise_is_refused(folders, tmp_path, name, first):
    model = folders[name] / "model" if name == "recogniser" else folders[name]
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if name == "retrieval":
        with (tmp_path / "centring_dialect.py").open("a") as file:
            file.write("\n_forward = FrameCentring.forward\n")
            file.write("FrameCentring.forward = lambda self, frames, layer: _forward(self, frames, layer) + 1\n")
    else:
        tokens = (tmp_path / "tokenizer.json").read_text()
        (tmp_path / "tokenizer.json").write_text(tokens.replace('"s":', '"z":'))
    with pytest.raises(CheckpointError, match=f"gives other numbers .*first in {first}"):
        check_reload(folders[name], tmp_path)


def test_damaged_weights_are_told(folders, tmp_path):
    for path in folders["retrieval"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cannot be loaded: .*copy it again where a file is cut short"):
        check_reload(tmp_path, tmp_path)


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model"):
        push(tmp_path, "me/it", license="mit", token=WRITER)
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(CheckpointError, match="holds BertModel; one of DialectForAudioClassification"):
        push(tmp_path, "me/it", license="mit", token=WRITER)
