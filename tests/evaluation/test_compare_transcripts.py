"""Error rates of recognisers compared: hand-counted edits, the plain definition, and what cannot be compared."""

import csv
import json

import numpy as np
import pytest

from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.evaluation.compare import compare_runs, describe_comparison
from hf_dialects.evaluation.compare_transcripts import compare_transcripts, contrast, difference
from hf_dialects.evaluation.transcript_arms import is_asr, paired_transcripts, read_transcript_arm
from hf_dialects.metrics import paired_test
from hf_dialects.metrics.error_rates import error_rate

SAID = ("a b c", "d e", "f g h i", "j")
N_SPEAKERS = 10


def heard_of(seed: int, right: float) -> list[str]:
    """Every word is lost with the same chance; ten speakers say the four sentences."""
    random = np.random.default_rng(seed)
    return [" ".join(word for word in text.split() if random.random() < right) for text in SAID * N_SPEAKERS]


def write_run(folder, heard, said=SAID * N_SPEAKERS, seed=0, split="test", method="greedy", simplify="t2s"):
    path = folder / "transcripts" / f"{split}-{method}.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "speaker", "dialect", "text", "hypothesis"])
        for row, texts in enumerate(zip(said, heard, strict=True)):
            writer.writerow([f"u{row}", f"s{row // len(SAID)}", "north" if row % 2 else "south", *texts])
    found = {"hypothesis": path.name, "normalisation": {"simplify": simplify, "keep_erhua": False}}
    results = {"schema": 1, "task": "asr", "seed": seed, "scores": {split: {method: found}}}
    (folder / "results.json").write_text(json.dumps(results), "utf-8")
    return folder


@pytest.fixture
def folders(tmp_path):
    for seed in range(3):
        write_run(tmp_path / "poor" / f"seed-{seed}", heard_of(seed, 0.6), seed=seed)
        write_run(tmp_path / "good" / f"seed-{seed}", heard_of(seed + 9, 0.95), seed=seed)
    return tmp_path / "poor", tmp_path / "good"


def test_differences_are_those_of_the_error_rates_themselves(folders):
    found = compare_transcripts(folders, ("wer", "cer"), draws=200)
    n_words = sum(len(text.split()) for text in SAID) * N_SPEAKERS
    lost = [[n_words - len(" ".join(heard_of(seed, right)).split()) for seed in seeds] for right, seeds in RUNS]
    wer, cer = found["contrasts"]
    assert wer["baseline_value"] == pytest.approx(np.mean(lost[0]) / n_words)
    assert wer["value"] == pytest.approx(np.mean(lost[1]) / n_words)
    assert wer["difference"] == pytest.approx(wer["value"] - wer["baseline_value"])
    assert wer["difference"] < wer["high"] < 0
    assert wer["p"] <= wer["p_adjusted"] < 0.05
    assert cer["difference"] == pytest.approx(wer["difference"]), "every word is one letter"
    assert (wer["groups"], wer["n"], wer["seeds"], wer["group_unit"]) == (N_SPEAKERS, 40, 3, "speaker")
    assert (found["baseline"], found["tests"]) == ("poor", 2)
    text = describe_comparison(found)
    assert "lower is better: CER, WER" in text
    assert "good  WER" in text


RUNS = ((0.6, range(3)), (0.95, range(9, 12)))


def test_the_fast_path_is_the_plain_paired_test(folders):
    arms = [read_transcript_arm(folder, "test", folder.name) for folder in folders]
    pair = paired_transcripts(*arms)
    some = np.arange(0, len(pair.references), 2)
    of_a, of_b, length = pair.edits["wer"]

    def plain(gold, errors, weights=None):
        return error_rate(errors, gold, weights=weights)

    groups = pair.groups.part(some)
    expected = paired_test(
        *(plain, of_b[:, some], of_a[:, some], length[some], groups.values),
        crossed=groups.crossed,
        seeds=pair.seeds,
        strata=np.zeros(len(some), int),
        n=60,
    )
    found = difference(pair, "wer", some, draws=60)
    assert found["difference"] == pytest.approx(expected.difference)
    assert found["p"] == pytest.approx(expected.p)
    assert found["low"] == pytest.approx(expected.interval.low)


def test_a_run_is_not_better_than_itself(folders, tmp_path):
    same = [write_run(tmp_path / name, heard_of(0, 0.7)) for name in ("one", "other")]
    (row,) = compare_transcripts(same, ["cer"], draws=50)["contrasts"]
    assert (row["difference"], row["p"], row["p_adjusted"]) == (0, 1, 1)


def test_the_command_knows_what_kind_of_runs_it_is_given(run, folders, tmp_path):
    out = tmp_path / "table.json"
    left = run("compare", *folders, "--json", out)
    assert left.code == 0, left.err
    assert [row["metric"] for row in json.loads(out.read_text())["contrasts"]] == ["cer", "wer"]
    assert is_asr(folders[0])
    assert not is_asr(tmp_path)
    left = run("compare", *folders, "--metric", "accuracy")
    assert left.code == 1
    assert "metrics that cannot be compared: 'accuracy'; of transcripts those that can are cer, wer" in left.err
    left = run("compare", *folders, "--method", "attention")
    assert "has no transcripts of 'test' by attention; it has test by greedy" in left.err


def test_what_cannot_be_compared(folders, tmp_path):
    poor = folders[0]
    with pytest.raises(DialectError, match="give two or more different ones"):
        compare_transcripts([poor, poor])
    other = write_run(tmp_path / "other", heard_of(0, 0.6), said=("x y z", *SAID[1:]) * N_SPEAKERS)
    first = write_run(tmp_path / "first", heard_of(0, 0.6))
    with pytest.raises(CorpusError, match="what was said differs between first and other in 10 of 40"):
        compare_transcripts([first, other])
    fewer = write_run(tmp_path / "fewer", heard_of(0, 0.6)[:30], said=(SAID * N_SPEAKERS)[:30])
    with pytest.raises(CorpusError, match="10 of 40 are missing"):
        compare_transcripts([first, fewer])
    unlike = write_run(tmp_path / "unlike", heard_of(0, 0.6), simplify=None)
    with pytest.raises(CorpusError, match="normalised differently"):
        compare_transcripts([first, unlike])
    with pytest.raises(CheckpointError, match="holds no finished run"):
        compare_transcripts([first, tmp_path / "nothing"])
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes" / "results.json").write_text(json.dumps({"schema": 1, "metrics": {}}))
    with pytest.raises(CheckpointError, match="is no run of speech recognition"):
        compare_transcripts([first, tmp_path / "classes"])
    with pytest.raises(CheckpointError, match="holds no predictions"):
        compare_runs([first, other])


def test_a_few_missing_utterances_are_left_out_and_said(tmp_path):
    first = write_run(tmp_path / "first", heard_of(0, 0.6))
    fewer = write_run(tmp_path / "fewer", heard_of(0, 0.9)[:39], said=(SAID * N_SPEAKERS)[:39])
    arms = [read_transcript_arm(one, "test", one.name) for one in (first, fewer)]
    (row,) = contrast(*arms, ["wer"], draws=50)
    assert row["n"] == 39
    assert "1 of 40 utterances are left out" in row["warning"]
