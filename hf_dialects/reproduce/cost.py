"""What a run of a grid costs: optimiser steps, and examples that passed the encoder in training."""

import json
from pathlib import Path

import yaml

from hf_dialects.evaluation.results import read_results
from hf_dialects.reproduce.grid import Run
from hf_dialects.training.similarity import OUT_OF_FOLD

HISTORY = "history.json"


def cost_of(run: Run) -> dict[str, int]:
    """Cost of a finished run.

    Returns:
        {"steps": of its own training, of one fold where it has several; "encoded_examples": of all its trainings and
        of what it takes from other runs: a data map costs the training that recorded it, learnt confidence labels
        those that predicted out of fold}
    """
    own = [path.parent for path in run.folder.rglob(HISTORY)]
    costs = [training_cost(folder) for folder in own]
    prepared = 0
    for folder in run.inputs.values():
        trained = [path.parent for path in folder.rglob(HISTORY)]
        out_of_fold = [one for one in trained if OUT_OF_FOLD in one.relative_to(folder).parts]
        prepared += sum(training_cost(one)["encoded_examples"] for one in out_of_fold or trained)
    return {
        "steps": max(one["steps"] for one in costs),
        "encoded_examples": sum(one["encoded_examples"] for one in costs) + prepared,
    }


def training_cost(folder: Path) -> dict[str, int]:
    """Steps and encoded examples of one training, the folder of its history.

    A training that mixes logs what it encodes; where its last log line is before its last step, the rest counts as
    much per step. One that does not encodes its training split once per epoch.
    """
    log = json.loads((folder / HISTORY).read_text(encoding="utf-8"))["log"]
    steps = max(line["step"] for line in log)
    if counted := [line for line in log if "encoded_examples" in line]:
        return {
            "steps": steps,
            "encoded_examples": round(counted[-1]["encoded_examples"] * steps / counted[-1]["step"]),
        }
    batch_size = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))["training"].get("batch_size", 32)
    n_train = read_results(folder)["data"]["splits"]["train"]["n"]
    epochs, rest = divmod(steps, -(-n_train // batch_size))
    return {"steps": steps, "encoded_examples": epochs * n_train + min(rest * batch_size, n_train)}
