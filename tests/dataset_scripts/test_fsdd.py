import corpora
import pytest
from hf_dialects.dataset_scripts.fsdd import RECORDINGS, rows

from hf_dialects.errors import CorpusError


@pytest.fixture
def source(tmp_path):
    return corpora.fsdd(tmp_path / "free-spoken-digit-dataset")


def test_a_row_says_who_said_what_with_which_accent(source):
    row = next(row for row in rows(source) if row["id"] == "recordings/1_george_3")
    assert row == {
        "id": "recordings/1_george_3",
        "audio": {"bytes": None, "path": str(source / "recordings" / "1_george_3.wav")},
        "dialect": "GRC/Greek",
        "speaker": "george",
        "sentence_id": "digit_1",
        "text": "one",
        "gender": "male",
        "take": 3,
        "official_split": "test",
    }


def test_rows_are_complete_sorted_and_the_same_again(source):
    first, second = list(rows(source)), list(rows(source))
    assert first == second
    ids = [row["id"] for row in first]
    assert len(ids) == 3 * 2 * 6
    assert ids == sorted(set(ids))


def test_the_official_test_set_holds_every_speaker(source):
    speakers = {}
    for row in rows(source):
        speakers.setdefault(row["official_split"], set()).add(row["speaker"])
        assert (row["take"] < 5) == (row["official_split"] == "test")
    assert speakers["test"] == speakers["train"] == set(corpora.FSDD_SPEAKERS)


def test_the_published_count_is_digits_times_speakers_times_takes():
    assert RECORDINGS == 10 * 6 * 50


def test_a_folder_without_recordings_is_named_with_what_was_expected(tmp_path):
    with pytest.raises(CorpusError, match=r"recordings holds no \{digit\}_\{speaker\}_\{take\}\.wav: is .* a copy"):
        list(rows(tmp_path))


def test_a_file_named_otherwise_is_named(source):
    corpora.tone(source / "recordings" / "eleven_theo.wav")
    with pytest.raises(CorpusError, match=r"1 files in .*eleven_theo\.wav; remove them"):
        list(rows(source))


def test_hidden_files_of_the_system_are_no_recordings(source):
    (source / "recordings" / ".DS_Store").write_bytes(b"\0")
    assert len(list(rows(source))) == 36


def test_a_speaker_whom_the_metadata_do_not_know_is_named(source):
    corpora.tone(source / "recordings" / "0_yweweler_0.wav")
    with pytest.raises(
        CorpusError, match=r"by 'yweweler', of whom .*metadata\.py says nothing; it has george, jackson, theo"
    ):
        list(rows(source))


def test_missing_metadata_are_an_error(source):
    (source / "metadata.py").unlink()
    with pytest.raises(CorpusError, match=r"metadata\.py is missing; it names the accent"):
        list(rows(source))


@pytest.mark.parametrize("text", ["metadata = {", "metadata = load()", "", "metadata = {'theo': {'gender': 'male'}}"])
def test_metadata_of_another_form_are_an_error_and_never_run(source, text):
    (source / "metadata.py").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"metadata\.py is not as expected, one dictionary"):
        list(rows(source))
