"""What a result was made of: checksums of a model, a corpus and the code between them."""

import json
from hashlib import sha256
from pathlib import Path

import torch
import transformers

from hf_dialects import models
from hf_dialects.data.splits import split_fingerprint

# fields of a configuration that say where it came from, not what the model computes
ORIGIN = {"_name_or_path", "transformers_version", "auto_map", "custom_pipelines", "architectures", "dtype"}


def fingerprints(model, feature_extractor, dataset) -> dict[str, dict[str, str]]:
    """SHA-256 checksums, equal for the same model, ids and code, whatever folder or process they come from."""
    return {
        "model": {
            "weights": weights_fingerprint(model),
            "configuration": _of_json(model.config.to_json_string(use_diff=False)),
            "feature_extractor": _of_json(feature_extractor.to_json_string()),
        },
        "data": {"ids": split_fingerprint(dataset)},
        "code": {"model_files": code_fingerprint(), "transformers": transformers.__version__},
    }


def weights_fingerprint(model) -> str:
    """Checksum of every parameter and saved buffer: names, types, shapes and bytes."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def code_fingerprint() -> str:
    """Checksum of the model files."""
    digest = sha256()
    for path in sorted(Path(models.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def changes(found: dict, wanted: dict, prefix: str = "") -> list[str]:
    """Dotted names of the entries in which two nested dicts differ; numbers and short texts with their values."""
    names = []
    for name in sorted({*found, *wanted}):
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            names += changes(one, other, f"{prefix}{name}.")
        elif one != other:
            checksum = any(isinstance(value, str) and len(value) == 64 for value in (one, other))
            names.append(f"{prefix}{name}" if checksum else f"{prefix}{name} ({one} there, {other} now)")
    return names


def _of_json(text: str) -> str:
    return sha256(json.dumps(_without_origin(json.loads(text)), sort_keys=True).encode()).hexdigest()


def _without_origin(value):
    if isinstance(value, dict):
        return {name: _without_origin(one) for name, one in value.items() if name not in ORIGIN}
    return value
