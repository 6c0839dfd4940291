import json
import shutil

import finished
import mapped
import pandas as pd
import pytest

from hf_dialects.data.corrections import apply_corrections, read_corrections
from hf_dialects.data.load import load_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return finished.recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def folded(corpus, tmp_path_factory):
    return mapped.folded_run(tmp_path_factory.mktemp("runs") / "folded", corpus)


def test_page_and_tables_are_written_and_the_first_suspects_printed(run, folded):
    left = run("datamap", folded, "--quiet", "--clips", 6)
    assert left.code == 0
    lines = left.out.splitlines()
    assert lines[0].startswith("96 recordings, 5 epochs, mode out_of_fold: ")
    starts = [row for row, line in enumerate(lines) if line.startswith("most doubtful labels by")]
    assert [lines[row] for row in starts] == [
        "most doubtful labels by the map",
        "most doubtful labels by confident learning, which flags 2",
    ]
    for row in starts:
        assert {line.split()[0] for line in lines[row + 2 : row + 4]} == set(mapped.WRONG)
    assert "6 recordings can be heard on the page" in lines
    assert lines[-3:] == [f"written: {folded / name}" for name in ("datamap.html", "datamap.csv", "datamap.json")]
    assert "data:audio/ogg;base64," in (folded / "datamap.html").read_text("utf-8")
    table = pd.read_csv(folded / "datamap.csv").set_index("id")
    columns = ["dialect", "region", "confidence", "variability", "correctness", "epochs", "map_score"]
    assert list(table) == [*columns, "confident_learning", "flagged", "suggested"]
    assert set(table.index[table["flagged"]]) == set(mapped.WRONG)
    kept = json.loads((folded / "datamap.json").read_text("utf-8"))
    assert kept["recordings"]["id"] == table.index.tolist()
    assert kept["regions"] == table["region"].value_counts().to_dict()
    assert kept["recordings"]["map_score"] == pytest.approx(table["map_score"].tolist(), abs=1e-6)


def test_options(run, folded, tmp_path):
    out = tmp_path / "new" / "map.html"
    left = run(
        "datamap", folded, "--quiet", "--no-audio", "--warm-up", 2, "--by", "quantiles", "--points", 50, "--out", out
    )
    assert left.code == 0
    assert "The page shows 50 of 96 recordings" in left.out
    assert "0 recordings can be heard on the page" in left.out
    assert "96 recordings, 3 epochs" in left.out
    assert "data:audio" not in out.read_text("utf-8")
    assert pd.read_csv(tmp_path / "new" / "map.csv")["region"].value_counts().to_dict() == {
        "ambiguous": 32,
        "easy": 32,
        "hard": 32,
    }


def test_without_the_corpus_there_is_a_page_without_sound(run, folded, tmp_path):
    shutil.copytree(folded, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    lines = [line if "source:" not in line else "  source: /nowhere" for line in recipe.read_text().splitlines()]
    recipe.write_text("\n".join(lines) + "\n")
    left = run("datamap", tmp_path / "run", "--quiet")
    assert left.code == 0
    assert "Without the recordings there are neither speakers nor sound: " in left.out
    other = finished.recordings(tmp_path / "other", {"x": "low", "y": "low"}, speakers=1)
    left = run("datamap", tmp_path / "run", "--quiet", "--no-audio", "--data", other)
    assert "sound: it is not the corpus of this run: 7" in left.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "taste"], "error: regions are made by thresholds or quantiles, not by 'taste'\n"),
        (["--warm-up", 5], "error: warm_up is 5, but the dynamics hold 5 epochs; nothing is left to map\n"),
    ],
)
def test_bad_options_are_one_message(run, folded, arguments, message):
    left = run("datamap", folded, "--quiet", *arguments)
    assert (left.code, left.err) == (1, message)


def test_a_run_without_dynamics_says_how_to_get_them(run, corpus, tmp_path):
    left = run("datamap", finished.run(tmp_path / "run", corpus, model=False))
    assert left.code == 1
    assert "recorded no training dynamics; train with training.record_dynamics=training" in left.err


def test_corrections_reach_training_through_the_command(run, corpus, tmp_path):
    train = load_corpus(corpus)["train"]
    first, second = train["id"][0], train["id"][1]
    table = tmp_path / "corrections.csv"
    rows = [f"{first},coast,hills,relabel,", f"{second},coast,,drop,", "audio/test-0-0-0,coast,,drop,"]
    table.write_text("\n".join(["id,gold,corrected,action,note", *rows]) + "\n", encoding="utf-8")
    expected, _ = apply_corrections(train, read_corrections(table))
    assert len(expected) == len(train) - 1

    overrides = ["training.max_steps=1", "training.batch_size=8", "training.use_cpu=true", "evaluation.draws=10"]
    overrides += ["evaluation.baselines=false", "model.window_s=2", "model.stride_s=1"]
    options = ["--data", corpus, "--split-by", "id", "--corrections", table, "--quiet", "--out"]
    left = run("train", *overrides, *options, tmp_path / "run")
    assert left.code == 0
    told = "corrections in training: 1 relabelled, 1 dropped, 0 kept\n1 correction is of a recording in validation or"
    assert told in left.out
    kept = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert kept["data"]["corrections"] == {"relabelled": 1, "dropped": 1, "kept": 0, "held_out": 1}
    assert kept["data"]["splits"]["train"]["n"] == len(train) - 2, "one is dropped, one cannot be read"
    assert (tmp_path / "run" / "corrections.csv").read_text("utf-8") == table.read_text("utf-8")

    table.write_text("id,gold,corrected,action,note\nnowhere,coast,,drop,\n", encoding="utf-8")
    left = run("train", *overrides, *options, tmp_path / "other")
    assert left.code == 1
    assert "1 of 1 corrections are of recordings that the corpus does not have: 'nowhere'" in left.err
