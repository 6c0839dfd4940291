"""FLEURS in the layout of the Hub, in folders and in archives, on a few short tones."""

import io
import shutil
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import corpora
import pytest
from hf_dialects.dataset_scripts import fleurs, script, table

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.data.split_folder import join_splits
from hf_dialects.errors import CorpusError
from hf_dialects.retrieval_pool import Question, pool_of

READINGS = {  # language: part: sentence of each recording
    "cmn_hans_cn": {"train": [7, 7, 8], "dev": [1, 1, 1], "test": [2, 3, 3, 4]},
    "yue_hant_hk": {"train": [8, 7], "dev": [1], "test": [3, 2, 2, 2]},
}
SAID = '“他”說：\r\x85\u2028 5" 長'  # quotes of all kinds, and characters that end lines elsewhere


@pytest.fixture
def source(tmp_path):
    """Two languages below data/, unpacked; a recording is named by language, part and number."""
    for number, (language, parts) in enumerate(READINGS.items()):
        folder = tmp_path / "fleurs" / "data" / language
        for part, sentences in parts.items():
            lines = []
            for take, sentence in enumerate(sentences):
                name = f"{number}{part}{take}.wav"
                corpora.tone(folder / "audio" / part / name, seconds=0.1 + 0.01 * sentence, seed=take)
                gender = ("FEMALE", "MALE", "")[take % 3]
                lines.append(
                    (str(sentence), name, f"{SAID} {sentence}.", f"他說 {sentence}", "他 說 |", "1600", gender)
                )
            table = "".join("\t".join(line) + "\n" for line in lines)
            (folder / f"{part}.tsv").write_text(table, encoding="utf-8", newline="\n")
    return tmp_path / "fleurs"


def pack(source: Path, language: str = "cmn_hans_cn", part: str = "test", keep: bool = False) -> Path:
    """Put the recordings of a part into an archive as the Hub has it, the last one first."""
    folder = source / "data" / language / "audio" / part
    archive = folder.with_name(f"{part}.tar.gz")
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.iterdir(), reverse=True):
            file.add(path, f"{part}/{path.name}")
    if not keep:
        shutil.rmtree(folder)
    return archive


def sentences(found) -> Counter:
    return Counter((row["dialect"], row["split"], row["sentence_id"]) for row in found)


def test_a_row_has_the_sentence_and_the_area(source):
    found = {row["id"]: row for row in fleurs.rows(source, readings="all")}
    assert len(found) == 17
    path = source / "data" / "cmn_hans_cn" / "audio" / "test" / "0test1.wav"
    assert found["cmn_hans_cn/test/0test1"] == {
        "id": "cmn_hans_cn/test/0test1",
        "audio": {"bytes": None, "path": str(path)},
        "dialect": "cmn_hans_cn",
        "cluster": "CJK",
        "sentence_id": "3",
        "text": "他說 3",
        "raw_transcription": f"{SAID} 3.",
        "gender": "male",
        "split": "test",
    }
    assert found["yue_hant_hk/dev/1dev0"]["split"] == "validation"
    assert found["yue_hant_hk/test/1test2"]["gender"] is None


def test_one_reading_of_each_sentence_language_and_split(source):
    everything, one = list(fleurs.rows(source, readings="all")), list(fleurs.rows(source))
    assert one == list(fleurs.rows(source))
    assert sentences(one) == dict.fromkeys(sentences(everything), 1)
    assert [row for row in everything if row in one] == one, "in the same order"


def test_the_draw_depends_on_the_seed_and_the_readings_alone(source):
    draws = {seed: [row["id"] for row in fleurs.rows(source, seed=seed)] for seed in range(20)}
    drawn = {id for ids in draws.values() for id in ids if id.startswith("cmn_hans_cn/dev")}
    assert drawn == {f"cmn_hans_cn/dev/0dev{take}" for take in range(3)}, "each is drawn by some seed"
    alone = [row["id"] for row in fleurs.rows(source, languages=("yue_hant_hk",), splits=("test",), seed=5)]
    assert alone == [id for id in draws[5] if id.startswith("yue_hant_hk/test")]
    table = source / "data" / "yue_hant_hk" / "test.tsv"
    *lines, end = table.read_bytes().split(b"\n")
    assert (len(lines), end) == (4, b"")
    table.write_bytes(b"\n".join([*reversed(lines), end]))
    assert [row["id"] for row in fleurs.rows(source, seed=5)] == draws[5], "the order of the table does not matter"


def test_a_reading_that_is_not_there_is_not_drawn(source):
    [chosen] = (row["id"] for row in fleurs.rows(source, languages=("cmn_hans_cn",), splits=("dev",)))
    (source / "data" / "cmn_hans_cn" / "audio" / "dev" / f"{Path(chosen).name}.wav").unlink()
    with pytest.warns(UserWarning, match=rf"cmn_hans_cn/dev: 1 recordings are not there: {Path(chosen).name}\.wav"):
        [other] = (row["id"] for row in fleurs.rows(source, languages=("cmn_hans_cn",), splits=("dev",)))
    assert other != chosen


