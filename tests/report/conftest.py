import finished
import pytest
from chromium import Chromium


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return finished.recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session")
def run_folder(corpus, tmp_path_factory):
    """A run whose model is better than its baseline."""
    return finished.run(tmp_path_factory.mktemp("runs") / "plain", corpus)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    """A run that is no better than chance, with markup for labels and clusters."""
    clusters = {finished.HOSTILE: '"><img src=x onerror=alert(2)>', "b & <i>c</i>": "low", "]]></script><b>": "low"}
    corpus = finished.recordings(tmp_path_factory.mktemp("hostile"), clusters)
    return finished.run(tmp_path_factory.mktemp("runs") / "hostile", corpus, skill=0.0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
