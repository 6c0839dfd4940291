import importlib
import json

import finished
import loopback_hub
import pytest
from huggingface_hub import constants
from loopback_hub import WRITER


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with loopback_hub.serve() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def unchecked(monkeypatch):
    """Leave out the fresh process, which has tests of its own."""
    module = importlib.import_module("hf_dialects.hub.push")
    monkeypatch.setattr(module, "check_reload", lambda checkpoint, folder: None)


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(run, run_folder, hub, unchecked, tmp_path):
    left = run("push", run_folder, "me/it", "--license", "mit", "--dry-run", "--json", tmp_path / "files.json")
    assert left.code == 0, left.err
    files = json.loads((tmp_path / "files.json").read_text())["files"]
    size = (run_folder / "model" / "model.safetensors").stat().st_size
    assert files["model.safetensors"] == size
    assert f"{size:>14,}  model.safetensors\n" in left.out
    assert f"{sum(files.values()):>14,}  bytes in {len(files)} files\n" in left.out
    assert "nothing was sent: me/it would be private\n" in left.out
    assert hub.received == []


def test_the_card_is_kept_where_it_is_wanted(run, run_folder, unchecked, tmp_path):
    left = run("push", run_folder, "me/it", "--license", "mit", "--dry-run", "--card", tmp_path / "card")
    assert left.code == 0, left.err
    kept = {path.relative_to(tmp_path / "card").as_posix() for path in (tmp_path / "card").rglob("*.*")}
    assert kept == {"README.md", "figures/confusion.png", "figures/reliability.png"}
    assert "# it\n" in (tmp_path / "card" / "README.md").read_text()


def test_plain_says_why_not(run, run_folder, unchecked):
    left = run("push", run_folder, "me/it", "--license", "mit", "--plain", "--dry-run")
    assert (left.code, left.err.split(". A stock")[0]) == (
        1,
        "error: --plain cannot write this model: its encoder is whisper",
    )


def test_a_push_over_errors_tells_where_it_is_and_never_the_token(run, run_folder, hub, unchecked, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.fault("/commit/", status=502, times=2)
    hub.fault("PUT /_lfs/", drop="request")
    left = run("push", run_folder, "me/it", "--license", "mit", "--public", "--quiet")
    assert left.code == 0, left.err
    assert f"public: {hub.endpoint}/me/it/commit/" in left.out
    assert not hub.model("me/it").private
    assert WRITER not in left.out + left.err


def test_what_is_missing_is_one_message(run, run_folder, hub, unchecked, monkeypatch):
    assert run("push", run_folder, "me/it").err.startswith("error: a license is missing: name that of the weights")
    left = run("push", run_folder, "me/it", "--license", "mit")
    assert (left.code, left.err) == (
        1,
        "error: there is no token to write to me/it with: run hf auth login, or set HF_TOKEN\n",
    )
    monkeypatch.setenv("HF_TOKEN", loopback_hub.READER)
    left = run("push", run_folder, "me/it", "--license", "mit")
    assert left.code == 1
    assert left.err.startswith("error: me/it: your token may not write there")
    assert loopback_hub.READER not in left.out + left.err


def test_a_space_is_pinned_to_the_commit_that_was_made(run, run_folder, hub, unchecked, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    left = run("push", run_folder, "me/it", "--license", "mit", "--space", "--quiet")
    assert left.code == 0, left.err
    space = hub.repositories["space", "me/it"]
    assert json.loads(space.files["space.json"])["revision"] == hub.model("me/it").commits[-1].oid
    assert space.private
    assert f"private Space: {hub.endpoint}/spaces/me/it/commit/{space.commits[-1].oid}\n" in left.out
    assert "once its settings hold a secret HF_TOKEN" in left.out
    assert WRITER not in left.out + left.err


def test_a_dry_run_lists_the_space_too(run, run_folder, hub, unchecked, tmp_path):
    left = run("push", run_folder, "me/it", "--license", "mit", "--space", "--dry-run", "--json", tmp_path / "it.json")
    assert left.code == 0, left.err
    files = json.loads((tmp_path / "it.json").read_text())["space"]["files"]
    assert f"{files['app.py']:>14,}  app.py, of the Space\n" in left.out
    assert "no Space was sent\n" in left.out
    assert hub.received == []


def test_a_plain_model_has_no_page(run, run_folder, hub, unchecked):
    left = run("push", run_folder, "me/it", "--license", "mit", "--space", "--plain")
    assert (left.code, left.err.split(",")[0]) == (1, "error: --space shows windows")
    assert hub.received == []
