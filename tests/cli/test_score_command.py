"""Scores of two files of transcripts, in every format, and what is said of files that do not fit."""

import json

import pytest
from recordings import write

from hf_dialects.evaluation.transcripts import read_transcripts, score_transcripts

REFERENCE = """id,text,speaker,dialect,cluster
a1,這兒的女兒玩兒得很開心。,s1,beijing,mandarin
a2,佢哋喺度傾偈,s2,hongkong,yue
a3,我用 iPhone 聽歌,s3,taipei,mandarin
"""
HYPOTHESIS = "a2 佢哋系度倾偈\na1 这 的 女儿 玩 得 开心 了\n\na3 我用 iphone 听 个\n"


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "reference.csv", REFERENCE), write(tmp_path / "heard.txt", HYPOTHESIS)


def test_the_table_is_printed_and_the_json_beside_it(run, files, tmp_path):
    out = tmp_path / "new" / "scores.json"
    left = run("score", "--reference", files[0], "--hypothesis", files[1], "--by", "dialect, cluster", "--json", out)
    assert (left.code, left.err) == (0, "")
    result = json.loads(out.read_text(encoding="utf-8"))
    reference, hypothesis = map(read_transcripts, files)
    assert result == score_transcripts(reference, hypothesis, by=("dialect", "cluster"))
    # 这的女儿玩得很开心 - 很 + 了; 喺 → 系; 歌 → 个
    rates = {(row["column"], row["value"]): row["wer"] for row in result["scores"]}
    counts = {key: tuple(one[name] for name in ("substitutions", "deletions", "insertions", "length")) for key, one in
              rates.items()}  # fmt: skip
    assert counts == {
        (None, "all"): (2, 1, 1, 20),
        ("dialect", "beijing"): (0, 1, 1, 9),
        ("dialect", "hongkong"): (1, 0, 0, 6),
        ("dialect", "taipei"): (1, 0, 0, 5),
        ("cluster", "mandarin"): (1, 1, 1, 14),
        ("cluster", "yue"): (1, 0, 0, 6),
    }
    lines = left.out.splitlines()
    assert lines[0].split() == ["n", "speakers", "words", "WER", "CER", "sub", "del", "ins"]
    assert lines[1].split()[:5] == ["all", "3", "3", "20", ".200"]
    assert lines[1].endswith("indicative (3 speakers)")
    assert lines[3].split()[0] == "dialect"
    assert "every Chinese character counts as a word: WER is what Chinese benchmarks call CER" in left.out
    assert lines[-1] == f"written: {out}"


def test_formats_and_options(run, files, tmp_path):
    rows = [{"id": id, "text": "", "heard": text} for id, text in (("a1", "這"), ("a2", None), ("a3", "x"))]
    table = write(tmp_path / "heard.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "scores.json"
    options = ("--hypothesis-column", "heard", "--simplify", "none", "--keep-erhua", "--seed", 3, "--json", out)
    assert run("score", "--reference", files[0], "--hypothesis", table, *options).code == 0
    (scores,) = json.loads(out.read_text(encoding="utf-8"))["scores"]
    # 11 + 6 + 5 words; 這 is right, x stands for one of five, and an empty text is all deletions
    assert scores["wer"]["length"] == 22
    assert scores["wer"]["substitutions"] == 1
    assert scores["wer"]["deletions"] == 20


def test_without_speakers_utterances_are_independent(run, files, tmp_path):
    plain = write(tmp_path / "reference.txt", "a1 ciao a tutti\na2 buon giorno\na3 no\n")
    heard = write(tmp_path / "h.tsv", "id\ttext\na3\tno\na2\tbuon\na1\tCiao, a tutti!\n")
    left = run("score", "--reference", plain, "--hypothesis", heard)
    assert left.code == 0
    assert left.out.splitlines()[1].split()[:5] == ["all", "3", "3", "6", ".167"]
    assert left.out.rstrip().endswith("utterances taken as independent")
    assert "Chinese" not in left.out


@pytest.mark.parametrize(
    ("reference", "hypothesis", "options", "message"),
    [
        (None, "a1 x\n", (), "heard.txt lacks 2 of the 3 ids of"),
        (None, "a1 x\n", (), "'a2', 'a3'; where a system found nothing, give an empty text"),
        (None, HYPOTHESIS + "a9 x\n", (), "heard.txt has 1 ids that"),
        (None, HYPOTHESIS + "a1 x\n", (), "heard.txt has 1 ids more than once: 'a1'; keep one row of each"),
        (REFERENCE + "a1,x,,,\n", None, (), "reference.csv has 1 ids more than once: 'a1'"),
        (
            REFERENCE.replace("佢哋喺度傾偈", "。"),
            None,
            (),
            "reference.csv has no word in 1 of 3 texts: 'a2'; an error",
        ),
        (REFERENCE.replace("a3,", ","), None, (), "reference.csv: row 3 has no id; every utterance needs one"),
        (REFERENCE.replace("id,", "name,"), None, (), "no column 'id'; its columns are name, text, speaker"),
        (None, None, ("--reference-column", "said"), "no column 'said'; its columns are id, text, speaker"),
        (None, None, ("--by", "age"), "no column 'age'; its columns are id, text, speaker, dialect, cluster"),
        (None, None, ("--simplify", "s2t"), "simplify is 's2t'; it must be t2s, tw2s, hk2s or None"),
        (None, "", (), "heard.txt holds no transcripts; a line is an id, a space and a text"),
    ],
)
def test_bad_input_is_one_message(run, files, reference, hypothesis, options, message):
    for path, text in zip(files, (reference, hypothesis), strict=True):
        if text is not None:
            write(path, text)
    left = run("score", "--reference", files[0], "--hypothesis", files[1], *options)
    assert (left.code, left.out) == (1, "")
    assert message in left.err
    assert len(left.err.splitlines()) == 1


def test_files_that_cannot_be_read(run, files, tmp_path):
    left = run("score", "--reference", tmp_path / "none.csv", "--hypothesis", files[1])
    assert f"there is no file {tmp_path / 'none.csv'}; expected CSV, TSV" in left.err
    files[1].write_bytes("a1 è\n".encode("latin-1"))
    left = run("score", "--reference", files[0], "--hypothesis", files[1])
    assert "heard.txt is not UTF-8 text (byte 3); save it as UTF-8" in left.err
