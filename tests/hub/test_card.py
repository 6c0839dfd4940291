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
from transformers import AutoFeatureExtractor, WhisperFeatureExtractor

from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.hub import classifier_card
from hf_dialects.hub.card import write_card
from hf_dialects.hub.card_tables import NO_CODE, NOT_MEASURED
from hf_dialects.hub.card_text import SYNTHETIC
from hf_dialects.hub.figures import write_figures
from hf_dialects.hub.source import read_source
from hf_dialects.models.feature_extraction_dialect import longest_input_s

COMMITTED = sorted(Path(__file__).parents[2].glob("model_cards/*/README.md"))
RETRIEVAL = {
    "question": {"parallel": "sentence_id", "between": "site", "group": None},
    "shown": 2,
    "data": {"n": 40, "sha256": "e1"},
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
    "results": {
        "2": {
            "sites": [{"site": "gan"}, {"site": "hak"}, {"site": "wuu"}],
            "groups": [
                {"from": start, "to": end, "interval": {"value": value, "low": None, "high": None, "n": 20}}
                for start, end, value in (("south", "south", 0.9), ("south", "north", 0.2), ("north", "south", 0.3))
            ],
        }
    },
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
    assert "No temperature was fitted." in card
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
    assert scores == {"validation": 0.25, None: 0.5}, "nothing says which split was retrieved in"
    assert "Retrieval among 40 utterances." in card
    assert first_row(card, "south") == ["south", ".900", ".200"]
    assert first_row(card, "north") == ["north", ".300", NOT_MEASURED]
    assert "trained on these" not in card, "the places were the sites, not the varieties"


@pytest.fixture
def encoder(tmp_path):
    """A run for alignment with retrieval between varieties."""
    pushable.encoder(tmp_path / "run" / "model")
    results = {"schema": 1, "labels": ["gan", "hak"], "seed": 4}
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    question = RETRIEVAL["question"] | {"between": "dialect", "group": "cluster"}
    return replace(read_source(tmp_path / "run"), retrieval=deepcopy(RETRIEVAL) | {"question": question})


def retrieved_in(card: str) -> tuple[str, str | None]:
    one = next(one for one in ModelCard(card).data.eval_results if one.metric_name == "recall@1 across varieties")
    return one.dataset_name, one.dataset_split


def test_retrieval_names_its_split_and_what_was_not_trained_on(encoder):
    encoder.results["data"] = {"splits": {"validation": {"sha256": "0f"}, "test": {"sha256": "e1"}}}
    card = card_of(encoder)
    assert "among 40 utterances of the split test, in 3 varieties." in card
    assert retrieved_in(card) == ("unnamed corpus", "test")
    assert "Retrieved, but not trained on: wuu." in card
    assert "recall@1 by cluster, from the rows to the columns" in card


@pytest.mark.parametrize(
    ("options", "said", "scored"),
    [
        ("--data me/tones --split=held", "of the split held of me/tones", ("me/tones", "held")),
        ("--data /mnt/tones --draws 5", "of all splits of tones", ("tones", None)),
        ("--split held", "40 utterances, in 3", ("unnamed corpus", None)),
    ],
)
def test_retrieval_elsewhere_is_told_by_its_command(encoder, options, said, scored):
    encoder.retrieval["environment"] = {"command": f"hf-dialects retrieve run {options} --between dialect"}
    card = card_of(encoder)
    assert said in card
    assert retrieved_in(card) == scored


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"encoder": {"model_type": "wav2vec2"}}, "Encoder of wav2vec 2.0's architecture, trained from scratch; "),
        ({"encoder": "them/xls-r"}, "Encoder: wav2vec 2.0, pretrained (them/xls-r); "),
        ({"encoder": "/mnt/models/own"}, "Encoder: wav2vec 2.0, pretrained (own); "),
        ({}, "Encoder: wav2vec 2.0; "),
    ],
)
def test_the_encoder_says_where_it_comes_from_and_its_layer(encoder, model, said):
    blocks = encoder.config["encoder_config"]["num_hidden_layers"]
    card = card_of(replace(encoder, recipe={"model": model}))
    assert f"{said}its frames are those of layer {blocks} of {blocks}." in card
    encoder.config["layer"] = -2
    assert f"of layer {blocks - 1} of {blocks}." in card_of(encoder)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Finds parallels, by SeqSim: over sentence_id. Judge it.", "Finds parallels, by SeqSim."),
        ("Of a million parameters: by default on synthetic voices.", "Of a million parameters."),
        ("SALVI (Li et al. 2024; salvi_b is longer), plain: AdamW; 5 epochs. Taken here.",
         "SALVI (Li et al. 2024; salvi_b is longer), plain: AdamW; 5 epochs."),
        ("One; two (--no)\n  three", "One."),
    ],
)  # fmt: skip
def test_descriptions_end_before_notes_on_usage(source, given, kept):
    card = card_of(replace(source, recipe={"description": given}))
    assert f"each of\nthem. {kept}\n" in card


