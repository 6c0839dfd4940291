import corpora
import pytest
from hf_dialects.dataset_scripts.arabic_speech_commands import RECORDINGS, rows

from hf_dialects.errors import CorpusError


@pytest.fixture
def source(tmp_path):
    return corpora.arabic_speech_commands(tmp_path / "arabic-speech-commands-dataset")


def test_a_row_has_the_split_of_the_authors(source):
    row = next(row for row in rows(source) if row["id"] == "dataset/zoom in/00000003_NO_02")
    assert row == {
        "id": "dataset/zoom in/00000003_NO_02",
        "audio": {"bytes": None, "path": str(source / "dataset" / "zoom in" / "00000003_NO_02.wav")},
        "dialect": "Arabic",
        "speaker": "00000003",
        "sentence_id": "zoom in",
        "keyword": "zoom in",
        "take": 2,
        "split": "validation",
    }


def test_no_speaker_is_in_two_splits(source):
    speakers = {}
    for row in rows(source):
        speakers.setdefault(row["split"], set()).add(row["speaker"])
    assert speakers == {"train": {"00000001", "00000002"}, "validation": {"00000003"}, "test": {"00000004"}}


def test_rows_are_complete_sorted_and_the_same_again(source):
    first, second = list(rows(source)), list(rows(source))
    assert first == second
    ids = [row["id"] for row in first]
    assert len(ids) == 2 * 4 * 2
    assert ids == sorted(set(ids))


def test_the_published_count_is_keywords_times_speakers_times_takes():
    assert RECORDINGS == 40 * 30 * 10


def test_without_the_lists_there_is_no_split(tmp_path):
    source = corpora.arabic_speech_commands(tmp_path, lists=False)
    assert {"split" in row for row in rows(source)} == {False}


def test_a_recording_in_no_list_is_named(source):
    corpora.tone(source / "dataset" / "up" / "00000009_NO_01.wav")
    with pytest.raises(CorpusError, match=r"00000009_NO_01\.wav is in none of train\.csv, val\.csv.*from one release"):
        list(rows(source))


def test_lists_that_contradict_each_other_are_an_error(source):
    with (source / "test.csv").open("a", encoding="utf-8") as file:
        file.write("./dataset/up/00000001_NO_01.wav,up\n")
    with pytest.raises(CorpusError, match=r"00000001_NO_01\.wav is in train and, by .*test\.csv, in test too"):
        list(rows(source))


def test_a_list_with_other_columns_is_an_error(source):
    (source / "val.csv").write_text("path,word\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"val\.csv has the columns path, word; expected file and class"):
        list(rows(source))


def test_a_file_named_otherwise_is_named(source):
    corpora.tone(source / "dataset" / "up" / "up01.wav")
    with pytest.raises(CorpusError, match=r"1 files in .*\{speaker\}_NO_\{take\}\.wav: up/up01\.wav; remove them"):
        list(rows(source))


def test_a_folder_without_recordings_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(CorpusError, match=r"dataset holds no \{keyword\}/\{speaker\}_NO_\{take\}\.wav"):
        list(rows(tmp_path))
