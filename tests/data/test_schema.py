import json
import sys

import numpy as np
import pytest
from datasets import Audio, ClassLabel, DatasetDict, Value

from hf_dialects.data.audio import encode
from hf_dialects.data.schema import COLUMNS, GROUPING, check_corpus, dataset_of, features
from hf_dialects.errors import CorpusError


@pytest.fixture(autouse=True)
def _no_torchcodec(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)


def noise(seed: int, seconds: float = 0.2, level: float = 0.1) -> bytes:
    return encode(np.random.default_rng(seed).normal(0, level, round(16000 * seconds)), 16000)


def rows(n_per_class: int = 6, speakers: int = 3, seconds: float = 0.2, **columns) -> list[dict]:
    """Two dialects, speakers of their own, every recording different."""
    return [
        {
            "audio": {"bytes": noise(100 * d + i, seconds), "path": f"{dialect}{i}.flac"},
            "dialect": dialect,
            "cluster": "c",
            "speaker": f"{dialect}-{i % speakers}",
            "id": f"{dialect}{i}",
            **columns,
        }
        for d, dialect in enumerate(("north", "south"))
        for i in range(n_per_class)
    ]


def corpus(given: list[dict], extra: dict | None = None):
    return dataset_of(given, features(["north", "south"], ["c", "d"], extra))


def kinds(found, severity: str | None = None) -> set[str]:
    return {problem.kind for problem in found.problems if severity in (None, problem.severity)}


def problem(found, kind: str):
    matching = [one for one in found.problems if one.kind == kind]
    assert len(matching) == 1, f"{kind}: {found.problems}"
    return matching[0]


def test_features_hold_the_schema_in_order_and_extra_columns_after_it():
    found = features(["b", "a"], ["x"], {"age": Value("int32")})
    assert list(found) == [*COLUMNS, "age"]
    assert found["audio"] == Audio(sampling_rate=16000, decode=False)
    assert found["dialect"] == ClassLabel(names=["b", "a"])
    assert found["cluster"] == ClassLabel(names=["x"])
    assert {name for name in COLUMNS if found[name] == Value("float32")} == {"latitude", "longitude", "duration"}
    assert set(GROUPING) <= {name for name in COLUMNS if found[name] == Value("string")}
    assert "cluster" not in features(["a"])


def test_rows_become_a_dataset_without_torchcodec():
    dataset = corpus([{"audio": {"bytes": b"x", "path": None}, "dialect": "south", "id": "1"}])
    assert dataset[0]["audio"] == {"bytes": b"x", "path": None}
    assert dataset[0]["dialect"] == 1
    assert dataset[0]["speaker"] is dataset[0]["cluster"] is dataset[0]["latitude"] is None


def test_counts_and_hours():
    given = rows(speakers=2, seconds=0.3)
    for row, site in zip(given, ["one", "one", "two"] * 4, strict=True):
        row["site"] = site
    counts = check_corpus(corpus(given), progress=False).counts
    assert list(counts) == ["dialect", "speaker", "site"]
    assert counts["dialect"].loc["north"].to_dict() == pytest.approx({"clips": 6, "hours": 1.8 / 3600, "speakers": 2})
    assert counts["speaker"].loc["south-0", "clips"] == 3
    assert counts["site"]["clips"].to_dict() == {"one": 8, "two": 4}


def test_counts_by_split():
    given = rows()
    splits = DatasetDict(train=corpus(given[:9]), test=corpus(given[9:]))
    counts = check_corpus(splits, progress=False).counts
    assert counts["split"]["clips"].to_dict() == {"train": 9, "test": 3}
    assert counts["dialect"].loc["south", ["train", "test"]].to_list() == [3, 3]


def test_a_good_corpus_has_no_problems(monkeypatch):
    monkeypatch.setattr("hf_dialects.data.check.ENOUGH_MINUTES", 0.01)
    found = check_corpus(corpus(rows()), progress=False)
    assert found.problems == []
    assert "nothing wrong was found" in found.text()


