"""hf_dialects.evaluation.compare and arms: what is matched with what, and the table against the test by hand."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_dialects.errors import CheckpointError, CorpusError, DialectError
from hf_dialects.evaluation.compare import compare_runs, describe_comparison, short_names
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import Predictions, grouping_of
from hf_dialects.metrics import accuracy, holm, negative_log_likelihood, paired_test

LABELS = ["isle", "north", "south"]
SPEAKERS, CLIPS = 12, 5
N = SPEAKERS * CLIPS
GOLD = np.repeat(np.arange(SPEAKERS) % 3, CLIPS)
SPEAKER = np.repeat(np.arange(SPEAKERS), CLIPS)


def corpus(gold=GOLD, labels=LABELS, speakers=SPEAKER, prefix="u"):
    ids = [f"{prefix}{row}" for row in range(len(gold))]
    columns = {} if speakers is None else {"speaker": [f"s{one:02}" for one in speakers]}
    rows = Dataset.from_dict({"id": ids, "dialect": [int(one) for one in gold], **columns})
    return rows.cast_column("dialect", ClassLabel(names=labels))


def predicted(rows, strength, seed):
    """Predictions that are right the oftener the stronger they are."""
    random = np.random.default_rng(seed)
    gold = np.array(rows["dialect"])
    n_classes = len(rows.features["dialect"].names)
    logits = random.normal(size=(len(gold), n_classes)) + strength * np.eye(n_classes)[gold]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ones = np.ones(len(gold))
    return Predictions(list(rows["id"]), gold, probabilities, ones.astype(int), ones, grouping=grouping_of(rows))


def write(folder, rows, made, seed=0, split="test"):
    labels = rows.features["dialect"].names
    write_results(build_results({split: made}, {split: rows}, labels, seed=seed, draws=50), folder / "results.json")
    made.write(folder / "predictions" / f"{split}.parquet")
    return folder


def setting(folder, strength, seeds=(0, 1), **options):
    """A folder with seed-0, seed-1 …"""
    rows = corpus(**options)
    for seed in seeds:
        write(folder / f"seed-{seed}", rows, predicted(rows, strength, 100 * seed + int(10 * strength)), seed)
    return folder


def read(folder, seed):
    return Predictions.read(folder / f"seed-{seed}" / "predictions" / "test.parquet")


def test_every_run_is_tested_against_the_first_and_holm_covers_all_of_them(tmp_path):
    a, b, c = (setting(tmp_path / name, strength) for name, strength in (("a", 0.5), ("b", 2.0), ("c", 0.6)))
    found = compare_runs([a, b, c], metrics=["accuracy", "nll"], draws=200)
    assert [(row["run"], row["metric"]) for row in found["contrasts"]] == [
        ("b", "accuracy"), ("b", "nll"), ("c", "accuracy"), ("c", "nll"),
    ]  # fmt: skip
    assert (found["baseline"], found["tests"], found["correction"]) == ("a", 4, "holm")
    for row in found["contrasts"]:
        runs = [[read(folder, seed).probabilities for seed in (0, 1)] for folder in (tmp_path / row["run"], a)]
        ours, theirs = np.array(runs)
        metric = negative_log_likelihood
        if row["metric"] == "accuracy":
            metric, ours, theirs = accuracy, ours.argmax(-1), theirs.argmax(-1)
            by_hand = (ours == GOLD).mean() - (theirs == GOLD).mean()
            assert row["difference"] == pytest.approx(by_hand)
            assert row["value"] - row["baseline_value"] == pytest.approx(by_hand)
        expected = paired_test(metric, ours, theirs, GOLD, SPEAKER, n=200)
        assert row["p"] == pytest.approx(expected.p, rel=1e-9)
        assert (row["low"], row["high"]) == pytest.approx((expected.interval.low, expected.interval.high))
        assert row["smallest_detectable"] == pytest.approx(expected.smallest_detectable)
        assert (row["n"], row["groups"], row["seeds"]) == (N, SPEAKERS, 2)
        assert (row["group_unit"], row["strata"]) == ("speaker", "dialect")
        assert row["warning"] == "2 seeds: seed variance is not resolved"
    p, adjusted = ([row[name] for row in found["contrasts"]] for name in ("p", "p_adjusted"))
    assert adjusted == holm(p).tolist()
    assert min(p) < 0.01 < 0.1 < max(p), "the arms should differ in how far they are from the baseline"


def test_the_table_says_all_of_it(tmp_path):
    a, b = setting(tmp_path / "a", 0.5), setting(tmp_path / "b", 2.0)
    found = compare_runs([a, b], metrics=["accuracy", "brier"], draws=200)
    head, columns, first, second, *notes = describe_comparison(found).splitlines()
    row = found["contrasts"][0]
    assert head == "test: against a, 2 tests"
    assert " ".join(columns.split()) == "run metric baseline run difference p adjusted p detectable over"
    assert first.split()[:4] == ["b", "accuracy", f"{row['baseline_value']:.3f}", f"{row['value']:.3f}"]
    assert first.endswith(f"{row['smallest_detectable']:.3f}       60 utterances, 12 speakers, 2 seeds")
    assert second.split()[:2] == ["b", "Brier"]
    assert notes == [
        "  difference: run minus baseline, 95 % interval, p adjusted for all tests (Holm)",
        "  detectable: the smallest difference that data with this spread would show with 80 % power",
        "  lower is better: Brier",
        "  2 seeds: seed variance is not resolved",
    ]


def test_seeds_are_matched_by_name(tmp_path):
    a, b = setting(tmp_path / "a", 0.5, (0, 1, 2)), setting(tmp_path / "b", 2.0, (1, 2, 3))
    row = compare_runs([a, b], ["accuracy"], draws=50)["contrasts"][0]
    values = [(read(b, seed).probabilities.argmax(1) == GOLD).mean() for seed in (1, 2)]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["seeds"] == 2
    assert "only one of both has seed-0, seed-3" in row["warning"]
    with pytest.raises(DialectError, match=r"a \(seed-0, seed-1, seed-2\) and c \(seed-7\) have no seed in common"):
        compare_runs([a, setting(tmp_path / "c", 1.0, (7,))])


def test_single_runs_are_paired_whatever_their_seeds(tmp_path):
    rows = corpus()
    a = write(tmp_path / "a", rows, predicted(rows, 1.0, 1), seed=0)
    b = write(tmp_path / "b", rows, predicted(rows, 1.0, 2), seed=4)
    row = compare_runs([a, b], ["macro_f1"], draws=50)["contrasts"][0]
    assert row["warning"] == "1 seed: seed variance is not resolved; runs of different seeds (seed-0 and seed-4)"
    one = compare_runs([a, setting(tmp_path / "c", 1.0, (0, 1))], ["macro_f1"], draws=50)["contrasts"][0]
    assert one["seeds"] == 1
    assert "only one of both has seed-1" in one["warning"]


def test_utterances_are_matched_by_id_and_dialects_by_name(tmp_path):
    rows = corpus()
    made = predicted(rows, 1.0, 1)
    a = write(tmp_path / "a", rows, made)
    # the same answers in another order of utterances and labels, with a dialect more
    labels = ["south", "isle", "east", "north"]
    order = np.random.default_rng(0).permutation(N)
    numbers = np.array([labels.index(name) for name in LABELS])
    shuffled = rows.select(order).cast_column("dialect", ClassLabel(names=LABELS))
    other = Dataset.from_dict({"id": shuffled["id"], "speaker": shuffled["speaker"], "dialect": numbers[GOLD[order]]})
    other = other.cast_column("dialect", ClassLabel(names=labels))
    probabilities = np.zeros((N, 4))
    probabilities[:, numbers] = made.probabilities[order]
    ids = list(other["id"])
    same = replace(made, ids=ids, gold=numbers[GOLD[order]], probabilities=probabilities, grouping=grouping_of(other))
    b = write(tmp_path / "b", other, same)
    for row in compare_runs([a, b], ["accuracy", "weighted_f1", "nll", "ece"], draws=50)["contrasts"]:
        assert row["difference"] == pytest.approx(0, abs=1e-12), row["metric"]
        assert row["value"] not in (0, 1), "a trivial score would prove nothing"


def test_a_few_missing_utterances_are_counted_and_many_are_an_error(tmp_path):
    rows = corpus()
    made = predicted(rows, 1.0, 1)
    a = write(tmp_path / "a", rows, made)

    def without(n):
        kept = list(range(n, N))
        part = rows.select(kept)
        return write(tmp_path / f"without-{n}", part, predicted(part, 1.0, 2))

    row = compare_runs([a, without(3)], ["accuracy"], draws=50)["contrasts"][0]
    assert row["n"] == N - 3
    assert row["baseline_value"] == pytest.approx((made.probabilities.argmax(1) == GOLD)[3:].mean())
    assert "3 of 60 utterances are left out, because not all runs predicted them" in row["warning"]
    with pytest.raises(
        CorpusError, match=r"a and without-4 were judged on different utterances: 4 of 60 .* first 'u0'"
    ):
        compare_runs([a, without(4)])


def test_other_gold_labels_are_an_error(tmp_path):
    rows, gold = corpus(), GOLD.copy()
    gold[7] = 2
    other = corpus(gold)
    a = write(tmp_path / "a", rows, predicted(rows, 1.0, 1))
    b = write(tmp_path / "b", other, predicted(other, 1.0, 1))
    message = r"the gold labels of 1 of 60 utterances differ between a and b, first 'u7' \(north and south\)"
    with pytest.raises(CorpusError, match=message):
        compare_runs([a, b])


def test_unlabelled_utterances_are_left_out(tmp_path):
    rows = corpus()
    made = [predicted(rows, strength, 1) for strength in (0.5, 2.0)]
    for one in made:
        one.gold = np.where(np.arange(N) < 6, -1, GOLD)
    runs = [write(tmp_path / name, rows, one) for name, one in zip("ab", made, strict=True)]
    row = compare_runs(runs, ["accuracy"], draws=50)["contrasts"][0]
    assert row["n"] == N - 6
    assert row["value"] == pytest.approx((made[1].probabilities.argmax(1) == GOLD)[6:].mean())


def test_groups_come_from_the_predictions(tmp_path):
    rows = corpus()
    a = write(tmp_path / "a", rows, predicted(rows, 0.5, 1))
    bare = corpus(speakers=None)
    b, c = (write(tmp_path / name, bare, predicted(bare, 2.0, 1)) for name in "bc")
    with pytest.raises(CorpusError, match="a was evaluated over speakers and b over utterances; evaluate both with"):
        compare_runs([a, b])
    row = compare_runs([b, c], ["accuracy"], draws=50)["contrasts"][0]
    assert (row["group_unit"], row["groups"]) == ("utterance", N)
    assert "utterances taken as independent" in row["warning"]
    replace(predicted(rows, 0.5, 1), grouping={}).write(a / "predictions" / "test.parquet")
    with pytest.raises(CheckpointError, match="evaluated over speakers, but its predictions do not name them; run hf-"):
        compare_runs([a, b])


def test_what_cannot_be_compared_is_explained(tmp_path):
    a, b = setting(tmp_path / "a", 0.5), setting(tmp_path / "b", 2.0)
    with pytest.raises(DialectError, match="a; give two or more different ones, the baseline first"):
        compare_runs([a])
    with pytest.raises(DialectError, match="give two or more different ones"):
        compare_runs([a, tmp_path / "b" / ".." / "a"])
    with pytest.raises(
        DialectError, match="metrics that cannot be compared: 'f1'; those that can are accuracy, macro_"
    ):
        compare_runs([a, b], ["accuracy", "f1"])
    with pytest.raises(CheckpointError, match=r"holds no predictions of 'dev' \(predictions found: none\): give a run"):
        compare_runs([a, b], split="dev")
    with pytest.raises(CheckpointError, match=r"holds no predictions of 'dev' \(predictions found: test\)"):
        compare_runs([a / "seed-0", b], split="dev")
    with pytest.raises(CheckpointError, match=r"nowhere holds no predictions of 'test'"):
        compare_runs([tmp_path / "nowhere", b])
    (b / "seed-1" / "results.json").unlink()
    with pytest.raises(CheckpointError, match=r"there is no .*results.json: the run has not been evaluated"):
        compare_runs([a, b])


def test_an_unfinished_seed_is_left_out(tmp_path):
    a, b = setting(tmp_path / "a", 0.5), setting(tmp_path / "b", 2.0)
    (b / "seed-1" / "predictions" / "test.parquet").unlink()
    row = compare_runs([a, b], ["accuracy"], draws=50)["contrasts"][0]
    assert row["seeds"] == 1
    assert "only one of both has seed-1" in row["warning"]


def test_names_are_as_short_as_they_can_be(tmp_path):
    assert short_names([tmp_path / "x" / "a", tmp_path / "x" / "b"]) == ["a", "b"]
    assert short_names([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == ["x/a", "y/a"]


def test_predictions_keep_their_groups_on_disk_and_when_joined(tmp_path):
    rows = Dataset.from_dict({"id": ["a", "b"], "speaker": ["s1", None], "site": ["", None], "sentence_id": [3, 4]})
    assert grouping_of(rows) == {"speaker": ["s1", None], "sentence_id": ["3", "4"]}
    ones = np.ones(2)
    made = Predictions(["a", "b"], np.array([0, 1]), np.eye(2), ones.astype(int), ones, grouping=grouping_of(rows))
    made.write(tmp_path / "test.parquet")
    assert Predictions.read(tmp_path / "test.parquet").grouping == made.grouping
    other = replace(made, ids=["c", "d"], grouping={"speaker": ["s2", "s2"]})
    joined = Predictions.joined([made, other])
    assert joined.ids == ["a", "b", "c", "d"]
    assert joined.grouping == {"speaker": ["s1", None, "s2", "s2"], "sentence_id": ["3", "4", None, None]}
