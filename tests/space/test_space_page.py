"""A Space as it was pushed: its app runs without this package, its page answers in a real browser."""

import os
import re
import socket
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import urlopen

import loopback_hub
import pytest
from chromium import CHROMIUM, Chromium
from huggingface_hub import constants
from loopback_hub import READER, WRITER

from hf_dialects.hub import push, push_space
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium")
REPO = "me/accents"
RUN = """
import runpy, sys
import torch
sys.modules["hf_dialects"] = None  # any import of it fails

def note(event, arguments):
    host = {"socket.connect": lambda: arguments[1], "socket.getaddrinfo": lambda: arguments}.get(event, lambda: None)()
    host = host[0] if isinstance(host, tuple) else None
    if host not in (None, "127.0.0.1", "localhost", "::1"):
        print("asked", host, flush=True)

sys.addaudithook(note)
torch.set_num_threads(1)
runpy.run_path("app.py", run_name="__main__")
"""
START_S, ANSWER_S = 240, 40
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FILE = "document.querySelector('input[type=file]')"
LOADED = "['decide on residence', 'Name the variety'].every((said) => document.body.innerText.includes(said))"
ANSWER = "document.querySelector('#answer .found')?.innerText ?? ''"


@pytest.fixture(scope="module")
def space(run_dir, tmp_path_factory):
    """The app of a Space, running: its address, its folder and the place of its uploads."""
    home = tmp_path_factory.mktemp("space")
    for name in ("files", "home", "tmp"):
        (home / name).mkdir()
    with pytest.MonkeyPatch.context() as patch, loopback_hub.serve() as hub:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        module = import_module("hf_dialects.hub.push")
        patch.setattr(module, "check_reload", lambda checkpoint, folder: None)  # has tests of its own
        options = {"license": "mit", "token": WRITER, "endpoint": hub.endpoint}
        push(run_dir, REPO, **options)
        push_space(run_dir, REPO, **options)
        for path, content in hub.repositories["space", REPO].files.items():
            (home / "files" / path).write_bytes(content)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(home / "home"),
            "HF_TOKEN": READER,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "GRADIO_SERVER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(home / "tmp"),
        }
        address = f"http://127.0.0.1:{port}/"
        with (home / "log").open("w") as log:
            command = [sys.executable, "-P", "-c", RUN]
            process = subprocess.Popen(command, env=environment, cwd=home / "files", stdout=log, stderr=log)
        try:
            _wait(process, address, home / "log")
            yield SimpleNamespace(address=address, uploads=home / "tmp", log=home / "log", hub=hub)
        finally:
            process.terminate()
            process.wait(60)
            assert not [path for path in (home / "tmp").rglob("*") if path.is_file()], "the page has left"


def _wait(process, address, log):
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(address, timeout=5) as answer:
                return answer.read()
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"no answer within {START_S} s: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, space):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(space.address)
    _until(browser, f"{FILE} !== null && {LOADED}")
    return browser


def _until(browser, condition):
    until = time.monotonic() + ANSWER_S
    while not browser.run(condition):
        assert time.monotonic() < until, browser.run("document.body.innerText")
        time.sleep(0.05)


def ask(browser, path: Path) -> str:
    """Upload a file, press the button, and wait for the answer."""
    found = browser.send("Runtime.evaluate", expression=FILE)["result"]["objectId"]
    browser.send("DOM.setFileInputFiles", files=[str(path)], objectId=found)
    _until(browser, f"{FILE} === null")
    browser.run("document.querySelector('#ask').click()")
    _until(browser, f"({ANSWER}) !== ''")
    return browser.run(ANSWER)


def elsewhere(browser, space) -> list[str]:
    """What was asked for elsewhere, or refused by the page's policy."""
    asked = [one for one in browser.requests if not one.startswith((space.address, "data:", "blob:"))]
    return asked + [one for one in browser.complaints if "Content Security Policy" in one]


def kept(space) -> list[str]:
    return [path.name for path in space.uploads.rglob("*") if path.is_file()]


def test_the_app_loads_the_pinned_commit_with_the_reader_s_token(space):
    assert len(space.hub.requests(f"/{REPO}/resolve/[0-9a-f]{{40}}/model.safetensors")) > 0
    assert not space.hub.requests(f"/{REPO}/resolve/main/")
    assert {one.token for one in space.hub.requests(f"/{REPO}/resolve/")} == {READER}


