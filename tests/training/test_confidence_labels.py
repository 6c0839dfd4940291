"""Soft targets: formulas by hand, planted similarities, tables, and what is learnt from predictions."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.inference import Predictions
from hf_dialects.training.confidence_labels import (
    clusters_in_order,
    confidence_labels,
    read_confidence_labels,
    smoothed_labels,
    write_confidence_labels,
)
from hf_dialects.training.similarity import frequency_similarity, similarity_from_predictions, similarity_of_run

LABELS = ["por-brz", "spa-car", "spa-eur", "zho-cmn", "zho-nan", "eus"]
CLUSTERS = ["iberian", "iberian", "iberian", "chinese", "chinese", "basque"]


def test_labels_by_hand():
    similarity = np.zeros((6, 6))
    similarity[0] = [0.5, 0.1, 0.3, 0.9, 0.0, 0.0]  # what is on itself and outside the cluster does not count
    similarity[3] = [0.0, 0.0, 0.0, 0.2, 0.01, 0.7]
    found = confidence_labels(similarity, CLUSTERS, true_mass=0.75)
    assert found[0] == pytest.approx([0.75, 0.0625, 0.1875, 0, 0, 0])
    assert found[1] == pytest.approx([0.125, 0.75, 0.125, 0, 0, 0]), "similar to nobody: even shares"
    assert found[3] == pytest.approx([0, 0, 0, 0.75, 0.25, 0])
    assert found[5] == pytest.approx([0, 0, 0, 0, 0, 1]), "alone in its cluster: one-hot"


def test_smoothing_shares_over_all_others():
    assert smoothed_labels(4, 0.7) == pytest.approx(np.full((4, 4), 0.1) + 0.6 * np.eye(4))
    assert smoothed_labels(2) == pytest.approx(np.array([[0.75, 0.25], [0.25, 0.75]]))


@settings(max_examples=50, deadline=None)
@example(np.full((6, 6), 5e-324), [0] * 6, 0.75)
@given(
    similarity=arrays(np.float64, (6, 6), elements=st.one_of(st.just(0.0), st.floats(0, 1e6))),
    clusters=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    true_mass=st.floats(0.501, 1),
)
def test_rows_sum_to_one_and_stay_within_the_cluster(similarity, clusters, true_mass):
    found = confidence_labels(similarity, clusters, true_mass)
    clusters = np.array(clusters)
    assert found.sum(1) == pytest.approx(np.ones(6))
    assert (found >= 0).all()
    assert (found[clusters[:, None] != clusters] == 0).all()
    for dialect in range(6):
        alone = (clusters == clusters[dialect]).sum() == 1
        assert found[dialect, dialect] == pytest.approx(1.0 if alone else true_mass)
        assert found[dialect].argmax() == dialect


def test_shares_recover_similarities_planted_in_predictions():
    rng = np.random.default_rng(0)
    planted = np.array(
        [
            [0.6, 0.3, 0.1, 0, 0, 0],
            [0.1, 0.5, 0.2, 0.1, 0, 0.1],
            [0.0, 0.2, 0.8, 0, 0, 0],
            [0, 0, 0, 0.7, 0.3, 0],
            [0, 0, 0, 0.5, 0.5, 0],
            [0, 0, 0.2, 0, 0, 0.8],
        ]
    )
    gold = np.repeat(np.arange(6), [200, 400, 300, 500, 100, 50])
    probabilities = np.stack([rng.dirichlet(20 * planted[one] + 1e-3) for one in gold])
    similarity = similarity_from_predictions(probabilities, gold)
    assert similarity == pytest.approx(planted, abs=0.02)
    labels = confidence_labels(similarity, CLUSTERS)
    assert labels[0] == pytest.approx([0.75, 0.1875, 0.0625, 0, 0, 0], abs=0.01)
    assert labels[1] == pytest.approx([0.25 / 3, 0.75, 0.5 / 3, 0, 0, 0], abs=0.01)
    by_loop = [np.mean([p for p, one in zip(probabilities, gold, strict=True) if one == c], axis=0) for c in range(6)]
    assert similarity == pytest.approx(np.array(by_loop))


def test_a_dialect_without_predictions_shares_evenly():
    similarity = similarity_from_predictions([[0.5, 0.1, 0.4]], [0])
    assert similarity.tolist() == [[0.5, 0.1, 0.4], [0, 0, 0], [0, 0, 0]]
    assert confidence_labels(similarity, ["x"] * 3)[2] == pytest.approx([0.125, 0.125, 0.75])


def test_frequency_shares_by_counts():
    labels = confidence_labels(frequency_similarity([0, 1, 1, 1, 2, 3, 4], 6), CLUSTERS)
    assert labels[0] == pytest.approx([0.75, 0.1875, 0.0625, 0, 0, 0])
    assert labels[2] == pytest.approx([0.0625, 0.1875, 0.75, 0, 0, 0])


def test_only_training_recordings_of_a_cross_validation_count(tmp_path):
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.0, 1.0]])
    ones = np.ones(4)
    found = Predictions(list("abcd"), np.array([0, 0, 1, 0]), probabilities, ones.astype(int), ones)
    found.write(tmp_path / "predictions" / "test.parquet")
    assert similarity_of_run(tmp_path, ["c", "b", "a", "z"]) == pytest.approx(np.array([[0.7, 0.3], [0.1, 0.9]]))
    with pytest.raises(CorpusError, match="no out-of-fold prediction of the 1 training recordings"):
        similarity_of_run(tmp_path, ["z"])


@pytest.mark.parametrize(
    ("similarity", "true_mass", "message"),
    [
        (np.zeros((2, 3)), 0.75, r"similarity has the shape \(2, 3\); 2 dialects need \(2, 2\)"),
        (np.array([[0, -1], [0, 0]]), 0.75, "negative or not finite"),
        (np.array([[0, np.nan], [0, 0]]), 0.75, "negative or not finite"),
        (np.zeros((2, 2)), 0.5, "training.true_mass must lie above 0.5 and be at most 1.*found 0.5"),
        (np.zeros((2, 2)), 1.1, "found 1.1"),
    ],
)
def test_wrong_values_are_named(similarity, true_mass, message):
    with pytest.raises(RecipeError, match=message):
        confidence_labels(similarity, ["x", "x"], true_mass)


def test_clusters_in_label_order():
    clusters = dict(zip(LABELS, CLUSTERS, strict=True))
    assert clusters_in_order(LABELS[::-1], clusters) == CLUSTERS[::-1]
    with pytest.raises(
        CorpusError, match=r"6 of 6 dialects have no cluster \(first: por-brz\).*fill the column cluster"
    ):
        clusters_in_order(LABELS, None)


@pytest.fixture
def targets():
    return confidence_labels(np.random.default_rng(1).random((6, 6)), CLUSTERS)


def test_tables_are_read_back_whatever_their_order(tmp_path, targets):
    write_confidence_labels(targets, LABELS, tmp_path / "labels.csv")
    assert np.array_equal(read_confidence_labels(tmp_path / "labels.csv", LABELS, CLUSTERS), targets)
    order = [3, 0, 5, 1, 2, 4]
    permuted = [[LABELS[one] for one in order], [CLUSTERS[one] for one in order]]
    found = read_confidence_labels(tmp_path / "labels.csv", *permuted)
    assert np.array_equal(found, targets[np.ix_(order, order)])
    table = {
        gold: {label: mass for label, mass in zip(LABELS, row, strict=True) if mass}
        for gold, row in zip(LABELS, targets.tolist(), strict=True)
    }
    (tmp_path / "labels.json").write_text(json.dumps(table))
    assert np.array_equal(read_confidence_labels(tmp_path / "labels.json", LABELS, CLUSTERS), targets)


def test_tables_that_do_not_fit(tmp_path, targets):
    path = tmp_path / "labels.csv"

    def read(changed, labels=LABELS):
        write_confidence_labels(np.array(changed), labels, path)
        return read_confidence_labels(path, LABELS, CLUSTERS)

    with pytest.raises(RecipeError, match="there is no table of confidence labels"):
        read_confidence_labels(path, LABELS, CLUSTERS)
    with pytest.raises(RecipeError, match=r"the row zho-cmn of .* sums to 1.1; masses must be at least 0"):
        read(targets + np.diag([0, 0, 0, 0.1, 0, 0]))
    outside = targets.copy()
    outside[0] = [0.75, 0, 0, 0.25, 0, 0]
    with pytest.raises(RecipeError, match=r"the row por-brz of .* has mass on zho-cmn, which is in another cluster"):
        read(outside)
    swapped = targets.copy()
    swapped[3], swapped[4] = targets[4], targets[3]
    with pytest.raises(RecipeError, match=r"the row zho-cmn of .* has its largest mass on zho-nan"):
        read(swapped)
    with pytest.raises(RecipeError, match="differ in 2 dialects, first: eus"):
        read(targets, [*LABELS[:-1], "fra"])
    write_confidence_labels(targets, LABELS, path)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(RecipeError, match="differ in 1 dialects, first: eus"):
        read_confidence_labels(path, LABELS, CLUSTERS)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RecipeError, match="is no table of dialects: CSV has a column dialect"):
        read_confidence_labels(path, LABELS, CLUSTERS)
    (tmp_path / "labels.json").write_text("[1, 2]")
    with pytest.raises(RecipeError, match="is no table of dialects"):
        read_confidence_labels(tmp_path / "labels.json", LABELS, CLUSTERS)
