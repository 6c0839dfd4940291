"""The card's numbers come from the results; what is not there reads "not measured"."""

import json
import re
from copy import deepcopy

import finished
import pytest
from huggingface_hub import ModelCard

from hf_dialects.hub.card import NOT_MEASURED, classifier_card


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture
def results(run_dir):
    return json.loads((run_dir / "results.json").read_text())


def row(card: str, title: str) -> list[str]:
    """Cells of the first table row with this title."""
    line = next(line for line in card.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_changed_number_changes_the_card_there_only(run_dir, results):
    before = classifier_card(run_dir, results, "me/it", "mit")
    changed = deepcopy(results)
    changed["metrics"]["test"]["accuracy"] |= {"value": 0.4321, "low": 0.4, "high": 0.5}
    after = classifier_card(run_dir, changed, "me/it", "mit")
    assert row(after, "accuracy")[1] == ".432 [.400, .500]"
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    assert len([one for one in pairs if one[0] != one[1]]) == 2, "the header and the table"


def test_missing_numbers_read_not_measured(run_dir, results):
    results["metrics"]["test"]["accuracy"]["value"] = None
    del results["metrics"]["test"]["nll"]
    results["data"]["splits"]["test"]["hours"] = None
    label = results["labels"][0]
    del results["per_dialect"]["test"][label]
    card = classifier_card(run_dir, results, "me/it", "mit")
    assert row(card, "accuracy")[1] == row(card, "NLL")[1] == NOT_MEASURED
    assert row(card, "test")[2] == NOT_MEASURED
    assert row(card, label)[2:] == [NOT_MEASURED] * 5
    assert f"Temperature: {NOT_MEASURED}" in card
    splits = [one.dataset_split for one in ModelCard(card).data.eval_results if one.metric_type == "accuracy"]
    assert splits == ["validation"]


def test_a_run_without_scores_has_a_card_without_index(run_dir, results):
    results |= {"metrics": {}, "per_dialect": {}, "baselines": {}}
    card = classifier_card(run_dir, results, "me/it", "mit")
    assert ModelCard(card).data.eval_results is None
    assert "## Results\n\nValues" in card
    assert not re.search(r"\| 0?\.\d+", card.split("## Results")[1])


def test_names_are_shown_not_run(run_dir, results):
    results["labels"] = [f"{finished.HOSTILE}|x", *results["labels"][1:]]
    card = classifier_card(run_dir, results, "me/it", "mit")
    assert "<script>" not in card
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\|x" in card
