"""Heads trained on a frozen encoder: features once, then a classifier in seconds, saved as an ordinary model."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import concatenate_datasets
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from transformers import set_seed

from hf_dialects.errors import RecipeError
from hf_dialects.inference import Predictions, WindowLogits, grouping_of
from hf_dialects.saving import save_for_hub
from hf_dialects.training.build import build_model
from hf_dialects.training.folds import train_folds
from hf_dialects.training.recipe import Recipe
from hf_dialects.training.run import Screened, finish, open_run, read_finished, splits_of_recipe
from hf_dialects.training.sharing import push_finished
from hf_dialects.training.window_features import WindowFeatures, wanted_layers, window_features

STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse regularisation of the logistic head, chosen on validation


@dataclass
class Head:
    """A fitted head: `linears` is a list of (weight (out, in), bias (out,)) with ReLU between."""

    layer: int
    strength: float
    linears: list[tuple[np.ndarray, np.ndarray]]
    cross_entropy: float

    def probabilities(self, features: WindowFeatures) -> np.ndarray:
        """(N, C), mean over each recording's windows."""
        return _mean_over_windows(np.exp(log_softmax(self.logits(features), axis=1)), features)

    def logits(self, features: WindowFeatures) -> np.ndarray:
        """(W, C) float64, of each window."""
        values = features.layers[self.layer].astype(np.float64)
        for index, (weight, bias) in enumerate(self.linears):
            values = values @ weight.T + bias
            if index < len(self.linears) - 1:
                values = np.maximum(values, 0)
        return values


def train_frozen(
    recipe: Recipe, run_dir: Path, layers: str | None = None, folds: int | None = None, progress: bool = True
) -> dict:
    """Train a head on cached features of a frozen encoder; returns the content of results.json.

    Layer and regularisation are chosen by cross-entropy on validation. The saved model is a
    `DialectForAudioClassification` with the encoder's weights as they were.

    Args:
        layers: layers to try, "6,9,12" or "all"; None for the recipe's.
        folds: cross-validate by group instead of one split.

    Raises:
        RecipeError: a pooling that has to be learnt, layers outside the encoder, or training dynamics.
    """
    if recipe.training.get("record_dynamics"):
        raise RecipeError(
            "training.record_dynamics records epochs, but a head on a frozen encoder is fitted at once; "
            "remove it, or train without --frozen"
        )

    def train(data: Screened, recipe: Recipe, folder: Path, progress: bool) -> dict:
        return frozen_on(data, recipe, folder, run_dir / "features", layers, progress)

    if folds:
        return train_folds(recipe, run_dir, folds, progress, train)
    open_run(recipe, run_dir)
    if (results := read_finished(run_dir)) is None:
        results = train(splits_of_recipe(recipe, progress), recipe, run_dir, progress)
    push_finished(recipe, run_dir)
    return results


def frozen_on(data: Screened, recipe: Recipe, run_dir: Path, cache: Path, layers: str | None, progress: bool) -> dict:
    """Train and evaluate a head on given splits; features are kept in `cache`."""
    started = time.time()
    model, extractor = frozen_model(recipe, data)
    numbers = wanted_layers(layers, model)
    corpus = concatenate_datasets([data.splits[name] for name in ("train", "validation", "test")])
    corpus = corpus.select(np.argsort(list(corpus["id"])))  # one order for all folds, so that they share the cache
    features = window_features(model, extractor, corpus, numbers, cache, progress)
    parts = {name: features.select(list(split["id"])) for name, split in data.splits.items()}
    head = choose_head(parts, data, recipe, numbers)
    save_for_hub(attach(model, head), extractor, run_dir / "model")
    predictions = {name: predictions_of(head, parts[name], data.splits[name]) for name in ("validation", "test")}
    selected = {"layer": head.layer, "inverse_regularisation": head.strength}
    return finish(data, recipe, run_dir, predictions, started, progress, selected)


def frozen_model(recipe: Recipe, data: Screened):
    """The recipe's model, frozen.

    Raises:
        RecipeError: a pooling that has to be learnt.
    """
    if recipe.model.get("pooling", "mean") not in ("mean", "max", "statistics"):
        raise RecipeError(
            f"model.pooling is {recipe.model['pooling']!r}, which has to be learnt; "
            "with --frozen take mean, max or statistics"
        )
    set_seed(recipe.seed)
    model, extractor = build_model(recipe.model, data.labels, data.clusters)
    model.requires_grad_(False)
    return model.eval(), extractor