def test_unusable_recordings_are_errors_and_doubtful_ones_warnings(tmp_path):
    given = rows()
    given[0]["audio"] = {"bytes": None, "path": str(tmp_path / "gone.wav")}
    given[1]["audio"] = {"bytes": b"<html>", "path": "page.wav"}
    given[2]["audio"] = {"bytes": b"", "path": "nothing.wav"}
    given[3]["audio"]["bytes"] = encode(np.zeros(3200), 16000)
    given[4]["audio"]["bytes"] = noise(5, level=2.0)
    found = check_corpus(corpus(given), progress=False)
    by_kind = {one.kind: one for one in found.problems}
    assert {kind: by_kind[kind].id for kind in ("missing", "corrupt", "empty", "silent", "clipped")} == {
        "missing": "north0",
        "corrupt": "north1",
        "empty": "north2",
        "silent": "north3",
        "clipped": "north4",
    }
    assert kinds(found, "error") == {"missing", "corrupt", "empty"}
    assert str(tmp_path / "gone.wav") in by_kind["missing"].message
    assert by_kind["silent"].message == "north3 holds no sound in its 0.20 s; leave it out"
    assert [one.severity for one in found.problems[:3]] == ["error"] * 3


def test_a_normalised_recording_is_not_clipped():
    given = rows()
    wave = np.random.default_rng(0).normal(0, 0.1, 3200)
    given[0]["audio"]["bytes"] = encode(wave / np.abs(wave).max(), 16000)
    assert "clipped" not in kinds(check_corpus(corpus(given), progress=False))


def test_duplicates_are_found_by_their_samples_not_their_bytes():
    given = rows()
    wave = np.random.default_rng(9).normal(0, 0.1, 3200)
    given[0]["audio"] = {"bytes": encode(wave, 16000, "flac"), "path": "a.flac"}
    given[1]["audio"] = {"bytes": encode(wave, 16000, "wav"), "path": "b.wav"}
    twice = problem(check_corpus(corpus(given), progress=False), "duplicate")
    assert (twice.severity, twice.message) == ("warning", "2 recordings hold the same samples: north0, north1")

    given[1]["audio"] = {"bytes": noise(1), "path": "b.wav"}
    given[6]["audio"]["bytes"] = encode(wave, 16000, "wav")
    twice = problem(check_corpus(corpus(given), progress=False), "duplicate")
    assert twice.severity == "error"
    assert "in the dialects north and south" in twice.message

    given[6]["dialect"] = "north"
    splits = DatasetDict(train=corpus(given[:6]), test=corpus(given[6:]))
    twice = problem(check_corpus(splits, progress=False), "duplicate")
    assert twice.severity == "error"
    assert "in the splits train and test: north0, south0" in twice.message


def test_silent_recordings_are_no_duplicates():
    given = rows()
    for row in given[:3]:
        row["audio"]["bytes"] = encode(np.zeros(3200), 16000)
    found = kinds(check_corpus(corpus(given), progress=False))
    assert "silent" in found
    assert "duplicate" not in found


def test_stated_durations_are_compared():
    given = rows(duration=0.2)
    given[5]["duration"] = 1.2
    wrong = problem(check_corpus(corpus(given), progress=False), "wrong duration")
    assert wrong.message == "north5 lasts 0.20 s, its duration says 1.20 s"


def test_thresholds_of_enough():
    given = rows(speakers=3)
    for row in given[6:]:
        row["speaker"] = "south-only"
    found = check_corpus(corpus(given), progress=False)
    assert problem(found, "few speakers").message == (
        "south has 1 speaker, who cannot be told from the dialect; at least 3 are enough"
    )
    assert [one.message for one in found.problems if one.kind == "too little"] == [
        "north has 0.0 minutes; at least 10 are enough",
        "south has 0.0 minutes; at least 10 are enough",
    ]
    long = [row | {"duration": 100.0} for row in given]
    assert "too little" not in kinds(check_corpus(corpus(long), decode=False, progress=False))
    just_less = [row | {"duration": 99.9} for row in given]
    assert "too little" in kinds(check_corpus(corpus(just_less), decode=False, progress=False))


def test_classes_that_cannot_be_learned():
    found = check_corpus(corpus(rows()[:7]), progress=False)
    assert problem(found, "one recording").message == "south has one recording; it cannot be in training and test"
    found = check_corpus(corpus(rows()[:6]), progress=False)
    assert problem(found, "one dialect").severity == "error"
    assert problem(found, "no recordings").message == "south is a label without a recording"
    splits = DatasetDict(train=corpus(rows()[:6]), test=corpus(rows()[6:]))
    untrained = problem(check_corpus(splits, progress=False), "no recordings")
    assert (untrained.id, untrained.severity) == ("south", "error")


