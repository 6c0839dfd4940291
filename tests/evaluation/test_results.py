"""hf_dialects.evaluation.results and scores: numbers by hand, the shape of results.json, what a person reads."""

import json
import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_dialects.data.screen import Skipped
from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.evaluation.baselines import BASELINES
from hf_dialects.evaluation.results import (
    KEYS,
    baselines_within,
    build_results,
    describe,
    read_results,
    write_results,
)
from hf_dialects.evaluation.scores import confusion, per_cluster, per_dialect, score
from hf_dialects.inference import Predictions
from hf_dialects.metrics import bootstrap_interval, macro_f1

LABELS = ["north", "south", "isle"]
CLUSTERS = {"north": "main", "south": "main", "isle": "sea"}


def corpus(gold, **columns):
    ids = columns.pop("id", None) or [f"u{i}" for i in range(len(gold))]
    rows = Dataset.from_dict({"id": ids, "dialect": gold, **columns})
    return rows.cast_column("dialect", ClassLabel(names=LABELS))


def predictions(rows, probabilities):
    return Predictions(
        ids=list(rows["id"]),
        gold=np.array(rows["dialect"]),
        probabilities=np.array(probabilities, dtype=float),
        windows=np.ones(len(rows), dtype=int),
        speech_share=np.ones(len(rows)),
    )


def simulated(speakers=4, clips=6, seed=0, prefix="u"):
    """Speakers nested in three dialects, some of them hard to recognise."""
    random = np.random.default_rng(seed)
    gold = np.repeat([0, 1, 2], speakers * clips)
    speaker = np.repeat(np.arange(3 * speakers), clips)
    logits = random.normal(size=(len(gold), 3)) + 1.5 * random.random(3 * speakers)[speaker, None] * np.eye(3)[gold]
    rows = corpus(
        gold.tolist(),
        id=[f"{prefix}{i}" for i in range(len(gold))],
        speaker=[f"{prefix}-s{one}" for one in speaker],
        duration=[1.5] * len(gold),
    )
    return rows, predictions(rows, np.exp(logits) / np.exp(logits).sum(1, keepdims=True))


FOUR = [
    [0.7, 0.2, 0.1],  # north, right
    [0.3, 0.6, 0.1],  # north, taken for south
    [0.1, 0.8, 0.1],  # south, right
    [0.5, 0.1, 0.4],  # isle, taken for north
]


def test_values_by_hand():
    rows = corpus([0, 0, 1, 2], speaker=["a", "b", "c", "d"])
    scores = score(predictions(rows, FOUR), rows, LABELS, CLUSTERS, draws=50)
    value = {name: entry["value"] for name, entry in scores.items()}
    assert value == pytest.approx(
        {
            "accuracy": 2 / 4,
            "macro_f1": (1 / 2 + 2 / 3 + 0) / 3,  # north: precision 1/2, recall 1/2; south: 1/2, 1
            "weighted_f1": (2 * 1 / 2 + 1 * 2 / 3 + 0) / 4,
            "cluster_accuracy": 3 / 4,
            # bins of confidence: (.4, .5] holds .5 wrong; (.5, .6] .6 wrong; (.6, .7] .7 right; (.7, .8] .8 right
            "ece": (0.5 + 0.6 + 0.3 + 0.2) / 4,
            "nll": -(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.4)) / 4,
            "brier": ((0.09 + 0.04 + 0.01) + (0.49 + 0.36 + 0.01) + (0.01 + 0.04 + 0.01) + (0.25 + 0.01 + 0.36)) / 4,
            # accepted from 1/3 on (β = 1): {north}, {south}, {south}, {north, isle}; from 9/11 on (β = 9): nothing
            "c_avg": ((1 / 2 + 1 / 2 * (1 / 2 + 1)) / 3 + 1) / 2,
            # north .7 .3 | .5 .1, half way; south .8 | .6 .2 .1, never; isle .4 | .1 .1 .1, never
            "eer": (1 / 2 + 0 + 0) / 3,
        }
    )
    assert {entry["n"] for entry in scores.values()} == {4}
    assert {entry["groups"] for entry in scores.values()} == {4}
    assert {entry["warning"] for entry in scores.values()} == {"indicative (4 speakers)"}


