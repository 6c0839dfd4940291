"""The command line as a user meets it, but within the process."""

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
