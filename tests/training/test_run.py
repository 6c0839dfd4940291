"""A whole run on the shipped fixture: files, determinism, kill and resume, bad corpora."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from datasets import Audio, Dataset, DatasetDict, Features, Value

from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.evaluation.results import describe
from hf_dialects.inference import Predictions, predict
from hf_dialects.saving import load_for_inference
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import finish, screen_splits, train_on, train_recipe
from hf_dialects.training.splits_of_run import three_splits

WHISPER = {"model_type": "whisper"} | tiny.WHISPER
RECIPE = {
    "data": {"source": "fixture-folder"},
    "model": {
        "encoder": WHISPER,
        "features": {"feature_size": 20},
        "pooling": "attention",
        "window_s": 2.0,
        "stride_s": 1.0,
    },
    "training": {"num_train_epochs": 2, "batch_size": 32, "learning_rate": 5e-3, "use_cpu": True},
    "evaluation": {"draws": 50, "baselines": False},
}


def recipe(**changes):
    content = json.loads(json.dumps(RECIPE))
    for key, value in changes.items():
        section, _, name = key.partition("__")
        content[section] = value if not name else content[section] | {name: value}
    return make_recipe(content)


@pytest.fixture(scope="module")
def screened():
    return screen_splits(load_fixture(), ("speaker",), progress=False)


@pytest.fixture(scope="module")
def finished(screened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, train_on(screened, recipe(), folder, progress=False)


def test_files_and_results(finished, screened):
    folder, results = finished
    assert {"model", "checkpoints", "history.json", "predictions", "results.json", "skipped.csv"} <= {
        one.name for one in folder.iterdir()
    }
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    assert results["data"]["splits"]["train"]["n"] == len(screened.splits["train"])
    assert results["selected_on"]["split"] == "validation"
    assert results["selected_on"]["checkpoint"].startswith("checkpoint-")
    assert not any(path.suffix in (".bin", ".pkl", ".pt") for path in (folder / "model").rglob("*"))
    assert "accuracy" in describe(results)


def test_saved_model_gives_the_predictions_of_the_run(finished, screened):
    folder, _ = finished
    model, extractor = load_for_inference(folder)
    frame = pd.read_parquet(folder / "predictions" / "test.parquet").set_index("id")
    again = predict(model, extractor, screened.splits["test"], batch_size=3, workers=1, progress=False)
    expected = np.stack(frame.loc[again.ids, "probabilities"].tolist())
    assert np.abs(again.probabilities - expected).max() < 1e-5


def test_baselines_are_those_that_the_recipe_names(finished, screened, tmp_path):
    folder, results = finished
    assert results["baselines"] == {}
    made = {name: Predictions.read(folder / "predictions" / f"{name}.parquet") for name in ("validation", "test")}

    def baselines(wanted):
        chosen = recipe(evaluation={"draws": 20, "baselines": wanted})
        return finish(screened, chosen, tmp_path, made, time.time(), progress=False, selected={})["baselines"]

    everything = baselines(True)
    assert set(everything) == set(BASELINES)
    assert all(set(one) == {"validation", "test"} for one in everything.values())
    some = baselines(["duration", "majority"])
    assert some == {name: everything[name] for name in ("majority", "duration")}


def test_same_seed_same_results_except_environment(finished, screened, tmp_path):
    _, first = finished
    second = train_on(screened, recipe(), tmp_path, progress=False)
    assert {**first, "environment": None} == {**second, "environment": None}
    other = train_on(screened, recipe(seed=1), tmp_path / "other", progress=False)
    assert other["metrics"] != first["metrics"]


def test_a_run_folder_keeps_to_its_recipe(tmp_path):
    with pytest.raises(CorpusError):
        train_recipe(recipe(data={"source": str(tmp_path / "absent")}), tmp_path / "run", progress=False)
    with pytest.raises(RecipeError, match=r"holds a run of another recipe \(different: seed\)"):
        train_recipe(recipe(data={"source": str(tmp_path / "absent")}, seed=5), tmp_path / "run", progress=False)


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_run import recipe, screen_splits, load_fixture, train_on
steps = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
chosen = recipe(training=recipe().training | steps)
train_on(screen_splits(load_fixture(), ("speaker",), progress=False), chosen, Path(sys.argv[1]), progress=False)
"""