def test_an_entry_holds_the_interval_and_how_it_was_made():
    rows, made = simulated()
    scores = score(made, rows, LABELS)
    assert set(scores) == {"accuracy", "macro_f1", "weighted_f1", "ece", "nll", "brier", "c_avg", "eer"}
    assert scores["macro_f1"] == {
        **bootstrap_interval(
            partial(macro_f1, n_classes=3),
            made.gold,
            made.probabilities.argmax(1),
            groups=rows["speaker"][:],
            strata=made.gold,
        ).to_dict(),
        "group_unit": "speaker",
        "strata": "dialect",
        "crossed": None,
    }
    assert scores["macro_f1"]["low"] < scores["macro_f1"]["value"] < scores["macro_f1"]["high"]
    assert scores["macro_f1"]["warning"] is None
    assert 0 < scores["ece"]["floor"] < 0.3


def test_voices_that_speak_every_dialect_are_drawn_with_their_sentences():
    gold = np.tile([0, 1, 2], 20)
    rows = corpus(
        gold.tolist(),
        speaker=np.repeat([f"voice{v}" for v in range(4)], 15).tolist(),
        sentence_id=np.tile(np.repeat([f"sentence{s}" for s in range(5)], 3), 4).tolist(),
    )
    made = predictions(rows, np.random.default_rng(0).dirichlet([1, 1, 1], size=60))
    entry = score(made, rows, LABELS)["accuracy"]
    assert (entry["group_unit"], entry["strata"], entry["crossed"]) == ("speaker", None, "sentence_id")
    assert entry["warning"] == "indicative (4 speakers, 5 crossed)"


def test_rows_are_matched_by_id():
    rows, made = simulated()
    order = np.random.default_rng(1).permutation(len(rows))
    assert score(made, rows.select(order), LABELS, draws=100) == score(made, rows, LABELS, draws=100)


def test_draws_are_the_same_every_time_and_follow_the_seed():
    rows, made = simulated()
    assert score(made, rows, LABELS, draws=100) == score(made, rows, LABELS, draws=100)
    other = score(made, rows, LABELS, draws=100, seed=1)
    assert other["accuracy"]["low"] != score(made, rows, LABELS, draws=100)["accuracy"]["low"]


def test_utterances_without_label_are_left_out():
    rows, made = simulated()
    made.gold[:3] = -1
    assert score(made, rows, LABELS, draws=10)["accuracy"]["n"] == len(rows) - 3
    assert sum(map(sum, confusion(made, LABELS))) == len(rows) - 3
    made.gold[:] = -1
    with pytest.raises(CorpusError, match="none of the 72 utterances has a gold label"):
        score(made, rows, LABELS)


def test_cluster_accuracy_needs_two_clusters():
    rows, made = simulated()
    assert "cluster_accuracy" not in score(made, rows, LABELS, dict.fromkeys(LABELS, "all"), draws=10)
    with pytest.raises(CorpusError, match="no cluster is given for 1 of 3 dialects: 'isle'"):
        score(made, rows, LABELS, {"north": "main", "south": "main"})


def test_utterances_without_any_group_are_said_to_be_independent():
    rows, made = simulated()
    entry = score(made, rows.remove_columns("speaker"), LABELS, draws=10)["accuracy"]
    assert (entry["groups"], entry["warning"]) == (72, "utterances taken as independent")


def test_per_dialect_and_confusion_by_hand():
    rows = corpus([0, 0, 1, 2], speaker=["a", "b", "c", None])
    made = predictions(rows, FOUR)
    assert confusion(made, LABELS) == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    table = per_dialect(made, rows, LABELS)
    assert table["north"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "speakers": 2}
    assert table["south"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1, "speakers": 1}
    assert table["isle"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1, "speakers": 0}
    assert per_dialect(made, rows.remove_columns("speaker"), LABELS)["north"]["speakers"] is None


