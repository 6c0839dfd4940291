"""The validation value of a contrastive objective: fixed batches, and the same as a plain loop over the model."""

import numpy as np
import pytest
import torch
from test_trainer import clips, trainer

from hf_dialects.errors import CorpusError
from hf_dialects.models.objectives_dialect import build_objective
from hf_dialects.training.contrastive_validation import contrastive_loss, validation_batches


def test_batches_are_fixed_disjoint_and_hold_two_of_two():
    labels = np.arange(50) % 4
    batches = validation_batches(labels, 8)
    assert batches == validation_batches(labels, 8)
    assert len(batches) == 7
    everyone = [row for batch in batches for row in batch]
    assert sorted(everyone) == list(range(50))
    assert everyone != list(range(50))
    for batch in batches:
        assert (np.bincount(labels[batch]) >= 2).sum() >= 2


def test_value_by_hand():
    """Two dialects at right angles: every positive pair has cosine 1, every negative one 0."""
    vectors, labels = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0), np.repeat([0, 1], 4)
    expected = np.log(3 * np.exp(10) + 4) - 10
    assert contrastive_loss(vectors, labels, 8, "supcon") == pytest.approx(expected, abs=1e-5)
    assert contrastive_loss(vectors, np.zeros(8, int), 8, "supcon") is None
    assert contrastive_loss(vectors, np.arange(8), 8, "supcon") is None


@pytest.mark.parametrize("projection", [None, 5])
def test_value_of_the_trainer_is_that_of_a_plain_loop(tmp_path, projection):
    options = {"objective": "supcon", "objective_options": {"temperature": 0.5}, "projection_size": projection}
    one = trainer(tmp_path, model_options=options)
    one.eval_dataset = clips(20, training=False)
    found = one.evaluate()
    model, collate = one.model.eval(), one.data_collator
    with torch.inference_mode():
        items = [collate([one.eval_dataset[row]]) for row in range(20)]
        of_model = [{name: item[name] for name in item if name not in ("labels", "row")} for item in items]
        vectors = torch.cat([model.dialect(**item).embeddings for item in of_model])
        vectors = vectors if projection is None else model.projection(vectors)
    labels = torch.tensor(one.eval_dataset.labels)
    loss = build_objective("supcon", temperature=0.5)
    values = [loss(vectors[batch], labels[batch]).item() for batch in validation_batches(labels.tolist(), 8)]
    assert found["eval_contrastive"] == pytest.approx(np.mean(values), abs=1e-4)
    assert found["eval_loss"] == pytest.approx(found["eval_cross_entropy"], abs=1e-5)
    again = trainer(tmp_path / "again", seed=2, model_options=options)  # another seed, the same model and batches
    again.eval_dataset = one.eval_dataset
    again.model.load_state_dict(one.model.state_dict())
    assert again.evaluate()["eval_contrastive"] == pytest.approx(found["eval_contrastive"], abs=1e-5)


def test_what_cannot_be_contrasted_cannot_select(tmp_path):
    options = {"objective": "supcon", "cross_entropy_weight": 0}
    one = trainer(tmp_path, model_options=options, metric_for_best_model="contrastive")
    one.eval_dataset = clips(3, training=False)
    with pytest.raises(CorpusError, match="no batch of two dialects with two recordings each"):
        one.evaluate()
