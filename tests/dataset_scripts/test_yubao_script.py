"""YuBao: a tree of recordings as the released scripts leave it, beside the metadata of the Hub."""

import csv
import json
import shutil
import warnings

import corpora
import pandas as pd
import pytest
from hf_dialects.dataset_scripts import script, yubao

from hf_dialects.data.load import load_corpus
from hf_dialects.data.prepare import prepare_corpus
from hf_dialects.errors import CorpusError
from hf_dialects.reproduce.yubao import PUBLISHED, SUBGROUPS, check_subgroups
from hf_dialects.retrieval_pool import Question, pool_of

quiet = pytest.mark.filterwarnings("ignore:.*published:UserWarning")
TREE = {  # folder, named as a site is: utterance ids
    "上海_市区_杨浦区": ["04G96mb01yf0001", "04G96mb01yf0002", "04G96mb01yf0050"],
    "江苏_苏州市_姑苏区": ["10G71mb01yf0001", "10G71mb01yf0003"],
    "河北_承德市_滦平县": ["11127mb01yf0001", "11127mb01yf0002", "11127mb01yf0003"],
}


def videos():
    """Rows of yubao_videos: of the utterances, of one that was not collected, and of a site that is not asked for."""
    ids = [(name, site) for site, names in TREE.items() for name in names]
    ids += [("10G71mb01yf0002", "江苏_苏州市_姑苏区"), ("15J15mb01yf0001", "广东_云浮市_罗定县")]
    return [
        {
            "transcript": f"侬好{int(name[-4:])}",
            "translation": f"你好{int(name[-4:])}",
            "ipa": "noŋ22 hɔ44",
            "english": f'hello, "{int(name[-4:])}"',
            "utterance_id": name,
            "site": site,
            "subgrouping": "吴语太湖片苏沪嘉小片" if name[0] in "04" else "",
        }
        for name, site in ids
    ]


def sites():
    """Rows of yubao_sites."""
    return [
        {"site_id": names[0][:5], "site": site, "subgrouping": "", "sentences": names} for site, names in TREE.items()
    ]


@pytest.fixture
def source(tmp_path):
    """The tree, with the videos still beside the recordings."""
    folder = tmp_path / "scraped"
    for site, names in TREE.items():
        for number, name in enumerate(names):
            corpora.tone(folder / site / f"{name}.wav", seconds=0.2, seed=number)
            (folder / site / f"{name}.mp4").write_bytes(b"film")
    return folder


def parquet(source, name, content):
    path = source / name / "data" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame(content).to_parquet(path)
    return path


@pytest.fixture
def described(source):
    parquet(source, "yubao_videos", videos())
    parquet(source, "yubao_sites", sites())
    return source


def messages(folder):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        list(yubao.rows(folder))
    return [str(one.message) for one in told]


@quiet
@pytest.mark.filterwarnings("ignore:1 utterances of these sites")
def test_a_row_has_site_subgroup_sentence_and_texts(described):
    found = list(yubao.rows(described))
    assert [row["id"] for row in found] == sorted(name for names in TREE.values() for name in names)
    assert found[2] == {
        "id": "04G96mb01yf0050",
        "audio": {"bytes": None, "path": str(described / "上海_市区_杨浦区" / "04G96mb01yf0050.wav")},
        "dialect": "wuu",
        "cluster": "wuu",
        "speaker": "04G96mb01",
        "site": "04G96",
        "sentence_id": "50",
        "text": "侬好50",
        "translation": "你好50",
        "ipa": "noŋ22 hɔ44",
        "english": 'hello, "50"',
        "site_name": "上海_市区_杨浦区",
        "subgrouping": "吴语太湖片苏沪嘉小片",
    }
    assert [row["cluster"] for row in found] == ["wuu"] * 5 + ["zh_standard"] * 3
    assert found[-1]["subgrouping"] is None


