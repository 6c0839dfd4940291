"""Data maps: by hand, their regions, and the files of the data-map community."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.extras import require
from hf_dialects.training import DataMap
from hf_dialects.training.datamap_files import logits
from hf_dialects.training.dynamics import write_dynamics

PROBABILITIES = {"a": [0.25, 0.5, 0.75], "b": [1.0, 1.0, 1.0], "c": [0.125, 0.375], "d": [0.5, 0.0, 0.5]}
CORRECT = {"a": [False, True, True], "b": [True] * 3, "c": [False, False], "d": [True, False, True]}
GOLD = {"a": 0, "b": 1, "c": 2, "d": 0}


def dynamics(**changes) -> pd.DataFrame:
    rows = [
        (id, epoch, GOLD[id], p, CORRECT[id][epoch], "training")
        for id, probabilities in PROBABILITIES.items()
        for epoch, p in enumerate(probabilities)
    ]
    names = ["id", "epoch", "gold", "probability", "correct", "mode"]
    return pd.DataFrame(rows, columns=names).assign(**changes).sample(frac=1, random_state=0)


def datamap(confidence, variability, ids=None) -> DataMap:
    n = len(confidence)
    ids = np.array([f"clip-{i:03}" for i in range(n)] if ids is None else ids, dtype=object)
    zeros, ones = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.int64)
    return DataMap(ids, zeros, np.array(confidence), np.array(variability), np.array(confidence), ones, "training")


def test_by_hand():
    found = DataMap.from_dynamics(dynamics())
    assert found.ids.tolist() == ["a", "b", "c", "d"]
    assert found.ids.dtype == object
    assert found.gold.tolist() == [0, 1, 2, 0]
    assert found.confidence == pytest.approx([1 / 2, 1, 1 / 4, 1 / 3])
    # deviations (1/4, 0, 1/4), none, (1/8, 1/8), (1/6, 1/3, 1/6): of the population, not of a sample
    assert found.variability == pytest.approx([np.sqrt(1 / 24), 0, 1 / 8, np.sqrt(1 / 18)])
    assert found.correctness == pytest.approx([2 / 3, 1, 0, 2 / 3])
    assert found.epochs.tolist() == [3, 3, 2, 3]
    assert found.mode == "training"


def test_warm_up_leaves_out_the_first_epochs(tmp_path):
    write_dynamics(dynamics(), tmp_path / "dynamics.parquet")
    found = DataMap.from_run(tmp_path, warm_up=1)
    assert found.confidence == pytest.approx([5 / 8, 1, 3 / 8, 1 / 4])
    assert found.epochs.tolist() == [2, 2, 1, 2]
    assert DataMap.from_run(tmp_path / "dynamics.parquet", warm_up=2).ids.tolist() == ["a", "b", "d"]
    with pytest.raises(RecipeError, match=r"warm_up is 3, but the dynamics hold 3 epochs"):
        DataMap.from_run(tmp_path, warm_up=3)


def test_dynamics_that_make_no_map():
    mixed = dynamics()
    mixed.loc[mixed["epoch"] == 0, "mode"] = "evaluation"
    with pytest.raises(CorpusError, match=r"mix the modes evaluation and training; map each by itself"):
        DataMap.from_dynamics(mixed)
    with pytest.raises(CorpusError, match=r"hold no recording; record them with training.record_dynamics=evaluation"):
        DataMap.from_dynamics(dynamics().iloc[:0])
    relabelled = dynamics()
    relabelled.loc[(relabelled["epoch"] == 2) & (relabelled["id"] == "d"), "gold"] = 1
    with pytest.raises(CorpusError, match=r"give d two gold classes"):
        DataMap.from_dynamics(relabelled)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.floats(0, 1, width=32)), min_size=1, max_size=30))
def test_equals_one_recording_at_a_time(drawn):
    drawn = {(id, epoch): p for id, epoch, p in drawn}
    rows = [(f"clip-{id}", epoch, id, p, p > 0.5, "evaluation") for (id, epoch), p in drawn.items()]
    found = DataMap.from_dynamics(pd.DataFrame(rows, columns=["id", "epoch", "gold", "probability", "correct", "mode"]))
    assert found.ids.tolist() == sorted({row[0] for row in rows})
    for number, id in enumerate(found.ids):
        own = [row[3] for row in rows if row[0] == id]
        assert found.confidence[number] == pytest.approx(np.mean(own), abs=1e-12)
        assert found.variability[number] == pytest.approx(np.std(own), abs=1e-12)
        assert found.correctness[number] == np.mean([p > 0.5 for p in own])


def test_regions_on_and_off_the_thresholds():
    above, below = (lambda value: np.nextafter(value, 1)), (lambda value: np.nextafter(value, 0))
    cases = [
        (above(0.6), below(0.3), "easy"),
        (0.6, 0.1, "ambiguous"),
        (0.9, 0.3, "ambiguous"),
        (below(0.3), below(0.2), "hard"),
        (0.3, 0.1, "ambiguous"),
        (0.1, 0.2, "ambiguous"),
        (0.95, 0.0, "easy"),
        (0.05, 0.0, "hard"),
        (0.45, 0.0, "ambiguous"),
        (0.45, 0.0, "ambiguous"),
    ]
    confidence, variability, expected = zip(*cases, strict=True)
    assert datamap(confidence, variability).regions().tolist() == list(expected)
    looser = datamap(confidence, variability).regions(easy=(0.5, 0.4), hard=(0.4, 0.21))
    assert looser.tolist() == ["easy", "easy", "easy", "hard", "hard", "hard", "easy", "hard"] + 2 * ["ambiguous"]


def test_quantiles_by_hand():
    confidence = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    variability = [0.1, 0.4, 0.1, 0.5, 0.1, 0.1, 0.1]
    found = datamap(confidence, variability).regions(by="quantiles")
    assert found.tolist() == ["easy", "ambiguous", "easy", "ambiguous", "easy", "hard", "hard"]
    with pytest.raises(RecipeError, match=r"by thresholds or quantiles, not by 'halves'"):
        datamap(confidence, variability).regions(by="halves")


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]])
def test_ties_are_broken_by_id(order):
    ids = np.array(list("abcdef"))[order]
    found = datamap([0.5] * 6, [0.1] * 6, ids).regions(by="quantiles")
    assert dict(zip(ids, found, strict=True)) == {
        "a": "ambiguous", "b": "ambiguous", "c": "easy", "d": "easy", "e": "hard", "f": "hard",
    }  # fmt: skip


def test_regions_that_are_too_small_give_way_to_quantiles():
    easy, ambiguous, hard = ([0.9] * 60, [0.0] * 60), ([0.5] * 39, [0.4] * 39), ([0.1], [0.0])
    one_hard = datamap(*([*a, *b, *c] for a, b, c in zip(easy, ambiguous, hard, strict=True)))
    with pytest.warns(UserWarning, match=r"too small \(60 easy, 39 ambiguous, 1 hard of 100 recordings\).*quantiles"):
        found = one_hard.regions(smallest=0.0)  # fewer than two are always too few
    assert np.array_equal(found, one_hard.regions(by="quantiles"))
    assert np.unique(found, return_counts=True)[1].tolist() == [33, 34, 33]
    two_hard = datamap([*one_hard.confidence, 0.1], [*one_hard.variability, 0.0])
    with pytest.warns(UserWarning, match=r"2 hard of 101"):
        two_hard.regions()  # below 2 %
    assert (two_hard.regions(smallest=0.019) == "hard").sum() == 2


def test_subset():
    whole = DataMap.from_dynamics(dynamics())
    found = whole.subset(["c", "a"])
    assert (found.ids.tolist(), found.gold.tolist(), found.epochs.tolist()) == (["c", "a"], [2, 0], [2, 3])
    assert found.confidence == pytest.approx([1 / 4, 1 / 2])
    assert set(found.dynamics["id"]) == {"a", "c"}
    with pytest.raises(CorpusError, match=r"2 recordings are not in the data map, first: x, y; take the map of a run"):
        whole.subset(["a", "x", "y"])


def community_metrics(folder) -> dict:
    """What the community's files say, read line by line: gold probabilities and hits of every recording."""
    trends = {}
    for epoch in range(len(list((folder / "training_dynamics").iterdir()))):
        for line in (folder / "training_dynamics" / f"dynamics_epoch_{epoch}.jsonl").read_text("utf-8").splitlines():
            record = json.loads(line)
            values = record[f"logits_epoch_{epoch}"]
            hit = int(np.argmax(values)) == record["gold"]
            trends.setdefault(record["guid"], []).append((softmax(values)[record["gold"]], hit))
    found = {}
    for guid, trend in trends.items():
        forgotten = sum(before and not after for (_, before), (_, after) in pairwise(trend))
        right = sum(hit for _, hit in trend)
        mean = np.mean([p for p, _ in trend])
        deviation = np.std([p for p, _ in trend])
        found[guid] = (mean, deviation, right, forgotten if right else 1000, mean * (1 - mean))
    return found


