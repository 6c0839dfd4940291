import json
from hashlib import sha256

import numpy as np
import pandas as pd
import parallel_sites
import pytest
import tiny

from hf_dialects.embeddings import read_frames
from hf_dialects.retrieval import FrameStatistics, retrieval_benchmark, seqsim_matrix
from hf_dialects.saving import save_for_hub

QUICK = ("--draws", 50, "--quiet")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieve") / "tiny"
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four sites of two clusters; one file is broken."""
    folder = parallel_sites.write(tmp_path_factory.mktemp("retrieve") / "corpus")
    (folder / "broken.wav").write_bytes(b"RIFF, but no more")
    with (folder / "metadata.csv").open("a") as file:
        file.write("broken.wav,east,s1,Aa,east,gone\n")
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Utterances of two more sites, for the centre."""
    sites = {"Ca": "east", "Cb": "west"}
    return parallel_sites.write(tmp_path_factory.mktemp("retrieve") / "other", sites, range(10, 16))


def rows_of(corpus, ids):
    table = pd.read_csv(corpus / "metadata.csv")
    return table.assign(id=table["file_name"].str.removesuffix(".wav")).set_index("id").loc[ids].reset_index()


def test_retrieval_with_a_model(run, model, corpus, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ("retrieve", model, "--data", corpus, "--layers=1,-1", "--k", "2", *QUICK, "--out", out)
    left = run(*arguments)
    assert left.code == 0, left.err
    assert "encoding 0.0 h of audio: about 1 min" in left.out
    assert "left out (corrupt): " in left.out
    assert (
        "For every utterance of one site, the utterance of another that has the same sentence_id, by cluster: 4 values "
        "of site, 12 ordered pairs, 19 utterances, 54 queries." in left.out
    )
    assert "1 of 20 utterances are not embedded." in left.out
    assert "mind: indicative (4 sites" in left.err

    content = json.loads((out / "retrieval.json").read_text())
    assert content["question"] == {"parallel": "sentence_id", "between": "site", "group": "cluster"}
    assert (content["shown"], list(content["results"])) == (3, ["1", "3"])
    layers = pd.read_csv(out / "layers.csv")
    assert layers["layer"].tolist() == [1, 3]
    for row, layer in enumerate((1, 3)):
        ids, frames = read_frames(out / "frames", layer)
        attributes = rows_of(corpus, ids)
        expected = retrieval_benchmark(frames, attributes, scores=seqsim_matrix(frames), k=(2,))
        for name in ("SeqSim", "CSLS", "mean vector", "shuffled labels"):
            found = {one["control"]: one for one in content["results"][str(layer)]["controls"]}[name]
            for metric in ("recall@1", "recall@2", "mrr", "chance"):
                assert found[metric] == pytest.approx(expected.controls.loc[name, metric]), (layer, name, metric)
        assert layers["recall@1"][row] == pytest.approx(expected.value)
        assert layers["low"][row] <= expected.value <= layers["high"][row]
        square = {(one["from"], one["to"]): one["recall@1"] for one in content["results"][str(layer)]["groups"]}
        assert square == pytest.approx(expected.matrix.astype(float).stack().dropna().to_dict())
        folder = out / f"layer-{layer}"
        between = pd.read_csv(folder / "pairs.csv").set_index(["source", "target"])["recall@1"]
        assert between["Aa", "Bb"] == pytest.approx(expected.between_sites().loc["Aa", "Bb"])
        for name in (
            "summary.md",
            "groups.tex",
            "controls.tex",
            "sites.svg",
            "groups.svg",
            "sentences.csv",
            "hubs.csv",
        ):
            assert (folder / name).stat().st_size
        assert "By share of common words" in (folder / "summary.md").read_text()
    controls = {one["control"]: one for one in content["results"]["3"]["controls"]}
    assert controls["mel DTW"]["recall@1"] > 2 * controls["mel DTW"]["chance"], "melodies are alike after warping"
    assert controls["silence trimmed"]["recall@1"] != controls["SeqSim"]["recall@1"]
    assert "no better than" in left.err
    summary = (out / "summary.md").read_text()
    assert summary.index("**Mind:**") < summary.index("| layer |")

    monkeypatch.setattr("hf_dialects.embeddings.frame_blocks", None)  # what is there is not done again
    monkeypatch.setattr("hf_dialects.retrieval_source.seqsim_matrix", None)
    monkeypatch.setattr("hf_dialects.retrieval_audio.dtw_distances", None)
    before = digests(out)
    again = run(*arguments)
    assert again.code == 0, again.err
    assert "encoding" not in again.out
    assert digests(out) == before


def digests(out):
    """Of everything but the times in retrieval.json and the page with its sound."""
    paths = [path for path in sorted(out.rglob("*")) if path.is_file() and path.suffix not in (".json", ".html")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def embedded(model, corpus, other, tmp_path_factory):
    """Frames of the last layer of both corpora."""
    from typer.testing import CliRunner

    from hf_dialects.cli.main import app

    folder = tmp_path_factory.mktemp("embedded")
    for name, data in (("pool", corpus), ("centre", other)):
        arguments = ["embed", str(model), "--data", str(data), "--frames", "--out", str(folder / name), "--quiet"]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder


@pytest.mark.parametrize("whiten", [False, True])
def test_frames_are_centred_on_a_named_set(run, embedded, corpus, tmp_path, whiten):
    option = "--whiten" if whiten else "--centre"
    arguments = ("--data", corpus, "--controls", "none", "--clips", 0, *QUICK, "--out", tmp_path / "out")
    left = run("retrieve", embedded / "pool", option, embedded / "centre", *arguments)
    assert left.code == 0, left.err
    assert f"Frames {'whitened' if whiten else 'centred'} on centre." in left.out
    assert not (tmp_path / "out" / "frames").exists()
    assert not (tmp_path / "out" / "retrieval.html").exists()
    ids, frames = read_frames(embedded / "pool", 3)
    of_centre = read_frames(embedded / "centre", 3)
    statistics = FrameStatistics.fit(of_centre[1], "centre", of_centre[0], whiten)
    expected = retrieval_benchmark(statistics.apply(frames), rows_of(corpus, ids))
    content = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    found = {one["control"]: one["recall@1"] for one in content["results"]["3"]["controls"]}
    assert "mel DTW" not in found
    assert found == pytest.approx(expected.controls["recall@1"].to_dict())
    plain = retrieval_benchmark(frames, rows_of(corpus, ids))
    assert not np.array_equal(plain.outcomes["SeqSim"].credit["mrr"], expected.outcomes["SeqSim"].credit["mrr"])


def test_a_model_embeds_the_set_itself_and_statistics_of_the_pool_are_called_transductive(
    run, model, corpus, other, tmp_path
):
    arguments = ("--data", corpus, "--controls", "none", "--clips", 0, *QUICK, "--out", tmp_path / "out")
    left = run("retrieve", model, "--centre", other, *arguments)
    assert left.code == 0, left.err
    assert "Frames centred on other." in left.out
    assert len(read_frames(tmp_path / "out" / "centre", 3)[0]) == 12
    left = run("retrieve", tmp_path / "out" / "frames", "--centre", tmp_path / "out" / "frames", *arguments)
    assert "Frames centred on frames (transductive: 19 of 19 utterances are in it)." in left.out


def test_int8_finds_about_the_same(run, embedded, corpus, tmp_path):
    found = []
    for precision in ("float32", "int8"):
        arguments = ("--data", corpus, "--controls", "none", "--clips", 0, "--precision", precision, *QUICK)
        left = run("retrieve", embedded / "pool", *arguments, "--out", tmp_path / "out")
        assert left.code == 0, left.err
        assert f"SeqSim in {precision}." in left.out
        found.append(pd.read_csv(tmp_path / "out" / "layers.csv")["mrr"][0])
    assert found[0] == pytest.approx(found[1], abs=0.05)
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2, "scores of both are kept apart"


def test_without_the_recordings_their_controls_are_left_out(run, embedded, corpus, tmp_path):
    lines = (corpus / "metadata.csv").read_text()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "metadata.csv").write_text(lines.replace(",text", ",words"))
    for path in corpus.glob("*.wav"):
        (tmp_path / "bare" / path.name).write_bytes(b"RIFF")
    arguments = ("--data", tmp_path / "bare", "--between", "site", "--group", "none", *QUICK, "--out", tmp_path / "out")
    left = run("retrieve", embedded / "pool", *arguments)
    assert left.code == 0, left.err
    assert "Without controls from the recordings: " in left.out
    assert "Durations are numbers of frames" in left.out
    content = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert content["question"]["group"] is None
    assert "mel DTW" not in {one["control"] for one in content["results"]["3"]["controls"]}
    assert "no sound" in (tmp_path / "out" / "retrieval.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--between", "village"), "the corpus has no column 'village'; it has cluster, dialect, id"),
        (
            ("--between", "sentence_id", "--group", "none"),
            "no two of 5 values of sentence_id share 2 values of sentence_id",
        ),
        (("--parallel", "id"), "no two of 4 values of site share 2 values of id: there is nothing to retrieve"),
        (("--group", "text"), "is in several values of text; expected one for each site"),
        (("--group", "speaker"), "the corpus has no column 'speaker'"),
        (("--layers", 9), "layer is 9, the encoder has 3 blocks: take 0 to 3"),
        (("--precision", "int4"), "precision is 'int4'; expected one of float32, int8"),
        (("--controls", "dtw"), "controls are dtw; expected some of mel-dtw, trimmed, or none"),
        (("--k", "0"), "k is 0; expected numbers of 1 or more"),
        (("--centre", "a", "--whiten", "b"), "--centre and --whiten name the set that frames are moved by; give one"),
        (("--centre-split", "train"), "--centre-split is of the set that --centre or --whiten names"),
    ],
)
def test_bad_input_is_one_message(run, model, corpus, tmp_path, arguments, message):
    left = run("retrieve", model, "--data", corpus, *arguments, *QUICK, "--out", tmp_path / "out")
    assert left.code == 1
    assert message in left.err
    assert len(left.err.splitlines()) == 1


