"""What recording training dynamics and mixing add to training."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets
from measure import Row, interleaved

from hf_dialects.data.synthetic import load_fixture
from hf_dialects.training.build import build_model
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.fit import clips, training_arguments
from hf_dialects.training.mapmix import MapMixTrainer
from hf_dialects.training.recipe import load_recipe
from hf_dialects.training.trainer import DialectTrainer

RECORDINGS, EPOCH, EPOCHS = 256, 8, 3  # of so many steps
STEPS = EPOCHS * EPOCH
OPTIONS = {"max_steps": STEPS, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}


class TwoPassTrainer(DialectTrainer):
    """Random latent mixup with a pass of its own for the partners, as in the published code of Map-Mix."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = {name: value for name, value in inputs.items() if name != "row"}
        labels = inputs.pop("labels")
        partner, weight = torch.randperm(len(labels)), torch.rand(())
        own = model.dialect(**inputs).embeddings
        other = model.dialect(**{name: value[partner] for name, value in inputs.items()}).embeddings
        logits = model.classifier(weight * own + (1 - weight) * other)
        loss = torch.nn.functional.cross_entropy
        return weight * loss(logits, labels) + (1 - weight) * loss(logits, labels[partner])


def bench_recording(rounds: int) -> list[Row]:
    """Three epochs of the recipe `demo`, with and without a record of them."""
    corpus, labels = recordings()
    with tempfile.TemporaryDirectory() as folder:
        ways = {"none": training(corpus, labels, folder)}
        for mode in ("training", "evaluation"):
            recorder = DatamapsCallback(Path(folder) / f"{mode}.parquet", mode)
            ways[mode] = training(corpus, labels, folder, callbacks=[recorder])
        found = interleaved(ways, max(rounds, 7))
    note = f"{found['none'].seconds:.2f} s for {EPOCHS} epochs of {RECORDINGS} recordings without"
    return [
        Row("training that records dynamics as it goes / plain", found["training"].ratio, note, at_most=1.05),
        Row(
            "training that records dynamics in a pass after every epoch / plain",
            found["evaluation"].ratio,
            note,
            at_most=1.5,
        ),
    ]


def bench_mixing(rounds: int) -> list[Row]:
    """As many steps of equal batches, mixed and plain."""
    corpus, labels = recordings()
    datamap = DataMap.from_dynamics(dynamics(corpus))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # regions by quantiles
        ways = {"plain": training(corpus, labels, folder)}
        for mixup in ("static", "random", "ambiguous_easy"):
            ways[mixup] = training(corpus, labels, folder, MapMixTrainer, mixup=mixup, datamap=datamap)
        ways["two passes"] = training(corpus, labels, folder, TwoPassTrainer)
        found = interleaved(ways, max(rounds, 7))
    note = f"{1000 * found['plain'].seconds / STEPS:.0f} ms a plain step"
    return [
        Row("step with waveforms mixed / plain", found["static"].ratio, f"{note}; nothing of it is kept in memory"),
        Row("step with random latent mixup, one pass / plain", found["random"].ratio, note, at_most=1.1),
        Row("step with ambiguous_easy: examples and partners in one pass / plain", found["ambiguous_easy"].ratio, note),
        Row("step with random latent mixup, two passes / plain", found["two passes"].ratio, note),
    ]


def training(
    corpus: Dataset, labels: list[str], folder: str, kind=DialectTrainer, mixup: str = "none", callbacks=None, **given
) -> Callable[[], None]:
    """A function that trains for three epochs."""
    recipe = load_recipe("demo")
    recipe.training.update(OPTIONS, mixup=mixup)
    arguments = training_arguments(recipe, Path(folder), progress=False)
    model, extractor = build_model(recipe.model, labels, None)
    sets = [clips(corpus, extractor, model.config, arguments, training=training) for training in (True, False)]
    trainer = kind(model, arguments, extractor, *sets, callbacks=callbacks, **given)
    return trainer.train


def recordings() -> tuple[Dataset, list[str]]:
    """Real clips, some of them several times, each with an id of its own; and the dialects."""
    split = load_fixture()["train"]
    whole = concatenate_datasets([split] * (RECORDINGS // len(split) + 1)).select(range(RECORDINGS))
    whole = whole.remove_columns("id").add_column("id", [f"clip-{number}" for number in range(RECORDINGS)])
    return whole, split.features["dialect"].names


def dynamics(corpus: Dataset) -> pd.DataFrame:
    """Of two epochs, drawn at random, so that every region has examples of every dialect."""
    random = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"id": corpus["id"], "epoch": epoch, "gold": corpus["dialect"]}).assign(
            probability=random.random(len(corpus)).astype(np.float32), correct=True, mode="training"
        )
        for epoch in (0, 1)
    ]
    return pd.concat(parts)
