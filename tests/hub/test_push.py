"""A pushed run is loaded back from the Hub without this package; what went up is what may."""

import json
import re
from importlib import import_module
from pathlib import Path

import finished
import numpy as np
import pytest
import soundfile
import tiny
from huggingface_hub import ModelCard, constants
from loopback_hub import READER, STRANGER, WRITER, consume

from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.hub import push
from hf_dialects.hub.reload import check_reload
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference, model_files

REPO = "me/accents"
CONSUMER = """
import contextlib, io, json, re, sys
sys.modules["hf_dialects"] = None  # any import of it fails
import numpy as np, soundfile, torch
from huggingface_hub import hf_hub_download
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

torch.set_num_threads(1)
repo = sys.argv[1]
try:
    AutoModelForAudioClassification.from_pretrained(repo, trust_remote_code=True, token=False)
except OSError as error:
    refused = str(error)
waveform, rate = soundfile.read("recording.wav", dtype="float32")
extractor = AutoFeatureExtractor.from_pretrained(repo, trust_remote_code=True)
model = AutoModelForAudioClassification.from_pretrained(repo, trust_remote_code=True).eval()
with torch.no_grad():
    inputs = extractor([waveform[:16000]], sampling_rate=rate, padding=True, return_tensors="pt")
    logits = model(**inputs).logits.numpy()
np.save("logits.npy", logits)
windowed = pipeline("dialect-identification", model=repo, trust_remote_code=True)(waveform, windows=True)
stock = pipeline("audio-classification", model=repo, trust_remote_code=True)(waveform[:16000])
card = open(hf_hub_download(repo, "README.md"), encoding="utf-8").read()
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    for snippet in re.findall(r"```python\\n(.*?)```", card, re.DOTALL):
        exec(snippet, {})
answers = {"windowed": windowed, "stock": stock, "printed": printed.getvalue(), "refused": refused}
json.dump(answers, open("answers.json", "w"))
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture(scope="module")
def hub(lasting_hub):
    return lasting_hub


@pytest.fixture(scope="module")
def pushed(hub, run_dir):
    return push(run_dir, REPO, license="cc-by-4.0", token=WRITER, endpoint=hub.endpoint)


@pytest.fixture(scope="module")
def consumed(hub, pushed, tmp_path_factory):
    """The folder of a process without the package that loaded the repository from the Hub."""
    folder = tmp_path_factory.mktemp("consumer")
    soundfile.write(folder / "recording.wav", tiny.waveform(2.0), 16000, subtype="FLOAT")
    consume(hub, folder, CONSUMER, REPO)
    return folder


def test_from_the_hub_logits_are_bit_equal_and_pipelines_agree(consumed, run_dir):
    import torch

    model, extractor = load_for_inference(run_dir)
    waveform, _ = soundfile.read(consumed / "recording.wav", dtype="float32")
    answers = json.loads((consumed / "answers.json").read_text())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        inputs = extractor([waveform[:16000]], sampling_rate=16000, padding=True, return_tensors="pt")
        logits = model(**inputs).logits.numpy()
    expected = DialectPipeline(model=model, feature_extractor=extractor)
    windowed, one_window = expected(waveform, windows=True), expected(waveform[:16000])
    torch.set_num_threads(threads)
    assert np.array_equal(np.load(consumed / "logits.npy"), logits)
    assert logits.std() > 1e-4
    for mine, other in ((windowed["labels"], answers["windowed"]["labels"]), (one_window, answers["stock"])):
        scores = {one["label"]: one["score"] for one in other}
        assert scores == pytest.approx({one["label"]: one["score"] for one in mine}, abs=1e-6)
    assert answers["printed"].count("'score'") >= 3 * len(finished.CLUSTERS), "the card's snippets ran"


def test_a_private_repository_without_a_token_is_told_so(consumed, hub, monkeypatch, tmp_path):
    message = json.loads((consumed / "answers.json").read_text())["refused"]
    assert f"{REPO} is not a local folder and is not a valid model identifier" in message
    assert "private repository" in message
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    expected = f"{REPO} is no folder here, and the Hub shows no such repository: .*private, run hf auth login"
    with pytest.raises(CheckpointError, match=expected):
        load_for_inference(REPO)
    assert [one.token for one in hub.requests(f"/{REPO}/resolve/main/config.json")][-1] is None


def test_exactly_what_was_listed_went_up(pushed, hub, run_dir):
    files = dict(hub.model(REPO).files)
    del files[".gitattributes"]
    assert pushed.files == sorted((path, len(content)) for path, content in files.items())
    sources = {path.name for path in model_files()}
    other = {"config.json", "preprocessor_config.json", "model.safetensors"}
    written = {"README.md", "results.json", "hf-dialects.json", "figures/confusion.png", "figures/reliability.png"}
    assert set(files) == sources | other | written
    for path in sources | other:
        assert files[path] == (run_dir / "model" / path).read_bytes(), path
    assert files["results.json"] == (run_dir / "results.json").read_bytes()
    assert hub.model(REPO).private
    assert pushed.url.startswith(f"{hub.endpoint}/{REPO}/commit/")


def test_no_byte_that_was_received_is_secret(pushed, hub, run_dir):
    """The token travels in a header, and nowhere else."""
    everything = [*hub.model(REPO).files.values(), *hub.stored.values()]
    everything += [one.body + one.path.encode() for one in hub.received]
    for secret in (WRITER, READER, str(run_dir), str(run_dir.parent), str(Path.home()) + "/"):
        assert not [content for content in everything if secret.encode() in content]
    for path in dict(pushed.files):
        assert not re.search(r"optimizer|\.(bin|pt|pkl|pth|wav|flac|parquet|html)$", path)


def test_the_card_s_header_is_right_and_its_numbers_are_those_of_the_results(pushed, hub, run_dir):
    card = ModelCard(hub.model(REPO).files["README.md"].decode())
    data, results = card.data, json.loads((run_dir / "results.json").read_text())
    assert (data.license, data.pipeline_tag, data.library_name) == ("cc-by-4.0", "audio-classification", "transformers")
    assert "dialect-identification" in data.tags
    found = {(one.dataset_split, one.metric_name): one.metric_value for one in data.eval_results}
    assert found["test", "accuracy"] == results["metrics"]["test"]["accuracy"]["value"]
    assert found["validation", "macro F1"] == results["metrics"]["validation"]["macro_f1"]["value"]
    assert len(hub.requests("POST /api/validate-yaml")) == 1


def test_a_dry_run_says_the_same_and_sends_nothing(pushed, hub, run_dir, monkeypatch):
    monkeypatch.setattr(import_module("hf_dialects.hub.push"), "check_reload", lambda checkpoint, folder: None)
    before = len(hub.received)
    dry = push(run_dir, REPO, license="cc-by-4.0", dry_run=True, endpoint=hub.endpoint)
    assert (dry.files, dry.url) == (pushed.files, None)
    assert len(hub.received) == before


@pytest.mark.parametrize(
    ("repo", "options", "message"),
    [
        (REPO, {}, "a license is missing: name that of the weights with --license"),
        ("accents", {"license": "mit"}, "'accents' has no owner: give you/accents"),
        ("me/a b", {"license": "mit"}, "'me/a b' is no name on the Hub"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_done(run_dir, repo, options, message):
    with pytest.raises(DialectError, match=message):
        push(run_dir, repo, **options, token=STRANGER)


def test_a_run_that_is_not_finished_is_refused(run_dir, tmp_path):
    (tmp_path / "model").symlink_to(run_dir / "model")
    with pytest.raises(CheckpointError, match="the run has not been evaluated"):
        push(tmp_path, REPO, license="mit", token=WRITER)


def test_a_token_in_the_recipe_s_description_is_refused(run_dir, tmp_path):
    (tmp_path / "model").symlink_to(run_dir / "model")
    (tmp_path / "results.json").symlink_to(run_dir / "results.json")
    (tmp_path / "recipe.yaml").write_text(f"description: made with {WRITER}\n")
    with pytest.raises(DialectError, match=r"README\.md, line \d+, holds an access token"):
        push(tmp_path, REPO, license="mit", token=WRITER)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import hf_dialects.metrics", "does not load in a process without this package: .*hf_dialects"),
        (
            "from torch.nn import functional as f\n_linear = f.linear\n"
            "f.linear = lambda x, *others: _linear(x * 1.001, *others)",
            "gives other numbers in a process without this package, first in logits",
        ),
    ],
)
def test_a_checkpoint_that_does_not_reload_bit_for_bit_is_refused(run_dir, tmp_path, line, message):
    for path in (run_dir / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "pooling_dialect.py").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(CheckpointError, match=message):
        check_reload(run_dir, tmp_path)
