"""Snippets of a corpus on disk: what encode_frames gives, the same bytes after a kill, damaged recordings left out."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
from corpora import corpus_of

from hf_dialects import snippet_embeddings
from hf_dialects.abx.snippets import snippets
from hf_dialects.data.audio import decode, encode
from hf_dialects.embedding_files import PARTS
from hf_dialects.embeddings import read_vectors
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.frames import encode_frames
from hf_dialects.snippet_embeddings import embed_snippets, read_snippets, snippet_cost
from hf_dialects.snippet_files import JOURNAL

SECONDS = {"d": 0.4, "a": 2.3, "c": 0.9, "b": 1.2, "e": 3.1}  # not in the order of the ids
LENGTHS = (0.5, 1.0, None)


@pytest.fixture(scope="module")
def model():
    return tiny.model("wav2vec2")


@pytest.fixture(scope="module")
def extractor():
    return tiny.feature_extractor("wav2vec2")


@pytest.fixture(scope="module")
def corpus():
    return corpus_of({id: encode(tiny.waveform(one, ord(id)), tiny.RATE) for id, one in SECONDS.items()})


def snapshot(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(model, extractor, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("snippets") / "whole"
    assert embed_snippets(model, extractor, corpus, folder, LENGTHS, piece_s=1.5, progress=False) == []
    return folder


def test_snippets_are_pooled_frames_of_every_recording(model, extractor, corpus, tmp_path):
    skipped = embed_snippets(model, extractor, corpus, tmp_path / "out", LENGTHS, layers=(0, -1), progress=False)
    assert skipped == []

    def encode(waveform):
        return encode_frames(model, extractor, waveform, (0, 3))

    recordings = {id: decode(corpus[list(corpus["id"]).index(id)]["audio"]) for id in sorted(SECONDS)}
    expected = {id: snippets(waveform, encode, 200, LENGTHS)[0] for id, waveform in recordings.items()}
    for layer in (0, 3):
        for length in LENGTHS:
            for pooling in ("max", "mean", "statistics"):
                table, vectors = read_snippets(tmp_path / "out", layer, length, pooling)
                parts = [one[layer, length, pooling] for one in expected.values()]
                assert np.array_equal(vectors, np.concatenate([part for part in parts if len(part)]))
                counts = [1 if length is None else int(SECONDS[id] / length) for id in expected]
                assert table["id"].tolist() == [id for id, n in zip(expected, counts, strict=True) for _ in range(n)]
    table, _ = read_snippets(tmp_path / "out", -1, 0.5, "max")
    assert table[table["id"] == "b"].to_numpy().tolist() == [["b", 0.0, 0.5], ["b", 0.5, 1.0]]
    table, _ = read_snippets(tmp_path / "out", -1, None, "max")
    assert table["end_s"].tolist() == [SECONDS[id] for id in sorted(SECONDS)]


def test_every_recording_is_encoded_once(model, extractor, corpus, tmp_path, monkeypatch):
    seconds = []

    def counted(model, extractor, waveform, layers, **options):
        seconds.append((round(len(waveform) / tiny.RATE, 2), tuple(layers)))
        return encode_frames(model, extractor, waveform, layers, **options)

    monkeypatch.setattr(snippet_embeddings, "encode_frames", counted)
    embed_snippets(model, extractor, corpus, tmp_path / "out", LENGTHS, progress=False)
    assert seconds == [(SECONDS[id], (0, 1, 2, 3)) for id in sorted(SECONDS)]
    seconds.clear()
    options = {"piece_s": 1.6, "context_s": 0.2, "progress": False}
    embed_snippets(model, extractor, corpus, tmp_path / "pieces", LENGTHS, **options)
    assert len(seconds) == 7
    assert max(one for one, _ in seconds) <= 1.6 + 2 * 0.2


def test_a_killed_run_goes_on_and_writes_the_same_bytes(model, extractor, corpus, whole, tmp_path, monkeypatch):
    encoded = []

    def die_in_the_last_piece_of_e(model, extractor, waveform, layers, **options):
        encoded.append(len(waveform))
        if len(encoded) == 8:
            raise KeyboardInterrupt
        return encode_frames(model, extractor, waveform, layers, **options)

    folder, options = tmp_path / "run", {"piece_s": 1.5, "progress": False}
    monkeypatch.setattr(snippet_embeddings, "encode_frames", die_in_the_last_piece_of_e)
    with pytest.raises(KeyboardInterrupt):
        embed_snippets(model, extractor, corpus, folder, LENGTHS, **options)
    with pytest.raises(CheckpointError, match="are not complete: run the same again, it goes on"):
        read_snippets(folder, 0, 1.0, "max")
    journal = folder / PARTS / JOURNAL
    assert [json.loads(line)["id"] for line in journal.read_text().splitlines()] == ["a", "b", "c", "d"]
    assert rows_in(folder / "snippets-1-0.5s.npy") > 4 + 2 + 1, (
        "rows of the recording that was not finished lie in the file"
    )
    with journal.open("a") as file:
        file.write('{"id": "e", "dura')  # the line was cut short, too

    monkeypatch.setattr(snippet_embeddings, "encode_frames", encode_frames)
    shuffled = corpus.select([3, 0, 4, 2, 1])
    embed_snippets(model, extractor, shuffled, folder, LENGTHS, **options)
    assert snapshot(folder) == snapshot(whole)
    monkeypatch.setattr(snippet_embeddings, "encode_frames", None)  # nothing is left to do
    assert embed_snippets(model, extractor, corpus, folder, LENGTHS, **options) == []


def rows_in(path) -> int:
    """Rows that lie in a file, whatever its header says of their number."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (_, columns), _, _ = np.lib.format.read_array_header_1_0(file)
        return len(file.read()) // (4 * columns)


