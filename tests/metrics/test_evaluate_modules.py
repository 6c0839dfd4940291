"""hf_dialects.metrics.evaluate_modules: equal to the functions, in pieces, combined, loaded by path without network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

from hf_dialects import metrics
from hf_dialects.errors import DialectError
from hf_dialects.metrics import evaluate_modules
from hf_dialects.metrics.evaluate_modules import Calibration, ClusterAccuracy, Detection, DialectClassification

C = 5
CLUSTERS = [0, 0, 1, 1, 2]
FOLDER = Path(evaluate_modules.__file__).parent


@pytest.fixture(params=range(3))
def rows(request):
    """Probabilities (N, C), gold and predicted (N,) of a model that is right more often than not."""
    random = np.random.default_rng(request.param)
    gold = random.integers(C, size=101)
    probabilities = random.dirichlet(np.ones(C), size=101) / 2 + np.eye(C)[gold] * random.uniform(0, 0.5, (101, 1))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, gold, probabilities.argmax(axis=1)


@pytest.fixture
def make(tmp_path):
    """A module with its cache in the folder of the test."""
    return lambda kind, **options: kind(cache_dir=str(tmp_path), **options)


def expected(probabilities, gold, predicted):
    return {
        "accuracy": metrics.accuracy(gold, predicted),
        "macro_f1": metrics.macro_f1(gold, predicted),
        "weighted_f1": metrics.weighted_f1(gold, predicted),
        "cluster_accuracy": metrics.cluster_accuracy(gold, predicted, CLUSTERS),
        "ece": metrics.expected_calibration_error(probabilities, gold),
        "nll": metrics.negative_log_likelihood(probabilities, gold),
        "brier": metrics.brier_score(probabilities, gold),
    }


def test_equal_to_the_functions(make, rows):
    probabilities, gold, predicted = rows
    found = {
        **make(DialectClassification).compute(predictions=predicted, references=gold),
        **make(ClusterAccuracy, clusters=CLUSTERS).compute(predictions=predicted, references=gold),
        **make(Calibration).compute(predictions=probabilities, references=gold),
    }
    assert found == expected(*rows)
    assert all(type(value) is float for value in found.values())


def test_in_pieces_equal_to_one_compute(make, rows):
    probabilities, gold, predicted = rows
    modules = [make(DialectClassification), make(ClusterAccuracy, clusters=CLUSTERS), make(Calibration)]
    for start in range(0, len(gold), 7):  # the last piece is shorter
        piece = slice(start, start + 7)
        for module, given in zip(modules, (predicted, predicted, probabilities), strict=True):
            module.add_batch(predictions=given[piece], references=gold[piece])
    found = {name: value for module in modules for name, value in module.compute().items()}
    assert found == expected(*rows)


def test_one_row_at_a_time_and_used_again(make):
    module = make(DialectClassification)
    for predicted, gold in [(0, 0), (1, 1), (1, 0)]:
        module.add(prediction=predicted, reference=gold)
    assert module.compute()["accuracy"] == 2 / 3
    assert module.compute(predictions=[1], references=[0])["accuracy"] == 0.0, "nothing is left of the first use"


def test_options_reach_the_functions(make, rows):
    probabilities, gold, predicted = rows
    found = make(Calibration).compute(predictions=probabilities, references=gold, bins=3)
    assert found["ece"] == metrics.expected_calibration_error(probabilities, gold, bins=3)
    assert found["ece"] != metrics.expected_calibration_error(probabilities, gold)
    clusters = [0, 1, 1, 1, 1]
    found = make(ClusterAccuracy, clusters=CLUSTERS).compute(predictions=predicted, references=gold, clusters=clusters)
    assert found == {"cluster_accuracy": metrics.cluster_accuracy(gold, predicted, clusters)}
    with pytest.raises(DialectError, match=r"class number 4; expected 0 to 2 \(3 classes\)"):
        make(DialectClassification).compute(predictions=[4], references=[0], n_classes=3)


def test_tensors_and_lists(make):
    values = [[0.75, 0.25], [0.5, 0.5]]
    found = [
        make(Calibration).compute(predictions=predictions, references=references)
        for predictions, references in [(values, [0, 1]), (torch.tensor(values), torch.tensor([0, 1]))]
    ]
    assert found[0] == found[1]
    assert found[0]["brier"] == pytest.approx((0.125 + 0.5) / 2)


def test_detection_equals_the_functions_with_its_options(make, rows):
    probabilities, gold, _ = rows
    found = make(Detection).compute(predictions=probabilities, references=gold, form="hard", clusters=CLUSTERS)
    assert found == {
        "c_avg": metrics.c_avg(probabilities, gold, form="hard", clusters=CLUSTERS),
        "eer": metrics.mean_equal_error_rate(probabilities, gold),
        "pooled_eer": metrics.pooled_equal_error_rate(probabilities, gold),
    }
    plain = make(Detection).compute(predictions=probabilities, references=gold)
    assert plain["c_avg"] == metrics.c_avg(probabilities, gold) != found["c_avg"]


def test_combined(make, rows):
    _, gold, predicted = rows
    both = evaluate.combine([make(DialectClassification), make(ClusterAccuracy, clusters=CLUSTERS)])
    wanted = {name: expected(*rows)[name] for name in ("accuracy", "macro_f1", "weighted_f1", "cluster_accuracy")}
    assert both.compute(predictions=predicted, references=gold) == wanted
    both.add_batch(predictions=predicted[:50], references=gold[:50])
    both.add_batch(predictions=predicted[50:], references=gold[50:])
    assert both.compute() == wanted


def test_wrong_input_is_told(make):
    with pytest.raises(DialectError, match="was given no clusters; give the cluster of each class"):
        make(ClusterAccuracy).compute(predictions=[0], references=[0])
    with pytest.raises(DialectError, match="expected values in"):
        make(Calibration).compute(predictions=[[2.0, -1.0]], references=[0])


LOADED = """
import json, socket, sys

def refuse(*given):
    raise AssertionError(f"{given} was to be reached")

socket.socket.connect = socket.getaddrinfo = refuse
import evaluate

folder, clusters, probabilities, gold, predicted = json.load(sys.stdin)
found = evaluate.load(f"{folder}/calibration").compute(predictions=probabilities, references=gold)
found |= evaluate.load(f"{folder}/cluster_accuracy", clusters=clusters).compute(predictions=predicted, references=gold)
both = evaluate.combine([f"{folder}/dialect_classification/dialect_classification.py"])
found |= both.compute(predictions=predicted, references=gold)
print(json.dumps(found))
"""


def test_loaded_by_path_without_network(tmp_path):
    random = np.random.default_rng(0)
    probabilities, gold = random.dirichlet(np.ones(C), size=40), random.integers(C, size=40)
    predicted = probabilities.argmax(axis=1)
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=json.dumps([str(FOLDER), CLUSTERS, probabilities.tolist(), gold.tolist(), predicted.tolist()]),
        env=os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == expected(probabilities, gold, predicted)
    copied = {path.stem for path in (tmp_path / "home").rglob("evaluate_modules/**/*.py")}
    assert {"calibration", "cluster_accuracy", "dialect_classification"} <= copied


def test_every_folder_holds_the_module_of_its_name():
    folders = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__")
    assert folders == ["calibration", "cluster_accuracy", "detection", "dialect_classification"]
    assert all((FOLDER / name / f"{name}.py").is_file() for name in folders)