def test_killed_in_the_middle_of_an_epoch_and_resumed_is_the_same(tmp_path):
    here = Path(__file__).parent
    arguments = [str(here), str(here.parent)]

    def command(folder: Path) -> list[str]:
        return [sys.executable, "-c", KILLED, str(folder), *arguments]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    running = subprocess.Popen(command(killed), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 240
    while not (killed / "checkpoints" / "checkpoint-2" / "trainer_state.json").is_file():
        assert time.time() < deadline
        assert running.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (killed / "results.json").exists()
    for folder in (killed, whole):
        done = subprocess.run(command(folder), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads((folder / "results.json").read_text()) | {"environment": None} for folder in (whole, killed)]
    assert results[0] == results[1]
    frames = [pd.read_parquet(folder / "predictions" / "test.parquet") for folder in (whole, killed)]
    pd.testing.assert_frame_equal(*frames)


def test_bad_clips_are_left_out_counted_and_listed(tmp_path):
    corpus = load_fixture()
    rows = corpus["train"].to_list()
    rows[3]["audio"] = {"bytes": b"not audio at all", "path": "broken.wav"}
    rows[7]["audio"] = {"bytes": None, "path": str(tmp_path / "gone.wav")}
    kept = {name: feature for name, feature in corpus["train"].features.items() if name != "audio"}
    cells = {"audio": {"bytes": Value("binary"), "path": Value("string")}}
    train = Dataset.from_list(rows, features=Features(cells | kept)).cast_column("audio", Audio(16000, decode=False))
    broken = DatasetDict(corpus | {"train": train})
    results = train_on(
        screen_splits(broken, ("speaker",), progress=False),
        recipe(training__num_train_epochs=1),
        tmp_path,
        progress=False,
    )
    assert results["skipped"] == {"corrupt": 1, "missing": 1}
    assert results["data"]["splits"]["train"]["n"] == len(rows) - 2
    listed = pd.read_csv(tmp_path / "skipped.csv")
    assert set(listed["id"]) == {rows[3]["id"], rows[7]["id"]}


def test_one_dialect_is_not_enough(screened):
    corpus = load_fixture()
    one = DatasetDict({name: split.filter(lambda row: row["dialect"] == 0) for name, split in corpus.items()})
    with pytest.raises(CorpusError, match="holds one dialect only"):
        screen_splits(one, ("speaker",), progress=False)


def test_a_dialect_tested_but_never_trained_is_named():
    corpus = load_fixture()
    train = corpus["train"].filter(lambda row: row["dialect"] != 2)
    name = corpus["train"].features["dialect"].names[2]
    with pytest.raises(CorpusError, match=f"1 dialects are tested but have no training recording: {name}"):
        screen_splits(DatasetDict(corpus | {"train": train}), ("speaker",), progress=False)


def test_splits_of_the_corpus_are_taken_and_missing_ones_cut_off_by_group():
    corpus = load_fixture()
    splits, by = three_splits(corpus, {})
    assert by == ("speaker",)
    assert {name: len(split) for name, split in splits.items()} == {name: len(split) for name, split in corpus.items()}
    splits, _ = three_splits(DatasetDict(train=corpus["train"], test=corpus["test"]), {"split_sizes": (0.6, 0.2, 0.2)})
    speakers = [set(splits[name]["speaker"]) for name in ("train", "validation", "test")]
    assert all(speakers)
    assert sum(map(len, speakers)) == len(set.union(*speakers))
    leaking = DatasetDict(train=corpus["train"], validation=corpus["validation"], test=corpus["train"])
    with pytest.raises(CorpusError, match="speaker"):
        three_splits(leaking, {})


def test_corpus_without_groups_is_refused_with_the_way_out():
    corpus = load_fixture()["train"].remove_columns("speaker")
    with pytest.raises(CorpusError, match=r"data.split_by=id treats every recording as its own speaker"):
        three_splits(corpus, {})
    with pytest.raises(CorpusError, match=r"data.split_by names 'village'"):
        three_splits(corpus, {"split_by": ["village"]})


def test_recordings_are_analysed_once_and_not_every_epoch(screened, tmp_path, monkeypatch):
    from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
    from hf_dialects.training import fit as module

    calls = []
    analyse = DialectFeatureExtractor.log_mel
    monkeypatch.setattr(DialectFeatureExtractor, "log_mel", lambda self, one: calls.append(1) or analyse(self, one))
    module.fit(screened, recipe(training__num_train_epochs=3), tmp_path, progress=False)
    assert len(calls) == len(screened.splits["train"]) + len(screened.splits["validation"])