def test_the_page_may_load_nothing_from_elsewhere(space):
    with urlopen(space.address) as answer:
        text, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self' ")
    assert re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//(?!127\.0\.0\.1)[^"]*"', text) == []
    assert READER not in text


@in_a_browser
def test_the_page_says_what_it_does_and_asks_nobody_else(opened, space):
    text = opened.run("document.body.innerText")
    for said in (
        "accents",
        "coast",
        "Which of 4 varieties",
        "of up to 30 minutes",
        "It is deleted there as soon as it is answered",
    ):
        assert said in text
    assert "It must not be used to decide on residence" in text
    opened.run("new Promise((done) => setTimeout(done, 500))")
    assert opened.complaints == []
    assert elsewhere(opened, space) == []
    opened.resize(390, 900)
    assert opened.run(SIDEWAYS) == 0
    opened.resize(1280, 900)


@in_a_browser
def test_an_upload_is_answered_with_the_pipeline_s_numbers_and_not_kept(opened, space, run_dir, folder):
    model, feature_extractor = load_for_inference(run_dir)
    classify = DialectPipeline(model=model, feature_extractor=feature_extractor)
    expected = classify(str(folder / "paused.wav"), top_k=None, windows=True, min_speech=0.1, calibrated=True)
    answer = ask(opened, folder / "paused.wav")
    best = expected["labels"][0]
    assert answer.startswith(f"Most probably {best['label']}, {best['score']:.1%}")
    for one in expected["labels"]:
        assert re.search(rf"{one['label']}\s+{one['score']:.1%}", answer)
    shown = "document.querySelector('#answer .timeline').getAttribute('aria-label')"
    assert "no speech" in opened.run(shown)
    widths = "[...document.querySelectorAll('#answer .timeline span')].map((one) => one.getBoundingClientRect().width)"
    whole = opened.run("document.querySelector('#answer .timeline').getBoundingClientRect().width")
    assert whole > 300
    assert sum(opened.run(widths)) == pytest.approx(whole, abs=2)
    rows = "[...document.querySelectorAll('#answer details tbody tr')].length"
    assert opened.run(rows) == len(expected["windows"])
    assert kept(space) == []
    _until(opened, f"{FILE} !== null")  # the page does not hold the recording any longer either
    assert elsewhere(opened, space) == []


@in_a_browser
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("silent.wav", "No speech: no window of the recording holds enough speech"),
        ("cut.wav", "This recording cannot be used: cut.wav "),
        ("empty.wav", "This recording cannot be used: empty.wav cannot be read as audio"),
    ],
)
def test_what_cannot_be_used_is_told(opened, space, folder, name, expected):
    answer = ask(opened, folder / name)
    assert answer.startswith(expected)
    assert str(space.uploads) not in answer
    assert kept(space) == []


@in_a_browser
def test_without_a_recording_the_page_asks_for_one(opened):
    opened.run("document.querySelector('#ask').click()")
    _until(opened, f"({ANSWER}) !== ''")
    assert opened.run(ANSWER) == "No recording: record or upload one first"


@in_a_browser
def test_a_recording_can_be_made(opened, space):
    """Of the beeps that Chromium gives for a microphone."""
    opened.run("document.querySelector('button[aria-label=\"Record audio\"]').click()")
    for button in ("record", "stop-button"):
        _until(opened, f"document.querySelector('button.{button}')?.checkVisibility() ?? false")
        opened.run(f"document.querySelector('button.{button}').click()")
        opened.run("new Promise((done) => setTimeout(done, 1500))")
    _until(opened, "document.querySelector('button[aria-label=Play]') !== null")
    until = time.monotonic() + ANSWER_S
    while not kept(space) and time.monotonic() < until:  # uploaded
        time.sleep(0.05)
    opened.run("document.querySelector('#ask').click()")
    _until(opened, f"({ANSWER}) !== ''")
    assert opened.run(ANSWER).startswith("Most probably ")
    assert kept(space) == []
    assert elsewhere(opened, space) == []


def test_the_process_has_asked_nobody_else(space):
    """The last test here: others have used the page."""
    assert "asked" not in space.log.read_text()
