import csv
import hashlib
import json
import shutil

import corpora
import pandas as pd
import pytest

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.splits import split_fingerprint
from hf_dialects.training.splits_of_run import load_data, three_splits

SPLITS = ["train", "validation", "test"]


@pytest.fixture
def corpus(tmp_path):
    """Two dialects, six speakers each in three towns, three recordings a speaker."""
    folder = tmp_path / "corpus"
    lines = []
    for dialect in ("north", "south"):
        for number in range(6):
            for take in range(3):
                name = f"wav/{dialect}{number}-{take}.wav"
                corpora.tone(folder / name, seconds=0.2, seed=len(lines))
                lines.append((name, dialect, f"{dialect}{number}", f"{dialect}town{number // 2}", 0.2))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "dialect", "speaker", "site", "duration"), *lines])
    return folder


def values(splits, column):
    """Name of split → set of the column's values."""
    return {name: set(dataset[column]) for name, dataset in splits.items()}


def test_check_says_what_is_in_a_corpus(run, corpus, tmp_path):
    left = run("check", corpus, "--json", tmp_path / "found" / "findings.json")
    assert left.code == 0, left.out
    found = json.loads((tmp_path / "found" / "findings.json").read_text())
    assert {name: table["clips"] for name, table in found["counts"]["dialect"].items()} == {"north": 18, "south": 18}
    assert [problem["kind"] for problem in found["problems"]] == ["too little", "too little"]
    assert "north has 0.1 minutes; at least 10 are enough" in left.out


def test_check_fails_where_something_must_be_repaired(run, corpus):
    (corpus / "wav" / "north0-0.wav").unlink()
    left = run("check", corpus)
    assert left.code == 1
    assert "north0-0" in left.out


def test_check_of_headers_does_not_hear_silence(run, corpus, tmp_path):
    corpora.tone(corpus / "wav" / "south1-1.wav", seconds=0.2, level=0.0)
    assert "warning: silent (1)" in run("check", corpus, "--quiet").out
    assert "silent" not in run("check", corpus, "--headers").out


def test_check_takes_another_label(run, corpus):
    left = run("check", corpus, "--label", "site")
    assert left.code == 0, left.out
    assert "northtown2" in left.out


@pytest.mark.parametrize("command", [("check",), ("split", "--by", "speaker", "--out", "out")])
def test_a_corpus_that_is_not_there_is_one_message(run, tmp_path, command):
    left = run(command[0], tmp_path / "nowhere", *command[1:])
    assert (left.code, left.out) == (1, "")
    assert left.err.startswith("error: ")
    assert "nowhere" in left.err


def test_a_split_is_loaded_like_a_corpus_and_shares_no_group(run, corpus, tmp_path):
    left = run("split", corpus, "--by", "site,speaker", "--out", tmp_path / "out", "--sizes", ".34,.33,.33", "--quiet")
    assert left.code == 0, left.err
    splits = load_corpus(tmp_path / "out")
    assert sorted(splits) == sorted(SPLITS)
    for column in ("site", "speaker", "id"):
        found = values(splits, column)
        assert not found["train"] & found["validation"]
        assert not found["train"] & found["test"]
        assert not found["validation"] & found["test"]
    assert {name: len(dataset) for name, dataset in splits.items()} == dict.fromkeys(SPLITS, 12)
    assert all(len(labels) == 2 for labels in values(splits, "dialect").values())
    assert len(decode(splits["test"][0]["audio"])) == 3200
    for_training, _ = three_splits(load_data({"source": str(tmp_path / "out")}), {"split_by": ["site"]})
    assert values(for_training, "id") == values(splits, "id")