@quiet
@pytest.mark.filterwarnings("ignore:1 utterances of these sites")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_metadata_may_be_csv_or_json_lines_with_other_names(described, kind):
    expected = list(yubao.rows(described))
    shutil.rmtree(described / "yubao_videos")
    renamed = [
        {
            {"utterance_id": "utt_id", "transcript": "transcription"}.get(name, name): value
            for name, value in row.items()
        }
        for row in videos()
    ]
    if kind == "csv":
        with (described / "videos.csv").open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(renamed[0]))
            writer.writeheader()
            writer.writerows(renamed)
    else:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in renamed)
        (described / "videos.jsonl").write_text(text, encoding="utf-8")
    (described / "record.csv").write_text("id,modify_time,code\n04G96,2025,200\n")  # of the crawler, left alone
    assert list(yubao.rows(described)) == expected


@quiet
def test_without_the_videos_metadata_there_are_no_texts(source):
    parquet(source, "yubao_sites", sites())
    with pytest.warns(UserWarning, match=r"holds no table with utterance_id \(yubao_videos\): there are no texts"):
        found = list(yubao.rows(source))
    assert {row["text"] for row in found} == {None}
    assert found[0]["site_name"] == "上海_市区_杨浦区"
    assert [row["sentence_id"] for row in found] == ["1", "2", "50", "1", "3", "1", "2", "3"]


def test_differences_from_the_published_facts_are_told_with_both_numbers(described):
    told = messages(described)
    assert "zh_standard" not in " ".join(told)
    assert "gan has 0 sites here, 11 published; missing: 18358, 18924, 18930, 18935, 18941 and 6 more" in told
    assert "wuu has 2 sites here, 11 published; missing: 04G89, 04G90, 04G94, 04G97, 04G98 and 4 more" in told
    assert "3 sites are here, 78 published" in told
    assert "4 sentences are here, 50 published" in told
    assert "recordings last 0.00 h here, 6.75 h published" in told
    assert "1 utterances of these sites in the metadata have no recording: 10G71mb01yf0002" in told
    assert len(told) == 7 + 4


