"""Cross-validation without a real model: pooled predictions and the baselines beside them."""

import numpy as np
import pytest

from hf_dialects.data.screen import write_skipped
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.evaluation.baselines import BASELINES, fit_baselines
from hf_dialects.inference import Predictions
from hf_dialects.metrics import accuracy
from hf_dialects.training.folds import fold_data, train_folds
from hf_dialects.training.recipe import make_recipe


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    load_fixture().save_to_disk(folder)
    return str(folder)


def recipe(source, **evaluation):
    return make_recipe({"data": {"source": source}, "evaluation": {"draws": 20} | evaluation})


def first_class(data, recipe, folder, progress):
    """Instead of training: predictions that say the first class of everything."""
    assert recipe.evaluation["baselines"] is False, "folds are not compared to baselines one by one"
    rows = data.splits["test"]
    n, gold = len(rows), np.array(rows["dialect"])
    probabilities = np.tile(np.eye(len(data.labels))[0], (n, 1))
    found = Predictions(list(rows["id"]), gold, probabilities, np.ones(n, dtype=int), np.ones(n))
    found.write(folder / "predictions" / "test.parquet")
    write_skipped([], folder / "skipped.csv")


def test_baselines_are_fitted_in_every_fold_and_pooled(source, tmp_path):
    names = ("majority", "duration")
    results = train_folds(recipe(source, baselines=[*names]), tmp_path, 3, progress=False, train=first_class)
    assert set(results["baselines"]) == set(names)
    folds = fold_data(recipe(source), 3, progress=False)
    gold = np.concatenate([fold.splits["test"]["dialect"] for fold in folds])
    assert results["metrics"]["test"]["accuracy"]["value"] == np.mean(gold == 0)
    alone = [fit_baselines(one.splits["train"], {"test": one.splits["test"]}, names, progress=False) for one in folds]
    for name in names:
        probabilities = np.concatenate([one[name]["test"] for one in alone])
        expected = accuracy(gold, probabilities.argmax(axis=1))
        assert results["baselines"][name]["test"]["accuracy"]["value"] == expected


@pytest.mark.parametrize(("wanted", "found"), [(None, set(BASELINES)), (False, set())])
def test_folds_have_all_baselines_or_none(source, tmp_path, wanted, found):
    results = train_folds(recipe(source, baselines=wanted), tmp_path, 3, progress=False, train=first_class)
    assert set(results["baselines"]) == found
