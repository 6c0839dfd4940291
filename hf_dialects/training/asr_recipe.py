"""Recipes of speech recognition: those with `task: asr`."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from hf_dialects.data.tokens import KINDS
from hf_dialects.errors import RecipeError
from hf_dialects.training.recipe import SET_BY_THE_RUN, Recipe, apply_overrides, check_keys, find_recipe

__all__ = ["AsrRecipe", "is_asr", "load_asr_recipe", "make_asr_recipe"]

TASK = "asr"
SECTIONS = ("task", "data", "model", "training", "evaluation", "seed", "description")
DATA_KEYS = ("source", "label", "labels", "split_by", "split_sizes", "split_seed", "stratify")
DATA_KEYS += ("text", "translation", "translation_language", "tokens")
TOKEN_KEYS = ("kind", "size", "minimum")
MODEL_KEYS = ("preset", "pretrained")
SET_BY_THE_TOKENS = ("vocab_size", "blank_token_id", "bos_token_id", "eos_token_id")
EVALUATION_KEYS = ("methods", "num_beams", "batch_size", "by", "draws", "simplify", "keep_erhua")


@dataclass
class AsrRecipe(Recipe):
    """A checked recipe of speech recognition. Absent keys take their owners' defaults.

    Attributes:
        data: source, label, labels, split_by, split_sizes, split_seed, stratify as in `Recipe`; text, translation and
            translation_language name the columns of the corpus (default: those names; translation: false leaves
            translations out); tokens: kind (characters or bpe), size (of bpe), minimum (times that a character occurs).
        model: preset (see `ZipformerConfig.preset`) and fields of `ZipformerConfig`; or pretrained alone, the folder
            of a recogniser whose weights and vocabulary are taken.
        training: fields of `AsrTrainingArguments`.
        evaluation: methods (of `ZipformerForRNNT.generate`; default greedy), num_beams, batch_size, by (columns,
            default dialect and cluster), draws, simplify and keep_erhua (see `metrics.text.normalise`).
        task: "asr".
    """

    task: str = field(default=TASK)

    def to_dict(self) -> dict:
        """As a dict that `yaml.safe_dump` writes; there are no stages."""
        return {name: value for name, value in super().to_dict().items() if name != "stages"}


def is_asr(name: str | Path) -> bool:
    """Whether a recipe file, or one that is shipped, has `task: asr`. What is no recipe has not."""
    try:
        content = yaml.safe_load(find_recipe(name).read_text(encoding="utf-8"))
    except (RecipeError, yaml.YAMLError):
        return False  # whoever reads it next says what is wrong
    return isinstance(content, dict) and content.get("task") == TASK


def load_asr_recipe(name: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> AsrRecipe:
    """Read a recipe with `task: asr`, apply dotted overrides, and check every key.

    Raises:
        RecipeError: see `make_asr_recipe`, or an override without "=".
    """
    path = find_recipe(name)
    return make_asr_recipe(apply_overrides(yaml.safe_load(path.read_text(encoding="utf-8")), overrides), path.name)


def make_asr_recipe(content: dict, where: str = "the recipe") -> AsrRecipe:
    """A checked recipe from a dict.

    Raises:
        RecipeError: another task, an unknown key, a section that is no mapping, or options that exclude each other.
    """
    check_keys(content, SECTIONS, where)
    if content.get("task", TASK) != TASK:
        raise RecipeError(f"task in {where} is {content['task']!r}; it is asr, or left out for identifying dialects")
    for name in ("data", "model", "training", "evaluation"):
        check_keys(content.get(name) or {}, _valid_keys(name), f"{name} in {where}", prefix=f"{name}.")
    tokens, model = (content.get("data") or {}).get("tokens") or {}, content.get("model") or {}
    check_keys(tokens, TOKEN_KEYS, f"data.tokens in {where}", prefix="data.tokens.")
    if (kind := tokens.get("kind", KINDS[0])) not in KINDS:
        raise RecipeError(f"data.tokens.kind is {kind!r}; it must be {' or '.join(KINDS)}")
    for key, of in (("size", "bpe"), ("minimum", "characters")):
        if key in tokens and kind != of:
            raise RecipeError(f"data.tokens.{key} is of the kind {of}, but the kind is {kind}; remove it")
    if "pretrained" in model and (others := sorted({*model, *tokens} - {"pretrained"})):
        raise RecipeError(f"model.pretrained brings its sizes and its vocabulary along; remove {', '.join(others)}")
    return AsrRecipe(**{name: copy.deepcopy(value) for name, value in content.items() if value is not None})


def _valid_keys(section: str) -> tuple[str, ...]:
    if section == "data":
        return DATA_KEYS
    if section == "evaluation":
        return EVALUATION_KEYS
    if section == "model":
        from hf_dialects.models.configuration_zipformer import ZipformerConfig

        return (*MODEL_KEYS, *(one for one in ZipformerConfig.__annotations__ if one not in SET_BY_THE_TOKENS))
    from hf_dialects.training.asr_arguments import NOT_FOR_ASR, AsrTrainingArguments

    fixed = {*SET_BY_THE_RUN, *NOT_FOR_ASR}
    return tuple(one.name for one in fields(AsrTrainingArguments) if one.init and one.name not in fixed)