def test_the_records_of_a_split_agree_with_it(run, corpus, tmp_path):
    out = tmp_path / "out"
    left = run("split", corpus, "--by", "site", "--out", out, "--sizes", ".34,.33,.33", "--seed", 3, "--quiet")
    splits = load_corpus(out)
    table = pd.read_csv(out / "splits.csv")
    assert {name: set(part["id"]) for name, part in table.groupby("split")} == values(splits, "id")
    facts = json.loads((out / "split.json").read_text())
    assert (facts["by"], facts["seed"], facts["sizes"]) == (["site"], 3, [0.34, 0.33, 0.33])
    for name, dataset in splits.items():
        found = facts["folds"][0]["splits"][name]
        assert found["sha256"] == split_fingerprint(dataset)
        assert (found["n"], found["speakers"], found["dialects"]) == (12, 4, 2)
        assert found["hours"] == pytest.approx(12 * 0.2 / 3600, abs=1e-4)
        assert found["sha256"][:12] in left.out
    leakage = pd.read_csv(out / "leakage.csv").set_index("column")
    assert leakage.loc[["site", "speaker"], "crossing"].tolist() == [0, 0]
    assert leakage.loc["session", "unknown"] == 36


def test_the_leakage_table_shows_what_was_not_asked_for(run, corpus, tmp_path):
    left = run("split", corpus, "--by", "speaker", "--out", tmp_path / "out", "--quiet", "--seed", 1)
    assert left.code == 0, left.err
    leakage = pd.read_csv(tmp_path / "out" / "leakage.csv").set_index("column")
    assert leakage.loc["speaker", "crossing"] == 0
    splits = load_corpus(tmp_path / "out")
    sites = values(splits, "site")
    crossing = {site for name in SPLITS for site in sites[name] if sum(site in sites[other] for other in SPLITS) > 1}
    assert leakage.loc["site", "crossing"] == len(crossing) > 0


def test_the_same_seed_gives_the_same_split_and_another_seed_another(run, corpus, tmp_path):
    tables = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        assert run("split", corpus, "--by", "speaker", "--out", tmp_path / name, "--seed", seed, "--quiet").code == 0
        tables.append((tmp_path / name / "splits.csv").read_text())
    assert tables[0] == tables[1] != tables[2]


def test_by_default_the_audio_stays_where_it_is_and_embed_copies_it(run, corpus, tmp_path):
    run("split", corpus, "--by", "speaker", "--out", tmp_path / "points", "--quiet")
    run("split", corpus, "--by", "speaker", "--out", tmp_path / "holds", "--quiet", "--embed")
    pointed = load_corpus(tmp_path / "points")["train"][0]["audio"]
    assert pointed["bytes"] is None
    waveform = decode(pointed)
    shutil.move(corpus, tmp_path / "elsewhere")
    held = load_corpus(tmp_path / "holds")["train"][0]["audio"]
    assert (decode(held) == waveform).all()


def test_every_recording_is_tested_once_over_the_folds(run, corpus, tmp_path):
    left = run("split", corpus, "--by", "speaker", "--out", tmp_path / "out", "--folds", 3, "--quiet")
    assert left.code == 0, left.err
    folds = [load_corpus(tmp_path / "out" / f"fold-{number}") for number in range(3)]
    tested = [id for splits in folds for id in splits["test"]["id"]]
    assert len(tested) == len(set(tested)) == 36
    for splits in folds:
        assert not set(splits["train"]["speaker"]) & set(splits["test"]["speaker"])
    table = pd.read_csv(tmp_path / "out" / "splits.csv")
    assert len(table) == 3 * 36
    assert set(table.query("fold == 1 and split == 'test'")["id"]) == set(folds[1]["test"]["id"])
    assert "fold 2" in left.out


def test_a_corpus_that_is_split_is_split_anew(run, corpus, tmp_path):
    run("split", corpus, "--by", "speaker", "--out", tmp_path / "first", "--quiet")
    left = run(
        "split", tmp_path / "first", "--by", "site", "--out", tmp_path / "again", "--sizes", ".34,.33,.33", "--quiet"
    )
    assert left.code == 0, left.err
    found = values(load_corpus(tmp_path / "again"), "id")
    assert len(set().union(*found.values())) == 36


