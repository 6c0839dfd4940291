"""NIST LRE17 in the layouts of its releases, on a few short tones."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hf_dialects.dataset_scripts import script, table
from hf_dialects.dataset_scripts.lre17 import CLUSTER_OF, RECORDINGS, rows

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import CorpusError

TRAIN = {
    "124688.000272.5000.pcm.feather.sph": "ara-acm",
    "124688.009000.5000.pcm.feather.sph": "ara-acm",
    "20111213_221147_7.sph": "zho-nan",
    "por_0001.sph": "por-brz",
}
DEV = [
    ("lre17_aaa.sph", "ara-acm", "mls14", "3"),
    ("lre17_bbb.sph", "zho-nan", "mls14", "30"),
    ("lre17_ccc.flac", "por-brz", "vast", "1000"),
]
EVAL = [("lre17_ddd.sph", "zho-nan", "mls14", "10"), ("lre17_eee.flac", "ara-acm", "vast", "1000")]


def tone(path: Path, seed: int = 0, subtype: str = "ULAW") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * (200 + 40 * seed) * np.arange(4000) / 8000)
    if path.suffix == ".flac":
        soundfile.write(path, wave, 16000)
    else:
        soundfile.write(path, wave, 8000, format="NIST", subtype=subtype)


def write(path: Path, lines: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def source(tmp_path):
    """The releases of 2017: training, development and evaluation in folders of their own."""
    folder = tmp_path / "LRE17"
    train, dev, evaluation = folder / "LDC2017E22", folder / "LDC2017E23", folder / "eval" / "lre17"
    for number, (name, language) in enumerate(TRAIN.items()):
        tone(train / "data" / language / name, number, ("PCM_16", "ULAW", "ALAW")[number % 3])
    write(train / "docs" / "filename_language_key.tab", [*TRAIN.items()])
    header = ("segmentid", "language_code", "data_source", "speech_duration")
    for number, line in enumerate([*DEV, *EVAL]):
        tone((dev / "data" / "dev" if line in DEV else evaluation / "data" / "eval") / line[0], 10 + number)
    write(dev / "docs" / "lre17_dev_segments.key", [header, *DEV])
    keys = [(f"eval/{name}", *rest) for name, *rest in EVAL]  # this key names the folder, too
    write(evaluation / "docs" / "lre17_eval_segments.key", [header, *keys])
    return folder


def by_id(source: Path) -> dict:
    return {row["id"]: row for row in rows(source)}


def test_a_row_of_each_part(source):
    found = by_id(source)
    name = "124688.000272.5000.pcm.feather.sph"
    assert found[f"train/ara-acm/{name}"] == {
        "id": f"train/ara-acm/{name}",
        "audio": {"bytes": None, "path": str(source / "LDC2017E22" / "data" / "ara-acm" / name)},
        "dialect": "ara-acm",
        "cluster": "Arabic",
        "recording": "train/124688",
        "split": "train",
        "data_source": None,
        "length_condition": None,
    }
    assert found["dev/lre17_ccc.flac"] == {
        "id": "dev/lre17_ccc.flac",
        "audio": {"bytes": None, "path": str(source / "LDC2017E23" / "data" / "dev" / "lre17_ccc.flac")},
        "dialect": "por-brz",
        "cluster": "Iberian",
        "recording": None,
        "split": "validation",
        "data_source": "vast",
        "length_condition": 1000,
    }
    telephone = found["eval/lre17_ddd.sph"]
    assert (telephone["split"], telephone["data_source"], telephone["length_condition"]) == ("test", "mls14", 10)
    assert telephone["audio"]["path"].endswith("lre17/data/eval/lre17_ddd.sph")


def test_rows_are_complete_and_the_same_again(source):
    first = list(rows(source))
    assert first == list(rows(source))
    assert [row["split"] for row in first] == ["train"] * 4 + ["validation"] * 3 + ["test"] * 2
    assert RECORDINGS == 45_317
    assert len(CLUSTER_OF) == len(table("lre17_languages")) == 14


def test_pieces_of_one_training_recording_share_it(source):
    recordings = [row["recording"] for row in rows(source) if row["split"] == "train"]
    assert recordings == ["train/124688", "train/124688", "train/20111213_221147_7", "train/por_0001"]


def test_sphere_files_of_every_coding_are_read(source):
    for row in rows(source):
        waveform = decode(row["audio"])
        assert len(waveform) == (4000 if row["data_source"] == "vast" else 8000)
        assert np.abs(waveform).max() > 0.25


def test_the_releases_of_2022_are_read_too(source):
    train, dev, evaluation = source / "LDC2017E22", source / "LDC2017E23", source / "eval" / "lre17"
    expected = by_id(source)
    (train / "docs" / "filename_language_key.tab").unlink()
    for language in ("ara-acm", "zho-nan", "por-brz"):
        (train / "data" / "train").mkdir(exist_ok=True)
        (train / "data" / language).rename(train / "data" / "train" / language)
    lines = [(language, name, "pcm", "0.5") for name, language in TRAIN.items()]
    write(train / "docs" / "train_info.tab", [("language_code", "segmentid", "sample_coding", "file_duration"), *lines])
    (dev / "docs" / "lre17_dev_segments.key").unlink()
    header = ("segmentid", "language_code", "data_source", "length_condition")
    write(dev / "docs" / "dev_info.tab", [header, *DEV])
    (evaluation / "docs" / "lre17_eval_segments.key").unlink()
    lines = [(*line[:2], line[2].upper(), line[3] if line[2] == "mls14" else "") for line in EVAL]
    write(evaluation / "docs" / "lre17_eval_segment_keys.tsv", [(*header[:3], "speech_duration"), *lines])

    def facts(found):
        return {id: row | {"audio": None} for id, row in found.items()}

    assert facts(by_id(source)) == facts(expected)


def test_keys_with_sessions_say_which_recording_a_segment_is_of(source):
    table = source / "LDC2017E23" / "docs" / "lre17_dev_segments.key"
    lines = table.read_text(encoding="utf-8").splitlines()
    sessions = ["sessionid", "s1", "s1", "s2"]
    text = "\n".join(f"{line} {one}".replace("\t", " ") for line, one in zip(lines, sessions, strict=True))
    table.write_text(text, encoding="utf-8")  # blanks, as awk leaves them
    found = [row["recording"] for row in rows(source) if row["split"] == "validation"]
    assert found == ["dev/s1", "dev/s1", "dev/s2"]


def test_a_compressed_file_is_named_with_the_way_out(source):
    path = source / "LDC2017E22" / "data" / "zho-nan" / "20111213_221147_7.sph"
    content = path.read_bytes()
    compressed = content.replace(b"sample_coding -s4 alaw", b"sample_coding -s26 alaw,embedded-shorten-v2.00")
    assert compressed != content
    path.write_bytes(compressed)
    with pytest.raises(
        CorpusError, match=r"20111213_221147_7\.sph is compressed \(alaw,embedded-shorten-v2\.00\)"
    ) as told:
        list(rows(source))
    assert "sph2pipe -p -f wav 20111213_221147_7.sph 20111213_221147_7.wav" in str(told.value)
    soundfile.write(path.with_suffix(".wav"), np.zeros(800), 8000)
    row = by_id(source)["train/zho-nan/20111213_221147_7.sph"]
    assert row["audio"]["path"] == str(path.with_suffix(".wav")), "the converted file beside it is taken"


def test_a_part_that_is_not_there_is_said(source):
    (source / "LDC2017E23" / "docs" / "lre17_dev_segments.key").unlink()
    with pytest.warns(UserWarning, match="lacks the dev part of LRE17"):
        assert {row["split"] for row in rows(source)} == {"train", "test"}
    with pytest.raises(CorpusError, match=r"holds no docs folder with one of filename_language_key\.tab"):
        list(rows(source / "eval" / "lre17" / "data"))


def test_what_does_not_fit_is_told(source):
    (source / "LDC2017E23" / "data" / "dev" / "lre17_bbb.sph").rename(source / "elsewhere.sph")
    with pytest.raises(CorpusError, match=r"lre17_bbb\.sph of the dev part is missing: neither .*data/dev/lre17_bbb"):
        list(rows(source))
    key = source / "LDC2017E22" / "docs" / "filename_language_key.tab"
    write(key, [("a.sph", "fre-waf")])
    with pytest.raises(CorpusError, match=r"a\.sph is of 'fre-waf'; LRE17 has ara-acm"):
        list(rows(source))
    write(key, [("a.sph", "ara-acm", "more")])
    with pytest.raises(CorpusError, match=r"row 1: 'a\.sph\\tara-acm\\tmore'; expected a value for each of segmentid"):
        list(rows(source))
    write(key, [])
    with pytest.raises(CorpusError, match="has 0 rows and the columns segmentid, language_code; expected rows"):
        list(rows(source))
    write(key.with_name("train_info.tab"), [("file", "language"), ("a.sph", "ara-acm")])
    with pytest.raises(CorpusError, match="both list the train part; keep one release of it"):
        list(rows(source))
    key.unlink()
    with pytest.raises(CorpusError, match="the columns file, language; expected rows with segmentid and language_code"):
        list(rows(source))


def test_a_length_that_is_no_number_and_a_file_that_is_no_sphere(source):
    dev = source / "LDC2017E23"
    table = dev / "docs" / "lre17_dev_segments.key"
    table.write_text(table.read_text(encoding="utf-8").replace("\t3\n", "\tshort\n"), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"the length of lre17_aaa\.sph is 'short'; 3, 10, 30 or 1000 is expected"):
        list(rows(source))
    (dev / "data" / "dev" / "lre17_aaa.sph").write_bytes(b"version https://")
    with pytest.raises(CorpusError, match=r"lre17_aaa\.sph is no NIST SPHERE file; it starts with b'version '"):
        list(rows(source))


def test_prepared_and_loaded(source, tmp_path):
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_corpus(script("lre17"), source, tmp_path / "out", progress=False, report=told.append)
    assert told[0] == f"warning: {source} holds 9 recordings; the published corpus holds 45,317"
    corpus = load_corpus(tmp_path / "out")
    assert {name: len(split) for name, split in corpus.items()} == {"train": 4, "validation": 3, "test": 2}
    test = corpus["test"]
    assert test.features["cluster"].names == ["Arabic", "Chinese", "Iberian"]
    assert test["data_source"][:] == ["mls14", "vast"]
    assert test["length_condition"][:] == [10, 1000]
    assert corpus["train"]["duration"][0] == pytest.approx(0.5)
