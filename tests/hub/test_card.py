"""The card's numbers come from the results; what is not there reads "not measured"."""

import ast
import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import finished
import pushable
import pytest
import yaml
from huggingface_hub import HfApi, ModelCard
from loopback_hub import WRITER

from hf_dialects.hub.card import write_card
from hf_dialects.hub.card_tables import NO_CODE, NOT_MEASURED
from hf_dialects.hub.figures import write_figures
from hf_dialects.hub.source import read_source

COMMITTED = sorted(Path(__file__).parents[2].glob("model_cards/*/README.md"))
RETRIEVAL = {
    "question": {"parallel": "sentence_id", "between": "site", "group": None},
    "shown": 2,
    "data": {"n": 40},
    "layers": [
        {
            "layer": 2,
            "recall@1": 0.5,
            "low": 0.4,
            "high": 0.6,
            "recall@5": 0.7,
            "mrr": 0.61,
            "chance": 0.05,
            "ties": 0.0,
            "mel DTW": 0.41,
            "duration only": 0.1,
            "warning": None,
        }
    ],
}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


@pytest.fixture
def source(run_dir):
    found = read_source(run_dir)
    return replace(found, results=deepcopy(found.results))


def card_of(source, figures=()) -> str:
    return write_card(source, "me/it", "mit", figures)


