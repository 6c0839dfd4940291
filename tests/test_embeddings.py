"""Embeddings on disk: equal to what the model gives, resumable, and never mixed with those of something else."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from corpora import corpus_of
from transformers import Wav2Vec2ForSequenceClassification

from hf_dialects import embeddings
from hf_dialects.data.audio import decode, encode
from hf_dialects.embedding_files import FrameFile, write_json
from hf_dialects.embeddings import embed, read_frames, read_vectors
from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.fingerprints import code_fingerprint, fingerprints
from hf_dialects.frames import encode_frames
from hf_dialects.inference import predict
from hf_dialects.saving import load_for_inference, save_for_hub

SECONDS = {"d": 0.4, "a": 2.3, "c": 0.9, "b": 1.2, "e": 0.7}  # not in the order of the ids


@pytest.fixture(scope="module")
def model():
    return tiny.model("wav2vec2", pooling="statistics")


@pytest.fixture(scope="module")
def extractor():
    return tiny.feature_extractor("wav2vec2")


@pytest.fixture(scope="module")
def corpus():
    return corpus_of({id: encode(tiny.waveform(one, ord(id)), tiny.RATE) for id, one in SECONDS.items()})


def waveform(corpus, id: str) -> np.ndarray:
    return decode(corpus[list(corpus["id"]).index(id)]["audio"])


def snapshot(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_vectors_are_the_mean_over_windows_of_the_pooling(model, extractor, corpus, tmp_path):
    skipped = embed(model, extractor, corpus, tmp_path, layers=(-1, 1), shard_size=2, progress=False)
    assert skipped == []
    for layer in (-1, 1):
        ids, vectors = read_vectors(tmp_path, layer)
        assert ids == sorted(SECONDS)
        assert vectors.dtype == np.float32
        for id, vector in zip(ids, vectors, strict=True):
            samples = waveform(corpus, id)
            starts = range(0, max(1, len(samples) - 8000), 8000)  # 1 s every 0.5 s
            expected = model.encode([samples[start : start + 16000] for start in starts], extractor, layer=layer).mean(
                0
            )
            assert vector == pytest.approx(expected, abs=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.json",
        "skipped.csv",
        "vectors-1.parquet",
        "vectors-3.parquet",
    }
    table = pd.read_parquet(tmp_path / "vectors-3.parquet")
    assert list(table.columns) == ["id", "vector"]
    found = predict(model, extractor, corpus, embeddings=True, progress=False)
    order = np.argsort(found.ids)
    assert np.abs(found.embeddings[order] - read_vectors(tmp_path)[1]).max() < 1e-5


def test_frames_are_those_of_encode_frames(model, extractor, corpus, tmp_path):
    embed(model, extractor, corpus, tmp_path, layers=(0, -1), frames=True, shard_size=2, chunk_s=0.8, progress=False)
    for layer in (0, -1, 3):
        ids, frames = read_frames(tmp_path, layer)
        assert ids == sorted(SECONDS)
        for id, found in zip(ids, frames, strict=True):
            expected = encode_frames(model, extractor, waveform(corpus, id), (layer,), chunk_s=0.8)[layer]
            assert isinstance(found, np.memmap)
            assert np.array_equal(found, expected)
    index = pd.read_parquet(tmp_path / "frames-index.parquet")
    assert list(index.columns) == ["id", "shard", "start", "length", "frame_rate_hz"]
    assert index["shard"].tolist() == [0, 0, 1, 1, 2]
    assert index["start"].tolist() == [0, index["length"][0], 0, index["length"][2], 0]
    assert set(index["frame_rate_hz"]) == {200.0}
    assert np.load(tmp_path / "frames-3-0.npy", mmap_mode="r").shape == (index["length"][:2].sum(), 32)


@pytest.mark.parametrize("frames", [False, True])
def test_a_stopped_run_takes_up_where_it_stopped(model, extractor, corpus, tmp_path, monkeypatch, frames):
    options = {"layers": (1, -1), "frames": frames, "shard_size": 1, "progress": False}
    embed(model, extractor, corpus, tmp_path / "whole", **options)

    records = []

    def stop_at_the_third(path, content):
        records.append(path.name)
        if len(records) == 3:
            raise KeyboardInterrupt
        write_json(path, content)

    monkeypatch.setattr(embeddings, "write_json", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(model, extractor, corpus, tmp_path / "run", **options)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="are not complete: call embed again, it takes up where it stopped"):
        (read_frames if frames else read_vectors)(tmp_path / "run")

    kind = embeddings._Frames if frames else embeddings._Vectors
    write, shards = kind.write, []
    monkeypatch.setattr(kind, "write", lambda self, shard, *rest: shards.append(shard) or write(self, shard, *rest))
    shuffled = corpus.select([3, 0, 4, 2, 1])  # the order of the rows plays no part
    embed(model, extractor, shuffled, tmp_path / "run", **options)
    assert shards == ["2", "3", "4"]
    assert snapshot(tmp_path / "run") == snapshot(tmp_path / "whole")
    embed(model, extractor, corpus, tmp_path / "run", **options)
    assert shards == ["2", "3", "4"], "a finished folder is computed again"


def test_a_changed_model_corpus_or_setting_is_refused(model, extractor, corpus, tmp_path):
    folder = tmp_path / "run"
    embed(model, extractor, corpus, folder, progress=False)
    (folder / "notes.txt").write_text("mine")
    before = snapshot(folder)
    other = tiny.model("wav2vec2", seed=1, pooling="statistics")
    pooled = tiny.model("wav2vec2", pooling="mean")
    cases = [
        ((other, extractor, corpus), {}, "what differs: model.weights. Choose another folder"),
        ((pooled, extractor, corpus), {}, "model.configuration"),
        ((model, extractor, corpus.select([0, 1, 2])), {}, "data.ids"),
        ((model, extractor, corpus), {"layers": (1,)}, r"settings.layers \(\[3\] there, \[1\] now\)"),
        ((model, extractor, corpus), {"window_s": 0.5, "stride_s": 0.5}, r"settings.window_s \(1.0 there, 0.5 now\)"),
        ((model, extractor, corpus), {"frames": True}, r"settings.frames \(False there, True now\)"),
    ]
    for given, options, message in cases:
        with pytest.raises(CheckpointError, match=message) as error:
            embed(*given, folder, progress=False, **options)
        assert "pass overwrite=True to replace them" in str(error.value)
    assert snapshot(folder) == before
    embed(other, extractor, corpus, folder, overwrite=True, frames=True, progress=False)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not list(folder.glob("vectors-*"))
    assert len(read_frames(folder)[0]) == 5


def test_the_same_model_saved_and_loaded_has_the_same_fingerprint(model, extractor, corpus, tmp_path):
    save_for_hub(model, extractor, tmp_path / "model")
    loaded = load_for_inference(tmp_path / "model")
    assert fingerprints(*loaded, corpus) == fingerprints(model, extractor, corpus)
    with torch.no_grad():
        next(loaded[0].parameters()).view(-1)[0] += 1e-6
    assert (
        fingerprints(*loaded, corpus)["model"]["weights"] != fingerprints(model, extractor, corpus)["model"]["weights"]
    )
    assert len(code_fingerprint()) == 64


def test_bad_recordings_are_skipped_counted_and_listed(model, extractor, corpus, tmp_path):
    files = {row["id"]: row["audio"]["bytes"] for row in corpus}
    files |= {"aa": b"broken", "bb": encode(tiny.waveform(0.01), tiny.RATE), "zz": b""}
    for frames, read in ((False, read_vectors), (True, read_frames)):
        folder = tmp_path / str(frames)
        skipped = embed(model, extractor, corpus_of(files), folder, frames=frames, shard_size=1, progress=False)
        assert [(one.id, one.reason) for one in skipped] == [("aa", "corrupt"), ("bb", "too short"), ("zz", "empty")]
        assert read(folder)[0] == sorted(SECONDS)
        table = pd.read_csv(folder / "skipped.csv")
        assert table["id"].tolist() == ["aa", "bb", "zz"]
        assert "lasts 0.010 s; the encoder needs at least 0.035 s" in table["message"][1]
        assert embed(model, extractor, corpus_of(files), folder, frames=frames, shard_size=1, progress=False) == skipped
    with pytest.raises(DialectError, match="none of the 1 recordings could be embedded; the first: "):
        embed(model, extractor, corpus_of({"aa": b"broken"}), tmp_path / "none", progress=False)


def test_a_stock_classifier_is_mean_pooled_over_whole_recordings(extractor, corpus, tmp_path):
    stock = Wav2Vec2ForSequenceClassification(tiny.ENCODERS["wav2vec2"]()).eval()
    embed(stock, extractor, corpus, tmp_path, layers=(2,), batch_size=3, progress=False)
    ids, vectors = read_vectors(tmp_path, 2)
    for id, vector in zip(ids, vectors, strict=True):
        expected = encode_frames(stock, extractor, waveform(corpus, id), (2,))[2].mean(0)
        assert vector == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_written_or_read_is_explained(model, extractor, corpus, tmp_path):
    with pytest.raises(CorpusError, match="id 'a' stands in rows 1 and 2: ids must be unique"):
        embed(model, extractor, corpus.select([0, 1, 1]), tmp_path, progress=False)
    with pytest.raises(DialectError, match="layer is 9, the encoder has 3 blocks"):
        embed(model, extractor, corpus, tmp_path, layers=(9,), progress=False)
    with pytest.raises(CheckpointError, match="holds no embeddings"):
        read_vectors(tmp_path)
    embed(model, extractor, corpus, tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"has no layer 1; it holds: 3 \(of 0 to 3\)"):
        read_vectors(tmp_path, 1)
    with pytest.raises(
        CheckpointError, match="holds vectors, not frames: call embed with frames=True and another folder"
    ):
        read_frames(tmp_path)
    broken = tiny.model("wav2vec2")
    torch.nn.init.constant_(broken.dialect.encoder.encoder.layer_norm.bias, torch.nan)
    with pytest.raises(DialectError, match="layer 3 gives values that are not finite for 5 recordings, the first a"):
        embed(broken, extractor, corpus, tmp_path / "broken", progress=False)


def test_frame_file_grows_and_is_named_when_closed(tmp_path):
    path = tmp_path / "frames.npy"
    file = FrameFile(path)
    blocks = [np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32) for n in (0, 1, 999, 0, 20)]
    assert [file.append(block) for block in blocks] == [0, 0, 1, 1000, 1000]
    assert not path.exists()
    file.close()
    assert np.array_equal(np.load(path, mmap_mode="r"), np.concatenate(blocks))
    FrameFile(tmp_path / "empty.npy").close()
    assert [one.name for one in tmp_path.iterdir()] == ["frames.npy"]
