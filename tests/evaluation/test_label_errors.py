"""Rankings of doubtful labels, by hand, against planted errors, and without the library."""

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_dialects.errors import CorpusError, MissingExtra
from hf_dialects.evaluation.label_errors import (
    confident_learning,
    inspection_curve,
    loss_score,
    map_score,
    most_probable_other,
    random_score,
)


def planted(n: int = 400, n_classes: int = 4, share: float = 0.1, seed: int = 0):
    """(labels, some of them wrong; probabilities that mostly know the truth; which are wrong)"""
    draw = np.random.default_rng(seed)
    truth = draw.integers(n_classes, size=n)
    wrong = np.zeros(n, dtype=bool)
    wrong[draw.choice(n, round(share * n), replace=False)] = True
    labels = np.where(wrong, (truth + draw.integers(1, n_classes, size=n)) % n_classes, truth)
    logits = draw.normal(size=(n, n_classes))
    logits[np.arange(n), truth] += 3
    exponents = np.exp(logits)
    return labels, exponents / exponents.sum(1, keepdims=True), wrong


def test_scores_by_hand():
    assert map_score(np.array([1.0, 0.25, 0.0])).tolist() == [0.0, 0.75, 1.0]
    assert loss_score(np.array([1.0, np.exp(-2)])) == pytest.approx([0.0, 2.0])
    assert np.isfinite(loss_score(np.array([0.0], dtype=np.float32))).all()
    probabilities = np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.5, 0.5, 0.0]])
    assert most_probable_other(np.array([1, 0, 0]), probabilities).tolist() == [2, 1, 1]


def test_random_scores_depend_on_seed_and_id_alone():
    scores = random_score(["a", "b", "c"], seed=1)
    assert scores.tolist() == random_score(["c", "b", "a"], seed=1)[::-1].tolist()
    assert set(scores) & set(random_score(["a", "b", "c"], seed=2)) == set()


def test_confident_learning_finds_planted_errors():
    labels, probabilities, wrong = planted()
    found = confident_learning(labels, probabilities)
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = 0
    assert found.score == pytest.approx((1 + others.max(1) - probabilities[rows, labels]) / 2)
    assert wrong[found.flagged].mean() > 0.7
    assert found.flagged[wrong].mean() > 0.7
    assert found.ranking[found.flagged].min() > found.ranking[~found.flagged].max()
    judged = inspection_curve(found.ranking, wrong)
    chance = inspection_curve(random_score([str(row) for row in rows]), wrong)
    assert judged.precision[0.05] > 0.8 > chance.precision[0.05]
    assert judged.auc > 0.9
    assert chance.auc == pytest.approx(0.5, abs=0.15)


@pytest.mark.filterwarnings("ignore:May not flag all label issues")
def test_a_dialect_without_recordings_is_no_obstacle():
    labels, probabilities, wrong = planted(n_classes=3)
    wider = np.concatenate([probabilities[:, :1], np.zeros((len(labels), 1)), probabilities[:, 1:]], axis=1)
    found = confident_learning(np.where(labels > 0, labels + 1, 0), wider)
    assert found.score == pytest.approx(confident_learning(labels, probabilities).score)
    assert wrong[found.flagged].mean() > 0.7


def test_right_labels_are_hardly_flagged():
    labels, probabilities, wrong = planted(share=0.0)
    assert not wrong.any()
    assert confident_learning(labels, probabilities).flagged.mean() < 0.06


@pytest.mark.parametrize(
    ("gold", "probabilities", "message"),
    [
        ([0, 1, 0], np.full((2, 2), 0.5), r"found 3 labels and probabilities of shape \(2, 2\)"),
        ([0, 2, -1], np.full((3, 2), 0.5), "2 of 3 labels are not among the 2 dialects"),
        ([1, 1, 1], np.full((3, 2), 0.5), "all labels are of one"),
    ],
)
def test_what_confident_learning_cannot_judge(gold, probabilities, message):
    with pytest.raises(CorpusError, match=message):
        confident_learning(np.array(gold), probabilities)


def test_without_cleanlab_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtra, match=r"pip install 'hf-dialects\[label-errors\]'"):
        confident_learning(np.array([0, 1]), np.eye(2))


def test_the_module_itself_does_not_load_cleanlab():
    code = "import sys; sys.argv = ['hf-dialects']; import hf_dialects.evaluation.label_errors as module\n"
    code += "sys.exit('cleanlab' in sys.modules or 'sklearn' in sys.modules or not module.BUDGETS)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_inspection_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    found = inspection_curve(scores, np.array([1, 0, 1, 0, 0]), budgets=(0.2, 0.4, 0.6, 1.0))
    assert (found.n, found.n_wrong) == (5, 2)
    assert found.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found.auc == pytest.approx(5 / 6)  # of 6 pairs of a wrong and a right one, one is the wrong way round
    assert found.precision == pytest.approx({0.2: 1.0, 0.4: 0.5, 0.6: 2 / 3, 1.0: 0.4})
    assert found.recall == pytest.approx({0.2: 0.5, 0.4: 0.5, 0.6: 1.0, 1.0: 1.0})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=5))
def test_ties_count_as_the_mean_over_all_their_orders(rows):
    wrong = np.array([bad for _, bad in rows])
    assume(0 < wrong.sum() < len(wrong))
    found = inspection_curve(np.array([score for score, _ in rows]), wrong, budgets=(0.3, 0.5, 0.8))
    orders = [sorted(order, key=lambda row: -row[0]) for order in permutations(rows)]
    for budget, precision in found.precision.items():
        size = max(1, round(budget * len(rows)))
        assert precision == pytest.approx(np.mean([[bad for _, bad in order[:size]] for order in orders]))


def test_a_small_budget_still_looks_at_one():
    assert inspection_curve(np.array([1.0, 0.0, 0.5]), np.array([True, False, False])).precision[0.01] == 1.0


def test_what_a_ranking_cannot_be_judged_on():
    with pytest.raises(CorpusError, match="0 of 2 labels are wrong; a ranking is judged where some are wrong"):
        inspection_curve(np.zeros(2), np.zeros(2, dtype=bool))
    with pytest.raises(CorpusError, match="1 of 2 scores are no finite numbers"):
        inspection_curve(np.array([np.nan, 1]), np.array([True, False]))