def row(card: str, title: str) -> list[str]:
    """Cells of the last table row with this title."""
    line = [line for line in card.splitlines() if line.startswith(f"| {title} |")][-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def first_row(card: str, title: str) -> list[str]:
    line = next(line for line in card.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_changed_number_changes_the_card_there_only(source):
    before = card_of(source)
    source.results["metrics"]["test"]["accuracy"] |= {"value": 0.4321, "low": 0.4, "high": 0.5}
    after = card_of(source)
    assert first_row(after, "accuracy")[1] == ".432 [.400, .500]"
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    assert len([one for one in pairs if one[0] != one[1]]) == 2, "the header and the table"


def test_missing_numbers_read_not_measured(source):
    results = source.results
    results["metrics"]["test"]["accuracy"]["value"] = None
    del results["metrics"]["test"]["nll"]
    results["data"]["splits"]["test"]["hours"] = None
    label = results["labels"][0]
    del results["per_dialect"]["test"][label]
    card = card_of(source)
    assert first_row(card, "accuracy")[1] == first_row(card, "NLL")[1] == NOT_MEASURED
    assert first_row(card, "test")[2] == NOT_MEASURED
    assert row(card, label)[2:] == [NOT_MEASURED] * 5
    assert f"Temperature: {NOT_MEASURED}" in card
    splits = [one.dataset_split for one in ModelCard(card).data.eval_results if one.metric_type == "accuracy"]
    assert splits == ["validation"]


def test_a_run_without_scores_has_a_card_without_index(source):
    source.results.update(metrics={}, per_dialect={}, baselines={})
    card = card_of(source)
    assert ModelCard(card).data.eval_results is None
    assert "## Results\n\nValues" in card
    assert not re.search(r"\| 0?\.\d+", card.split("## Results")[1])


def test_names_are_shown_not_run(source):
    source.results["labels"] = [f"{finished.HOSTILE}|x", *source.results["labels"][1:]]
    card = card_of(source)
    assert "<script>" not in card
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\|x" in card


def test_varieties_have_codes_where_the_registry_has_them(source):
    card = card_of(source)
    assert first_row(card, "coast")[1:] == ["", NO_CODE, NO_CODE]
    assert ModelCard(card).data.language is None
    source.results["labels"] = ["pt", "pt-br", "es", "nowhere"]
    card = card_of(source)
    assert first_row(card, "pt-br") == ["pt-br", "Brazilian Portuguese", "pt-BR", "braz1246"]
    assert first_row(card, "nowhere")[2:] == [NO_CODE] * 2
    assert ModelCard(card).data.language == ["es", "pt"]


def test_the_paper_is_that_of_the_recipe(source):
    assert "@inproceedings{laquatra2024salvi," in card_of(source)
    mixed = replace(source, recipe=source.recipe | {"stages": [{}, {"training": {"mixup": "ambiguous_easy"}}]})
    assert "rajaa2023mapmix" in card_of(mixed)
    assert "rajaa2023mapmix" not in card_of(source)


def test_pictures_are_drawn_the_same_again(source, tmp_path):
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        figures = write_figures(source, tmp_path / name)
        written.append([(tmp_path / name / one.path).read_bytes() for one in figures])
    assert [one.path for one in figures] == ["figures/confusion.png", "figures/reliability.png"]
    assert written[0] == written[1]
    assert "![Confusion matrix, test](figures/confusion.png)" in card_of(source, figures)
    assert len(write_figures(replace(source, folder=tmp_path), tmp_path / "a")) == 1, "no answers, no reliability"


def test_pictures_of_the_run_stay_and_none_are_drawn_without_matplotlib(source, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_dialects.hub.figures.has", lambda module: False)
    assert write_figures(source, tmp_path) == []
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "confusion.png").write_bytes(b"own")
    assert [one.path for one in write_figures(source, tmp_path)] == ["figures/confusion.png"]
    assert (tmp_path / "figures" / "confusion.png").read_bytes() == b"own"


def test_an_encoder_without_results(tmp_path):
    card = card_of(read_source(pushable.encoder(tmp_path / "encoder")))
    assert "statistics for centring and whitening the frames of layers 2, 3, taken from two recordings" in card
    assert f"Retrieval among other recordings: {NOT_MEASURED}" in card
    assert "The varieties were not recorded." in card
    assert ModelCard(card).data.eval_results is None


def test_an_encoder_s_card_holds_retrieval_beside_controls(tmp_path):
    folder = tmp_path / "run"
    pushable.encoder(folder / "model")
    validation = {"recall_at_1": {"value": 0.25, "low": None, "high": None, "n": 9}}
    results = {"schema": 1, "metrics": {"validation": validation}, "labels": ["gan", "hak", "min"], "seed": 4}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "retrieval").mkdir()
    (folder / "retrieval" / "retrieval.json").write_text(json.dumps(RETRIEVAL))
    card = card_of(read_source(folder))
    assert first_row(card, "SeqSim of this encoder")[1] == ".500 [.40, .60]"
    assert first_row(card, "mel DTW")[1] == ".410"
    assert "Mind: not shown to be better than mel DTW." in card
    assert "recall@5 .700, mrr .610." in card
    assert first_row(card, "recall@1")[1] == ".250"
    assert first_row(card, "contrastive loss")[1] == NOT_MEASURED
    assert first_row(card, "hak")[2:] == ["hak", "hakk1236"]
    scores = {one.dataset_split: one.metric_value for one in ModelCard(card).data.eval_results}
    assert scores == {"validation": 0.25, "retrieval": 0.5}


def test_a_recogniser_s_card_holds_error_rates_by_variety(tmp_path):
    source = read_source(pushable.recogniser(tmp_path / "run"))
    card = card_of(source)
    whole = source.results["scores"]["test"]["greedy"]["scores"][0]
    assert whole["wer"]["value"] == pytest.approx(2 / 11)
    found = {one.metric_type: one.metric_value for one in ModelCard(card).data.eval_results}
    assert found == {rate: whole[rate]["value"] for rate in ("wer", "cer")}
    assert first_row(card, "greedy")[1].startswith(".182")
    assert row(card, "north")[1].startswith(".167"), "1 of 6 words"
    assert row(card, "south")[3] == "2"
    assert "checkpoint-7 (mean of the weights) was chosen on validation by cer." in card
    assert "a transducer and a CTC head" in card


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_cards_are_whole(hub, path):
    text = path.read_text("utf-8")
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    api.create_repo("me/it")
    api.upload_file(path_or_fileobj=path, path_in_repo="README.md", repo_id="me/it")
    assert len(hub.requests("POST /api/validate-yaml")) == 1, "the Hub takes the header"
    data = ModelCard(text).data
    assert data.license
    assert data.eval_results
    assert not re.search(r"(?<![\w./:-])/(?:home|work|tmp|root|Users)/", text), "a path of some machine"
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (path.parent / figure).read_bytes().startswith(b"\x89PNG")
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        ast.parse(snippet)
    assert "$" not in text.replace("\\$", "")
    assert "What it means for people" in text
    assert yaml.safe_load(text.split("---")[1])["model-index"][0]["name"] == path.parent.name


def test_there_is_a_committed_card_of_every_kind():
    tasks = {ModelCard(path.read_text("utf-8")).data.pipeline_tag for path in COMMITTED}
    assert tasks == {"audio-classification", "feature-extraction", "automatic-speech-recognition"}
