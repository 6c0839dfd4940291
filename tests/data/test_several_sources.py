"""Corpora of several sources together: what each of them holds gives its dialects away."""

import csv
import json
from pathlib import Path

import corpora
import pytest

from hf_dialects.data.leakage import label_determined_by, leakage
from hf_dialects.data.load import load_corpus
from hf_dialects.data.schema import check_corpus
from hf_dialects.data.splits import group_split

SOURCES = {  # name: (rate in Hz, speakers of each dialect, recordings of each speaker)
    "commands": (16000, {"Arabic": 6}, 4),
    "stories": (44100, {"English": 2, "Ganda": 1}, 4),
    "digits": (8000, {"German": 2, "Greek": 1}, 3),
}


def make_source(folder: Path, split: bool) -> Path:
    rate, speakers, takes = SOURCES[folder.name]
    rows = []
    for dialect, n in speakers.items():
        for speaker in range(n):
            for take in range(takes):
                name = f"{dialect}-{speaker}-{take}.wav"
                corpora.tone(folder / name, rate, seed=len(rows))
                rows.append({"file_name": name, "dialect": dialect, "speaker": f"{folder.name} {dialect} {speaker}"})
                if split:
                    rows[-1]["split"] = ("train", "validation", "test")[speaker % 3]
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Three corpora without a dialect in common, of different rates; the first is split."""
    return [make_source(tmp_path / name, split=name == "commands") for name in SOURCES]


def test_the_label_is_determined_by_the_source(folders):
    corpus = load_corpus(folders)
    assert corpus.features["dialect"].names == ["Arabic", "English", "Ganda", "German", "Greek"]
    assert len(corpus) == 24 + 12 + 9
    assert {id.split("/")[0] for id in corpus["id"]} == set(corpus["source"]) == set(SOURCES)
    assert label_determined_by(corpus) == {"source": 3}
    (shortcut,) = [one for one in check_corpus(corpus, progress=False).problems if one.kind == "shortcut"]
    assert (shortcut.id, shortcut.severity) == ("source", "warning")
    assert shortcut.message.startswith(
        "no dialect is found in two of the 3 sources, so the source determines the label"
    )
    right = (24 + 8 + 6) / 45  # Arabic, English and German, each within its source
    assert (
        f"is the right answer for {right:.0%} of the recordings, the commonest of all for {24 / 45:.0%}"
        in shortcut.message
    )


def test_leakage_says_so_of_any_split(folders):
    splits = group_split(load_corpus(folders), allow_missing=True)
    table = leakage(splits)
    assert table.loc["source", ["values", "leaks", "determines_label"]].tolist() == [3, False, True]
    assert table.loc["speaker", ["crossing", "determines_label"]].tolist() == [0, False]
    assert "source" not in leakage(group_split(load_corpus(folders[1]), allow_missing=True)).index


def test_a_dialect_in_two_sources_takes_it_back(folders, tmp_path):
    table = folders[2] / "metadata.csv"
    table.write_text(table.read_text().replace(",German,", ",English,"))
    corpus = load_corpus(folders)
    assert label_determined_by(corpus) == {}
    assert not leakage({"all": corpus}).loc["source", "determines_label"]
    assert not [one for one in check_corpus(corpus, progress=False).problems if one.kind == "shortcut"]


def test_one_dialect_in_each_source_is_settled_wholly(folders, tmp_path):
    corpus = load_corpus(folders).filter(lambda row: row["dialect"] in (0, 1, 3))
    assert label_determined_by(corpus) == {"source": 3}
    (shortcut,) = [one for one in check_corpus(corpus, progress=False).problems if one.kind == "shortcut"]
    assert shortcut.message.startswith("the 3 values of the column source settle the dialect")


def test_commands_tell_it(run, folders, tmp_path):
    left = run("check", *folders, "--quiet", "--json", tmp_path / "found.json")
    assert left.code == 0, left.out
    assert "no dialect is found in two of the 3 sources" in left.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name: row["clips"] for name, row in found["counts"]["source"].items()} == {
        "commands": 24,
        "stories": 12,
        "digits": 9,
    }