def test_frames_on_disk_that_do_not_fit_are_one_message(run, embedded, model, corpus, other, tmp_path):
    ask = ("retrieve", embedded / "pool", "--data")
    left = run(*ask, corpus, "--layers", 1, *QUICK, "--out", tmp_path)
    assert left.err == f"error: {embedded / 'pool'} has no layer 1; it holds: 3 (of 0 to 3)\n"
    left = run(*ask, corpus, "--show", 1, *QUICK, "--out", tmp_path)
    assert left.err == "error: layer 1 is to be shown, but retrieval is with 3; name it there too\n"
    left = run(*ask, other, *QUICK, "--out", tmp_path)
    assert "none of the 19 embedded recordings is among the 12 of the corpus" in left.err
    left = run(*ask, corpus, "--centre", other, *QUICK, "--out", tmp_path)
    assert "so those of other must be on disk too: write them with hf-dialects embed MODEL --frames" in left.err
    another = tmp_path / "another"
    save_for_hub(tiny.model("wav2vec2", seed=1), tiny.feature_extractor("wav2vec2"), another)
    assert run("embed", another, "--data", other, "--frames", "--out", tmp_path / "theirs", "--quiet").code == 0
    left = run(*ask, corpus, "--centre", tmp_path / "theirs", *QUICK, "--out", tmp_path)
    assert "are of different models (weights): embed both with one" in left.err
    assert run("embed", model, "--data", corpus, "--out", tmp_path / "vectors", "--quiet").code == 0
    left = run("retrieve", tmp_path / "vectors", "--data", corpus, *QUICK, "--out", tmp_path)
    assert "holds vectors, not frames" in left.err
