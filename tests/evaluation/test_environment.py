"""hf_dialects.evaluation.environment: nothing of the machine and no secret reaches a result."""

import pytest

from hf_dialects.evaluation.environment import anonymous, command, environment

HOME = "/" + "home"  # spelt in two so that no file of the repository holds such a path
TOKEN = "hf_" + "aBcDeFgH12345678"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("training.learning_rate=1e-4", "training.learning_rate=1e-4"),
        ("runs/demo", "runs/demo"),
        ("https://example.org/data/set", "https://example.org/data/set"),
        ("hf_dialects.cli.train", "hf_dialects.cli.train"),
        ("hf-dialects", "hf-dialects"),
        (f"{HOME}/anna/corpora/swiss german", "swiss german"),
        (f"--data={HOME}/anna/swiss", "--data=swiss"),
        (f"data.source=[{HOME}/anna/a,{HOME}/anna/b.csv]", "data.source=[a,b.csv]"),
        (f"file://{HOME}/anna/x.wav", "x.wav"),
        (TOKEN, "***"),
        (f"--note=with {TOKEN} in it", "--note=with *** in it"),
        ("hf_dialects_" + "x" * 20, "***"),
        (f"--hub_token={TOKEN}", "--hub_token=***"),
        ("password=swordfish", "password=***"),
        ("model.tokenizer=bpe", "model.tokenizer=bpe"),
        ("https://anna:swordfish@example.org/x", "https://***@example.org/x"),
    ],
)
def test_words_lose_folders_and_secrets(word, expected):
    assert anonymous(word) == expected


def test_paths_below_the_working_directory_become_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert anonymous(str(tmp_path / "runs" / "demo")) == "runs/demo"
    assert anonymous(f"--out={tmp_path}/runs/../demo") == "--out=demo"


def test_command_is_quoted_and_hides_the_word_after_a_secret_option():
    argv = [f"{HOME}/anna/bin/hf-dialects", "push", "my run", "--token", "abc", "--private"]
    assert command(argv) == "hf-dialects push 'my run' --token '***' --private"


def test_environment_names_versions():
    found = environment("cpu", 12.345, ["hf-dialects", "demo"])
    assert set(found) == {"versions", "device", "command", "seconds"}
    assert (found["device"], found["command"], found["seconds"]) == ("cpu", "hf-dialects demo", 12.3)
    assert {"python", "torch", "transformers", "datasets", "numpy"} <= set(found["versions"])
