import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from hf_dialects.cli.lists import numbers, words
from hf_dialects.cli.main import app
from hf_dialects.errors import DialectError

COMMANDS = sorted(command.callback.__name__.replace("_", "-") for command in app.registered_commands)
HEAVY = ("torch", "transformers", "datasets", "numpy", "pandas", "scipy", "soundfile")
HELP_OF_ALL = """
import json, sys
sys.argv = ["hf-dialects"]
from typer.testing import CliRunner
from hf_dialects.cli.main import app
codes = {name: CliRunner().invoke(app, [name, "--help"]).exit_code for name in %r}
codes["--version"] = CliRunner().invoke(app, ["--version"]).exit_code
print(json.dumps({"codes": codes, "loaded": [name for name in %r if name in sys.modules]}))
"""


def test_help_and_version_load_nothing_heavy():
    code = HELP_OF_ALL % (COMMANDS, HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"codes": dict.fromkeys([*COMMANDS, "--version"], 0), "loaded": []}


def test_that_test_would_notice_a_heavy_import():
    code = HELP_OF_ALL.replace("import json, sys", "import json, sys, soundfile") % ([], HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)["loaded"]) >= {"numpy", "soundfile"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_and_every_option_has_its_text(name):
    text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "300"}).output
    assert f"\n  hf-dialects {name} " in text.replace("    hf", "  hf")
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert options
    without = [line for line in options if len(line.strip().split("  ")) < 2]
    assert without == []


def test_lists_are_split_at_commas():
    assert words("site, speaker,") == ("site", "speaker")
    assert words("") == ()
    assert numbers("-1,6", int, "--layers") == (-1, 6)
    assert numbers(".8,.1,.1", float, "--sizes") == (0.8, 0.1, 0.1)


@pytest.mark.parametrize("text", ["", "a", "1;2", "1.5"])
def test_a_list_that_holds_no_numbers_is_an_error_that_names_the_option(text):
    with pytest.raises(DialectError, match="--layers takes numbers separated by commas, such as --layers=1,2; got "):
        numbers(text, int, "--layers")
