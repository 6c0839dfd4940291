"""Tables V and VI of arXiv:2601.07274 with a tiny encoder, and what the corpus must bring."""

import json

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset

from hf_dialects.embeddings import read_frames
from hf_dialects.errors import DialectError
from hf_dialects.reproduce.yubao import STANDARD, SUBGROUPS, check_subgroups, smoke_sites
from hf_dialects.retrieval import retrieval_benchmark


def test_the_smoke_run_has_the_shape_of_the_benchmark():
    corpus = smoke_sites()
    names = corpus.features["cluster"].names
    assert names == list(SUBGROUPS)
    table = corpus.select_columns(["site", "cluster", "sentence_id"]).to_pandas()
    sites = table.groupby("cluster")["site"].nunique()
    assert sites.tolist() == [1] + [3] * 7, "Standard Mandarin is one site"
    assert (table.groupby("site")["sentence_id"].nunique() == 4).all()
    check_subgroups(corpus)


def test_the_command_writes_the_table_and_goes_on(run, tmp_path, monkeypatch):
    arguments = ("reproduce", "yubao-table6", "--smoke", "--quiet", "--out", tmp_path)
    left = run(*arguments)
    assert left.code == 0, left.err
    assert "# yubao-table6: retrieval between subgroups" in left.out
    assert "These numbers mean nothing" in left.out
    assert "was trained with speech recognition data only (312k steps); this is of another" in left.out
    assert "Mind: the corpus has 22 sites (78 published), 4 sentences (50 published), 88 utterances (3,499" in left.out
    content = json.loads((tmp_path / "yubao-table6.json").read_text())
    ids, frames = read_frames(tmp_path / "frames")
    corpus = smoke_sites()
    attributes = corpus.remove_columns("audio").to_pandas().set_index("id").loc[ids].reset_index()
    attributes["cluster"] = [corpus.features["cluster"].int2str(one) for one in attributes["cluster"]]
    expected = retrieval_benchmark(frames, attributes)
    cells = {(row["from"], row["to"]): row for row in content["rows"]}
    assert len(cells) == 8 * 8 - 1, "there is no pair within Standard Mandarin"
    for (source, target), row in cells.items():
        assert row["recall@1"] == pytest.approx(float(expected.matrix.loc[source, target]))
        assert row["chance"] == pytest.approx(1 / 4)
        assert row["paper"] is None
    table = pd.read_csv(tmp_path / "yubao-table6.csv")
    assert list(dict.fromkeys(table["from"])) == list(SUBGROUPS), "in the order of the site list"
    assert table["paper"].isna().all()
    lines = left.out.splitlines()
    shown = f"{100 * cells['gan', 'yue']['recall@1']:.1f}"
    row = next(line for line in lines if line.startswith("| Gan |")).split(" | ")
    assert row[1 + list(SUBGROUPS).index("yue")] == shown
    assert next(line for line in lines if line.startswith("| Standard Mandarin | – |"))
    both = [line for line in lines if "→" in line and line.endswith("| – |")]
    assert len(both) == 2 * 7, "both directions, the paper's column empty"
    assert both[0].startswith("| Standard Mandarin → Mandarin dialects | ")
    assert (tmp_path / "yubao-table6.tex").read_text().count(r"\\") == 9

    monkeypatch.setattr("hf_dialects.embeddings.frame_blocks", None)  # what is there is not done again
    monkeypatch.setattr("hf_dialects.retrieval_source.seqsim_matrix", None)
    monkeypatch.setattr("hf_dialects.retrieval_audio.dtw_distances", None)
    before = (tmp_path / "yubao-table6.md").read_bytes()
    assert run(*arguments).code == 0
    assert (tmp_path / "yubao-table6.md").read_bytes() == before


def corpus_of(clusters):
    names = sorted(set(clusters))
    corpus = Dataset.from_dict({"id": list(map(str, range(len(clusters)))), "cluster": clusters})
    return corpus.cast_column("cluster", ClassLabel(names=names))


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ((STANDARD, "jin"), "jin are no subgroups of the benchmark; expected zh_standard, zh_dialect, gan, hsn"),
        (("gan", "yue"), "the corpus has gan, yue; the tables need zh_standard and dialects"),
        ((STANDARD,), "the corpus has zh_standard; the tables need"),
    ],
)
def test_subgroups_are_those_of_the_benchmark(clusters, message):
    with pytest.raises(DialectError, match=message):
        check_subgroups(corpus_of(clusters))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("yubao-table9", "--smoke"), "there is no experiment 'yubao-table9'; choose one of: yubao-table5, yubao-"),
        (("yubao-table5", "--data", "demo"), "give the corpus with --data and the encoder with --encoders"),
        (("yubao-table5", "--encoders", "model"), "or --smoke for a trial run"),
        (("yubao-table5", "--smoke", "--hours", 3), "--hours are not for yubao-table5; leave them out"),
        (("yubao-table5", "--smoke", "--encoders", "a,b"), "yubao-table5 is of one encoder, got a, b"),
    ],
)
def test_bad_options_are_one_message(run, tmp_path, arguments, message):
    left = run("reproduce", *arguments, "--out", tmp_path)
    assert left.code == 1
    assert message in left.err
    assert len(left.err.splitlines()) == 1
