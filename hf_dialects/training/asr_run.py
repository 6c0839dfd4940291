"""One run of speech recognition: a recipe in, a run folder out. Every step that is already in the folder is taken from
there."""

import json
import time
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from transformers import set_seed

from hf_dialects.data.augment import WaveformAugment
from hf_dialects.data.screen import count_reasons, write_skipped
from hf_dialects.data.spec_augment import SpecAugment
from hf_dialects.data.utterances import SPOKEN, Utterances
from hf_dialects.disk import disk_space, whole_file
from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import data_facts
from hf_dialects.evaluation.transcripts import Transcripts, describe_transcripts, score_transcripts
from hf_dialects.extras import require
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.recognition import load_recogniser, transcribe
from hf_dialects.saving import save_for_hub
from hf_dialects.training.arguments import arguments_of
from hf_dialects.training.asr_arguments import AsrTrainingArguments
from hf_dialects.training.asr_data import asr_splits, build_tokens, usable_for_training
from hf_dialects.training.asr_recipe import AsrRecipe
from hf_dialects.training.asr_trainer import BEFORE_AVERAGE, AsrTrainer, KeepMean
from hf_dialects.training.averaged_weights import load_averaged, read_averaged
from hf_dialects.training.fit import last_checkpoint
from hf_dialects.training.run_folder import open_run
from hf_dialects.training.sharing import push_finished

__all__ = ["asr_arguments", "build_recogniser", "describe_asr", "fit_asr", "train_asr"]

SCORED = ("validation", "test")
COLUMNS = ("id", "source", "dialect", "cluster", "speaker", "recording", "site", "sentence_id", "duration", "text")
SHOWN = ("source", "dialect", "cluster")  # what results are broken down by where the recipe does not say


def train_asr(recipe: AsrRecipe, run_dir: Path, progress: bool = True, callbacks: tuple = ()) -> dict:
    """Train, transcribe validation and test, score; a finished run is read back, a broken one goes on.

    Writes model/, history.json, transcripts/{split}-{method}.csv, skipped.csv and results.json.

    Returns:
        the content of results.json; empty on other processes than the first. "scores" is split → method → what
        `score_transcripts` returns.

    Raises:
        RecipeError: the folder holds a run of another recipe, or settings that do not fit.
        CorpusError: the corpus cannot be split or used.
        MissingExtra: rapidfuzz is not installed.
    """
    started, done = time.time(), run_dir / "results.json"
    open_run(recipe, run_dir)
    if done.is_file():
        push_finished(recipe, run_dir)
        return json.loads(done.read_text(encoding="utf-8"))
    require("rapidfuzz", extra="asr")  # errors are counted after the first epoch: too late to find it missing
    splits, skipped, by = asr_splits(recipe.data, progress)
    arguments = asr_arguments(recipe, run_dir, progress)
    if not (run_dir / "model" / "config.json").is_file() and not fit_asr(splits, recipe, arguments, run_dir, callbacks):
        return {}
    model, extractor, tokenizer = load_recogniser(run_dir / "model")
    skipped = skipped + usable_for_training(splits["train"], tokenizer, arguments)[1]
    if torch.cuda.is_available() and not arguments.use_cpu:
        model.to("cuda")
    scores = {
        name: _scores(splits[name], (model, extractor, tokenizer), recipe.evaluation, run_dir, name, progress)
        for name in SCORED
    }
    write_skipped(skipped, run_dir / "skipped.csv")
    history = json.loads((run_dir / "history.json").read_text(encoding="utf-8"))
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else "cpu"
    results = {
        "schema": 1,
        "task": recipe.task,
        "scores": scores,
        "selected_on": {"split": "validation"} | {key: history[key] for key in ("by", "best", "best_value", "weights")},
        "model": {"parameters": model.num_parameters(), "tokens": len(tokenizer)},
        "data": data_facts(splits, _labels(splits["train"])) | {"split_by": list(by)},
        "skipped": count_reasons(skipped),
        "seed": recipe.seed,
        "environment": environment(device, time.time() - started),
    }
    with whole_file(done) as unfinished:
        text = json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False)
        unfinished.write_text(text + "\n", encoding="utf-8")
    push_finished(recipe, run_dir)
    return results


def fit_asr(
    splits: DatasetDict, recipe: AsrRecipe, arguments: AsrTrainingArguments, run_dir: Path, callbacks: tuple = ()
) -> bool:
    """Train, resuming from the last checkpoint in the folder; writes model/ and history.json.

    The model is the checkpoint that is best on validation, or the mean of the weights since `average_since` where that
    is at least as good.

    Returns:
        whether this is the process that goes on with the evaluation.
    """
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    set_seed(recipe.seed)
    model, extractor, tokenizer = build_recogniser(recipe, splits["train"])
    split, _ = usable_for_training(splits["train"], tokenizer, arguments)
    every = arguments.average_weights_every
    trainer = AsrTrainer(
        model,
        arguments,
        extractor,
        tokenizer,
        _utterances(split, tokenizer, extractor, arguments, training=True),
        _utterances(splits["validation"], tokenizer, extractor, arguments, training=False),
        callbacks=[*callbacks, *([KeepMean(arguments.average_since, run_dir)] if every else [])],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(Path(arguments.output_dir)))
    state, by = trainer.state, arguments.metric_for_best_model
    history = {"by": by, "best": state.best_model_checkpoint and Path(state.best_model_checkpoint).name}
    history |= {"best_value": state.best_metric, "weights": "checkpoint"}
    if every and state.global_step >= every and (found := _take_mean(trainer, run_dir)) is not None:
        history |= {"best_value": found, "weights": "mean"}
    if trainer.is_world_process_zero():
        with disk_space(run_dir / "history.json", "the checkpoints stay"):
            content = json.dumps(history | {"log": state.log_history}, indent=1)
            (run_dir / "history.json").write_text(content + "\n", encoding="utf-8")
        save_for_hub(trainer.accelerator.unwrap_model(trainer.model), extractor, run_dir / "model", tokenizer)
    trainer.accelerator.wait_for_everyone()
    return trainer.is_world_process_zero()


