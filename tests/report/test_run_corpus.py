import json
import shutil

import finished
import pytest

from hf_dialects.data.splits import split_fingerprint
from hf_dialects.errors import CorpusError
from hf_dialects.report.run_corpus import open_corpus
from hf_dialects.report.run_folder import read_runs


def test_the_rows_of_a_run_are_found_again(run_folder):
    (run,) = read_runs([run_folder])
    found = open_corpus(run)
    assert list(found.scored["id"]) == run.predictions.ids
    assert sorted(set(found.facts["duration"])) == pytest.approx(finished.SECONDS)
    (training,) = found.training
    assert len(training) == run.results["data"]["splits"]["train"]["n"] == 4 * 2 * 4
    assert "audio/broken" not in training["id"]
    assert all(id.startswith("audio/train-") for id in training["id"])


def test_folds_have_a_training_part_each(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    for number in range(2):
        shutil.copytree(run_folder, tmp_path / "run" / f"fold-{number}")
    (run,) = read_runs([tmp_path / "run"])
    assert [one.name for one in run.folds] == ["fold-0", "fold-1"]
    assert list(run.history) == ["", "fold-0", "fold-1"]
    assert [len(rows) for rows in open_corpus(run).training] == [32, 32]


def test_training_rows_that_changed_since_are_not_counted(run_folder, corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "grown")
    with (tmp_path / "grown" / "metadata.csv").open("a") as file:
        file.write("audio/new.wav,train,coast,low,train-9\n")
    (run,) = read_runs([run_folder])
    found = open_corpus(run, str(tmp_path / "grown"))
    assert list(found.scored["id"]) == run.predictions.ids
    assert found.training == ()


def test_corrected_training_rows_are_found_again(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    (run,) = read_runs([tmp_path / "run"])
    (training,) = open_corpus(run).training
    table = tmp_path / "run" / "corrections.csv"
    first, second, *others = training["id"]
    lines = ["id,gold,corrected,action,note", f"{first},coast,hills,relabel,", f"{second},coast,,drop,"]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert open_corpus(run).training == (), "the run was trained on what is dropped here"
    left = training.select([row for row, id in enumerate(training["id"]) if id != second])
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    results["data"]["splits"]["train"]["sha256"] = split_fingerprint(left)
    (tmp_path / "run" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (corrected,) = open_corpus(run).training
    assert list(corrected["id"]) == [first, *others]
    assert corrected.features["dialect"].int2str(corrected["dialect"][0]) == "hills"
    table.write_text("\n".join(lines).replace("coast", "marsh") + "\n", encoding="utf-8")
    assert open_corpus(run).training == (), "labels that changed since are not guessed at"


def test_another_corpus_is_refused(run_folder, tmp_path):
    (run,) = read_runs([run_folder])
    other = finished.recordings(tmp_path / "other", {"x": "low", "y": "low"}, speakers=1)
    with pytest.raises(CorpusError, match="is not the corpus of this run: 24 of 32 predictions have an id that is not"):
        open_corpus(run, str(other))


def test_without_a_recipe_the_corpus_has_to_be_named(run_folder, corpus, tmp_path):
    shutil.copytree(run_folder / "predictions", tmp_path / "predictions")
    shutil.copy(run_folder / "results.json", tmp_path)
    (run,) = read_runs([tmp_path])
    with pytest.raises(CorpusError, match="no recipe that names its corpus; name it with --data"):
        open_corpus(run)
    assert list(open_corpus(run, str(corpus)).scored["id"]) == run.predictions.ids