def test_files_of_the_community(tmp_path):
    whole = DataMap.from_dynamics(dynamics())
    whole.to_jsonl(tmp_path, labels=["north", "south", "west"])
    expected = community_metrics(tmp_path)
    written = [json.loads(line) for line in (tmp_path / "td_metrics.jsonl").read_text("utf-8").splitlines()]
    names = ["confidence", "variability", "correctness", "forgetfulness", "threshold_closeness"]
    assert [line["index"] for line in written] == [0, 1, 2, 3]
    for number, line in enumerate(written):
        assert [line[name] for name in names] == pytest.approx(expected[line["guid"]], abs=1e-6)
        assert line["confidence"] == pytest.approx(whole.confidence[number])
    assert [line["forgetfulness"] for line in written] == [0, 0, 1000, 1]
    again = DataMap.from_jsonl(tmp_path)
    for name in ("confidence", "variability", "correctness"):
        assert getattr(again, name) == pytest.approx(getattr(whole, name), abs=1e-6)
    assert (again.ids == whole.ids).all()
    assert (again.gold == whole.gold).all()


def test_files_of_the_community_number_epochs_without_gaps(tmp_path):
    DataMap.from_dynamics(dynamics(), warm_up=1).to_jsonl(tmp_path)
    names = sorted(path.name for path in (tmp_path / "training_dynamics").iterdir())
    assert names == ["dynamics_epoch_0.jsonl", "dynamics_epoch_1.jsonl"]
    found = DataMap.from_jsonl(tmp_path / "training_dynamics", mode="evaluation")
    assert found.mode == "evaluation"
    assert found.confidence == pytest.approx([5 / 8, 1, 3 / 8, 1 / 4], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, width=32), st.integers(0, 4), st.booleans())
