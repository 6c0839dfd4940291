"""What of a run goes up: a list of what may, laid out in a folder of its own and searched for what must not."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.hub.source import RETRIEVAL, model_folder

MODEL = (  # patterns within model/; everything else there stays
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "*_dialect.py",
    "*_zipformer.py",
)
BESIDE = ("results.json", *RETRIEVAL, "figures/*.png", "figures/*.svg")
WEIGHTS = ".safetensors"
BINARY = (WEIGHTS, ".png")
ORIGIN = "_name_or_path"  # where transformers notes the folder that a model was loaded from

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")


def lay_out(run_dir: str | Path, folder: Path, model: Path | None = None) -> list[str]:
    """Lay out in the empty `folder` what of a run may go up: model/ at the top, results.json, figures/.

    Weights are linked, not copied. The folder a pretrained encoder was loaded from is cut to its name.

    Args:
        run_dir: run folder, or model folder alone.
        model: model folder to take instead of the run's.

    Returns:
        files of the model folder that stay, sorted.

    Raises:
        CheckpointError: the run has no safetensors weights, no configuration or no feature extractor.
    """
    run_dir = Path(run_dir)
    model = model or model_folder(run_dir)
    found = {path.name: path for pattern in MODEL for path in model.glob(pattern) if path.is_file()}
    lacking = [name for name in ("config.json", "preprocessor_config.json") if name not in found]
    if not any(name.endswith(WEIGHTS) for name in found):
        lacking.append("model.safetensors (weights in pickles are not shared)")
    if lacking:
        raise CheckpointError(f"{model} lacks {', '.join(lacking)}: give a run folder whose training has finished")
    for name, path in found.items():
        if name.endswith(WEIGHTS):
            (folder / name).symlink_to(path.resolve())
        elif name.endswith(".json"):
            _copy_settings(path, folder / name)
        else:
            shutil.copyfile(path, folder / name)
    for path in (path for pattern in BESIDE for path in run_dir.glob(pattern) if path.is_file()):
        target = folder / path.relative_to(run_dir)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return sorted(path.relative_to(model).as_posix() for path in _files(model) if path not in found.values())


def listing(folder: Path) -> list[tuple[str, int]]:
    """(path, bytes) of every file below a folder, sorted."""
    return sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in _files(folder))


def places_of(folder: Path) -> list[Path]:
    """Paths that would tell where a folder lies, or whose it is."""
    return [folder.absolute(), folder.resolve(), Path.home(), Path.home().resolve()]


def refuse_private(folder: Path, secrets: Sequence[str], places: Sequence[Path]) -> None:
    """Search what goes up for what must not.

    Args:
        secrets: texts that may stand nowhere, such as the token in use.
        places: folders of this machine whose paths may stand in no text.

    Raises:
        DialectError: one was found, or something that looks like a token, or the path of a file of this machine. The
            message names the file and the line, not the secret.
    """
    paths = "|".join(re.escape(str(place)) for place in places if len(place.parts) > 1)
    path_pattern = re.compile(rf"(?:file://|(?<![\w./~-]))(?:{paths})(?![\w-])") if paths else None
    for file, _ in listing(folder):
        content = (folder / file).read_bytes() if not file.endswith(BINARY) else b""
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            if any(secret in line for secret in secrets) or _TOKEN.search(line):
                raise DialectError(f"{file}, line {number}, holds an access token: take it out, and revoke the token")
            if path_pattern and path_pattern.search(line):
                raise DialectError(f"{file}, line {number}, holds an absolute path of this machine: take it out")
        if file.endswith(".json"):
            for text in _texts(json.loads(content)):
                if os.path.isabs(text) and text != "/" and os.path.exists(text):
                    raise DialectError(f"{file} names a file or folder of this machine, {text}: take it out")


def _copy_settings(source: Path, target: Path) -> None:
    """As it is, unless an absolute path stands where a model came from."""
    text = source.read_text("utf-8")
    settings = json.loads(text)
    if _cut_origins(settings):
        text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    target.write_text(text, "utf-8")


def _cut_origins(settings) -> bool:
    if not isinstance(settings, dict):
        return False
    changed = [_cut_origins(value) for value in settings.values()]
    origin = settings.get(ORIGIN)
    if isinstance(origin, str) and os.path.isabs(origin):
        settings[ORIGIN] = Path(origin).name
        return True
    return any(changed)


def _texts(value) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
