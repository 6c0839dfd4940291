"""Spaces: what goes up, in one commit, pinned, as private as the model; what is refused."""

import importlib
import json
import re
from importlib.metadata import version
from pathlib import Path

import finished
import pushable
import pytest
import yaml
from huggingface_hub import HfApi
from loopback_hub import WRITER

from hf_dialects.errors import CheckpointError, DialectError, MissingExtra
from hf_dialects.hub import push_space
from hf_dialects.hub.space import page_settings
from hf_dialects.space import app

REPO = "me/accents"
FILES = {"app.py", "space.json", "requirements.txt", "README.md", "hf-dialects.json"}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture
def options(hub):
    return {"license": "mit", "token": WRITER, "endpoint": hub.endpoint}


def test_what_goes_up_is_what_runs(hub, run_dir, options):
    pushed = push_space(run_dir, REPO, "a" * 40, **options)
    space = hub.repositories["space", REPO]
    files = {path: content.decode() for path, content in space.files.items() if path != ".gitattributes"}
    assert set(files) == FILES
    assert pushed.files == sorted((path, len(content.encode())) for path, content in files.items())
    assert files["app.py"] == Path(app.__file__).read_text("utf-8")
    settings = json.loads(files["space.json"])
    assert (settings["model"], settings["revision"], settings["title"]) == (REPO, "a" * 40, "accents")
    assert list(settings["varieties"]) == sorted(finished.CLUSTERS)
    requirements = dict(line.split("==") for line in files["requirements.txt"].splitlines())
    assert requirements["transformers"] == version("transformers")
    assert set(requirements) == {"torch", "transformers", "numpy", "soundfile", "soxr"}
    assert not re.search(r"[+ ]", files["requirements.txt"])
    header = yaml.safe_load(files["README.md"].split("---")[1])
    assert (header["sdk"], header["sdk_version"], header["app_file"]) == ("gradio", version("gradio"), "app.py")
    assert (header["models"], header["license"], header["title"]) == ([REPO], "mit", "accents")
    assert space.private
    assert len(space.commits) == 2
    assert pushed.url == f"{hub.endpoint}/spaces/{REPO}/commit/{space.commits[-1].oid}"
    created = json.loads(hub.requests("POST /api/repos/create")[0].body)
    assert (created["type"], created["sdk"]) == ("space", "gradio")


def test_no_byte_that_was_received_is_secret(hub, run_dir, options):
    push_space(run_dir, REPO, "a" * 40, **options)
    everything = b"".join(one.body + one.path.encode() for one in hub.received)
    everything += b"".join(hub.repositories["space", REPO].files.values())
    for secret in (WRITER, str(run_dir), str(run_dir.parent), str(Path.home()) + "/"):
        assert secret.encode() not in everything


def test_without_a_revision_it_is_the_model_s_newest(hub, run_dir, options):
    HfApi(endpoint=hub.endpoint, token=WRITER).create_repo(REPO, private=True)
    push_space(run_dir, REPO, **options)
    settings = json.loads(hub.repositories["space", REPO].files["space.json"])
    assert settings["revision"] == hub.model(REPO).commits[-1].oid


def test_a_second_push_moves_the_pin_and_keeps_what_others_added(hub, run_dir, options):
    push_space(run_dir, REPO, "a" * 40, **options)
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id=REPO, repo_type="space")
    push_space(run_dir, REPO, "b" * 40, **options)
    files = hub.repositories["space", REPO].files
    assert json.loads(files["space.json"])["revision"] == "b" * 40
    assert files["notes.txt"] == b"mine"


def test_a_dry_run_says_the_same_and_sends_nothing(hub, run_dir, options):
    dry = push_space(run_dir, REPO, dry_run=True, **options)
    assert (dry.url, hub.received) == (None, [])
    assert push_space(run_dir, REPO, "a" * 40, **options).files == dry.files


def test_a_push_that_is_cut_off_leaves_no_half_commit(hub, run_dir, options, naps):
    hub.fault("/commit/", status=502, times=9)
    with pytest.raises(DialectError, match="the Hub answered 502"):
        push_space(run_dir, REPO, "a" * 40, **options)
    assert set(hub.repositories["space", REPO].files) == {".gitattributes"}
    hub.mend()
    push_space(run_dir, REPO, "a" * 40, **options)
    assert set(hub.repositories["space", REPO].files) > FILES
    assert naps


def test_the_app_of_somebody_else_is_not_written_over(hub, run_dir, options):
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    api.create_repo(REPO, repo_type="space", space_sdk="gradio", private=True)
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="app.py", repo_id=REPO, repo_type="space")
    with pytest.raises(DialectError, match="the Space holds an app that is not ours"):
        push_space(run_dir, REPO, "a" * 40, **options)
    assert hub.repositories["space", REPO].files["app.py"] == b"mine"


def test_it_is_as_private_as_asked_for(hub, run_dir, options):
    push_space(run_dir, REPO, "a" * 40, public=True, **options)
    assert not hub.repositories["space", REPO].private
    with pytest.raises(DialectError, match="me/accents exists and is public: push with --public"):
        push_space(run_dir, REPO, "b" * 40, **options)


def test_only_classifiers_have_a_page(options, tmp_path):
    with pytest.raises(CheckpointError, match="holds ZipformerForRNNT: a Space is made for classifiers"):
        push_space(pushable.recogniser(tmp_path), REPO, **options)


def test_a_token_in_a_label_is_refused(run_dir, options, tmp_path):
    (tmp_path / "model").symlink_to(run_dir / "model")
    text = (run_dir / "results.json").read_text().replace('"coast"', json.dumps(WRITER))
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DialectError, match=r"space\.json, line \d+, holds an access token"):
        push_space(tmp_path, REPO, dry_run=True, **options)


def test_without_gradio_the_extra_is_named(run_dir, options, monkeypatch):
    monkeypatch.setattr(importlib.import_module("hf_dialects.extras"), "has", lambda module: False)
    with pytest.raises(MissingExtra, match=r"gradio is not installed; run: pip install 'hf-dialects\[space\]'"):
        push_space(run_dir, REPO, **options)


def test_known_varieties_are_named():
    settings = page_settings(["en-us", "es", "unheard"], "x")
    named = {"en-us": "American English (en-us)", "es": "Spanish of Spain (es)", "unheard": "unheard"}
    assert settings["varieties"] == named
    assert settings["limits"].startswith("For research on variation")
    assert "It must not be used to decide on residence" in settings["limits"]
    assert "A variety is not a person." in settings["limits"]
    assert "$" not in settings["limits"]
    assert "above" not in settings["limits"]