def test_synthetic_voices_are_called_so(source):
    assert SYNTHETIC not in card_of(source)
    synthetic = card_of(replace(source, recipe={"data": {"source": "demo"}}))
    assert SYNTHETIC in synthetic
    assert "a bootstrap over voices where voices" in synthetic
    assert re.search(r"The intervals are indicative \(\d+ voices", synthetic)
    assert "speakers |" in card_of(source)
    assert "speakers |" not in synthetic


def test_a_warning_stands_once_below_its_table(source):
    warning = "indicative (2 speakers)"
    for one in source.results["metrics"]["test"].values():
        one["warning"] = warning
    for one in source.results["metrics"]["validation"].values():
        one["warning"] = None
    assert card_of(source).count(warning) == 1


def test_every_baseline_and_the_sense_of_every_metric_are_explained(source):
    assert set(classifier_card.BASELINES) == set(BASELINES)
    card = card_of(source)
    assert "- majority: for every recording" in card
    assert "- duration:" not in card, "it was not measured here"
    assert "Higher is better for accuracy, macro F1, weighted F1, cluster accuracy; for the others lower." in card


def test_what_crosses_the_splits_is_a_table_and_nothing_a_sentence(source):
    source.results["data"]["leakage"] = {
        "speaker": {"values": 6, "crossing": 0, "examples": 0},
        "site": {"values": 0, "crossing": 0, "examples": 0},
    }
    nothing = "Nothing crosses the splits: none of the 6 values of `speaker` is in more than one of them."
    assert nothing in card_of(source)
    source.results["data"]["leakage"]["speaker"] |= {"crossing": 2, "examples": 9}
    assert first_row(card_of(source), "speaker") == ["speaker", "6", "2", "9"]
    del source.results["data"]["leakage"]
    assert f"What is in more than one split: {NOT_MEASURED}." in card_of(source)


def test_the_longest_pass_is_that_of_the_extractor(source):
    longest = longest_input_s(AutoFeatureExtractor.from_pretrained(source.model))
    assert f"One pass is at most {longest:.1f} s long: longer recordings raise an error." in card_of(source)
    whisper = WhisperFeatureExtractor().to_dict()
    assert "at most 30.0 s long: longer recordings have to be cut" in card_of(replace(source, extractor=whisper))
    assert "One pass" not in card_of(replace(source, extractor={"sampling_rate": 16000}))


def test_cards_say_what_to_install(source, tmp_path):
    assert "torchaudio" not in card_of(source).split("## Varieties")[0]
    recogniser = card_of(read_source(pushable.recogniser(tmp_path / "run")))
    assert 'pip install "transformers>=5" "torch<2.15" "torchaudio<2.12" soundfile soxr' in recogniser
    assert "runs the Python files of this repository" in recogniser
    method = "The method is that of Yao et al. (2024) and Chang et al. (2026)"
    assert f"{method}; the numbers above are not the papers'." in recogniser


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
