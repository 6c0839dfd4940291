"""hf_dialects.evaluation.breakdown: parts of a corpus, the worst of them, and columns that do not fit."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.breakdown import UNKNOWN, breakdown, describe_breakdown, parts
from hf_dialects.evaluation.groups import find_groups
from hf_dialects.evaluation.scores import intervals, score
from hf_dialects.inference import Predictions

LABELS = ["north", "south"]
N = 48


@pytest.fixture
def rows():
    index = np.arange(N)
    data = {
        "id": [f"u{i}" for i in index],
        "dialect": (index % 2).tolist(),
        "speaker": [f"s{i % 12}" for i in index],
        "gender": ["f" if i % 3 else "m" for i in index],
        "device": ["phone"] * 40 + ["studio"] * 5 + [None, "", None],
        "duration": [float(2 ** (i % 6)) for i in index],
        "age": (20 + index).tolist(),
        "take": (index % 4).tolist(),
    }
    return Dataset.from_dict(data).cast_column("dialect", ClassLabel(names=LABELS))


@pytest.fixture
def made(rows):
    """Right for all women, for every second man, and never in the studio."""
    gold = np.array(rows["dialect"])
    wrong = np.array([gender == "m" and i % 2 == 0 for i, gender in enumerate(rows["gender"])])
    wrong |= np.array([device == "studio" for device in rows["device"]])
    probabilities = np.where(np.eye(2)[np.where(wrong, 1 - gold, gold)] > 0, 0.75, 0.25)
    return Predictions(list(rows["id"]), gold, probabilities, np.ones(N, dtype=int), np.ones(N))


def of(table, column):
    return {row["value"]: row for row in table if row["column"] == column}


def test_values_by_hand(rows, made):
    table = of(breakdown(made, rows, ("gender",), LABELS, draws=50), "gender")
    assert list(table) == ["f", "m"]
    # 32 women, of whom 40, 41, 43 and 44 speak in the studio; 16 men, every second of them wrong, and 42 anyway
    assert (table["f"]["n"], table["f"]["accuracy"]["value"]) == (32, 28 / 32)
    assert (table["m"]["n"], table["m"]["accuracy"]["value"]) == (16, 8 / 16)
    assert (table["f"]["speakers"], table["m"]["speakers"], table["f"]["dialects"]) == (8, 4, 2)
    assert table["m"]["accuracy"]["warning"] == "indicative (4 speakers)"


def test_a_part_is_scored_as_if_it_were_all(rows, made):
    women = [i for i, gender in enumerate(rows["gender"]) if gender == "f"]
    alone = Predictions(
        [made.ids[i] for i in women],
        made.gold[women],
        made.probabilities[women],
        made.windows[women],
        made.speech_share[women],
    )
    expected = score(alone, rows, LABELS, draws=50)
    found = of(breakdown(made, rows, ("gender",), LABELS, draws=50), "gender")["f"]
    names = ("accuracy", "macro_f1", "weighted_f1", "c_avg", "eer")
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}


def test_intervals_name_their_metrics(made, rows):
    groups = find_groups(rows, made.ids, made.gold)
    assert list(intervals(made.probabilities, made.gold, groups, LABELS, names=["nll"], draws=10)) == ["nll"]


def test_one_clip_is_not_the_worst(rows, made):
    device = of(breakdown(made, rows, "device", LABELS, minimum=6, draws=10), "device")
    assert device["studio"]["accuracy"]["value"] == 0
    assert not any(row["worst"] for row in device.values()), "only the telephone has six utterances"
    device = of(breakdown(made, rows, "device", LABELS, minimum=5, draws=10), "device")
    assert [value for value, row in device.items() if row["worst"]] == ["studio"]


def test_unknown_values_come_last_and_are_never_worst(rows, made):
    made.probabilities[-3:] = made.probabilities[-3:, ::-1]
    device = of(breakdown(made, rows, "device", LABELS, minimum=1, draws=10), "device")
    assert list(device) == ["phone", "studio", UNKNOWN]
    assert device[UNKNOWN]["n"] == 3
    assert not device[UNKNOWN]["worst"]


def test_durations_are_cut_at_fixed_edges(rows):
    found = parts(rows, "duration", np.arange(N))
    assert list(found) == ["1-2 s", "2-4 s", "4-8 s", "8-16 s", ">=16 s"]
    assert found[">=16 s"].tolist() == [i for i in range(N) if i % 6 >= 4], "16 s and 32 s"
    short = Dataset.from_dict({"duration": [0.5, 1.0, 1.999, None]})
    assert {name: members.tolist() for name, members in parts(short, "duration", np.arange(4)).items()} == {
        "<1 s": [0],
        "1-2 s": [1, 2],
        UNKNOWN: [3],
    }


def test_durations_are_cut_at_given_edges(rows, made):
    found = of(breakdown(made, rows, "duration", LABELS, draws=10, seconds=(3, 10)), "duration")
    assert {value: row["n"] for value, row in found.items()} == {"<3 s": 16, "3-10 s": 16, ">=10 s": 16}
    for wrong in ((), (3, 3), (0, 5), (10, 3)):
        with pytest.raises(CorpusError, match="expected rising seconds above 0"):
            breakdown(made, rows, "duration", LABELS, seconds=wrong)


def test_a_part_of_one_dialect_has_no_error_rate(rows, made):
    north = breakdown(made, rows, "dialect", LABELS, draws=10)[0]
    assert (north["dialects"], north["eer"]["value"], north["eer"]["low"]) == (1, None, None)
    assert north["c_avg"]["value"] is not None
    assert describe_breakdown([north]).splitlines()[1].startswith("north")


def test_other_numbers_are_cut_into_quarters_unless_they_are_few(rows):
    age = parts(rows, "age", np.arange(N))
    assert list(age) == ["<31.75", "31.75-43.5", "43.5-55.25", ">=55.25"]
    assert [len(members) for members in age.values()] == [12, 12, 12, 12]
    assert list(parts(rows, "take", np.arange(N))) == ["0", "1", "2", "3"]
    same = Dataset.from_dict({"snr": [5.0] * 20 + list(range(10))})
    assert sum(len(members) for members in parts(same, "snr", np.arange(30)).values()) == 30


def test_class_columns_go_by_name(rows):
    assert list(parts(rows, "dialect", np.arange(N))) == LABELS
    assert list(parts(rows, "dialect", np.array([1, 3]))) == ["south"]


def test_clusters_add_their_accuracy(rows, made):
    table = breakdown(made, rows, "gender", LABELS, {"north": "a", "south": "b"}, draws=10)
    assert all(row["cluster_accuracy"]["value"] == row["accuracy"]["value"] for row in table)
    assert "cluster_accuracy" not in breakdown(made, rows, "gender", LABELS, draws=10)[0]


def test_columns_that_do_not_fit_are_named(rows, made):
    with pytest.raises(CorpusError, match="the corpus has no column 'place'; it has age, device, dialect, duration"):
        breakdown(made, rows, ("gender", "place"), LABELS)
    sounds = rows.add_column("audio", [{"bytes": b"x", "path": None}] * N)
    with pytest.raises(CorpusError, match="column 'audio' holds dict values; break down by a column of names"):
        breakdown(made, sounds, "audio", LABELS)


def test_unlabelled_utterances_are_left_out(rows, made):
    made.gold[:12] = -1
    assert sum(row["n"] for row in breakdown(made, rows, "gender", LABELS, draws=10)) == N - 12
    made.gold[:] = -1
    with pytest.raises(CorpusError, match="none of the 48 utterances has a gold label"):
        breakdown(made, rows, "gender", LABELS)


def test_the_same_every_time(rows, made):
    by = ("gender", "device", "duration")
    assert breakdown(made, rows, by, LABELS, draws=50) == breakdown(made, rows, by, LABELS, draws=50)


def test_the_table_for_people(rows, made):
    text = describe_breakdown(breakdown(made, rows, ("gender", "device"), LABELS, minimum=5, draws=50))
    gender, device = text.split("\n\n")
    lines = gender.splitlines()
    assert lines[0].split() == ["gender", "n", "speakers", "dialects", "accuracy", "macro", "F1", "weighted", "F1"]
    assert lines[1].startswith("f       32  8         2         .875 [")
    assert lines[2].startswith("m       16  4         2         .500 [")
    assert lines[2].endswith("indicative (4 speakers); lowest")
    assert [line.split()[0] for line in device.splitlines()] == ["device", "phone", "studio", UNKNOWN]