def test_rows_lost_with_the_machine_are_made_again(model, extractor, corpus, whole, tmp_path):
    """The journal got to the disk, the rows of the last recording in one of the files did not."""
    folder, options = tmp_path / "run", {"piece_s": 1.5, "progress": False}
    embed_snippets(model, extractor, corpus, folder, LENGTHS, **options)
    records = [
        {"id": id, "duration_s": one, "rows": {"0.5s": int(one / 0.5), "1s": int(one), "whole": 1}, "skipped": None}
        for id, one in sorted(SECONDS.items())
    ]
    (folder / PARTS).mkdir()
    (folder / PARTS / JOURNAL).write_text("".join(json.dumps(one) + "\n" for one in records))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    path = folder / "snippets-2-1s.npy"
    path.write_bytes(path.read_bytes()[:-100])
    (folder / "snippets-3-whole.npy").write_bytes(b"\x93NUM")
    embed_snippets(model, extractor, corpus, folder, LENGTHS, **options)
    assert snapshot(folder) == snapshot(whole)


def test_bad_and_short_recordings_are_left_out_and_told_about(model, extractor, tmp_path):
    good = {id: encode(tiny.waveform(one, ord(id)), tiny.RATE) for id, one in SECONDS.items()}
    cut_short = good["e"][: len(good["e"]) // 2]
    files = good | {"b2": b"RIFF, but no more", "a2": cut_short, "z": b""}
    skipped = embed_snippets(model, extractor, corpus_of(files), tmp_path / "out", (1.0,), piece_s=1.0, progress=False)
    reasons = {one.id: one.reason for one in skipped}
    assert reasons == {"a2": "corrupt", "b2": "corrupt", "c": "too short", "d": "too short", "z": "empty"}
    short = next(one.message for one in skipped if one.id == "d")
    assert short == "d lasts 0.400 s; the shortest snippet needs at least 1.000 s. Leave it out"
    table, vectors = read_snippets(tmp_path / "out", 3, 1.0, "mean")
    assert table["id"].tolist() == ["a", "a", "b", "e", "e", "e"]
    assert len(vectors) == 6, "what was written of the recording that breaks off was taken away"
    clean = tmp_path / "clean"
    embed_snippets(model, extractor, corpus_of(good), clean, (1.0,), piece_s=1.0, progress=False)
    assert np.array_equal(vectors, read_snippets(clean, 3, 1.0, "mean")[1])
    assert len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 5
    with pytest.raises(DialectError, match=r"none of the 5 recordings gave a snippet; the first: a lasts 2.300 s"):
        embed_snippets(model, extractor, corpus_of(good), tmp_path / "none", (9.0,), progress=False)


def test_other_settings_do_not_mix_and_missing_ones_are_named(model, extractor, corpus, whole, tmp_path):
    with pytest.raises(CheckpointError, match=r"made of something else; what differs: settings.context_s"):
        embed_snippets(model, extractor, corpus, whole, LENGTHS, piece_s=1.5, context_s=1.0, progress=False)
    with pytest.raises(
        CheckpointError, match=r"has no snippets of layer 3 and length 2s; it holds the layers 0, 1, 2, 3"
    ):
        read_snippets(whole, -1, 2.0, "max")
    folder = tmp_path / "means"
    embed_snippets(model, extractor, corpus, folder, (None,), poolings=["mean"], progress=False)
    with pytest.raises(CheckpointError, match="lacks the std of frames that pooling statistics needs"):
        read_snippets(folder, 0, None, "statistics")
    with pytest.raises(CheckpointError, match="holds pooled snippets: read them with read_snippets"):
        read_vectors(folder)
    with pytest.raises(CheckpointError, match="holds no snippets: write them with"):
        read_snippets(tmp_path, 0, None, "mean")


def test_snippets_shorter_than_two_frames_are_refused_before_anything_is_written(model, extractor, corpus, tmp_path):
    with pytest.raises(DialectError, match=r"at least 0\.01 s, two frames"):
        embed_snippets(model, extractor, corpus, tmp_path / "out", (0.005,), progress=False)
    assert not (tmp_path / "out").exists()


def test_the_cost_is_that_of_the_files(model, extractor, corpus, whole):
    cost = snippet_cost(model, extractor, corpus, LENGTHS, piece_s=1.5)
    assert cost.hours == pytest.approx(sum(SECONDS.values()) / 3600)
    data = sum(path.stat().st_size - 128 for path in whole.glob("*.npy"))
    assert cost.disk_bytes == data
    assert cost.seconds > 0
    assert cost.memory_bytes == pytest.approx(2 * 5.5 * 200 * 4 * 32 * 4, rel=0.05)
    assert str(cost).startswith("0.0 h of audio: about 1 min, 0.00 GiB on disk")
