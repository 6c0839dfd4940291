"""Checkpoints: written to load where this package is not installed too, and read with clear errors."""

import json
import os
import shutil
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, PreTrainedConfig

from hf_dialects import models
from hf_dialects.disk import disk_space, whole_file
from hf_dialects.errors import CheckpointError
from hf_dialects.models.configuration_dialect import DialectConfig, check_temperature
from hf_dialects.models.encoder_dialect import MAY_BE_MISSING
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
HEADS = ("ForSequenceClassification", "ForAudioClassification")
DIALECT = {"AutoConfig": "configuration_dialect.DialectConfig", "AutoModel": "modeling_dialect.DialectModel"}
ZIPFORMER = {
    "AutoConfig": "configuration_zipformer.ZipformerConfig",
    "AutoModel": "modeling_zipformer.ZipformerModel",
}
AUTO_MAPS = {
    DialectForAudioClassification: DIALECT
    | {"AutoModelForAudioClassification": "modeling_dialect.DialectForAudioClassification"},
    DialectModel: DIALECT,
    ZipformerForRNNT: ZIPFORMER | {"AutoModelForRNNT": "rnnt_zipformer.ZipformerForRNNT"},
    ZipformerModel: ZIPFORMER,
}
Savable = DialectForAudioClassification | DialectModel | ZipformerForRNNT | ZipformerModel
FEATURE_EXTRACTORS = {
    DialectFeatureExtractor: "feature_extraction_dialect.DialectFeatureExtractor",
    ZipformerFeatureExtractor: "feature_extraction_zipformer.ZipformerFeatureExtractor",
}
PIPELINES = {
    "dialect-identification": {
        "impl": "pipeline_dialect.DialectPipeline",
        "pt": ["AutoModelForAudioClassification"],
        "type": "audio",
    }
}


