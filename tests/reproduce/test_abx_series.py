"""The series of arXiv:2402.05581 with a tiny encoder, and what the corpus must bring."""

import json

import numpy as np
import pandas as pd
import pytest

from hf_dialects.abx import abx
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import DialectError
from hf_dialects.reproduce import abx_series
from hf_dialects.reproduce.abx_series import SERIES, SeriesOptions, described, questions_of, recordings_of, run_series
from hf_dialects.reproduce.abx_smoke import smoke_recordings
from hf_dialects.snippet_embeddings import read_snippets


def test_the_settings_are_those_of_the_paper(tmp_path):
    options = SeriesOptions("abx-recording", tmp_path)
    assert options.encoder == "facebook/wav2vec2-large-xlsr-53"
    assert (options.layer, abx_series.POOLING, options.lengths_s) == (21, "max", (1.0, 5.0, 10.0, 20.0))
    assert list(SERIES) == ["abx-recording", "abx-voice", "abx-segments"]


def test_the_command_scores_recordings_and_goes_on(run, tmp_path, monkeypatch):
    arguments = ("reproduce", "abx-recording", "--smoke", "--quiet", "--out", tmp_path)
    left = run(*arguments)
    assert left.code == 0, left.err
    assert "# abx-recording: one tale, several recording set-ups" in left.out
    assert "These numbers mean nothing" in left.out
    table = pd.read_csv(tmp_path / "abx-recording.csv")
    content = json.loads((tmp_path / "abx-recording.json").read_text())
    assert list(dict.fromkeys(table["language"])) == ["en", "es"]
    assert list(dict.fromkeys(table["question"])) == [
        "recording",
        "recording, 5 s apart",
        "condition, other recordings",
    ]
    lengths = ["0.5s", "1s", "2s", "4s"]
    assert table[table["question"] == "recording"]["snippet"].tolist() == lengths * 2

    corpus = smoke_recordings("recording")
    spans, vectors = read_snippets(tmp_path / "snippets", 1, 1.0, "max")
    assert vectors.shape[1] == 24
    english = spans["id"].str.startswith("en").to_numpy()
    expected = abx(np.asarray(vectors)[english], {"recording": spans["id"][english]}, on="recording")
    plain = table[(table["language"] == "en") & (table["question"] == "recording")].set_index("snippet")
    assert plain["score"]["1s"] == pytest.approx(expected.score, abs=1e-12)
    assert plain["error_rate"]["1s"] == pytest.approx(1 - expected.score, abs=1e-12)
    matrix = next(one for one in content["matrices"] if one["snippet"] == "1s" and one["question"] == "recording")
    names = sorted(name for name in corpus["id"] if name.startswith("en"))
    assert matrix["values"] == names
    assert np.shape(matrix["scores"]) == (8, 8)
    assert matrix["scores"][0][1] == pytest.approx(expected.matrix.to_numpy()[0, 1])
    assert matrix["scores"][0][0] is None
    row = f"| 1 {names[0]} | – | {matrix['scores'][0][1]:.3f} | "
    assert row in (tmp_path / "abx-recording.md").read_text()

    strict = table[table["question"] == "condition, other recordings"].set_index(["language", "snippet"])
    conditions = dict(zip(corpus["id"], corpus["condition"], strict=True))
    kept = {"condition": spans["id"].map(conditions)[english], "recording": spans["id"][english]}
    other = abx(np.asarray(vectors)[english], kept, on="condition", differ="recording")
    assert strict["score"]["en", "1s"] == pytest.approx(other.score, abs=1e-12)
    assert strict["warning"].str.contains("draws were empty").all(), "two recordings of a value give no interval"

    before = (tmp_path / "abx-recording.md").read_bytes()
    monkeypatch.setattr("hf_dialects.snippet_embeddings.encode_frames", None)  # what is there is not done again
    monkeypatch.setattr("hf_dialects.abx_source.snippet_cost", lambda *given: "")
    monkeypatch.setattr("hf_dialects.abx_grid._score", None)
    assert run(*arguments).code == 0
    assert (tmp_path / "abx-recording.md").read_bytes() == before


