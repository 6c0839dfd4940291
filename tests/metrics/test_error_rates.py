import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.errors import DialectError, MissingExtra
from hf_dialects.metrics.error_rates import (
    UNKNOWN,
    character_error_rate,
    count_edits,
    error_rate,
    rates_by,
    word_error_rate,
)
from hf_dialects.metrics.intervals import bootstrap_interval


def distance(left, right) -> int:
    """Levenshtein's, cell by cell."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        above, row = row, [i]
        for j, other in enumerate(right, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits"),
    [
        ("the cat sat", "the cat sat", (0, 0, 0, 3)),
        ("the cat sat", "the dog sat", (1, 0, 0, 3)),
        ("the cat sat", "the sat", (0, 1, 0, 3)),
        ("the cat sat", "the fat cat sat down", (0, 0, 2, 3)),
        ("a b c d e", "b c x e f", (1, 1, 1, 5)),
        ("the cat sat", "", (0, 3, 0, 3)),
        ("", "one two", (0, 0, 2, 0)),
        ("我 爱 hello world", "我 不 爱 hello word", (1, 0, 1, 4)),
    ],
)
def test_edits_by_hand(reference, hypothesis, edits):
    found = count_edits([reference], [hypothesis])
    assert tuple(int(one[0]) for one in found) == edits
    assert found.errors[0] == sum(edits[:3])


def test_rates_by_hand():
    references, hypotheses = ["ab cd", "e"], ["ab c", "f g"]
    assert word_error_rate(references, hypotheses) == pytest.approx(3 / 3)
    assert character_error_rate(references, hypotheses) == pytest.approx(3 / 5)
    assert word_error_rate(references, hypotheses, weights=[3, 1]) == pytest.approx((3 * 1 + 2) / (3 * 2 + 1))
    assert character_error_rate(["a b"], ["ab"]) == 0  # spaces do not count
    assert np.isnan(word_error_rate([""], [""]))


WORDS = st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=7).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3))
def test_edits_are_as_few_as_can_be(pairs):
    references, hypotheses = zip(*pairs, strict=True)
    for unit, parts in (("wer", str.split), ("cer", lambda text: list(text.replace(" ", "")))):
        found = count_edits(references, hypotheses, unit)
        expected = [distance(parts(one), parts(other)) for one, other in pairs]
        assert found.errors.tolist() == expected
        assert found.length.tolist() == [len(parts(one)) for one in references]
        grown = found.insertions - found.deletions
        assert grown.tolist() == [len(parts(other)) - len(parts(one)) for one, other in pairs]


def corpus():
    """Twelve speakers of two dialects with five texts each; the second dialect is misheard more often."""
    random = np.random.default_rng(0)
    speakers, dialects, references, hypotheses = [], [], [], []
    for speaker in range(12):
        wrong = random.beta(2, 8) + 0.3 * (speaker >= 6)
        for _ in range(5):
            words = [f"w{n}" for n in random.integers(50, size=random.integers(3, 9))]
            speakers.append(f"s{speaker}")
            dialects.append("south" if speaker >= 6 else "north")
            references.append(" ".join(words))
            hypotheses.append(" ".join(word if random.random() > wrong else "x" for word in words))
    return references, hypotheses, speakers, dialects


def test_intervals_resample_speakers_and_parts_stand_alone():
    references, hypotheses, speakers, dialects = corpus()
    table = rates_by(references, hypotheses, {"dialect": dialects}, speakers, draws=300, seed=4)
    assert [(row["column"], row["value"], row["n"]) for row in table] == [
        (None, "all", 60),
        ("dialect", "north", 30),
        ("dialect", "south", 30),
    ]
    for row in table:
        members = [i for i, dialect in enumerate(dialects) if row["value"] in ("all", dialect)]
        part = [[texts[i] for i in members] for texts in (references, hypotheses, speakers)]
        edits = count_edits(*part[:2])
        expected = bootstrap_interval(error_rate, edits.errors, edits.length, groups=part[2], n=300, seed=4)
        assert {name: row["wer"][name] for name in expected.to_dict()} == expected.to_dict()
        assert row["wer"]["value"] == word_error_rate(*part[:2])
        assert row["cer"]["value"] == character_error_rate(*part[:2])
        assert row["wer"]["substitutions"] == edits.errors.sum()
    north, south = table[1]["wer"], table[2]["wer"]
    assert north["high"] < south["value"]
    assert north["warning"] == "indicative (6 speakers)"
    alone = rates_by(references, hypotheses, draws=300)[0]["wer"]
    assert alone["groups"] == 60
    assert alone["high"] - alone["low"] < table[0]["wer"]["high"] - table[0]["wer"]["low"]


def test_speakers_who_say_the_same_sentences_are_crossed():
    references, hypotheses, speakers, _ = corpus()
    sentences = [n % 5 for n in range(60)]
    options = {"groups": speakers, "draws": 300}
    edits = count_edits(references, hypotheses)
    expected = bootstrap_interval(error_rate, edits.errors, edits.length, groups=speakers, crossed=sentences, n=300)
    found = rates_by(references, hypotheses, crossed=sentences, **options)[0]["wer"]
    assert (found["low"], found["high"]) == (expected.low, expected.high)
    assert found["low"] != rates_by(references, hypotheses, **options)[0]["wer"]["low"]


def test_unknown_values_come_last():
    table = rates_by(["a", "b", "c"], ["a", "x", "c"], {"age": [7, None, ""]}, draws=10)
    assert [(row["value"], row["n"], row["wer"]["value"]) for row in table] == [
        ("all", 3, pytest.approx(1 / 3)),
        ("7", 1, 0),
        (UNKNOWN, 2, 0.5),
    ]


def test_bad_input(monkeypatch):
    with pytest.raises(DialectError, match="references has 1, hypotheses has 2 rows"):
        count_edits(["a"], ["a", "b"])
    with pytest.raises(DialectError, match="references are empty; an error rate needs at least one"):
        word_error_rate([], [])
    with pytest.raises(DialectError, match="unit is 'word'; it must be wer or cer"):
        count_edits(["a"], ["a"], "word")
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(MissingExtra, match=r"rapidfuzz is not installed; run: pip install 'hf-dialects\[asr\]'"):
        count_edits(["a"], ["a"])