def test_per_cluster_by_hand():
    rows = corpus([0, 0, 1, 2], speaker=["a", "b", "c", "d"])
    table = per_cluster(predictions(rows, FOUR), rows, LABELS, CLUSTERS, draws=20)
    assert list(table) == ["main", "sea"]
    main, sea = table["main"], table["sea"]
    assert (main["n"], main["dialects"], sea["n"], sea["dialects"]) == (3, 2, 1, 1)
    assert (main["accuracy"]["value"], sea["accuracy"]["value"]) == (pytest.approx(2 / 3), 0)
    # of north and south, gold or predicted: north 1 hit of 2 gold and 1 predicted, south 1 of 1 and 2
    assert main["weighted_f1"]["value"] == pytest.approx((2 * 2 / 3 + 1 * 2 / 3) / 3)
    assert main["weighted_f1"]["warning"] == "indicative (3 speakers)"
    assert sea["weighted_f1"]["value"] == 0
    assert per_cluster(predictions(rows, FOUR), rows, LABELS, None) == {}
    assert per_cluster(predictions(rows, FOUR), rows, LABELS, dict.fromkeys(LABELS, "all")) == {}


def test_results_without_clusters_have_no_table_of_them():
    rows, made = simulated()
    assert "per_cluster" not in build_results({"test": made}, {"test": rows}, LABELS, draws=10)


def built(**options):
    splits = {name: simulated(seed=seed, prefix=name)[0] for seed, name in enumerate(["train", "validation", "test"])}
    made = {name: simulated(seed=seed, prefix=name)[1] for seed, name in [(1, "validation"), (2, "test")]}
    baselines = {"majority": {name: np.tile([0.4, 0.3, 0.3], (72, 1)) for name in made}}
    given = {"seed": 3, "environment": {"device": "cpu", "seconds": 1.0}, "draws": 50} | options
    return build_results(made, splits, LABELS, CLUSTERS, baselines, **given)


