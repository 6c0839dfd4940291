"""A training with ScaledAdam and Eden, as a recipe asks for it; trainings that stop being finite."""

import math

import pytest
import torch
from test_trainer import trainer, weights

from hf_dialects.errors import DialectError, RecipeError
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.eden import Eden
from hf_dialects.training.fit import training_arguments
from hf_dialects.training.optimisers import ScaledAdam
from hf_dialects.training.recipe import make_recipe

PLAIN = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
SCALED = {"optimiser": "scaled_adam", "eden": {"batches": 4, "epochs": 1, "warmup_batches": 3, "warmup_start": 0.1}}


def arguments(tmp_path, **training) -> DialectTrainingArguments:
    return training_arguments(make_recipe({"training": {"use_cpu": True, **training}}), tmp_path, progress=False)


def test_a_recipe_names_optimiser_and_schedule(tmp_path):
    found = arguments(tmp_path, optimiser="scaled_adam")
    assert (found.learning_rate, found.eden, found.max_grad_norm) == (0.045, {}, 0)
    plain = arguments(tmp_path)
    assert (plain.learning_rate, plain.eden, plain.max_grad_norm) == (1e-4, None, 1.0)
    assert arguments(tmp_path, optimiser="scaled_adam", learning_rate=0.01).learning_rate == 0.01


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimiser": "adam"}, "training.optimiser is 'adam'; it must be adamw or scaled_adam"),
        ({"optimiser": "scaled_adam", "max_grad_norm": 5.0}, r"set training.optimiser_options.clipping_scale"),
        ({"optimiser_options": {"eps": 1e-6}}, "training.optimiser_options are those of scaled_adam"),
        ({"average_weights_every": 0}, "training.average_weights_every is 0; expected 1 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, training, message):
    with pytest.raises(RecipeError, match=message):
        arguments(tmp_path, **training)


def test_rates_fall_by_batches_and_epochs_and_resuming_changes_nothing(tmp_path):
    options = PLAIN | SCALED | {"optimiser_options": {"clipping_scale": 1.5}, "save_strategy": "steps", "save_steps": 2}
    options["save_total_limit"] = None
    whole = trainer(tmp_path / "whole", **options)
    whole.train()
    inner = whole.optimizer.optimizer
    assert isinstance(inner, ScaledAdam)
    assert inner.param_groups[0]["clipping_scale"] == 1.5
    logged = [line["learning_rate"] for line in whole.state.log_history if "learning_rate" in line]
    eden = Eden(**SCALED["eden"])
    assert logged == pytest.approx([0.045 * eden.factor(step, step // 3) for step in range(6)], rel=1e-9)
    again = trainer(tmp_path / "again", **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(weights(whole.model), weights(again.model))
    assert not torch.equal(weights(whole.model), weights(trainer(tmp_path / "new").model))


def test_adamw_takes_eden_too(tmp_path):
    one = trainer(tmp_path, epochs=1, learning_rate=0.01, eden={"warmup_batches": 2}, **PLAIN)
    one.train()
    assert isinstance(one.optimizer.optimizer, torch.optim.AdamW)
    logged = [line["learning_rate"] for line in one.state.log_history if "learning_rate" in line]
    assert logged == pytest.approx([0.005, 0.0075, 0.01], rel=1e-5)


def broken(one, steps, name="classifier.1.bias"):
    """Gradients of one weight are not finite at these steps, counted from 1."""
    weight = dict(one.model.named_parameters())[name]
    weight.register_hook(lambda grad: grad * math.nan if one.state.global_step + 1 in steps else grad)
    return one


def test_a_gradient_that_is_not_finite_ends_the_run_before_it_reaches_the_weights(tmp_path):
    one = broken(trainer(tmp_path, **PLAIN, logging_strategy="no"), {3})
    with pytest.raises(DialectError) as raised:
        one.train()
    text = str(raised.value)
    assert text.startswith("the gradient is not finite at step 3, while the loss is 1.")
    assert text.endswith(
        ": lower training.learning_rate (now 0.0001), lengthen training.warmup_steps, or train in float32"
    )
    assert weights(one.model).isfinite().all()


def test_a_weight_that_was_not_finite_before_is_named(tmp_path):
    one = trainer(tmp_path, logging_strategy="no", **PLAIN, **SCALED)
    with torch.no_grad():
        one.model.classifier[-1].bias[1] = math.inf
    one._finite.tolerated = 1
    message = (
        r"the training loss is (nan|inf) at step 2 \(number 2 in a row\): .*lengthen "
        r"training.eden.warmup_batches.* Weights were not finite before it \(1 tensors, such as classifier.1.bias\)"
    )
    with pytest.raises(DialectError, match=message):
        one.train()


def test_scaled_adam_leaves_out_single_steps_that_are_not_finite(tmp_path):
    one = broken(trainer(tmp_path, **SCALED, **PLAIN, logging_strategy="no"), {2, 3, 5})
    one.train()
    assert one.state.global_step == 6
    assert weights(one.model).isfinite().all()
    always = broken(trainer(tmp_path / "always", epochs=9, **SCALED, **PLAIN, logging_strategy="no"), set(range(1, 99)))
    with pytest.raises(DialectError, match=r"half of the last 10 gradients were not finite at step 11"):
        always.train()
