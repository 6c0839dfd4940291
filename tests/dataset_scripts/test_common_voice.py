import csv
import shutil
from pathlib import Path

import corpora
import pytest
import soundfile
from hf_dialects.dataset_scripts import common_voice
from hf_dialects.dataset_scripts.common_voice import accents, rows

from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import CorpusError

COLUMNS = ["client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes"]
COLUMNS += ["age", "gender", "accents", "variant", "locale", "segment"]
US, INDIA = "United States English", "India and South Asia (India, Pakistan, Sri Lanka)"
CLIPS = [  # client, accents, variant, official split
    ("c1", US, "", "train"),
    ("c1", US, "", "train"),
    ("c2", "England English", "", "train"),
    ("c3", INDIA, "South", "dev"),
    ("c4", f"{US}|Midwestern", "", "test"),
    ("c5", f"{US}|England English", "", ""),
    ("c6", "I grew up in many places", "", ""),
    ("c7", "", "", "test"),
    ("c8", "Welsh English", "North", ""),
]


def name(number: int) -> str:
    return f"common_voice_en_{number}.mp3"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release with one locale."""
    folder = tmp_path_factory.mktemp("cv-corpus") / "en"
    lines = []
    for number, (client, accent, variant, _) in enumerate(CLIPS):
        said = (name(number), f"{number % 3:064x}", f'He said "no" {number}', "", "2", "0", "", "")
        lines.append([client, *said, accent, variant, "en", ""])
        wave, rate = soundfile.read(corpora.tone(folder / "clips" / "tone.wav", 32000, 0.2, number))
        soundfile.write(folder / "clips" / name(number), wave, rate, format="MP3")
    (folder / "clips" / "tone.wav").unlink()
    write(folder / "validated.tsv", lines)
    for split in ("train", "dev", "test"):
        write(folder / f"{split}.tsv", [line for line, clip in zip(lines, CLIPS, strict=True) if clip[3] == split])
    return folder


@pytest.fixture
def source(release, tmp_path):
    return Path(shutil.copytree(release, tmp_path / "cv" / "en"))


def write(path: Path, lines: list[list[str]], columns=COLUMNS) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        table.writerows([columns, *lines])


def read(source, **options) -> list[dict]:
    with pytest.warns(UserWarning, match="clips left out"):
        return list(rows(source, **options))


def test_a_row_says_what_the_release_says(release):
    assert read(release)[3] == {
        "id": "common_voice_en_3",
        "audio": {"bytes": None, "path": str(release / "clips" / name(3))},
        "dialect": "South Asian",
        "speaker": "c3",
        "sentence_id": "0" * 64,
        "text": 'He said "no" 3',
        "age": None,
        "gender": None,
        "accents": INDIA,
        "variant": "South",
        "locale": "en",
        "official_split": "validation",
    }


def test_only_accents_of_the_list_that_stand_alone_count(release):
    with pytest.warns(UserWarning, match="clips left out") as told:
        found = list(rows(release.parent))
    assert [row["dialect"] for row in found] == ["United States"] * 2 + ["England", "South Asian", "Welsh"]
    message = str(told[0].message)
    for reason in ("with several accents", "without an accent", "not on the list", "with additions to their accent"):
        assert f"1 {reason}" in message or f"1 with an accent that is {reason}" in message


def test_additions_may_be_kept_and_rare_labels_left_out(release):
    kept = [row["dialect"] for row in read(release, additions="keep")]
    assert kept.count("United States") == 3
    with pytest.warns(UserWarning, match="labels with fewer than 2 clips: England, South Asian, Welsh"):
        assert [row["id"] for row in rows(release, minimum=2)] == ["common_voice_en_0", "common_voice_en_1"]


def test_variants_as_labels(release):
    assert {row["id"]: row["dialect"] for row in read(release, label="variant")} == {
        "common_voice_en_3": "South",
        "common_voice_en_8": "North",
    }


def test_the_official_split(release, tmp_path):
    found = read(release, clips="official", additions="keep")
    assert [(row["id"][-1], row["split"]) for row in found] == [
        ("0", "train"),
        ("1", "train"),
        ("2", "train"),
        ("3", "validation"),
        ("4", "test"),
    ]
    with pytest.warns(UserWarning, match="clips left out"):
        prepare_corpus(
            common_voice,
            release,
            tmp_path / "out",
            progress=False,
            report=lambda text: None,
            options=["clips=official", "additions=keep"],
        )
    splits = load_corpus(tmp_path / "out")
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 3, "validation": 1, "test": 1}
    assert splits["train"][0]["duration"] == pytest.approx(0.2, abs=0.1)
    assert splits["test"][0]["audio"]["bytes"] == (release / "clips" / name(4)).read_bytes()


def test_the_table_of_accents():
    known = accents("en")
    assert len(set(known.values())) == 16
    assert (known[US], known["us"], known["indian"]) == ("United States", "United States", "South Asian")
    assert accents("cy") == {}


def test_older_releases_name_accents_by_code(source):
    columns = [one if one != "accents" else "accent" for one in COLUMNS if one != "sentence_id"]
    lines = [["c1", name(0), "Hello", "", "2", "0", "", "", "us", "", "en", ""]]
    for path in source.glob("*.tsv"):
        write(path, lines, columns) if path.stem in ("validated", "train") else path.unlink()
    (row,) = rows(source)
    assert (row["dialect"], row["sentence_id"], row["official_split"]) == ("United States", "Hello", "train")


def test_locales_without_a_table_take_accents_as_they_are_written(source):
    table = (source / "validated.tsv").read_text().replace("\ten\t", "\tcy\t")
    (source / "validated.tsv").write_text(table)
    found = {row["dialect"] for row in read(source)}
    assert found == {US, "England English", INDIA, "I grew up in many places", "Welsh English"}


def test_several_locales_need_a_name(source):
    shutil.copytree(source, source.parent / "fr")
    with pytest.raises(CorpusError, match="holds the locales en, fr; name one that is there, such as locale=en"):
        list(rows(source.parent))
    assert read(source.parent, locale="en")
    for place in (source, source.parent):
        with pytest.raises(CorpusError, match=r"holds the locales en.*; name one"):
            list(rows(place, locale="de"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "age"}, "label=age: expected is accents or variant"),
        ({"additions": "maybe"}, "additions=maybe: expected is leave or keep"),
        ({"clips": "all"}, "clips=all: expected is validated or official"),
    ],
)
def test_options_that_do_not_exist(release, options, message):
    with pytest.raises(CorpusError, match=message):
        list(rows(release, **options))


def test_no_clip_with_a_label(release):
    with (
        pytest.raises(CorpusError, match="no clip has a label by accents, with 9 clips each"),
        pytest.warns(UserWarning, match="labels with fewer than 9 clips"),
    ):
        list(rows(release, minimum=9))


def test_clips_of_the_tables_that_are_not_there_are_counted(source):
    (source / "clips" / name(4)).unlink()
    with pytest.raises(CorpusError, match=rf"1 clips of the tables are not in .*clips: {name(4)}"):
        list(rows(source))


def test_tables_that_contradict_each_other(source):
    table = (source / "validated.tsv").read_text().splitlines(keepends=True)
    (source / "validated.tsv").write_text("".join(line for line in table if name(3) not in line))
    with pytest.warns(UserWarning, match=rf"1 clips of train, dev and test are not in validated\.tsv: {name(3)}"):
        list(rows(source))
    line = ["c1", name(8), "0", "No", "", "2", "0", "", "", US, "", "en", ""]
    write(source / "test.tsv", [line])
    with pytest.raises(CorpusError, match=rf"a client of {name(8)} is in train too; take all tables from one release"):
        list(rows(source))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\tsentence\n", "has no column client_id; it has path, sentence"),
        ("", "has no column client_id; it has none"),
        ("client_id\tpath\tsentence\na\t../b.mp3\tc\n", "line 2: not the columns of the header"),
        ("client_id\tpath\tsentence\na\tb.mp3\n", "line 2: not the columns of the header"),
    ],
)
def test_tables_of_another_form(source, text, message):
    (source / "validated.tsv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        list(rows(source))


def test_official_clips_need_the_tables(source):
    for table in ("train", "dev", "test"):
        (source / f"{table}.tsv").unlink()
    with pytest.raises(CorpusError, match=r"has none of train\.tsv, dev\.tsv, test\.tsv; fetch them"):
        list(rows(source, clips="official"))
