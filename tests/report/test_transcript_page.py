"""The page about runs of speech recognition: what is listed, in which order, and that texts stay texts."""

import csv
import json

import pytest
import spelt
from hypothesis import given
from hypothesis import strategies as st

from hf_dialects.errors import CheckpointError
from hf_dialects.evaluation.transcripts import read_transcripts, score_transcripts
from hf_dialects.metrics.error_rates import count_edits
from hf_dialects.report.transcript_errors import Confusion, aligned_pieces, confusions, worst
from hf_dialects.report.transcript_page import panel, write_transcript_report
from hf_dialects.report.transcript_run import read_transcript_runs
from hf_dialects.training.asr_recipe import make_asr_recipe

SAID = ("ab", "ba c", "cab", "abc a", "cc", "b", "aca", "bb a")
HEARD = ("ab", "ba", "cab", "abcabc", "cc c", "", "<b>aca</b>", "cc c")


@pytest.fixture
def folder(tmp_path):
    """A finished run whose corpus is a folder beside it."""
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    corpus.mkdir()
    (run / "transcripts").mkdir(parents=True)
    rows = list(spelt.corpus(SAID))
    for row in rows:
        (corpus / f"{row['id']}.wav").write_bytes(row["audio"]["bytes"])
    with (corpus / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        listed = [[f"{row['id']}.wav", row["dialect"], row["speaker"], row["text"], "test"] for row in rows]
        csv.writer(file).writerows([["file_name", "dialect", "speaker", "text", "split"], *listed])
    path = run / "transcripts" / "test-greedy.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        listed = [
            [row["id"], row["dialect"], row["speaker"], row["text"], heard]
            for row, heard in zip(rows, HEARD, strict=True)
        ]
        csv.writer(file).writerows([["id", "dialect", "speaker", "text", "hypothesis"], *listed])
    both = (read_transcripts(path, name) for name in ("text", "hypothesis"))
    found = score_transcripts(*both, by=["dialect"], draws=20) | {"reference": path.name, "hypothesis": path.name}
    results = {"schema": 1, "task": "asr", "seed": 3, "scores": {"validation": {}, "test": {"greedy": found}}}
    results |= {"model": {"parameters": 1234, "tokens": 7}, "skipped": {"no text": 2}}
    results["selected_on"] = {"by": "cer", "best": "checkpoint-2", "best_value": 0.5, "weights": "checkpoint"}
    results["data"] = {"splits": {"train": {"n": 1000}}}
    (run / "results.json").write_text(json.dumps(results), "utf-8")
    make_asr_recipe({"task": "asr", "data": {"source": str(corpus)}}).write(run / "recipe.yaml")
    log = [{"epoch": one, "step": one, "loss": 3.0 / one, "eval_loss": 4.0, "eval_cer": 0.9} for one in (1, 2)]
    (run / "history.json").write_text(json.dumps({"best": "checkpoint-2", "log": log}), "utf-8")
    return run


def test_the_panel_says_what_results_say(folder):
    (run,) = read_transcript_runs([folder])
    shown = panel(run, 2)
    results = json.loads((folder / "results.json").read_text())["scores"]["test"]["greedy"]["scores"]
    (method,) = shown["methods"]
    assert [row["value"] for rows in method["blocks"].values() for row in rows] == ["all", "north", "south"]
    cer = results[0]["cer"]
    whole = method["blocks"][None][0]
    assert whole["cer"].startswith(f"{cer['value']:.3f}".removeprefix("0"))
    assert whole["shares"]["cer deletions"] == f"{cer['deletions'] / cer['length']:.3f}"
    assert shown["facts"]["chosen"] == "checkpoint-2 by cer on validation (0.500)"
    assert shown["facts"]["left out"] == "2 no text"
    assert [one["axis"] for one in shown["curves"]] == ["loss per frame", "error rate"], "no parts were logged"
    assert len(method["worst"]) == 2


def test_the_worst_come_first_and_the_shortest_last():
    said, heard = ("abcdef", "abcdef", "a", "abcde", "abcde"), ("abcdef", "xbcdef", "b", "a", "xxxxx")
    assert worst(said, heard, list("vwxyz"), 9) == [4, 3, 1, 2], "the right one is not listed"
    assert worst(said, heard, list("vwxyz"), 2) == [4, 3]


@given(st.text("ab c", max_size=8), st.text("ab c", max_size=8))
def test_pieces_are_both_texts_and_their_errors_the_edit_distance(said, heard):
    pieces = aligned_pieces(said, heard)
    assert "".join(piece.said for piece in pieces) == said
    assert "".join(piece.heard for piece in pieces) == heard
    assert all((piece.kind == "equal") == (piece.said == piece.heard) for piece in pieces)
    ours = confusions([said], [heard], 100)
    assert sum(one.n for one in ours) == count_edits([said], [heard], "cer").errors.sum()


def test_confusions_are_counted_over_all_utterances():
    found = confusions(["ab", "aab", "c"], ["cb", "cb", "cx"], 10)
    assert found == [Confusion("a", "c", 2), Confusion("", "x", 1), Confusion("a", "", 1)]
    assert confusions(["wo shi"], ["wo si"], 10, "wer") == [Confusion("shi", "si", 1)]


def test_the_command_writes_a_page_with_sound(run, folder):
    left = run("report", folder, "--with-audio", "--quiet")
    assert left.code == 0, left.err
    text = (folder / "report.html").read_text("utf-8")
    assert left.out == f"written: {folder / 'report.html'}\n"
    errors = sum(said != heard for said, heard in zip(SAID, HEARD, strict=True))
    assert text.count("<audio") == text.count("data:audio/ogg") == errors
    assert "script-src" not in text
    assert "<script" not in text


def test_markup_in_names_and_texts_is_text(folder):
    path = folder / "transcripts" / "test-greedy.csv"
    path.write_text(path.read_text("utf-8").replace("u1,", "<i>u1</i>,"), "utf-8")
    write_transcript_report([folder], folder / "page.html")
    text = (folder / "page.html").read_text("utf-8")
    assert "<i>u1" not in text
    assert "&lt;i&gt;u1" in text


def test_a_corpus_out_of_reach_costs_the_sound_only(folder):
    found = write_transcript_report([folder], folder / "page.html", data=str(folder / "nowhere"), with_audio=True)
    assert len(found.notes) == 1
    assert found.notes[0].startswith("run: without sound, ")
    assert "<audio" not in found.path.read_text("utf-8")


def test_runs_of_other_kinds_are_refused(folder, tmp_path):
    other = tmp_path / "classes"
    other.mkdir()
    (other / "results.json").write_text(json.dumps({"schema": 1, "metrics": {}}))
    with pytest.raises(CheckpointError, match="classes is no run of speech recognition; a page shows runs of one kind"):
        write_transcript_report([folder, other], tmp_path / "page.html")


def test_a_run_that_is_given_twice_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match="is given twice; a report shows every run once"):
        write_transcript_report([folder, folder], tmp_path / "page.html")
