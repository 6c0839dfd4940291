"""Recipes: one YAML file per experiment, with dotted overrides and errors that name the nearest valid key."""

from __future__ import annotations

import copy
import difflib
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from hf_dialects.errors import RecipeError

SECTIONS = ("data", "model", "training", "evaluation", "stages", "seed", "description")
DATA_KEYS = ("source", "label", "labels", "split_by", "split_sizes", "split_seed", "stratify", "corrections")
ENCODER_KEYS = ("encoder", "encoder_overrides", "features")
EVALUATION_KEYS = ("batch_size", "min_speech", "workers", "baselines", "draws", "by", "temperature")
STAGE_KEYS = ("name", "from", "head", "data", "model", "training", "evaluation")
STAGE_CHOICES = {"from": ("previous", "original"), "head": ("new", "keep")}
SET_FROM_DATA = ("encoder_config", "clusters", "class_weights", "temperature")  # fields of `DialectConfig`
SET_BY_THE_RUN = (
    "output_dir",
    "logging_dir",
    "seed",
    "label_names",
    "do_train",
    "do_eval",
    "do_predict",
    "resume_from_checkpoint",
    "hub_token",  # a recipe is kept in the run folder and shared
)


@dataclass
class Recipe:
    """A checked recipe. Every section is a plain dict; absent keys take their owners' defaults.

    Attributes:
        data: source, label, labels, split_by, split_sizes, stratify, split_seed (0 unless given: a run's seed changes
            initialisation and order, never which recordings are tested), corrections (a file of
            `data.corrections.read_corrections`, applied to training recordings only).
        model: encoder (Hub id or folder, or a dict for one built from scratch), encoder_overrides, features (arguments
            of `DialectFeatureExtractor`, from scratch only), and fields of `DialectConfig`.
        training: fields of `DialectTrainingArguments`.
        evaluation: batch_size, min_speech, workers, baselines (true: all, false: none, or a list of
            `baselines.BASELINES`), draws (of the bootstrap), by (columns to break the test
            result down by), temperature (true: fit one on validation, see `evaluation.temperature`).
        stages: list of overrides of these four, run one after the other; empty for a single run. Beside them a stage
            has a name, `from`: previous (default) or original, and `head`: new (default) or keep.
        seed: of everything random.
        description: what the recipe is for.
    """

    data: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    evaluation: dict = field(default_factory=dict)
    stages: list[dict] = field(default_factory=list)
    seed: int = 0
    description: str = ""

    def to_dict(self) -> dict:
        """As a dict that `yaml.safe_dump` writes."""
        return {one.name: copy.deepcopy(getattr(self, one.name)) for one in fields(self)}

    def write(self, path: Path) -> None:
        """The resolved recipe as YAML."""
        path.write_text(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")


def find_recipe(name: str | Path) -> Path:
    """A recipe file by path, or one of the package by name.

    Raises:
        RecipeError: there is none; lists the package's.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = Path(__file__).parent.parent / "recipes"
    candidate = shipped / f"{path.name.removesuffix('.yaml')}.yaml"
    if len(path.parts) == 1 and candidate.is_file():
        return candidate
    names = ", ".join(sorted(one.stem for one in shipped.glob("*.yaml")))
    raise RecipeError(f"there is no recipe file {str(name)!r}; give a path, or one of: {names}")


def load_recipe(name: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe, apply dotted overrides such as "training.learning_rate=1e-4", and check every key.

    Raises:
        RecipeError: not YAML, an unknown key (names the nearest valid one), or an override without "=".
    """
    path = find_recipe(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"{path.name} holds a {type(content).__name__}; a recipe is a mapping with the keys {', '.join(SECTIONS)}"
        )
    return make_recipe(apply_overrides(content, overrides), where=path.name)


def make_recipe(content: dict, where: str = "the recipe") -> Recipe:
    """A checked recipe from a dict.

    Raises:
        RecipeError: unknown key or baseline, or a section that is no mapping.
    """
    from hf_dialects.evaluation.baselines import baseline_names

    check_keys(content, SECTIONS, where)
    for name in ("data", "model", "training", "evaluation"):
        check_keys(content.get(name) or {}, valid_keys(name), f"{name} in {where}", prefix=f"{name}.")
    for stage in content.get("stages") or []:
        check_keys(stage, STAGE_KEYS, f"a stage in {where}", prefix="stages.")
        for name in ("data", "model", "training", "evaluation"):
            check_keys(stage.get(name) or {}, valid_keys(name), f"{name} of a stage in {where}", prefix=f"{name}.")
        for name, valid in STAGE_CHOICES.items():
            if stage.get(name) not in (None, *valid):
                raise RecipeError(f"stages.{name} in {where} is {stage[name]!r}; it must be {' or '.join(valid)}")
        if not re.fullmatch(r"[\w-]+", str(stage.get("name") or "training")):
            raise RecipeError(
                f"stages.name in {where} is {stage['name']!r}; it names a folder: letters, digits, - and _"
            )
    for part in (content, *(content.get("stages") or [])):
        baseline_names((part.get("evaluation") or {}).get("baselines"))
    return Recipe(**{name: copy.deepcopy(value) for name, value in content.items() if value is not None})


def apply_overrides(content: dict, overrides: list[str] | tuple[str, ...]) -> dict:
    """Set dotted keys; values are read as YAML.

    Raises:
        RecipeError: an override without "=", or one that goes below a plain value.
    """
    content = copy.deepcopy(content)
    for override in overrides:
        dotted, separator, value = override.partition("=")
        if not separator or not dotted:
            raise RecipeError(
                f'override {override!r} is not of the form key=value, such as "training.learning_rate=1e-4"'
            )
        *path, last = dotted.strip().split(".")
        place = content
        for step in path:
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
            if not isinstance(place, dict):
                raise RecipeError(f"override {override!r}: {step!r} holds a plain value, nothing can be set below it")
        place[last] = _value(value)
    return content


def valid_keys(section: str) -> tuple[str, ...]:
    """Keys that a section takes."""
    if section == "data":
        return DATA_KEYS
    if section == "evaluation":
        return EVALUATION_KEYS
    if section == "model":
        from hf_dialects.models.configuration_dialect import DialectConfig

        own = [one for one in DialectConfig.__annotations__ if one not in SET_FROM_DATA]
        return (*ENCODER_KEYS, *own)
    from hf_dialects.training.arguments import DialectTrainingArguments

    return tuple(one.name for one in fields(DialectTrainingArguments) if one.init and one.name not in SET_BY_THE_RUN)


def check_keys(found: dict, valid: tuple[str, ...], where: str, prefix: str = "") -> None:
    """Refuse what is no mapping, and unknown keys, with the nearest valid one."""
    if not isinstance(found, dict):
        raise RecipeError(f"{where} holds {found!r}; a mapping with keys such as {', '.join(valid[:4])} is expected")
    for key in found:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"valid keys: {', '.join(valid[:40])}"
            raise RecipeError(f"unknown key {prefix}{key} in {where}; {hint}")


def _value(text: str):
    value = yaml.safe_load(text) if text.strip() else None
    if isinstance(value, str):  # YAML reads 1e-4 as text: its numbers need a dot
        try:
            return float(value)
        except ValueError:
            return value
    return value