@pytest.mark.parametrize(("series", "column", "values"), [("voice", "style", 4), ("segments", "content", 2)])
def test_the_other_series_have_recordings_of_their_own(series, column, values):
    corpus = smoke_recordings(series)
    attributes = described(recordings_of(corpus, SERIES[f"abx-{series}"]))
    assert attributes.groupby("language")[column].nunique().tolist() == [values, values]
    english = attributes[attributes["language"] == "en"]
    asked = questions_of(english, SERIES[f"abx-{series}"])
    assert [one.name for one in asked][2:] == [f"{column}, other recordings"]
    alone = english.drop_duplicates(column)
    assert len(questions_of(alone, SERIES[f"abx-{series}"])) == 2, "no value has several recordings"


def test_recordings_are_chosen_by_series_and_unit(tmp_path):
    corpus = smoke_recordings("voice")
    told = []
    bare = corpus.remove_columns("series")
    assert len(recordings_of(bare, SERIES["abx-voice"], told.append)) == len(corpus)
    assert told == ["the corpus has no column series: all 16 recordings are taken for one singer, several styles"]
    with pytest.raises(DialectError, match="no row of the corpus has series 'segments'; it has voice"):
        recordings_of(corpus, SERIES["abx-segments"])
    mixed = corpus.add_column("unit", ["recording", "sentence"] * 8)
    assert len(recordings_of(mixed, SERIES["abx-voice"])) == 8
    one_each = corpus.select([0, len(corpus) - 1])
    with pytest.raises(DialectError, match=r"no language has two recordings to tell apart; found \{'en': 1, 'es': 1\}"):
        described(one_each)
    assert described(corpus.remove_columns("language"))["language"].unique().tolist() == ["en-us", "es"]


def test_a_prepared_pangloss_folder_is_data(tmp_path):
    import soundfile
    from hf_dialects.dataset_scripts import pangloss

    source = tmp_path / "source"
    source.mkdir()
    random = np.random.default_rng(0)
    for number, level in enumerate((0.05, 0.05, 0.3)):
        soundfile.write(source / f"{number}.wav", level * random.standard_normal(32000).clip(-3, 3), 16000)
    sentence = '<S id="a"><AUDIO start="0" end="1"/><FORM>a</FORM></S>'
    (source / "0.xml").write_text(f'<TEXT xml:lang="nru">{sentence}</TEXT>')
    lines = ["0,nru,M1,near,recording", "1,nru,M1,near,recording", "2,nru,M1,far,recording"]
    (source / "about.csv").write_text("\n".join(["recording,language,speaker,condition,series", *lines]) + "\n")
    prepare_corpus(pangloss, source, tmp_path / "corpus", progress=False, report=lambda text: None)
    from hf_dialects.reproduce.smoke import tiny_encoders

    encoder = tiny_encoders(tmp_path / "encoders")["xlsr-53"]
    options = {"data": str(tmp_path / "corpus"), "encoder": encoder, "layer": 1, "lengths_s": (0.5,)}
    path = run_series(
        SeriesOptions("abx-recording", tmp_path / "out", **options, progress=False), tell=lambda text: None
    )
    table = pd.read_csv(path.with_suffix(".csv"))
    assert table["question"].tolist() == ["recording", "recording, 5 s apart", "condition, other recordings"]
    assert table["items"][0] == 3 * 4, "the sentence is no recording"
    assert "no triple" in table["warning"][1], "2 s hold no gap of 5 s"
    assert table["score"][[0, 2]].notna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abx-tone", "--smoke"), "there is no experiment 'abx-tone'; choose one of: abx-recording, abx-voice, abx-"),
        (("abx-voice",), "give the recordings with --data, or --smoke"),
        (("abx-voice", "--smoke", "--folds", 3, "--figures"), "--folds, --figures are not for abx-voice"),
        (("abx-voice", "--smoke", "--encoders", "a,b"), "abx-voice is of one encoder, got a, b"),
    ],
)
def test_bad_options_are_one_message(run, tmp_path, arguments, message):
    left = run("reproduce", *arguments, "--out", tmp_path)
    assert left.code == 1
    assert message in left.err
    assert len(left.err.splitlines()) == 1
