import json
import xml.etree.ElementTree as xml

import corpora
import numpy as np
import pandas as pd
import pytest
import tiny

from hf_dialects import abx_source
from hf_dialects.abx import abx
from hf_dialects.embeddings import read_vectors
from hf_dialects.saving import save_for_hub

QUICK = ("--draws", 50, "--permutations", 49, "--quiet")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("abx") / "tiny"
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Two dialects of different pitch, three speakers each, who read two sentences; one file is broken."""
    folder = tmp_path_factory.mktemp("abx") / "corpus"
    lines = ["file_name,dialect,speaker,sentence_id,take"]
    for number in range(12):
        dialect, speaker, sentence = number % 2, number // 2 % 3, number // 6
        seconds = 1.05 + 0.3 * sentence
        corpora.tone(folder / f"{number}.wav", seconds=seconds, seed=9 * dialect + speaker, level=0.2 + 0.05 * speaker)
        lines.append(f"{number}.wav,{('low', 'high')[dialect]},{dialect}{speaker},s{sentence},{number}")
    (folder / "12.wav").write_bytes(b"RIFF, but no more")
    lines.append("12.wav,low,00,s0,12")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


ASK = ("--by", "sentence_id", "--differ", "speaker")


def test_the_grid_of_a_model(run, model, corpus, tmp_path, monkeypatch):
    arguments = (
        "abx",
        model,
        "--data",
        corpus,
        *ASK,
        "--snippets",
        "0.25,0.5",
        "--layers=0,-1",
        "--pooling",
        "max,mean",
    )
    out = tmp_path / "out"
    left = run(*arguments, *QUICK, "--out", out, "--show", "3,0.5,mean")
    assert left.code == 0, left.err
    assert "encoding 0.0 h of audio: about 1 min" in left.out
    assert "left out (corrupt): " in left.out
    assert "A and X share dialect, B has another; all three share sentence_id; all three differ in speaker." in left.out
    assert "mind: indicative (6 speakers)" in left.err
    table = pd.read_csv(out / "grid.csv")
    assert len(table) == 2 * 2 * 2
    assert table[["layer", "snippet", "pooling"]].drop_duplicates().shape == (8, 3)
    assert table["items"].tolist() == [6 * 4 + 6 * 5] * 2 + [12 * 2] * 2 + [54] * 2 + [24] * 2
    assert table["score"].between(0, 1).all()
    assert (table["score"] + table["error_rate"]).tolist() == pytest.approx([1.0] * 8)
    content = json.loads((out / "abx.json").read_text())
    assert content["question"] == {
        "on": "dialect",
        "by": ["sentence_id"],
        "across": [],
        "differ": ["speaker"],
        "min_gap_s": 0.0,
        "distance": "cosine",
        "weighted": False,
    }
    assert content["groups"] == "speaker"
    assert content["data"]["n"] == 13
    assert [one["name"] for one in content["matrices"]][-1] == "3,0.5s,mean"
    shown = content["matrices"][-1]
    assert (shown["values"], np.shape(shown["scores"])) == (["high", "low"], (2, 2))
    printed = [line.split() for line in left.out.splitlines()]
    assert ["high", "–", f"{shown['scores'][0][1]:.3f}"] in printed
    for name in ("max", "mean"):
        figure = xml.parse(out / f"heatmap-{name}.svg").getroot()
        letters = [one.text for one in figure.iter("{http://www.w3.org/2000/svg}text")]
        for score in table[table["pooling"] == name]["score"]:
            assert {f"{score:.3f}", f"({score:.3f})"} & set(letters)
    summary = (out / "summary.md").read_text()
    assert "![ABX scores by layer and length of snippets](heatmap-max.svg)" in summary
    assert "- indicative (6 speakers)" in summary
    assert sum(line.startswith("| ") for line in summary.splitlines()) == 9

    before = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".csv", ".svg", ".md")}
    monkeypatch.setattr("hf_dialects.snippet_embeddings.encode_frames", None)  # what is there is not done again
    monkeypatch.setattr("hf_dialects.abx_grid._score", None)
    monkeypatch.setattr(abx_source, "snippet_cost", lambda *given: "")
    assert run(*arguments, *QUICK, "--out", out).code == 0
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".csv", ".svg", ".md")}


def test_embeddings_on_disk_are_asked_without_the_model(run, model, corpus, tmp_path):
    assert run("embed", model, "--data", corpus, "--layers=1,3", "--out", tmp_path / "vectors", "--quiet").code == 0
    left = run("abx", tmp_path / "vectors", "--data", corpus, *ASK, *QUICK, "--out", tmp_path / "out")
    assert left.code == 0, left.err
    table = pd.read_csv(tmp_path / "out" / "grid.csv")
    assert table[["layer", "snippet", "pooling"]].to_numpy().tolist() == [[1, "whole", "model"], [3, "whole", "model"]]
    ids, vectors = read_vectors(tmp_path / "vectors", 3)
    rows = pd.read_csv(corpus / "metadata.csv", dtype=str).set_index("take").loc[ids]
    expected = abx(vectors, rows.reset_index(), on="dialect", by=("sentence_id",), differ=("speaker",))
    assert table["score"][1] == pytest.approx(expected.score, abs=1e-12)
    assert not (tmp_path / "out" / "snippets").exists()
    left = run("abx", tmp_path / "vectors", "--data", corpus, "--layers", "2", *QUICK, "--out", tmp_path / "out")
    assert left.err == f"error: {tmp_path / 'vectors'} has no layer 2; it holds: 1, 3\n"


def test_snippets_of_one_run_answer_other_questions(run, model, corpus, tmp_path):
    arguments = ("--data", corpus, *QUICK)
    first = run("abx", model, *arguments, *ASK, "--snippets", 0.25, "--layers", 3, "--out", tmp_path / "a")
    assert first.code == 0, first.err
    left = run(
        "abx", tmp_path / "a" / "snippets", *arguments, "--on", "speaker", "--min-gap", 0.5, "--out", tmp_path / "b"
    )
    assert left.code == 0, left.err
    content = json.loads((tmp_path / "b" / "abx.json").read_text())
    assert content["groups"] == "recording", "the speaker is tested and cannot be resampled"
    assert [row["snippet"] for row in content["grid"]] == ["0.25s"] * 3
    assert content["grid"][0]["items"] == 54
    assert "snippets of one recording lie 0.5 s apart" in left.out


def test_frames_are_compared_by_time_warping(run, model, corpus, tmp_path):
    left = run("abx", model, "--data", corpus, *ASK, "--layers", 3, "--frames", *QUICK, "--out", tmp_path / "out")
    assert left.code == 0, left.err
    table = pd.read_csv(tmp_path / "out" / "grid.csv")
    assert table[["layer", "snippet", "pooling"]].to_numpy().tolist() == [[3, "whole", "frames"]]
    again = run("abx", tmp_path / "out" / "frames", "--data", corpus, *ASK, *QUICK, "--out", tmp_path / "again")
    assert again.err.endswith("compare them by time warping with --frames, or write others with hf-dialects embed\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--across", "speaker"),
            "every speaker has a single dialect, so no A and B share one. For attributes nested in",
        ),
        (("--by", "take"), "no triple among 13 items with by=('take',)"),
        (("--on", "room"), "there is no attribute 'room'; the corpus has dialect, "),
        (("--on", "dialect", "--by", "dialect"), "dialect is named more than once"),
        (("--interval-by", "village"), "there is no attribute 'village'; the corpus has"),
        (("--min-gap", 1), "min_gap_s is about snippets, but recordings are taken whole"),
        (("--distance", "manhattan"), "distance is 'manhattan'; expected one of cosine, angular, euclidean"),
        (("--layers", 9), "layer is 9, the encoder has 3 blocks: take 0 to 3"),
        (("--pooling", "attention"), "pooling is attention; expected some of max, mean, statistics"),
        (("--snippets", "0.001"), "snippets are to last 0.001s; expected different lengths of at least 0.01 s"),
        (("--snippets", "ten"), "--snippets takes numbers separated by commas"),
        (
            ("--snippets", "5"),
            "none of the 13 recordings gave a snippet; the first: 0 lasts 1.050 s; the shortest snippet",
        ),
        (("--frames", "--snippets", "1"), "--frames compares whole recordings frame by frame"),
        (("--tail", "cut"), "tail is 'cut'; expected 'drop' or 'keep'"),
        (
            ("--show", "8,whole,max"),
            "there is no setting '8,whole,max' of layer, length and pooling; there are 0,whole,max",
        ),
    ],
)
def test_bad_input_is_one_message(run, model, corpus, tmp_path, arguments, message):
    left = run("abx", model, "--data", corpus, *arguments, *QUICK, "--out", tmp_path / "out")
    assert left.code == 1
    assert message in left.err
    assert len(left.err.splitlines()) == 1
