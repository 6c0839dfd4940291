"""Corrections of labels in runs: they change what is trained on, and nothing that is judged on."""

import json

import numpy as np
import pytest
import tiny
from datasets import DatasetDict, concatenate_datasets

from hf_dialects.data.screen import write_skipped
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.inference import Predictions
from hf_dialects.training.folds import fold_data, train_folds
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import train_recipe
from hf_dialects.training.run_folder import open_run
from hf_dialects.training.screened import splits_of_recipe

HEAD = "id,gold,corrected,action,note\n"
MODEL = {
    "encoder": {"model_type": "whisper"} | tiny.WHISPER,
    "features": {"feature_size": 20},
    "window_s": 2.0,
    "stride_s": 1.0,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    load_fixture().save_to_disk(folder)
    return str(folder)


@pytest.fixture
def corrections(tmp_path):
    """(file, id relabelled in training, its new dialect, id dropped there); the file does the same to two of test."""
    splits = load_fixture()
    names = splits["train"].features["dialect"].names
    lines, of_training = [], []
    for split in ("train", "test"):
        rows = splits[split]
        gold = [names[label] for label in rows["dialect"]]
        other = next(name for name in names if name != gold[0])
        ids = list(rows["id"])
        lines += [f"{ids[0]},{gold[0]},{other},relabel,", f"{ids[1]},{gold[1]},,drop,noise"]
        of_training += [ids[0], other, ids[1]] if split == "train" else []
    path = tmp_path / "corrections.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return path, *of_training


def recipe(source, corrections=None, **sections):
    data = {"source": source} | ({"corrections": str(corrections)} if corrections else {})
    return make_recipe({"data": data, "evaluation": {"draws": 20, "baselines": False}} | sections)


def labels(dataset):
    names = dataset.features["dialect"].names
    return {id: names[label] for id, label in zip(dataset["id"], dataset["dialect"], strict=True)}


def test_only_the_training_split_changes(source, corrections, capsys):
    path, relabelled, dialect, dropped = corrections
    plain, corrected = (splits_of_recipe(recipe(source, file), progress=False) for file in (None, path))
    expected = labels(plain.splits["train"]) | {relabelled: dialect}
    del expected[dropped]
    assert labels(corrected.splits["train"]) == expected
    for name in ("validation", "test"):
        assert labels(corrected.splits[name]) == labels(plain.splits[name])
    assert (corrected.corrections.relabelled, corrected.corrections.dropped) == (1, 1)
    assert corrected.corrections.held_out == 2
    assert plain.corrections is None
    assert corrected.clusters == plain.clusters


def test_splits_that_are_cut_here_stay_the_same(source, corrections, tmp_path):
    whole = load_fixture()
    together = tmp_path / "together"
    concatenate_datasets(list(whole.values())).save_to_disk(together)
    plain, corrected = (splits_of_recipe(recipe(str(together), file), False) for file in (None, corrections[0]))
    for name in ("validation", "test"):
        assert split_fingerprint(corrected.splits[name]) == split_fingerprint(plain.splits[name])
        assert labels(corrected.splits[name]) == labels(plain.splits[name])
    assert set(plain.splits["train"]["id"]) >= set(corrected.splits["train"]["id"])


def test_folds_correct_their_training_parts(source, corrections):
    path, relabelled, dialect, dropped = corrections
    plain, corrected = (fold_data(recipe(source, file), 3, progress=False) for file in (None, path))
    test_labels = {}
    for before, after in zip(plain, corrected, strict=True):
        for name in ("validation", "test"):
            assert labels(after.splits[name]) == labels(before.splits[name])
        kept = [id for id in before.splits["train"]["id"] if id in after.splits["train"]["id"]]
        assert list(after.splits["train"]["id"]) == kept, "order decides what a seed draws"
        test_labels |= labels(after.splits["test"])
        training = labels(after.splits["train"])
        assert dropped not in training
        assert training.get(relabelled, dialect) == dialect
        assert after.corrections.held_out == 0
    assert sum(relabelled in fold.splits["train"]["id"] for fold in corrected) >= 1
    assert dropped in test_labels
    assert test_labels[relabelled] != dialect


def test_a_wrong_file_is_told_before_anything_is_trained(source, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(HEAD + "nowhere,x,,drop,\n", encoding="utf-8")
    for load in (splits_of_recipe, lambda one, progress: fold_data(one, 3, progress)):
        with pytest.raises(CorpusError, match="1 of 1 corrections are of recordings that the corpus does not have"):
            load(recipe(source, wrong), progress=False)
    with pytest.raises(CorpusError, match="there is no corrections file"):
        train_recipe(recipe(source, tmp_path / "none.csv"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_corrections_and_refuses_others(source, corrections, tmp_path):
    path = corrections[0]
    open_run(recipe(source, path), tmp_path / "run")
    content = path.read_text("utf-8")
    assert (tmp_path / "run" / "corrections.csv").read_text("utf-8") == content
    open_run(recipe(source, path), tmp_path / "run")
    path.write_text(content.replace("noise", "music"), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"corrections.csv has changed since the run in .*run was started"):
        open_run(recipe(source, path), tmp_path / "run")
    path.unlink()
    open_run(recipe(source, path), tmp_path / "run")
    with pytest.raises(RecipeError, match="holds a run of another recipe"):
        open_run(recipe(source), tmp_path / "run")


def test_results_say_what_was_corrected(source, corrections, tmp_path):
    path = corrections[0]
    training = {"max_steps": 1, "batch_size": 8, "use_cpu": True}
    sections = {"model": MODEL, "training": training}
    results = train_recipe(recipe(source, path, **sections), tmp_path / "run", progress=False)
    kept = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    counts = {"relabelled": 1, "dropped": 1, "kept": 0, "held_out": 2}
    assert kept["data"]["corrections"] == results["data"]["corrections"] == counts
    assert kept["data"]["splits"]["train"]["n"] == len(load_fixture()["train"]) - 1


def test_folds_say_what_was_corrected(source, corrections, tmp_path):
    def train(data, recipe, folder, progress):
        rows = data.splits["test"]
        n, ones = len(rows), np.ones(len(rows))
        probabilities = np.full((n, len(data.labels)), 1 / len(data.labels))
        found = Predictions(list(rows["id"]), np.array(rows["dialect"]), probabilities, ones.astype(int), ones)
        found.write(folder / "predictions" / "test.parquet")
        write_skipped([], folder / "skipped.csv")

    results = train_folds(recipe(source, corrections[0]), tmp_path, 3, progress=False, train=train)
    assert results["data"]["corrections"] == {"relabelled": 2, "dropped": 2, "kept": 0, "held_out": 0}
    whole = DatasetDict(load_fixture())
    gold = Predictions.read(tmp_path / "predictions" / "test.parquet")
    expected = {id: label for rows in whole.values() for id, label in zip(rows["id"], rows["dialect"], strict=True)}
    assert dict(zip(gold.ids, gold.gold.tolist(), strict=True)) == expected, "judged by the corpus' own labels"