def test_languages_and_splits_by_option(source):
    found = list(fleurs.rows(source, languages=("yue_hant_hk",), splits=("dev", "train")))
    assert sentences(found) == {
        ("yue_hant_hk", "train", "7"): 1,
        ("yue_hant_hk", "train", "8"): 1,
        ("yue_hant_hk", "validation", "1"): 1,
    }
    assert list(fleurs.rows(source / "data", languages=("yue_hant_hk",), splits=("validation", "train"))) == found


def test_an_archive_holds_the_same_as_its_folder(source):
    pack(source, keep=True)
    unpacked = {row["id"]: row for row in fleurs.rows(source)}
    shutil.rmtree(source / "data" / "cmn_hans_cn" / "audio" / "test")
    packed = {row["id"]: row for row in fleurs.rows(source)}
    assert packed.keys() == unpacked.keys()
    for id, row in packed.items():
        inside = id.startswith("cmn_hans_cn/test")
        assert (row["audio"]["bytes"] is not None) == inside
        if inside:
            assert row["audio"]["path"] == f"{Path(id).name}.wav"
        else:
            assert row == unpacked[id]
    # 0.1 s and 10 ms for the number of the sentence
    lengths = {row["sentence_id"]: len(decode(row["audio"])) for row in packed.values() if row["audio"]["bytes"]}
    assert lengths == {"2": 1920, "3": 2080, "4": 2240}


def test_nothing_of_an_archive_reaches_another_place(source, tmp_path):
    outside = corpora.tone(tmp_path / "outside.wav", seconds=0.5)
    archive = source / "data" / "cmn_hans_cn" / "audio" / "test.tar.gz"
    pack(source)
    content = {}
    with tarfile.open(archive) as file:
        content = {member.name: file.extractfile(member).read() for member in file}
    with tarfile.open(archive, "w:gz") as file:
        for name, data in content.items():
            member = tarfile.TarInfo("../../../../escaped/" + Path(name).name)
            if name.endswith("0test0.wav"):
                member.type, member.linkname = tarfile.SYMTYPE, str(outside)
                file.addfile(member)
            elif name.endswith("0test3.wav"):
                member.type, member.linkname = tarfile.LNKTYPE, "/etc/passwd"
                file.addfile(member)
            else:
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match=r"2 recordings are not there: 0test0\.wav, 0test3\.wav"):
        found = list(fleurs.rows(source, languages=("cmn_hans_cn",), splits=("test",), readings="all"))
    assert sorted(row["id"] for row in found) == ["cmn_hans_cn/test/0test1", "cmn_hans_cn/test/0test2"]
    assert {row["audio"]["bytes"] for row in found} <= set(content.values())
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "breaks off or is damaged"),
        (lambda data: data[:50] + bytes(80) + data[130:], "breaks off or is damaged"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1", r"is no archive; it starts with b'version http'"),
        (lambda data: b"", "is no archive; it starts with b''"),
    ],
)
def test_a_broken_archive_is_an_error(source, damage, message):
    archive = pack(source)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(CorpusError, match=rf"test\.tar\.gz {message}.*: fetch it again"):
        list(fleurs.rows(source))