def save_for_hub(model: Savable, feature_extractor, folder: str | Path, tokenizer=None) -> None:
    """Write a checkpoint that loads with `trust_remote_code=True` where this package is not installed.

    A `DialectModel` or `ZipformerModel`, an encoder without head, comes back through `AutoModel` alone.

    The folder then holds model.safetensors, config.json, preprocessor_config.json and the model files of this package;
    with the `tokenizer` of a recogniser of speech, tokenizer.json too.
    It is written beside `folder` and renamed, so an interrupted call leaves no half checkpoint. Of a checkpoint that
    lies there already only its cards (`*.md`, LICENSE) stay. In distributed training one process calls this.

    Raises:
        CheckpointError: `folder` holds something else than a checkpoint, or the model is of another class.
        DialectError: the disk is full.
    """
    if _auto_map(model) is None:
        raise CheckpointError(
            f"save_for_hub takes one of {', '.join(kind.__name__ for kind in AUTO_MAPS)}, found "
            f"{type(model).__name__}: use save_pretrained"
        )
    folder = Path(folder).absolute()
    if folder.exists() and not (folder.is_dir() and ((folder / CONFIG).is_file() or not any(folder.iterdir()))):
        raise CheckpointError(f"{folder} exists and is no checkpoint (it has no {CONFIG}): name a new or empty folder")
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{name}") for name in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        with disk_space(folder, "a checkpoint that was there before stays as it was"):
            _write(model, feature_extractor, tokenizer, new)
            for card in [*folder.glob("*.md"), *folder.glob("LICENSE*")]:
                shutil.copy2(card, new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _auto_map(model) -> dict[str, str] | None:
    return next((auto_map for kind, auto_map in AUTO_MAPS.items() if isinstance(model, kind)), None)


def _write(model: Savable, feature_extractor, tokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    pipelines = {"custom_pipelines": PIPELINES} if isinstance(model, DialectForAudioClassification) else {}
    _update(folder / CONFIG, auto_map=_auto_map(model), **pipelines)
    feature_extractor.save_pretrained(folder)
    if type(feature_extractor) in FEATURE_EXTRACTORS:
        _update(folder / PREPROCESSOR, auto_map={"AutoFeatureExtractor": FEATURE_EXTRACTORS[type(feature_extractor)]})
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    for source in model_files():
        shutil.copyfile(source, folder / source.name)


def model_files() -> list[Path]:
    """Source files that travel with every checkpoint."""
    folder = Path(models.__file__).parent
    return sorted([*folder.glob("*_dialect.py"), *folder.glob("*_zipformer.py")])


def _update(path: Path, **entries) -> None:
    content = json.loads(path.read_text("utf-8")) | entries
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def set_temperature(folder: str | Path, temperature: float) -> None:
    """Write the temperature of a saved dialect model into its configuration; its weights stay untouched.

    Raises:
        CheckpointError: `folder` holds no dialect model.
        ValueError: the temperature is not positive.
    """
    path = Path(folder) / CONFIG
    settings = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if settings.get("model_type") != DialectConfig.model_type:
        raise CheckpointError(f"{folder} holds no dialect model, so it has no temperature; train one on top of it")
    check_temperature(temperature)
    with whole_file(path, "the configuration stays as it was") as unfinished:
        shutil.copyfile(path, unfinished)
        _update(unfinished, temperature=temperature)


def load_for_inference(path_or_id: str | Path, head: bool = True):
    """A saved classifier and its feature extractor, in eval mode on the CPU.

    Args:
        path_or_id: a run folder (its `model/` is taken), a model folder, or a Hub id. Dialect models and every other
            audio classifier of transformers load; code that lies in the checkpoint is never run.
        head: whether a classifier is needed. With False a bare pretrained encoder loads too, as a `DialectModel` with
            mean pooling.

    Returns:
        (model, feature extractor)

    Raises:
        CheckpointError: nothing is there, a file is missing or truncated, or the weights do not fit the configuration.
    """
    name = _folder_or_id(path_or_id)
    try:
        settings, _ = PreTrainedConfig.get_config_dict(name)
        model = _load_model(name, settings, head)
        feature_extractor = _load_feature_extractor(name)
    except SafetensorError as error:
        raise CheckpointError(
            f"the weights of {name} cannot be read ({error}): the file is truncated or corrupt; copy it again"
        ) from error
    except (OSError, HFValidationError, json.JSONDecodeError) as error:
        if "private repository" in str(error):  # the Hub does not say whether it is private or not there
            raise CheckpointError(
                f"{name} is no folder here, and the Hub shows no such repository: check the name or, where it is "
                "private, run hf auth login or set HF_TOKEN"
            ) from error
        raise CheckpointError(
            f"{name} cannot be loaded: {_first_line(error)}; a run folder, a model folder or a Hub id with whole files "
            "is expected, copy it again where a file is cut short"
        ) from error
    return model.eval(), feature_extractor


def _folder_or_id(path_or_id: str | Path) -> str:
    folder = Path(path_or_id)
    if not folder.exists():
        if isinstance(path_or_id, Path) or path_or_id.count("/") > 1 or path_or_id.startswith((".", "~")):
            raise CheckpointError(f"{path_or_id} does not exist: give a run folder, a model folder or a Hub id")
        return path_or_id
    if not (folder / CONFIG).is_file() and (folder / "model").is_dir():
        folder = folder / "model"
    missing = [name for name in (CONFIG, PREPROCESSOR) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHTS):
        missing.insert(1, WEIGHTS[0])
    if missing:
        raise CheckpointError(
            f"{folder} is no complete checkpoint, it lacks {', '.join(missing)}: "
            "give a run folder whose training has finished, or a model folder"
        )
    return str(folder)


def _load_model(name: str, settings: dict, head: bool):
    own = settings.get("model_type") == "dialect"
    bare = not head and not any(name.endswith(HEADS) for name in settings.get("architectures") or [])
    try:
        if bare and not own:
            return DialectModel.from_encoder_pretrained(name)
        loader = DialectModel if bare else DialectForAudioClassification if own else AutoModelForAudioClassification
        model, report = loader.from_pretrained(name, output_loading_info=True, ignore_mismatched_sizes=True)
    except (
        ValueError
    ) as error:  # an architecture without a head for audio classification, or a configuration that is not valid
        raise CheckpointError(f"{name} is no audio classifier that can be loaded: {_first_line(error)}") from error
    if report["mismatched_keys"]:
        key, found, expected = sorted(report["mismatched_keys"])[0]
        n_labels = model.config.num_labels
        if found[1:] == expected[1:] and expected[0] == n_labels:
            raise CheckpointError(
                f"{name} has weights for {found[0]} labels, but its {CONFIG} names {n_labels}: "
                f"{', '.join(map(str, model.config.id2label.values()))}; take both from the same run"
            )
        raise CheckpointError(
            f"the weights of {name} do not fit its {CONFIG}: {key} is {tuple(found)}, expected {tuple(expected)}; "
            "take both from the same run"
        )
    missing = sorted(key for key in report["missing_keys"] if not key.endswith(MAY_BE_MISSING))
    if missing:
        raise CheckpointError(
            f"{name} has no weights for {len(missing)} parameters, the first: {', '.join(missing[:3])}; "
            "it is no audio classifier (train one on top of it), or its files are incomplete"
        )
    return model


def _load_feature_extractor(name: str):
    settings, _ = DialectFeatureExtractor.get_feature_extractor_dict(name)
    for own in FEATURE_EXTRACTORS:
        if settings.get("feature_extractor_type") == own.__name__:
            return own.from_pretrained(name)
    return AutoFeatureExtractor.from_pretrained(name)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
