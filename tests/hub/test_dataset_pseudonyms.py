"""Pseudonyms are keyed hashes; what tells who speaks is found."""

import hmac
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.hub.dataset_pseudonyms import Pseudonyms, personal_columns

KEY = bytes(range(32))
WHO = ["ann", "ann", "bo", "bo", None]


def test_a_pseudonym_is_the_start_of_hmac_sha256_of_column_and_value():
    expected = hmac.new(KEY, b"speaker\0Ann", sha256).hexdigest()[:20]
    assert Pseudonyms(KEY).of("speaker", "Ann") == expected
    assert Pseudonyms(KEY).of("speaker", None) is None
    assert Pseudonyms(KEY).of("session", "Ann") != expected
    assert Pseudonyms(bytes(32)).of("speaker", "Ann") != expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(0, 9))))
def test_groups_stay_as_they_are(values):
    values = [None if one is None else str(one) for one in values]
    replaced = [Pseudonyms(KEY).of("speaker", one) for one in values]
    assert [[a == b for b in values] for a in values] == [[a == b for b in replaced] for a in replaced]


def test_the_mapping_is_for_the_owner_alone(tmp_path):
    pseudonyms = Pseudonyms(KEY)
    found = pseudonyms.of("speaker", 'A "b", c')
    pseudonyms.write(tmp_path / "mapping.csv")
    assert (tmp_path / "mapping.csv").read_text().splitlines() == [
        "column,value,pseudonym",
        f'speaker,"A ""b"", c",{found}',
    ]
    assert (tmp_path / "mapping.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "values", "personal"),
    [
        ("recording", ["r1", "r2", "r3", "r4", "r5"], True),
        ("session", [None] * 5, True),
        ("file", ["x_ANN-1.wav", None, None, None, None], True),
        ("microphone", ["M1", "M1", "M2", "M2", "M1"], False),
        ("word", ["banner", "annex", "bobbin", "b", "ann2"], False),
        ("take", [1, 2, 1, 2, 1], False),
        ("site", ["ann", "ann", "bo", "bo", "bo"], False),
        ("turns", [[{"who": "Ann"}], [], None, [{"who": "x"}], None], True),
        ("interviewer", ["nobody", "nobody", "ann", "nobody", None], True),
        ("sentence_id", ["ann_1", "ann_2", "bo_1", "bo_2", "x"], True),
        ("sentence_id", ["s1", "s2", "s1", "s2", "s1"], False),
        ("file_name", ["1.wav", "2.wav", "3.wav", "4.wav", "5.wav"], True),
        ("word", ["one", "two", "one", "two", "bo"], False),
    ],
)
def test_columns_that_hold_the_speaker_are_personal(name, values, personal):
    found, _ = personal_columns({"id": list("abcde"), "speaker": WHO, name: values})
    assert found == ["id", "speaker", *([name] if personal else [])]


def test_what_holds_its_row_s_id_is_personal():
    columns = {"id": ["tapes/tape17", "tapes/tape18"], "speaker": ["1", "2"], "text": ["of tape17", ""]}
    columns |= {"note": ["see TAPE17.cha", ""], "sentence_id": ["tape17-1", "tape18-1"], "room": ["tape", "tapes"]}
    assert personal_columns(columns) == (["id", "speaker", "note", "sentence_id"], {})


def test_a_key_has_a_mark_that_is_no_pseudonym():
    assert Pseudonyms(KEY).mark == hmac.new(KEY, b"", sha256).hexdigest()[:20]
    assert Pseudonyms(KEY).mark != Pseudonyms(bytes(32)).mark


def test_long_ids_count_within_words_and_short_ones_only_where_every_row_holds_them():
    found, _ = personal_columns({"speaker": ["04G95mb01", "x"], "name": ["04G95mb01yf0001", "0"]})
    assert found == ["speaker", "name"]
    chapters = {"speaker": ["1", "2", "3"], "chapter": ["part 1", "part 2", "part 1"]}
    assert personal_columns(chapters)[0] == ["speaker"]
    assert personal_columns(chapters | {"chapter": ["part 1", "part 2", "part 3"]})[0] == ["speaker", "chapter"]


def test_texts_stay_and_are_told():
    texts = ["I am Ann", "hello", "so", "Bo, that is me", "ann"]
    assert personal_columns({"speaker": WHO, "text": texts}) == (["speaker"], {"text": 2})


SIX = ["ann", "bo", "cy", "dee", "ed", "flo"]


@pytest.mark.parametrize(
    ("values", "personal"),
    [
        (["K", "L", "M", "N", "O", "P"], True),
        ([11, 12, 13, 14, 15, 16], True),
        ([1.5, 2.5, 3.5, 4.5, 5.5, 6.5], False),
        (["K", "K", "M", "N", "O", "P"], False),
    ],
)
def test_another_value_for_each_speaker_names_the_speaker(values, personal):
    assert personal_columns({"speaker": SIX, "client": values})[0] == ["speaker", *(["client"] if personal else [])]
    few = {"speaker": SIX[:4], "client": values[:4]}
    assert personal_columns(few)[0] == ["speaker"], "four may differ by chance"


def test_a_column_that_names_the_site_is_about_the_site():
    sites = ["s1", "s2", "s3", "s4", "s5", "s6"]
    columns = {"speaker": SIX, "site": sites, "town": [f"Town of {one}" for one in sites]}
    assert personal_columns(columns)[0] == ["speaker"]


def test_without_speakers_only_ids_are_personal():
    assert personal_columns({"id": ["a", "b"], "take": ["1", "2"]}) == (["id"], {})
