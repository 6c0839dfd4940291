"""The command line as a user meets it, but within the process; and a Hub on this machine."""

import time
from typing import NamedTuple

import pytest

from hf_dialects.cli import shell
from hf_dialects.cli.main import app


class Left(NamedTuple):
    """How a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Run `hf-dialects` with these arguments."""

    def run(*arguments) -> Left:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            shell.run(lambda: app([str(argument) for argument in arguments], prog_name="hf-dialects"))
        return Left(left.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def hub(monkeypatch):
    """A loopback Hub, reached without Xet."""
    import loopback_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with loopback_hub.serve() as hub:
        yield hub


@pytest.fixture
def naps(monkeypatch):
    """Seconds that somebody wanted to sleep, without sleeping."""
    naps = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps
