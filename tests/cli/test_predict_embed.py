import json

import corpora
import numpy as np
import pandas as pd
import pytest
import soundfile
import tiny

from hf_dialects.embeddings import read_vectors
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference, save_for_hub


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Folder of a tiny random classifier of three dialects, windows of 1 s every 0.5 s."""
    folder = tmp_path_factory.mktemp("run") / "model"
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder)
    return folder


@pytest.fixture
def recordings(tmp_path):
    """Two recordings, one in a folder below, beside files that are no recordings."""
    folder = tmp_path / "trip"
    corpora.tone(folder / "a.wav", seconds=1.6)
    corpora.tone(folder / "day two" / "b.WAV", sampling_rate=8000, seconds=0.7, seed=9)
    (folder / "notes.txt").write_text("rain")
    corpora.tone(folder / ".trash" / "c.wav")
    return folder


@pytest.fixture
def corpus(tmp_path):
    """Six recordings, one folder per dialect, one of them broken."""
    for number in range(6):
        corpora.tone(tmp_path / "corpus" / ("north", "south")[number % 2] / f"{number}.wav", seconds=0.5, seed=number)
    (tmp_path / "corpus" / "north" / "4.wav").write_bytes(b"RIFF, but no more")
    return tmp_path / "corpus"


def test_the_json_lines_are_what_the_pipeline_says(run, model, recordings):
    left = run("predict", model, recordings, "--json", "--windows", "--top-k", 2)
    assert left.code == 0
    answers = [json.loads(line) for line in left.out.splitlines()]
    files = [recordings / "a.wav", recordings / "day two" / "b.WAV"]
    assert [answer["file"] for answer in answers] == [str(file) for file in files]
    network, feature_extractor = load_for_inference(model)
    pipeline = DialectPipeline(model=network, feature_extractor=feature_extractor)
    for answer, file in zip(answers, files, strict=True):
        expected = pipeline(file, top_k=2, windows=True)
        assert [one["label"] for one in answer["labels"]] == [one["label"] for one in expected["labels"]]
        assert answer["labels"][0]["score"] == pytest.approx(expected["labels"][0]["score"], abs=1e-6)
        assert [one["start_s"] for one in answer["windows"]] == [one["start_s"] for one in expected["windows"]]
    assert [len(answer["windows"]) for answer in answers] == [3, 1]
    assert len(answers[0]["labels"]) == 2


def test_as_text_a_line_per_recording_and_per_window(run, model, recordings):
    plain = run("predict", model, recordings, "--quiet").out.splitlines()
    assert len(plain) == 2
    assert all(len(line.split("\t")[1].split("  ")) == len(tiny.LABELS) for line in plain)
    with_windows = run("predict", model, recordings / "a.wav", "--windows", "--top-k", 1).out.splitlines()
    assert [line.split("\t")[0] for line in with_windows[1:]] == ["  0.00-1.00 s", "  0.50-1.50 s", "  1.00-1.60 s"]
    assert with_windows[0].split("\t")[1].split()[0] in tiny.LABELS


def test_a_recording_without_speech_says_so(run, model, recordings):
    soundfile.write(recordings / "a.wav", np.zeros(16000), 16000)
    left = run("predict", model, recordings, "--quiet", "--min-speech", 0.1)
    assert left.code == 0
    first, second = (line.split("\t") for line in left.out.splitlines())
    assert first == [str(recordings / "a.wav"), "no speech"]
    assert second[1].split()[0] in tiny.LABELS
    left = run("predict", model, recordings / "a.wav", "--min-speech", 0.1, "--json")
    assert json.loads(left.out)["labels"] == [{"score": None, "label": "no speech"}]


def test_a_broken_file_is_told_about_and_the_others_are_classified(run, model, recordings):
    (recordings / "a.wav").write_bytes(b"no audio")
    left = run(
        "predict", model, recordings / "a.wav", recordings / "gone.wav", recordings / "day two", "--json", "--quiet"
    )
    assert left.code == 1
    assert [json.loads(line)["file"] for line in left.out.splitlines()] == [str(recordings / "day two" / "b.WAV")]
    errors = [line for line in left.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {recordings / 'a.wav'} is corrupt or no audio file")
    assert "gone.wav" in errors[1]


def test_a_folder_without_recordings_is_an_error(run, model, tmp_path):
    (tmp_path / "empty").mkdir()
    left = run("predict", model, tmp_path / "empty")
    assert left.code == 1
    assert left.err.startswith(f"error: {tmp_path / 'empty'} holds no recordings; audio files are those ending in .wav")


def test_a_model_that_is_not_there_is_one_message(run, recordings, tmp_path):
    left = run("predict", tmp_path / "no" / "model", recordings)
    assert (left.code, left.out) == (1, "")
    assert left.err.startswith("error: ")
    assert len(left.err.splitlines()) == 1


def test_embed_writes_a_vector_per_recording_and_layer(run, model, corpus, tmp_path):
    left = run("embed", model, "--data", corpus, "--out", tmp_path / "out", "--layers=-1,0", "--quiet")
    assert left.code == 0
    assert f"written: {tmp_path / 'out'}, 5 of 6 recordings" in left.out
    assert "left out (corrupt): " in left.err
    for layer in (0, 3):
        table = pd.read_parquet(tmp_path / "out" / f"vectors-{layer}.parquet")
        assert table["id"].tolist() == ["north/0", "north/2", "south/1", "south/3", "south/5"]
        vectors = np.stack(table["vector"].tolist())
        assert vectors.shape == (5, 32)
        assert np.ptp(vectors, axis=0).max() > 0


def test_embed_of_a_stream_writes_the_same(run, model, corpus, tmp_path):
    files = {f"{path.parent.name}/{path.stem}": path.read_bytes() for path in corpus.glob("*/*.wav")}
    table = corpora.corpus_of(files).add_column("dialect", [id.split("/")[0] for id in files])
    (tmp_path / "parquet").mkdir()
    for number in range(2):
        table.shard(2, number).to_parquet(tmp_path / "parquet" / f"part-{number}.parquet")
    for name, data, options in (
        ("disk", corpus, ()),
        ("folder", corpus, ("--streaming",)),
        ("parquet", tmp_path / "parquet", ("--streaming", "--labels", "north,south", "--batch-size", 1)),
    ):
        left = run("embed", model, "--data", data, "--out", tmp_path / name, *options, "--quiet")
        assert left.code == 0, left.err
        assert f"written: {tmp_path / name}, 5 of 6 recordings" in left.out
    files = ("vectors-3.parquet", "manifest.json", "skipped.csv")
    disk, folder = ([(tmp_path / name / file).read_bytes() for file in files] for name in ("disk", "folder"))
    assert disk == folder
    (ids, vectors), (again, streamed) = (read_vectors(tmp_path / name) for name in ("disk", "parquet"))
    assert ids == again
    assert np.abs(vectors - streamed).max() < 1e-5
    left = run("embed", model, "--data", tmp_path / "parquet", "--streaming", "--out", tmp_path / "none")
    assert left.code == 1
    assert "give their names with labels=" in left.err


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")])
def test_embed_takes_its_share_of_what_a_launcher_says(run, model, corpus, tmp_path, monkeypatch, names):
    for name, value in zip(names, ("1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    left = run("embed", model, "--data", corpus, "--out", tmp_path / "out", "--quiet")
    assert left.code == 0
    assert "process 1 of 2 has written its shards" in left.out  # the one shard is that of process 0


def test_embed_writes_frames_when_asked(run, model, corpus, tmp_path):
    left = run("embed", model, "--data", corpus, "--out", tmp_path / "out", "--frames", "--quiet")
    assert left.code == 0
    index = pd.read_parquet(tmp_path / "out" / "frames-index.parquet")
    assert len(index) == 5
    frames = np.load(next((tmp_path / "out").glob("frames-3-*.npy")))
    assert frames.shape == (index["length"].sum(), 32)


def test_embed_does_not_mix_two_kinds_in_a_folder(run, model, corpus, tmp_path):
    arguments = ("embed", model, "--data", corpus, "--out", tmp_path / "out", "--quiet")
    assert run(*arguments).code == 0
    left = run(*arguments, "--layers=0")
    assert left.code == 1
    assert "layers" in left.err
    assert run(*arguments, "--layers=0", "--overwrite").code == 0
    assert [path.name for path in (tmp_path / "out").glob("vectors-*")] == ["vectors-0.parquet"]


def test_layers_that_are_no_numbers_are_an_error(run, model, corpus, tmp_path):
    left = run("embed", model, "--data", corpus, "--out", tmp_path / "out", "--layers", "all")
    assert (left.code, left.err) == (
        1,
        "error: --layers takes numbers separated by commas, such as --layers=1,2; got 'all'\n",
    )
