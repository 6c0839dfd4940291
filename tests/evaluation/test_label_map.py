"""Judging a stock classifier of transformers whose labels are not the corpus's."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from hf_dialects.cli import shell
from hf_dialects.cli.main import app
from hf_dialects.data.audio import decode
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.evaluation.label_map import describe_label_map, label_map, read_label_map
from hf_dialects.evaluation.standalone import evaluate_model, windows_of
from hf_dialects.inference import Predictions

LABELS = ["eng-US", "eng-GB", "no", "spa", "por-BR", "por-PT"]
UNIT = {"normalize": "window", "precision": "float32"}
MAP = {"eng-US": "en-us", "eng-GB": "en-gb-scotland", "spa": "es", "por-BR": "pt-br", "por-PT": "pt-br"}
DIALECTS = ["en-us", "en-gb-scotland", "es", "pt-br"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random classifier of six languages, saved as any model of the Hub."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        **tiny.SIZE, **tiny.FRONT, classifier_proj_size=16, id2label=dict(enumerate(LABELS)), num_labels=len(LABELS)
    )
    model = Wav2Vec2ForSequenceClassification(config)
    model.classifier.weight.data *= 30  # so that utterances get different answers
    folder = tmp_path_factory.mktemp("stock")
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips of each of the four varieties of the fixture, and where they are saved."""
    rows = load_fixture()["test"]
    names = rows.features["dialect"].names
    of_dialect = [[row for row, label in enumerate(rows["dialect"]) if names[label] == name] for name in names]
    rows = rows.select([row for found in of_dialect for row in found[:2]])
    folder = tmp_path_factory.mktemp("clips")
    rows.save_to_disk(folder)
    return rows, folder


def test_probabilities_of_one_recording_by_hand(folder, clips, tmp_path):
    rows, saved = clips
    results = evaluate_model(
        folder, saved, tmp_path, window_s=0.5, stride_s=0.25, label_map=MAP, by=("speaker",), progress=False
    )
    made = Predictions.read(tmp_path / "predictions" / "all.parquet")
    model = Wav2Vec2ForSequenceClassification.from_pretrained(folder).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    row = 5
    waveform = decode(rows[row]["audio"])
    windows = []
    for start in range(0, len(waveform), 4000):
        windows.append(waveform[start : start + 8000])
        if start + 8000 >= len(waveform):
            break
    with torch.no_grad():
        each = [
            model(**extractor(one, sampling_rate=16000, return_tensors="pt")).logits.softmax(-1)[0] for one in windows
        ]
    p = dict(zip(LABELS, torch.stack(each).mean(0).tolist(), strict=True))
    inside = p["eng-US"] + p["eng-GB"] + p["spa"] + p["por-BR"] + p["por-PT"]
    expected = [p["eng-US"] / inside, p["eng-GB"] / inside, p["spa"] / inside, (p["por-BR"] + p["por-PT"]) / inside]
    place = made.ids.index(rows[row]["id"])
    names = rows.features["dialect"].names
    assert results["labels"] == names
    assert made.probabilities[place] == pytest.approx([expected[DIALECTS.index(name)] for name in names], abs=1e-5)
    assert made.windows[place] == len(windows) > 2
    assert made.gold[place] == rows[row]["dialect"]
    assert 0.01 < p["no"] < 0.9, "no mass outside would prove nothing"

    told = results["label_map"]
    assert told["labels"] == MAP
    assert told["dropped"] == ["no"]
    assert told["mass_outside"]["highest"] >= p["no"] - 1e-6
    assert results["windows"] == {"window_s": 0.5, "stride_s": 0.25, "set_by": "option", **UNIT}
    assert made.grouping["speaker"] == [str(one) for one in rows["speaker"]]
    assert {one["column"] for one in results["by"]} == {"speaker"}
    hits = (made.probabilities.argmax(1) == made.gold).mean()
    assert results["metrics"]["all"]["accuracy"]["value"] == pytest.approx(hits)
    assert json.loads((tmp_path / "results.json").read_text())["label_map"] == told


def test_a_model_that_names_no_windows_gets_eight_seconds_every_three(folder, clips, tmp_path):
    results = evaluate_model(folder, clips[1], tmp_path, label_map=MAP, progress=False)
    assert results["windows"] == {"window_s": 8.0, "stride_s": 3.0, "set_by": "default", **UNIT}
    assert set(pd.read_parquet(tmp_path / "predictions" / "all.parquet")["windows"]) == {1}


def test_windows_come_from_the_option_else_the_model_else_the_default():
    stock, extractor = Wav2Vec2Config(), Wav2Vec2FeatureExtractor()
    own = tiny.model("wav2vec2").config
    assert windows_of(own, extractor) == {"window_s": 1.0, "stride_s": 0.5, "set_by": "model"}
    assert windows_of(own, extractor, window_s=0.3) == {"window_s": 0.3, "stride_s": 0.3, "set_by": "option"}
    assert windows_of(own, extractor, stride_s=0.2) == {"window_s": 1.0, "stride_s": 0.2, "set_by": "option"}
    assert windows_of(stock, extractor, window_s=2.0) == {"window_s": 2.0, "stride_s": 2.0, "set_by": "option"}
    assert windows_of(stock, tiny.feature_extractor("whisper"))["window_s"] == pytest.approx(2.012)
    whole = tiny.model("wav2vec2", window_s=None).config
    assert windows_of(whole, extractor) == {"window_s": None, "stride_s": None, "set_by": "model"}