def test_an_archive_that_breaks_off_anywhere_is_noticed_before_the_first_row(source):
    archive = pack(source)
    data = archive.read_bytes()
    for length in range(20, len(data), len(data) // 40):
        archive.write_bytes(data[:length])
        with pytest.raises(CorpusError, match="breaks off or is damaged"):
            next(fleurs.rows(source, languages=("cmn_hans_cn",), splits=("test",)))
    middle = len(data) // 2
    archive.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(CorpusError, match="breaks off or is damaged"):
        next(fleurs.rows(source, languages=("cmn_hans_cn",), splits=("test",)))


def test_recordings_that_the_table_leaves_out_are_told(source):
    folder = source / "data" / "yue_hant_hk" / "audio" / "test"
    corpora.tone(folder / "spare.wav")
    corpora.tone(folder / "._1test0.wav")
    with pytest.warns(UserWarning, match=r"^yue_hant_hk/test: 1 recordings are not in the table: spare\.wav$"):
        assert len(list(fleurs.rows(source, languages=("yue_hant_hk",), splits=("test",)))) == 2
    shutil.copytree(folder, folder / "again")
    with pytest.raises(CorpusError, match="audio/test holds recordings of one name in different folders"):
        list(fleurs.rows(source, languages=("yue_hant_hk",), splits=("test",)))


def test_a_recording_of_two_sentences_is_left_out(source):
    table = source / "data" / "yue_hant_hk" / "test.tsv"
    with table.open("a", encoding="utf-8") as file:
        file.write("9\t1test0.wav\tx\ty\tz\t1\tMALE\n")
    with pytest.warns(UserWarning, match=r"test\.tsv gives 1test0\.wav to two sentences; they are left out"):
        found = fleurs.read_table(table)
    assert sorted(found) == ["1test1.wav", "1test2.wav", "1test3.wav"]


def test_a_table_of_other_recordings_is_an_error(source):
    (source / "data" / "yue_hant_hk" / "dev.tsv").write_text("1\tgone.wav\tx\ty\tz\t1\tMALE\n", encoding="utf-8")
    with (
        pytest.warns(UserWarning, match="recordings are not"),
        pytest.raises(CorpusError, match=r"none of the 1 recordings of .*dev\.tsv is in .*audio/dev"),
    ):
        list(fleurs.rows(source, languages=("yue_hant_hk",), splits=("dev",)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\tfile_name\traw\ttext\tcharacters\tn\tgender\n", r"line 1: .* has 7 columns; expected, without a header"),
        ("1\ta.wav\tx\ty\tz\t100\tMALE\n2\tb.wav\tx\ty\tz\n", r"line 2: .* has 5 columns; expected"),
        ("1\t../a.wav\tx\ty\tz\t100\tMALE\n", r"line 1: '1\\t\.\./a\.wav"),
        ("", "is empty; fetch it again"),
    ],
)
def test_a_table_of_another_kind_is_an_error(source, content, message):
    (source / "data" / "cmn_hans_cn" / "dev.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        list(fleurs.rows(source, splits=("dev",)))


def test_a_split_needs_its_table_and_its_audio(source):
    folder = source / "data" / "cmn_hans_cn"
    shutil.rmtree(folder / "audio" / "train")
    with pytest.raises(
        CorpusError, match=r"train\.tar\.gz \(or .*audio/train\) is missing beside .*train\.tsv; .*splits="
    ):
        list(fleurs.rows(source))
    assert len(list(fleurs.rows(source, splits=("test",)))) == 5
    (folder / "train.tsv").unlink()
    with pytest.warns(UserWarning, match="cmn_hans_cn lacks train"):
        list(fleurs.rows(source))
    with pytest.raises(CorpusError, match=r"cmn_hans_cn holds none of train\.tsv"):
        list(fleurs.rows(source, splits=("train",)))
    (folder / "dev.tsv").unlink()
    with pytest.raises(CorpusError, match=r"dev\.tsv is missing beside .*audio; fetch it$"):
        list(fleurs.rows(source, splits=("dev",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ("en_gb",)}, "languages=en_gb: none of the 102 of FLEURS, which are ast_es, "),
        ({"languages": ("en_us",)}, "has no folder en_us; it has cmn_hans_cn, yue_hant_hk"),
        ({"splits": ("eval",)}, "splits=eval: FLEURS has train, validation, test"),
        ({"readings": "two"}, "readings=two: expected is one or all"),
    ],
)
def test_options_that_fit_nothing_are_errors(source, options, message):
    with pytest.raises(CorpusError, match=message):
        list(fleurs.rows(source, **options))


def test_a_folder_without_languages_is_an_error(tmp_path):
    with pytest.raises(
        CorpusError, match=r"holds no folder of a language, such as en_us, with train\.tsv and audio/\.$"
    ):
        list(fleurs.rows(tmp_path))
    (tmp_path / "en_us.tar.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"Unpack the archives of whole languages first\.$"):
        list(fleurs.rows(tmp_path))


def test_the_areas_hold_every_language_once():
    assert len(fleurs.AREA_OF) == len(table("fleurs_languages")) == 102
    assert list(Counter(fleurs.AREA_OF.values()).values()) == [25, 16, 12, 20, 14, 11, 4]


def test_prepared_loaded_and_asked_for_parallel_sentences(source, tmp_path):
    archive = pack(source)
    (source / "data" / "yue_hant_hk" / "audio" / "test" / "1test0.wav").write_bytes(b"no sound")
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = ["splits=validation,test", "seed=3"]
        prepare_corpus(script("fleurs"), source, tmp_path / "out", progress=False, report=told.append, options=options)
    assert told[-1] == "warning: 1 recordings cannot be read as audio: yue_hant_hk/test/1test0"
    assert "\nPrepared with splits=validation,test, seed=3.\n" in (tmp_path / "out" / "README.md").read_text("utf-8")
    splits = load_corpus(tmp_path / "out")
    assert {name: len(split) for name, split in splits.items()} == {"validation": 2, "test": 5}
    assert splits["test"].features["dialect"].names == ["cmn_hans_cn", "yue_hant_hk"]
    assert "speaker" not in splits["test"].column_names
    with tarfile.open(archive) as file:
        content = {Path(one.name).stem: file.extractfile(one).read() for one in file}
    packed = [row for row in splits["test"] if row["id"].startswith("cmn")]
    assert [row["audio"]["bytes"] for row in packed] == [content[Path(row["id"]).name] for row in packed]
    pool = pool_of(join_splits(splits), Question(between="dialect"))
    assert (len(pool.rows), pool.group, pool.notes) == (7, "cluster", ())
    with pytest.raises(CorpusError, match="was prepared from other rows"):
        prepare_corpus(
            script("fleurs"), source, tmp_path / "out", progress=False, report=told.append, options=["seed=3"]
        )


def test_the_script_takes_its_options(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setattr(
        "sys.argv", ["fleurs", "--source", str(source), "--out", str(out), "splits=dev", "readings=all"]
    )
    fleurs.main()
    assert "4 recordings" in capsys.readouterr().out
    assert load_corpus(out)["validation"]["sentence_id"][:] == ["1"] * 4
