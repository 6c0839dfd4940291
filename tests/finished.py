"""Small finished runs on disk, for tests of what reads them: recordings and model are real, answers are drawn."""

import csv
import json
from pathlib import Path

import corpora
import numpy as np
import tiny
from transformers import set_seed

from hf_dialects.data.leakage import column_values
from hf_dialects.data.load import load_corpus
from hf_dialects.data.screen import Skipped, write_skipped
from hf_dialects.evaluation.baselines import majority
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import Predictions, grouping_of
from hf_dialects.saving import save_for_hub
from hf_dialects.training.build import build_model
from hf_dialects.training.recipe import make_recipe

CLUSTERS = {"coast": "low", "hills": "high", "marsh": "low", "peaks": "high"}
HOSTILE = "<script>alert(1)</script>"
SPLITS = ("train", "validation", "test")
SECONDS = (0.4, 0.8, 1.3, 2.2)
MODEL = {
    "encoder": {"model_type": "whisper"} | tiny.WHISPER,
    "features": {"feature_size": 20},
    "window_s": 2.0,
    "stride_s": 1.0,
}


def recordings(folder: Path, clusters: dict[str, str] | None = None, speakers: int = 2) -> Path:
    """A corpus in a folder: per dialect and split `speakers` speakers with 4 tones each; a broken file among them."""
    lines = []
    for number, (dialect, cluster) in enumerate((clusters or CLUSTERS).items()):
        for split in SPLITS:
            for voice in range(speakers):
                speaker = f"{split}-{number}-{voice}"
                for take, seconds in enumerate(SECONDS):
                    name = f"audio/{speaker}-{take}.wav"
                    corpora.tone(folder / name, seconds=seconds, seed=3 * number + voice)
                    lines.append((name, split, dialect, cluster, speaker))
    (folder / "audio" / "broken.wav").write_bytes(b"RIFF")
    lines.append(("audio/broken.wav", "train", dialect, cluster, speaker))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "split", "dialect", "cluster", "speaker"), *lines])
    return folder


def run(
    folder: Path, corpus: Path, skill: float = 1.8, seed: int = 0, trained: bool = True, model: bool = True
) -> Path:
    """A run on `recordings`.

    Args:
        skill: how much the answers prefer the truth; 0 for none.
        trained: False saves the model as the recipe initialises it.
        model: whether one is saved.
    """
    splits = load_corpus(corpus)
    usable = [row for row, id in enumerate(splits["train"]["id"]) if id != "audio/broken"]
    splits["train"] = splits["train"].select(usable)
    labels = splits["test"].features["dialect"].names
    recipe = make_recipe({"data": {"source": str(corpus)}, "model": MODEL, "seed": seed})
    folder.mkdir(parents=True)
    recipe.write(folder / "recipe.yaml")
    clusters = _clusters(splits["test"])
    if model:
        set_seed(seed + 1000 * trained)
        save_for_hub(*build_model(recipe.model, labels, clusters), folder / "model")
    held_out = ("validation", "test")
    predictions = {name: answers(splits[name], len(labels), skill, seed) for name in held_out}
    for name, found in predictions.items():
        found.write(folder / "predictions" / f"{name}.parquet")
    common = {name: majority(splits["train"]["dialect"], len(labels), len(splits[name])) for name in held_out}
    skipped = [Skipped("audio/broken", "corrupt", "audio/broken is <b>corrupt</b>")]
    write_skipped(skipped, folder / "skipped.csv")
    selected = {"split": "validation", "checkpoint": "checkpoint-2"}
    options = {"seed": seed, "selected_on": selected, "skipped": skipped, "draws": 50}
    origin = environment("cpu", 1.0, ["hf-dialects", "train", "small"])
    results = build_results(predictions, splits, labels, clusters, {"majority": common}, environment=origin, **options)
    write_results(results, folder / "results.json")
    log = [{"epoch": epoch, "step": epoch, "cross_entropy_loss": 1 / epoch} for epoch in (1, 2, 3)]
    log += [
        {"epoch": epoch, "step": epoch, "eval_cross_entropy": 1.2 / epoch, "eval_accuracy": 0.2 * epoch}
        for epoch in (1, 2)
    ]
    (folder / "history.json").write_text(json.dumps({"best": "checkpoint-2", "log": log}), encoding="utf-8")
    return folder


def answers(rows, n_classes: int, skill: float, seed: int) -> Predictions:
    """Drawn answers to every recording."""
    gold = np.array(rows["dialect"])
    logits = np.random.default_rng(seed).normal(size=(len(gold), n_classes))
    logits[np.arange(len(gold)), gold] += skill
    exponents = np.exp(logits)
    ones = np.ones(len(gold))
    return Predictions(
        ids=list(rows["id"]),
        gold=gold,
        probabilities=exponents / exponents.sum(1, keepdims=True),
        windows=ones.astype(np.int64),
        speech_share=ones,
        grouping=grouping_of(rows),
    )


def _clusters(rows) -> dict[str, str]:
    pairs = set(zip(column_values(rows, "dialect"), column_values(rows, "cluster"), strict=True))
    dialects, clusters = rows.features["dialect"], rows.features["cluster"]
    return {dialects.int2str(dialect): clusters.int2str(cluster) for dialect, cluster in sorted(pairs)}