def test_missing_speakers_are_a_warning():
    found = check_corpus(corpus([row | {"speaker": None} for row in rows()]), progress=False)
    assert problem(found, "no speaker").severity == "warning"
    assert "few speakers" not in kinds(found)


def test_groups_that_cross_splits_are_errors():
    given = rows(speakers=2)
    splits = DatasetDict(train=corpus(given[0::2] + given[1:4:2]), test=corpus(given[5::2]))
    crossing = problem(check_corpus(splits, progress=False), "crossing")
    assert (crossing.id, crossing.severity) == ("speaker", "error")
    assert crossing.message.startswith("1 of 4 values of speaker are in more than one split")


@pytest.mark.parametrize("column", ["device", "source", "session"])
def test_columns_that_give_the_dialect_away(column):
    extra = {} if column in COLUMNS else {column: Value("string")}
    pure = [row | {column: "phone" if row["dialect"] == "north" else "studio"} for row in rows()]
    shortcut = problem(check_corpus(corpus(pure, extra), progress=False), "shortcut")
    assert shortcut.id == column
    assert f"the 2 values of the column {column} settle the dialect" in shortcut.message
    mixed = [*pure[:-1], pure[-1] | {column: "phone"}]
    assert "shortcut" not in kinds(check_corpus(corpus(mixed, extra), progress=False))


def test_speakers_nested_in_dialects_are_no_shortcut():
    assert "shortcut" not in kinds(check_corpus(corpus(rows()), progress=False))


def test_clusters_and_labels_that_contradict_themselves():
    given = rows()
    given[0]["cluster"] = "d"
    assert problem(check_corpus(corpus(given), progress=False), "two clusters").id == "north"
    alike = dataset_of(
        [row | {"dialect": "North " if row["id"] == "north0" else row["dialect"]} for row in rows()],
        features(["North ", "north", "south"], ["c"]),
    )
    assert problem(check_corpus(alike, progress=False), "similar labels").message.endswith("'North ', 'north'")


def test_speakers_of_several_sources_are_pointed_out():
    extra = {"source": Value("string")}
    given = [row | {"source": "ab"[i % 2]} for i, row in enumerate(rows(speakers=3))]
    assert problem(check_corpus(corpus(given, extra), progress=False), "same names").message.startswith("6 speakers")


def test_headers_are_enough_without_decoding(tmp_path):
    given = rows()
    given[0]["audio"]["bytes"] = encode(np.zeros(3200), 16000)
    given[1]["audio"] = {"bytes": None, "path": str(tmp_path / "gone.wav")}
    found = check_corpus(corpus(given), decode=False, progress=False)
    assert found.counts["dialect"].loc["south", "hours"] == pytest.approx(1.2 / 3600)
    assert "missing" in kinds(found)
    assert "silent" not in kinds(found)


def test_the_report_is_json_and_aligned_text():
    given = rows(n_per_class=20, speakers=20)
    for row in given:
        row["audio"]["bytes"] = encode(np.zeros(3200), 16000)
    found = check_corpus(corpus(given), progress=False)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["counts"]["dialect"]["north"]["clips"] == 20
    assert {
        "kind": "silent",
        "id": "north0",
        "message": "north0 holds no sound in its 0.20 s; leave it out",
        "severity": "warning",
    } in (data["problems"])
    text = found.text()
    table = text.split("\n\n")[0].splitlines()
    assert table[0].split() == ["dialect", "clips", "minutes", "speakers"]
    assert len({len(line) for line in table}) == 1
    assert "… and 25 more, with 25 clips" in text
    assert "warning: silent (40)" in text


def test_what_is_no_corpus_is_refused():
    with pytest.raises(CorpusError, match="has no column 'accent'; it has audio, dialect"):
        check_corpus(corpus(rows()), label="accent")
    with pytest.raises(CorpusError, match="a stream cannot be checked"):
        check_corpus(corpus(rows()).to_iterable_dataset())