def _take_mean(trainer: AsrTrainer, run_dir: Path) -> float | None:
    """Give the model the mean of the weights, and return its validation value, unless the checkpoint is better."""
    arguments, before = trainer.args, run_dir / BEFORE_AVERAGE
    mean = read_averaged(last_checkpoint(Path(arguments.output_dir)), since=before if before.is_dir() else None)
    model = trainer.accelerator.unwrap_model(trainer.model)
    chosen = {name: value.clone() for name, value in model.state_dict().items()}
    load_averaged(model, mean)
    value = trainer.evaluate(metric_key_prefix="mean")[f"mean_{arguments.metric_for_best_model}"]
    if trainer.state.best_metric is None or value <= trainer.state.best_metric:
        return value
    model.load_state_dict(chosen)
    return None


def build_recogniser(recipe: AsrRecipe, train: Dataset):
    """A new model with the vocabulary of the training split, or a pretrained one with its own.

    Returns:
        (ZipformerForRNNT, ZipformerFeatureExtractor, tokenizer)

    Raises:
        RecipeError: sizes that do not go together.
    """
    options = dict(recipe.model)
    if pretrained := options.pop("pretrained", None):
        return load_recogniser(pretrained)
    tokenizer = build_tokens(train, recipe.data.get("tokens"))
    ids = {"blank_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    ids |= {"eos_token_id": tokenizer.eos_token_id, "vocab_size": len(tokenizer)}
    preset = options.pop("preset", None)
    try:
        config = ZipformerConfig.preset(preset, **options | ids) if preset else ZipformerConfig(**options | ids)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the model section does not fit: {error}") from error
    return ZipformerForRNNT(config), ZipformerFeatureExtractor(config.num_mel_bins), tokenizer


def asr_arguments(recipe: AsrRecipe, run_dir: Path, progress: bool = True) -> AsrTrainingArguments:
    """The recipe's `training` section.

    Raises:
        RecipeError: a value that does not fit its key.
    """
    given = {"output_dir": str(run_dir / "checkpoints"), "seed": recipe.seed, "disable_tqdm": not progress}
    return arguments_of(AsrTrainingArguments, given | recipe.training)


def describe_asr(results: dict) -> str:
    """Error rates on the test split, for the terminal."""
    return "\n\n".join(
        f"test, {method}\n{describe_transcripts(found)}" for method, found in results["scores"]["test"].items()
    )


def _utterances(split: Dataset, tokenizer, extractor, arguments: AsrTrainingArguments, training: bool) -> Utterances:
    augment = {}
    if arguments.waveform_augment:
        augment["waveform_augment"] = WaveformAugment.from_recipe(arguments.waveform_augment)
    if arguments.spec_augment is not None:
        augment["spec_augment"] = SpecAugment.from_recipe(arguments.spec_augment)
    return Utterances(
        split,
        tokenizer,
        extractor.filter_bank,
        sampling_rate=extractor.sampling_rate,
        training=training,
        seed=arguments.seed,
        speeds=arguments.speeds,
        **augment,
    )


def _scores(split: Dataset, recogniser: tuple, section: dict, run_dir: Path, name: str, progress: bool) -> dict:
    """Method → scores of a split's transcripts, which are written, too."""
    split = split.select([row for row, text in enumerate(split["text"]) if text])
    options = {key: section[key] for key in ("num_beams", "batch_size") if key in section}
    translates = f"<|{SPOKEN}|>" in recogniser[2].get_added_vocab()
    rows = _table(split)
    by = section.get("by", [column for column in SHOWN if column in rows])
    scoring = {key: section[key] for key in ("draws", "simplify", "keep_erhua") if key in section}
    found = {}
    for method in section.get("methods", ["greedy"]):
        language = SPOKEN if method == "attention" and translates else None
        options |= {"method": method, "language": language, "lengths": split["duration"], "progress": progress}
        rows["hypothesis"] = transcribe(*recogniser, split["audio"], **options)
        path = run_dir / "transcripts" / f"{name}-{method}.csv"
        with whole_file(path) as unfinished:
            rows.to_csv(unfinished, index=False)
        found[method] = score_transcripts(*_transcripts(path, rows), by=by, seed=0, **scoring)
        found[method] |= dict.fromkeys(("reference", "hypothesis"), path.name)
    return found


def _table(split: Dataset) -> pd.DataFrame:
    """What identifies the utterances of a split, and their texts."""
    names = {}
    for column in COLUMNS:
        if column in split.column_names:
            labels, values = getattr(split.features[column], "names", None), list(split[column])
            names[column] = values if labels is None else [None if v is None or v < 0 else labels[v] for v in values]
    return pd.DataFrame(names)


def _transcripts(path: Path, rows: pd.DataFrame) -> tuple[Transcripts, Transcripts]:
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    by_id = {str(row["id"]): row for row in records}
    texts = ({id: row[name] for id, row in by_id.items()} for name in ("text", "hypothesis"))
    return tuple(Transcripts(path, one, by_id) for one in texts)


def _labels(split: Dataset) -> list[str]:
    return split.features["dialect"].names if "dialect" in split.column_names else []
