"""Only what is listed is laid out, and secrets in it are found."""

import json
from pathlib import Path

import pytest

from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.hub.contents import lay_out, listing, refuse_private

TOKEN = "hf_" + "aB3" * 12


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def a_run(folder: Path) -> Path:
    wanted = {
        "model/config.json": '{"a": 1}',
        "model/preprocessor_config.json": "{}",
        "model/model.safetensors": b"w" * 100,
        "model/pooling_dialect.py": "x = 1\n",
        "results.json": "{}",
        "figures/map.png": b"\x89PNG",
        "figures/map.svg": "<svg/>",
    }
    unwanted = (
        *("model/pytorch_model.bin", "model/optimizer.pt", "model/training_args.bin", "model/notes.txt"),
        *("model/other.py", "model/recording.wav", "checkpoints/checkpoint-1/optimizer.pt", "recipe.yaml"),
        *("predictions/test.parquet", "report.html", "figures/clip.wav", "figures/page.html", "dynamics.parquet"),
    )
    return write(folder, **wanted, **dict.fromkeys(unwanted, "secret"))


def test_only_listed_files_are_laid_out(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    left_out = lay_out(a_run(tmp_path / "run"), out)
    assert listing(out) == [
        ("config.json", 8),
        ("figures/map.png", 4),
        ("figures/map.svg", 6),
        ("model.safetensors", 100),
        ("pooling_dialect.py", 6),
        ("preprocessor_config.json", 2),
        ("results.json", 2),
    ]
    pickles = ["optimizer.pt", "pytorch_model.bin", "training_args.bin"]
    assert left_out == sorted(["notes.txt", "other.py", "recording.wav", *pickles])
    assert (out / "config.json").read_text() == '{"a": 1}', "byte for byte"


def test_pickled_weights_are_no_weights(tmp_path):
    run = a_run(tmp_path / "run")
    (run / "model" / "model.safetensors").unlink()
    (run / "model" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks config\.json, model\.safetensors \(weights in pickles are not"):
        lay_out(run, tmp_path)


def test_where_an_encoder_came_from_is_cut_to_its_name(tmp_path):
    settings = {"encoder_config": {"_name_or_path": "/somewhere/of/mine/hubert"}, "_name_or_path": "me/it"}
    run = write(a_run(tmp_path / "run"), **{"model/config.json": json.dumps(settings)})
    out = tmp_path / "out"
    out.mkdir()
    lay_out(run, out)
    found = json.loads((out / "config.json").read_text())
    assert found == {"encoder_config": {"_name_or_path": "hubert"}, "_name_or_path": "me/it"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("card.md", f"one\nsee {TOKEN}", r"card\.md, line 2, holds an access token"),
        ("any.py", "key = 'my-own-token'", r"any\.py, line 1, holds an access token"),
        ("figures/a.svg", "<svg>/work/runs/one</svg>", r"figures/a\.svg, line 1, holds an absolute path"),
        ("config.json", '{"a": "/work/runs/one/model"}', r"config\.json, line 1, holds an absolute path"),
        ("readme.md", "file:///home/me", "readme.md, line 1, holds an absolute path"),
        (
            "config.json",
            json.dumps({"a": [{"b": str(Path(__file__))}]}),
            r"config\.json names a file or folder of this",
        ),
    ],
)
def test_what_must_not_go_up_is_found(tmp_path, name, text, message):
    write(tmp_path, **{name: text})
    with pytest.raises(DialectError, match=message) as refused:
        refuse_private(tmp_path, ["my-own-token"], [Path("/work/runs/one"), Path("/home/me")])
    assert TOKEN not in str(refused.value)
    assert "my-own-token" not in str(refused.value)


def test_what_only_looks_alike_may_go_up(tmp_path):
    text = "https://x.org/home/me/ hf_dialects /home/meadow ./work/runs/one /work/runs/one-more"
    write(tmp_path, **{"a.md": text, "b.json": '{"a": "/", "b": "/p/", "c": "en/us"}', "c.png": TOKEN})
    refuse_private(tmp_path, [], [Path("/work/runs/one"), Path("/home/me"), Path("/")])
