import numpy as np
import pytest

from hf_dialects.abx import abx


def at(*degrees):
    """Vectors on the unit circle."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_by_hand_with_contexts():
    """Sentence 1: a at 0, 10; b at 90. Sentence 2: a at 0, 60; b at 50, 80. Sentence 3: a alone. No cell of c."""
    vectors = at(0, 10, 90, 0, 60, 50, 80, 5, 6, 7)
    attributes = {"dialect": list("aabaabbaac"), "sentence": [1, 1, 1, 2, 2, 2, 2, 3, 3, 4]}
    result = abx(vectors, attributes, on="dialect", by="sentence")
    cells = {(row.on_a, row.on_b, row.sentence): (row.score, row.triples) for row in result.cells.itertuples()}
    assert cells.pop(("a", "b", 1)) == (1, 2)
    score, triples = cells.pop(("b", "a", 1))
    assert (np.isnan(score), triples) == (True, 0)  # one b: no X beside A
    # X at 0: A at 60, B at 50 and 80: one of two; X at 60: A at 0, B at 50 and 80: none
    assert cells.pop(("a", "b", 2)) == (0.25, 4)
    # X at 50: A at 80; B at 0 and 60: one; X at 80: A at 50; B at 0 and 60: one
    assert cells.pop(("b", "a", 2)) == (0.5, 4)
    assert not cells
    pairs = result.pairs.set_index(["on_a", "on_b"])
    assert pairs.loc[("a", "b")].tolist() == [(1 + 0.25) / 2, 2, 0, 6]
    assert pairs.loc[("b", "a")].tolist() == [0.5, 1, 1, 4]
    assert pairs.loc[("a", "c")][["cells", "triples"]].tolist() == [0, 0]
    assert result.score == pytest.approx((0.625 + 0.5) / 2)
    assert result.error_rate == pytest.approx(1 - result.score)
    assert result.matrix.loc["b", "a"] == 0.5
    assert result.matrix.isna().to_numpy().sum() == 3 + 4
    assert result.warning == "1 of 4 cells have no triple and 4 of 6 pairs of dialect have no cell: left out"
    assert str(result).endswith("(2 pairs, 3 cells, 10 triples); " + result.warning)


def test_weighted_is_the_mean_over_triples():
    vectors = at(0, 10, 90, 0, 60, 50, 80)
    attributes = {"dialect": list("aabaabb"), "sentence": [1, 1, 1, 2, 2, 2, 2]}
    result = abx(vectors, attributes, on="dialect", by="sentence", weighted=True)
    assert result.score == pytest.approx((2 + 1 + 2) / 10)
    assert result.pairs["score"].tolist() == [3 / 6, 2 / 4]


def test_across_and_its_columns():
    """A and B are said by p while X is said by q, and the other way round."""
    vectors = at(0, 90, 10, 80)
    attributes = {"word": list("uvuv"), "speaker": list("ppqq")}
    result = abx(vectors, attributes, on="word", across="speaker")
    rows = result.cells[["on_a", "on_b", "speaker_ab", "speaker_x", "score", "triples"]].to_numpy().tolist()
    assert sorted(rows) == sorted([a, b, ab, x, 1.0, 1] for a, b in ("uv", "vu") for ab, x in ("pq", "qp")), (
        "each word is nearer to itself"
    )
    assert result.warning is None


def test_chance_is_a_half_where_all_are_alike():
    same = np.ones((6, 3))
    assert abx(same, {"dialect": list("aaabbb")}, "dialect").score == 0.5
    assert abx([same] * 6, {"dialect": list("aaabbb")}, "dialect").score == 0.5