def test_results_have_the_keys_that_readers_rely_on():
    skipped = [Skipped("x", "corrupt", "x is corrupt"), Skipped("y", "silent", "")]
    results = built(selected_on={"split": "validation", "checkpoint": "checkpoint-9"}, skipped=skipped)
    assert tuple(results) == (*KEYS, "per_cluster")
    assert (results["schema"], results["seed"], results["labels"]) == (1, 3, LABELS)
    assert set(results["metrics"]) == {"validation", "test"}
    assert set(results["baselines"]) == {"majority"}
    assert set(results["baselines"]["majority"]) == {"validation", "test"}
    for entry in [*results["metrics"]["test"].values(), *results["baselines"]["majority"]["test"].values()]:
        assert {"value", "low", "high", "n", "groups", "warning"} <= set(entry)
    assert results["baselines"]["majority"]["test"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert list(results["per_dialect"]["test"]) == LABELS
    assert np.array(results["confusion"]["test"]).shape == (3, 3)
    assert results["selected_on"] == {"split": "validation", "checkpoint": "checkpoint-9"}
    assert set(results["data"]) == {"fingerprint", "splits", "leakage"}
    facts = results["data"]["splits"]["train"]
    assert (facts["n"], facts["hours"], facts["speakers"]) == (72, pytest.approx(0.03), 12)
    assert len(facts["sha256"]) == len(results["data"]["fingerprint"]) == 64
    assert results["data"]["leakage"]["speaker"]["crossing"] == 0
    assert results["skipped"] == {"corrupt": 1, "silent": 1}
    assert results["environment"] == {"device": "cpu", "seconds": 1.0}


def test_equal_runs_differ_in_their_environment_only():
    first, second = built(environment={"seconds": 1.0}), built(environment={"seconds": 2.0})
    assert first.pop("environment") != second.pop("environment")
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def test_the_fingerprint_is_of_ids_and_labels():
    rows, made = simulated()
    shuffled = rows.shuffle(seed=0)
    renamed = corpus([1, *rows["dialect"][1:]], id=rows["id"][:], speaker=rows["speaker"][:])

    def of(dataset, **options):
        return build_results({"test": made}, {"test": dataset}, LABELS, draws=10, **options)["data"]["fingerprint"]

    assert of(rows) == of(shuffled) != of(renamed)
    assert of(rows, fingerprint="abc") == "abc"


def test_recordings_left_out_are_counted_once_and_baselines_judged_on_the_others():
    rows, made = simulated()
    kept = np.arange(10, 72)
    fewer = Predictions(
        ids=[made.ids[i] for i in kept],
        gold=made.gold[kept],
        probabilities=made.probabilities[kept],
        windows=made.windows[kept],
        speech_share=made.speech_share[kept],
        skipped=[Skipped(made.ids[i], "no speech", "") for i in range(10)],
    )
    # right on the ten rows that were left out only
    baseline = np.eye(3)[np.where(np.arange(72) < 10, made.gold, (made.gold + 1) % 3)]
    results = build_results(
        {"test": fewer}, {"test": rows}, LABELS, baselines={"odd": {"test": baseline}}, skipped=fewer.skipped, draws=10
    )
    assert results["skipped"] == {"no speech": 10}
    assert results["metrics"]["test"]["accuracy"]["n"] == 62
    assert results["baselines"]["odd"]["test"]["accuracy"]["value"] == 0
    with pytest.raises(DialectError, match="baseline 'odd' has 62 rows for 'test', the split has 72"):
        build_results({"test": fewer}, {"test": rows}, LABELS, baselines={"odd": {"test": baseline[10:]}}, draws=10)


def test_no_path_and_no_token_is_kept():
    secret = "hf_" + "aBcDeFgH12345678"
    folder = "/" + "home/anna/runs"
    results = built(
        environment={"command": f"train --token {secret} {folder}/x", "device": "cpu"},
        selected_on={"checkpoint": f"{folder}/checkpoint-9"},
    )
    text = json.dumps(results)
    assert secret not in text
    assert "anna" not in text
    assert results["selected_on"] == {"checkpoint": "checkpoint-9"}


def test_written_and_read_back(tmp_path):
    results = built()
    write_results(results, tmp_path / "run" / "results.json")
    assert read_results(tmp_path / "run") == read_results(tmp_path / "run" / "results.json") == results
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["results.json"]
    reordered = dict(reversed(results.items()))
    write_results(reordered, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run" / "results.json").read_bytes()


def test_what_is_not_finite_is_null(tmp_path):
    results = built() | {"extra": [math.nan, np.float32("inf"), np.int64(3), np.array([1.5, -math.inf])]}
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path)["extra"] == [None, None, 3, [1.5, None]]
    assert "NaN" not in (tmp_path / "results.json").read_text()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_results(built(), path)
    before = path.read_bytes()
    with pytest.raises(DialectError, match="results lack labels, seed; make them with build_results"):
        write_results({key: 1 for key in KEYS if key not in ("labels", "seed")}, path)
    monkeypatch.setattr(type(path), "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_results(built(seed=4), path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["results.json"]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no .*results\.json: the run has not been evaluated"):
        read_results(tmp_path)
    path = tmp_path / "results.json"
    path.write_text('{"schema": 1, "met')
    with pytest.raises(CheckpointError, match=r"is not valid JSON .* evaluate the run again"):
        read_results(path)
    path.write_text('{"schema": 2}')
    with pytest.raises(CheckpointError, match="has schema 2, this version reads 1"):
        read_results(path)
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="has schema None"):
        read_results(path)