def choose_head(parts: dict[str, WindowFeatures], data: Screened, recipe: Recipe, layers: list[int]) -> Head:
    """Fit every layer and regularisation on training windows, keep the best on validation recordings."""
    gold = {name: np.asarray(data.splits[name]["dialect"]) for name in ("train", "validation")}
    hidden = recipe.model.get("classifier_hidden")
    heads = []
    for layer in layers:
        for strength in STRENGTHS:
            linears = fit_head(parts["train"], layer, gold["train"], len(data.labels), strength, hidden, recipe.seed)
            head = Head(layer, strength, linears, np.inf)
            chosen = head.probabilities(parts["validation"])[np.arange(len(gold["validation"])), gold["validation"]]
            head.cross_entropy = float(-np.log(np.clip(chosen, 1e-12, None)).mean())
            heads.append(head)
    return min(heads, key=lambda head: head.cross_entropy)


def fit_head(
    features: WindowFeatures,
    layer: int,
    gold: np.ndarray,
    n_classes: int,
    strength: float,
    hidden: int | None,
    seed: int,
):
    """Logistic regression, or one hidden layer, on standardised features; the scaling is folded into the first weights.

    Windows of one recording share its weight, so that long recordings do not count more than short ones.

    Args:
        gold: (N,) of the recordings.
        strength: inverse L2 regularisation.
        hidden: units of a hidden layer; None for logistic regression.

    Returns:
        list of (weight (out, in), bias (out,)), float64.
    """
    values, labels = features.layers[layer].astype(np.float64), gold[features.owner]
    weights = (1 / np.bincount(features.owner))[features.owner]
    scaler = StandardScaler().fit(values, sample_weight=weights)
    scaled = scaler.transform(values)
    if hidden:
        fitted = MLPClassifier(
            (hidden,), solver="lbfgs", alpha=1 / (strength * len(gold)), max_iter=500, random_state=seed
        )
        with warnings.catch_warnings():  # a head a few steps from its optimum is as good
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(scaled, labels, sample_weight=weights)
        linears = [(weight.T, bias) for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True)]
    else:
        fitted = LogisticRegression(C=strength, max_iter=2000).fit(scaled, labels, sample_weight=weights)
        linears = [(fitted.coef_, fitted.intercept_)]
    first, bias = linears[0]
    linears[0] = (first / scaler.scale_, bias - first @ (scaler.mean_ / scaler.scale_))
    linears[-1] = _all_classes(*linears[-1], fitted.classes_, n_classes)
    return linears


def attach(model, head: Head):
    """Put the fitted head and its layer into the model."""
    model.config.layer = head.layer
    linears = [module for module in model.classifier if isinstance(module, torch.nn.Linear)]
    for module, (weight, bias) in zip(linears, head.linears, strict=True):
        module.weight.data = torch.from_numpy(weight).float()
        module.bias.data = torch.from_numpy(bias).float()
    return model


def predictions_of(head: Head, features: WindowFeatures, split) -> Predictions:
    """What the saved model says of a split, from the cached features."""
    return Predictions(
        ids=list(features.ids),
        gold=np.asarray(split["dialect"], dtype=np.int64),
        probabilities=head.probabilities(features),
        windows=np.bincount(features.owner),
        speech_share=np.full(len(features.ids), np.nan),
        grouping=grouping_of(split),
        window_logits=WindowLogits(features.owner, head.logits(features)),
    )


def _mean_over_windows(probabilities: np.ndarray, features: WindowFeatures) -> np.ndarray:
    total = np.zeros((len(features.ids), probabilities.shape[1]))
    np.add.at(total, features.owner, probabilities)
    return total / np.bincount(features.owner)[:, None]


def _all_classes(
    weight: np.ndarray, bias: np.ndarray, classes: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn gives one row for two classes and none for absent ones; the model has one row per class."""
    if len(classes) == 2 and len(weight) == 1:
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    full, offsets = np.zeros((n_classes, weight.shape[1])), np.full(n_classes, -30.0)
    full[classes], offsets[classes] = weight, bias
    return full, offsets