def test_the_corpus_and_the_map_have_to_fit(folder, clips, tmp_path):
    def message(map, match):
        with pytest.raises(CorpusError, match=match):
            evaluate_model(folder, clips[1], tmp_path, label_map=map, progress=False)

    message(None, "the corpus has 4 varieties that the model does not know: .* say with a label map which label")
    message(
        MAP | {"spaa": "es"}, "labels of the label map that are unknown: spaa; the model has .*mean 'spa' for 'spaa'"
    )
    message(MAP | {"no": "es-mx"}, "dialects of the label map that are unknown: es-mx; the corpus has .*")
    without = {label: dialect for label, dialect in MAP.items() if label != "spa"}
    message(without, "no label of the model is mapped to es, so no utterance .* Labels not in the map: no, spa")
    with pytest.raises(DialectError, match="stride_s must be above 0 and at most window_s"):
        evaluate_model(folder, clips[1], tmp_path, label_map=MAP, stride_s=9.0, progress=False)


def predictions(probabilities):
    n = len(probabilities)
    return Predictions(
        [str(row) for row in range(n)], np.zeros(n, int), np.array(probabilities), np.ones(n, int), np.ones(n)
    )


def test_sums_and_mass_outside_by_hand():
    fitted = label_map({"a": "x", "b": "x", "c": "y"}, ["a", "b", "c", "d"], ["x", "y"], ["x", "y"])
    made, told = fitted.apply(predictions([[0.1, 0.3, 0.1, 0.5], [0.2, 0.2, 0.0, 0.6], [0.0, 0.0, 0.0, 1.0]]))
    assert made.probabilities == pytest.approx(np.array([[0.8, 0.2], [1.0, 0.0], [0.5, 0.5]]))
    assert told["mass_outside"] == pytest.approx({"mean": 0.7, "highest": 1.0, "over_half": 2})
    assert describe_label_map(told) == (
        "mass outside the map: 0.700 on average, 1.000 at most, over half in 2 utterances "
        "(1 label dropped, probabilities divided by the rest)"
    )


def test_a_complete_map_changes_nothing():
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 5)
    fitted = label_map({"a": "x", "b": "y", "c": "z"}, ["a", "b", "c"], ["x", "y", "z"], ["x"])
    made, told = fitted.apply(predictions(probabilities))
    assert made.probabilities == pytest.approx(probabilities)
    assert told["mass_outside"] == pytest.approx({"mean": 0, "highest": 0, "over_half": 0}, abs=1e-12)


FILES = {
    "map.yaml": "eng: north\nno: south  # a language, not a truth value\n1: north\n",
    "map.yml": "{eng: north, 'no': south, '1': north}",
    "map.json": '{"eng": "north", "no": "south", "1": "north"}',
    "map.csv": "label,dialect\neng,north\nno,south\n1,north\n",
    "map.tsv": "dialect\tlabel\tnote\nnorth\teng\t\nsouth\tno\t\nnorth\t1\tx\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_map_is_read_from_any_of_the_formats(name, tmp_path):
    path = tmp_path / name
    path.write_text(FILES[name])
    assert read_label_map(path) == {"eng": "north", "no": "south", "1": "north"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "map.yaml",
            "eng: north\neng: south\n",
            "map.yaml maps eng more than once; every label stands for one dialect",
        ),
        ("map.json", '{"eng": "north", "eng": "south"}', "map.json maps eng more than once"),
        ("map.csv", "label,dialect\neng,a\neng,b\n", "map.csv maps eng more than once"),
        (
            "map.csv",
            "model,dialect\neng,a\n",
            "map.csv has columns model, dialect; a label map has `label` and `dialect`",
        ),
        ("map.yaml", "- eng\n- north\n", "map.yaml is no label map; expected one mapping from text to text"),
        ("map.yaml", "", "map.yaml is no label map"),
        ("map.yaml", "eng: [north]\n", "map.yaml is no label map"),
        ("map.yaml", "eng: 'north\n", "map.yaml is no valid YAML: "),
        ("map.json", "{", "map.json is no valid JSON: "),
        ("map.json", '[["eng", "north"]]', "map.json is no label map"),
        ("map.json", '{"eng": 1}', "map.json is no label map"),
        ("map.json", "{}", "map.json maps no label; it needs lines such as `label: dialect`"),
    ],
)
def test_a_file_that_is_no_map_is_explained(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError) as error:
        read_label_map(tmp_path / name)
    assert message in str(error.value)


def test_a_file_that_is_missing_is_explained(tmp_path):
    with pytest.raises(CorpusError, match=r"none.yaml cannot be read: No such file"):
        read_label_map(tmp_path / "none.yaml")


def test_the_command_prints_what_the_map_left_out(folder, clips, tmp_path, capsys):
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    arguments = [
        "evaluate",
        folder,
        "--data",
        clips[1],
        "--out",
        tmp_path / "out",
        "--label-map",
        tmp_path / "map.json",
    ]
    with pytest.raises(SystemExit) as left:
        shell.run(lambda: app([str(one) for one in [*arguments, "--quiet"]]))
    assert not left.value.code
    lines = capsys.readouterr().out.splitlines()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert lines[-3] == describe_label_map(results["label_map"])
    assert lines[-2] == "windows of 8 s every 3 s; the model names none"