def test_the_table_for_people():
    rows = corpus([0, 0, 1, 2], speaker=["a", "b", "c", "d"])
    made = replace(predictions(rows, np.eye(3)[[0, 0, 1, 2]]), skipped=[Skipped("x", "corrupt", "")])
    baselines = {"majority": {"test": np.tile([0.5, 0.3, 0.2], (4, 1))}}
    results = build_results({"test": made}, {"test": rows}, LABELS, CLUSTERS, baselines, draws=50)
    lines = describe(results).splitlines()
    assert lines[0] == "test: 4 utterances; 95 % intervals over 4 speakers within their dialect"
    names = ["accuracy", "macro F1", "weighted F1", "cluster accuracy", "ECE", "NLL", "Brier", "C_avg", "EER"]
    assert [line[2:18].strip() for line in lines[1:10]] == names
    assert lines[1].startswith("  accuracy          1.000 [1.000, 1.000]")
    assert all("indicative (4 speakers)" in line for line in lines[1:10])
    assert lines[5].endswith("indicative (4 speakers); 0.000 if perfectly calibrated")
    assert lines[10] == "  judged on fewer than 3 speakers: north (2), south (1), isle (1)"
    assert lines[11] == ""
    assert re.split("  +", lines[12].strip()) == ["accuracy", "macro F1", "cluster accuracy", "NLL"]
    assert lines[13].startswith("  model     1.000 [1.000, 1.000]")
    assert lines[14].startswith("  majority  .500 [")
    assert lines[15] == ""
    assert re.split("  +", lines[16].strip()) == ["cluster", "n", "dialects", "accuracy", "weighted F1"]
    assert re.split("  +", lines[17].strip())[:4] == ["main", "3", "2", "1.000 [1.000, 1.000]"]
    assert re.split("  +", lines[18].strip())[:4] == ["sea", "1", "1", "1.000 [1.000, 1.000]"]
    assert lines[19] == ""
    assert lines[-1] == "left out: 1 recording (corrupt 1)"


def test_many_baselines_fit_in_120_columns():
    """With the longest entries there are: values of two digits, ends with three decimals."""
    rows = corpus([0, 1, 2] * 4, speaker=[f"s{i % 6}" for i in range(12)])
    made = predictions(rows, np.eye(3)[[0, 1, 2] * 4])
    baselines = {name: {"test": np.tile([0.4, 0.3, 0.3], (12, 1))} for name in BASELINES}
    results = build_results({"test": made}, {"test": rows}, LABELS, CLUSTERS, baselines, draws=20)
    for name in BASELINES:
        results["baselines"][name]["test"]["nll"] |= {"value": 12.345, "low": 12.341, "high": 12.349}
    text = describe(results)
    lines = text.split("\n\n")[1].splitlines()
    assert [line[2:20].strip() for line in lines] == ["", "model", *BASELINES]
    assert max(map(len, text.splitlines())) <= 120
    cells = [
        "long-term spectrum",
        ".333 [.333, .333]",
        ".167 [.167, .167]",
        ".667 [.667, .667]",
        "12.345 [12.341, 12.349]",
    ]
    assert re.split("   *", lines[-1].strip()) == cells


def test_without_baselines_the_model_stands_alone():
    rows = corpus([0, 0, 1, 2], speaker=["a", "b", "c", "d"])
    results = build_results({"test": predictions(rows, np.eye(3)[[0, 0, 1, 2]])}, {"test": rows}, LABELS, draws=20)
    assert describe(results).count("accuracy") == 1


def test_a_model_that_is_not_better_than_a_baseline_is_called_so_first():
    results = built()
    majority, model = results["baselines"]["majority"]["test"], results["metrics"]["test"]
    assert model["accuracy"]["low"] > majority["accuracy"]["value"], "the model is better: nothing to be said yet"
    assert baselines_within(results) == []
    majority["accuracy"]["value"] = model["accuracy"]["low"]
    (sentence,) = baselines_within(results)
    assert sentence.startswith("test: majority reaches the model's interval in accuracy (")
    assert describe(results).startswith(f"NOT SHOWN TO BE BETTER THAN A BASELINE\n  {sentence}\n\ntest: 72 utterances")


def test_the_test_split_comes_first_and_a_breakdown_is_shown():
    results = built()
    text = describe(results)
    assert text.index("test: 72") < text.index("validation: 72")
    entry = results["metrics"]["test"]["accuracy"]
    row = {"column": "device", "value": "phone", "n": 9, "speakers": 3, "dialects": 3, "worst": True}
    text = describe(results | {"by": [row | {"accuracy": entry, "macro_f1": entry}]})
    assert "device  n  speakers  dialects  accuracy" in text