def test_logits_keep_probability_and_correctness(probability, gold, correct):
    # the largest of five is no less than a fifth, another no more than a half
    probability = max(probability, np.float32(0.2)) if correct else min(probability, 0.5)
    frame = pd.DataFrame({"probability": [np.float32(probability)], "gold": [gold], "correct": [correct]})
    values = logits(frame, 5)[0]
    assert softmax(values)[gold] == pytest.approx(probability, abs=1e-6)
    assert (values.argmax() == gold) == correct
    assert np.isfinite(values).all()


def test_files_that_others_wrote(tmp_path):
    folder = tmp_path / "training_dynamics"
    folder.mkdir()
    (folder / "dynamics_epoch_0.jsonl").write_text('{"guid":7,"logits_epoch_0":[1.0,3.0],"gold":1}\n', encoding="utf-8")
    (folder / "dynamics_epoch_1.jsonl").write_text('{"guid":7,"logits_epoch_1":[2.0,2.0],"gold":1}\n', encoding="utf-8")
    found = DataMap.from_jsonl(tmp_path)
    assert found.ids.tolist() == ["7"]
    assert found.confidence[0] == pytest.approx((1 / (1 + np.exp(-2)) + 0.5) / 2)
    assert found.correctness[0] == 0.5
    damaged = folder / "dynamics_epoch_1.jsonl"
    for content, message in (
        ("not json\n", r"dynamics_epoch_1.jsonl, line 1 is not .*JSONDecodeError"),
        ('{"guid":7,"logits_epoch_0":[2.0,2.0],"gold":1}\n', r"KeyError 'logits_epoch_1'"),
        ('{"guid":7,"logits_epoch_1":[2.0,2.0],"gold":2}\n', r"the gold class 2 does not fit its logits"),
        (2 * '{"guid":7,"logits_epoch_1":[2.0,2.0],"gold":1}\n', r"holds 7 twice in epoch 1"),
    ):
        damaged.write_text(content, encoding="utf-8")
        with pytest.raises(CorpusError, match=message):
            DataMap.from_jsonl(tmp_path)
    with pytest.raises(CorpusError, match=r"holds no training dynamics; files dynamics_epoch_0.jsonl"):
        DataMap.from_jsonl(tmp_path / "elsewhere")


def test_files_need_epochs_and_labels(tmp_path):
    with pytest.raises(CorpusError, match=r"does not know its epochs; make it with from_dynamics"):
        datamap([0.5], [0.1]).to_jsonl(tmp_path)
    with pytest.raises(CorpusError, match=r"have the gold class 2, but 2 labels were given"):
        DataMap.from_dynamics(dynamics()).to_jsonl(tmp_path, labels=["north", "south"])


def test_figure(tmp_path):
    require("matplotlib", extra="report")
    rng = np.random.default_rng(0)
    one = datamap(rng.random(60), rng.random(60) / 2)
    one.gold[:20] = 2
    figure = one.plot(tmp_path / "map.png", labels=["north", "south", "west"], by="quantiles")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["north", "west"]
    drawn = np.concatenate([points.get_offsets() for axis in panels for points in axis.collections])
    expected = np.stack([one.variability, one.confidence], axis=1)
    assert np.allclose(drawn[drawn[:, 0].argsort()], expected[one.variability.argsort()])
    regions = one.regions(by="quantiles")
    west = [int((regions[:20] == name).sum()) for name in ("easy", "ambiguous", "hard")]
    assert [len(points.get_offsets()) for points in panels[1].collections] == west
    assert len(one.plot(by="quantiles").axes) == 1