def test_a_whole_benchmark_differs_in_nothing(monkeypatch):
    monkeypatch.setattr(yubao, "duration_s", lambda cell: 6.945)
    places = [(site, subgroup) for subgroup, listed in yubao.SITES.items() for site in listed]
    found = [
        {"site": site, "dialect": subgroup, "sentence_id": str(sentence), "audio": {}}
        for sentence in range(1, 51)
        for site, subgroup in places
    ]
    found = found[:3110] + found[3110::2][: yubao.RECORDINGS - 3110]  # some sites lack some of the last sentences
    assert len(found) == yubao.RECORDINGS
    assert yubao.differences(found) == []
    assert yubao.differences([*found[1:], found[0] | {"sentence_id": "51"}]) == ["51 sentences are here, 50 published"]
    found = [row for row in found if row["site"] != "02G35"]
    assert yubao.differences(found) == [
        "min has 10 sites here, 11 published; missing: 02G35",
        "77 sites are here, 78 published",
        f"recordings last {len(found) * 6.945 / 3600:.2f} h here, 6.75 h published",
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_recordings_that_are_no_sentences_of_the_benchmark_are_left_out_and_told(described):
    expected = {row["id"] for row in yubao.rows(described)}
    folder = described / "上海_市区_杨浦区"
    for name in ("04G96mb01dz0001", "04G96mb01yf0051", "04G96mb01yf0000", "上海_0001", ".04G96mb01yf0004"):
        corpora.tone(folder / f"{name}.wav")
    corpora.tone(described / "广东_云浮市_罗定县" / "15J15mb01yf0001.wav")
    told = messages(described)
    left_out = "04G96mb01dz0001.wav, 04G96mb01yf0000.wav, 04G96mb01yf0051.wav, 上海_0001.wav"
    assert f"4 recordings left out, not named as sentences: {left_out}" in told
    assert "sites left out, not of the benchmark: 15J15" in told
    assert {row["id"] for row in yubao.rows(described)} == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_of_two_sites_of_one_name_one_is_taken(source):
    corpora.tone(source / "广东_东莞_（无）" / "15223mb01yf0001.wav")
    assert {row["cluster"] for row in yubao.rows(source) if row["site"] == "15223"} == {"yue"}
    assert not any("yue has 1 sites here, 11 published; missing: 15991" in one for one in messages(source))
    corpora.tone(source / "广东_东莞_（无）" / "15991mb01yf0001.wav")
    assert [row["site"] for row in yubao.rows(source) if row["cluster"] == "yue"] == ["15991"]
    assert "sites left out, not of the benchmark: 15223" in messages(source)


@quiet
def test_recordings_without_metadata_are_told(described):
    corpora.tone(described / "河北_承德市_滦平县" / "11127mb01yf0009.wav")
    assert "the metadata says nothing of 1 recordings: 11127mb01yf0009" in messages(described)


def test_two_recordings_of_one_utterance_are_an_error(source):
    corpora.tone(source / "elsewhere" / "04G96mb01yf0002.wav")
    with (
        pytest.warns(UserWarning, match="no texts"),
        pytest.raises(CorpusError, match=r"04G96mb01yf0002\.wav and .*04G96mb01yf0002\.wav have one utterance id"),
    ):
        list(yubao.rows(source))


@pytest.mark.filterwarnings("ignore:.*no texts")
def test_a_folder_without_recordings_of_the_benchmark_names_what_was_found(source, tmp_path):
    for path in source.rglob("*.wav"):
        path.unlink()
    with pytest.raises(
        CorpusError, match=r"found are no sites and no other recordings\. Extract the sound of the 8 vid"
    ):
        list(yubao.rows(source))
    corpora.tone(tmp_path / "other" / "15J15mb01yf0001.wav")
    corpora.tone(tmp_path / "other" / "a.wav")
    with pytest.raises(
        CorpusError, match=r"named as 11127mb01yf0001\.wav is; found are 15J15 sites and a\.wav other rec"
    ):
        list(yubao.rows(tmp_path / "other"))


def test_tables_of_which_none_is_the_metadata_are_named_with_their_columns(source):
    (source / "list.csv").write_text("name,words\na,b\n")
    parquet(source, "more", [{"sound": "x", "said": "y"}])
    expected = r"none of the tables of .*list\.csv \(columns name, words\); .*parquet \(columns sound, said\)"
    with pytest.raises(CorpusError, match=expected) as told:
        list(yubao.rows(source))
    assert "a column utterance_id, yubao_sites a column site_id" in str(told.value)


def test_a_broken_table_is_an_error(source):
    path = parquet(source, "yubao_videos", videos())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"parquet cannot be read as Parquet \(.*\); fetch it again"):
        list(yubao.rows(source))
    pd.DataFrame(videos()[:0], columns=["utterance_id"]).to_parquet(path)
    with pytest.raises(CorpusError, match="holds no rows"):
        list(yubao.rows(source))


def test_the_sites_are_those_of_the_published_tables():
    assert set(yubao.SITES) == set(SUBGROUPS)
    assert [len(yubao.SITES[name]) for name in SUBGROUPS] == [1] + [11] * 7
    listed = [site for names in yubao.SITES.values() for site in names]
    assert len(set(listed)) == 78
    assert PUBLISHED == {"sites": 78, "sentences": yubao.SENTENCES, "utterances": yubao.RECORDINGS}
    assert set(yubao.NAMESAKES.values()) <= set(listed)
    assert not set(yubao.NAMESAKES) & set(listed)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_prepared_and_loaded_it_is_ready_for_retrieval(described, tmp_path):
    (described / "上海_市区_杨浦区" / "04G96mb01yf0002.wav").write_bytes(b"no sound")
    told = []
    prepare_corpus(script("yubao"), described, tmp_path / "out", progress=False, report=told.append)
    assert told[0] == f"warning: {described} holds 8 recordings; the published corpus holds 3,499"
    assert told[-1] == "warning: 1 recordings cannot be read as audio: 04G96mb01yf0002"
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "license: other\n" in card
    assert "they cannot be redistributed" in card
    corpus = load_corpus(tmp_path / "out")
    assert corpus.features["cluster"].names == ["wuu", "zh_standard"]
    assert corpus["translation"][:3] == ["你好1", "你好2", "你好50"]
    check_subgroups(corpus)
    pool = pool_of(corpus, Question())
    assert (len(pool.rows), pool.group, set(pool.attributes["site"])) == (8, "cluster", {"04G96", "10G71", "11127"})