def test_varieties_with_too_few_groups_are_left_out_or_allowed_knowingly(run, corpus, tmp_path):
    for take in range(2):
        corpora.tone(corpus / "wav" / f"west0-{take}.wav", seconds=0.2, seed=50 + take)
        with (corpus / "metadata.csv").open("a", encoding="utf-8") as file:
            file.write(f"wav/west0-{take}.wav,west,west0,westtown,0.2\n")
    arguments = ("split", corpus, "--by", "speaker", "--quiet", "--out")
    left = run(*arguments, tmp_path / "out")
    assert left.code == 1
    assert "'west' has 1" in left.err
    assert run(*arguments, tmp_path / "kept", "--labels", "north,south").code == 0
    assert load_corpus(tmp_path / "kept")["train"].features["dialect"].names == ["north", "south"]
    assert run(*arguments, tmp_path / "allowed", "--allow-missing").code == 0
    splits = load_corpus(tmp_path / "allowed")
    assert sum("west0" in speakers for speakers in values(splits, "speaker").values()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "village"), "no column 'village'"),
        (("--by", "speaker", "--sizes", ".5,.6,.1"), "sum to 1"),
        (("--by", "speaker", "--sizes", "most,rest"), "--sizes takes numbers separated by commas"),
    ],
)
def test_a_split_that_cannot_be_made_is_one_message_and_leaves_nothing(run, corpus, tmp_path, options, message):
    left = run("split", corpus, *options, "--out", tmp_path / "out", "--quiet")
    assert (left.code, left.out) == (1, "")
    assert message in left.err
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_split_is_never_written_over_something(run, corpus, tmp_path):
    left = run("split", corpus, "--by", "speaker", "--out", corpus)
    assert left.code == 1
    assert f"{corpus} exists and is not empty; name a new folder" in left.err


def test_a_prepared_corpus_loads_with_audio_labels_and_metadata(run, tmp_path):
    source = corpora.fsdd(tmp_path / "source")
    left = run("prepare", "fsdd", "--source", source, "--out", tmp_path / "fsdd", "--quiet")
    assert left.code == 0, left.err
    assert f"warning: {source} holds 36 recordings; the published corpus holds 3,000" in left.err + left.out
    dataset = load_corpus(tmp_path / "fsdd")
    assert dataset.features["dialect"].names == ["GRC/Greek", "USA/neutral"]
    assert len(dataset) == 36
    row = next(row for row in dataset if row["id"] == "recordings/1_theo_4")
    assert row["audio"]["bytes"] == (source / "recordings" / "1_theo_4.wav").read_bytes()
    assert (row["speaker"], row["sentence_id"], row["text"], row["take"]) == ("theo", "digit_1", "one", 4)
    assert row["duration"] == pytest.approx(0.14)
    assert len(decode(row["audio"])) == pytest.approx(0.14 * 16000)


def test_the_card_of_a_prepared_corpus_counts_it(run, tmp_path):
    run("prepare", "fsdd", "--source", corpora.fsdd(tmp_path / "source"), "--out", tmp_path / "fsdd", "--quiet")
    card = (tmp_path / "fsdd" / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-sa-4.0" in card
    assert "# Free Spoken Digit Dataset" in card
    assert "NOT speaker-disjoint" in card
    assert "| GRC/Greek | 12 | 0.00 | 1 |\n| USA/neutral | 24 | 0.00 | 2 |\n| all | 36 | 0.00 | 3 |" in card


def test_the_split_of_the_authors_is_kept(run, tmp_path):
    source = corpora.arabic_speech_commands(tmp_path / "source")
    assert run("prepare", "arabic_speech_commands", "--source", source, "--out", tmp_path / "out", "--quiet").code == 0
    splits = load_corpus(tmp_path / "out")
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 8, "validation": 4, "test": 4}
    assert values(splits, "speaker")["validation"] == {"00000003"}
    assert values(splits, "sentence_id")["test"] == {"up", "zoom in"}


def test_preparing_again_changes_nothing(run, tmp_path):
    source = corpora.fsdd(tmp_path / "source")
    digests = []
    for _ in range(2):
        assert run("prepare", "fsdd", "--source", source, "--out", tmp_path / "out", "--quiet").code == 0
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        digests.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
    assert digests[0] == digests[1]
    assert [name for name, _ in digests[0]] == ["README.md", "corpus-00000-of-00001.parquet", "prepare.json"]


def test_a_copy_with_recordings_missing_fails_when_it_must_be_complete(run, tmp_path):
    source = corpora.fsdd(tmp_path / "source")
    left = run("prepare", "fsdd", "--source", source, "--out", tmp_path / "out", "--expect-complete")
    assert left.code == 1
    assert left.err.startswith(
        f"error: {source} holds 36 recordings; the published corpus holds 3,000. Complete the copy"
    )
    assert not (tmp_path / "out").exists()


def test_a_recording_that_cannot_be_read_is_told(run, tmp_path):
    source = corpora.fsdd(tmp_path / "source")
    (source / "recordings" / "0_theo_2.wav").write_bytes(b"")
    left = run("prepare", "fsdd", "--source", source, "--out", tmp_path / "out", "--quiet")
    assert left.code == 0
    assert "warning: 1 recordings cannot be read as audio: recordings/0_theo_2" in left.err + left.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("timit",), "no corpus is called 'timit'; known are arabic_speech_commands, common_voice, embedded, fleurs"),
        (("fsdd",), "--source is missing; give the folder"),
        (("fsdd", "--source", "/nowhere/at/all"), "/nowhere/at/all is not a folder"),
        (("fsdd", "--source", ".", "takes=3"), "'takes=3' is no option of this corpus; it takes none"),
        (("fleurs", "--source", ".", "takes=3"), "it takes languages=…, splits=…, readings=…, seed=…"),
    ],
)
def test_a_corpus_that_cannot_be_prepared_is_one_message(run, tmp_path, arguments, message):
    left = run("prepare", *arguments, "--out", tmp_path / "out")
    assert (left.code, left.out) == (1, "")
    assert message in left.err
    assert not (tmp_path / "out").exists()


def test_a_dataset_script_runs_by_itself(tmp_path, monkeypatch, capsys):
    from hf_dialects.dataset_scripts import fsdd

    source = corpora.fsdd(tmp_path / "source")
    monkeypatch.setattr("sys.argv", ["fsdd", "--source", str(source), "--out", str(tmp_path / "out")])
    fsdd.main()
    assert "36 recordings" in capsys.readouterr().out
    assert len(load_corpus(tmp_path / "out")) == 36
    monkeypatch.setattr("sys.argv", ["fsdd", "--source", str(tmp_path / "no"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"error: .*no is not a folder"):
        fsdd.main()


def test_a_split_by_place_tests_every_region_in_its_own_places(run, corpus, tmp_path):
    out = tmp_path / "out"
    left = run("split", corpus, "--place", "--sizes", ".34,.33,.33", "--out", out, "--quiet")
    assert left.code == 0, left.err
    assert "places: train 2, validation 2, test 2; no split of whole places is nearer to the sizes" in left.out
    splits = load_corpus(out)
    assert all(len(labels) == 2 for labels in values(splits, "dialect").values())
    towns = values(splits, "site")
    assert not towns["train"] & towns["test"]
    assert pd.read_csv(out / "leakage.csv").set_index("column").loc["site", "test: regions on one"] == 2


def test_repeats_by_place_test_other_towns(run, corpus, tmp_path):
    out = tmp_path / "out"
    assert run("split", corpus, "--place", "--repeats", 3, "--out", out, "--quiet").code == 0
    tested = [frozenset(load_corpus(out / f"fold-{number}")["test"]["site"]) for number in range(3)]
    assert len(frozenset.union(*tested)) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either --by with columns, or --place"),
        (("--by", "site", "--place"), "either --by with columns, or --place"),
        (("--place", "--folds", 3), "--place makes several splits with --repeats"),
        (("--place", "--rounding", "up"), "up"),
    ],
)
def test_options_of_a_split_that_do_not_fit(run, corpus, tmp_path, options, message):
    left = run("split", corpus, *options, "--out", tmp_path / "out", "--quiet")
    assert left.code == 1
    assert message in left.err
    assert not (tmp_path / "out").exists()
