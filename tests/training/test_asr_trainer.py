"""Training of recognisers: it learns, translations teach the attention decoder alone, resuming changes nothing."""

import math

import pytest
import spelt
import torch

from hf_dialects.data.tokens import character_tokens
from hf_dialects.data.utterances import Utterances
from hf_dialects.errors import DialectError, RecipeError
from hf_dialects.metrics.error_rates import word_error_rate
from hf_dialects.recognition import transcribe
from hf_dialects.training.asr_arguments import AsrTrainingArguments
from hf_dialects.training.asr_trainer import AsrTrainer
from hf_dialects.training.averaged_weights import read_averaged

TOKENS = character_tokens(["abc xyz"], languages=("spoken", "en"))
PLAIN = {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False}


def translated():
    return spelt.corpus(
        ("ab", "b", "c", "a"), translation=["xy z", None, "z", None], translation_language=["en", None, "en", None]
    )


def trainer(folder, dataset=None, model_options=None, tokens=TOKENS, validation=None, **options) -> AsrTrainer:
    options = {"batch_seconds": 4.0, "num_train_epochs": 2, "seed": 1, "speeds": [0.9, 1.1]} | options
    options |= {"output_dir": str(folder), "use_cpu": True, "disable_tqdm": True}
    arguments = AsrTrainingArguments(**{"logging_steps": 1} | options)
    analyse = spelt.extractor().filter_bank
    training = {"training": True, "seed": arguments.seed, "speeds": arguments.speeds}
    rows = dataset or spelt.corpus()
    return AsrTrainer(
        spelt.model(tokens, **({"dropout": 0.1} | (model_options or {}))),
        arguments,
        spelt.extractor(),
        tokens,
        Utterances(rows, tokens, analyse, **training),
        Utterances(validation or rows, tokens, analyse),
    )


def weights(model) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def test_eight_utterances_are_learnt(tmp_path):
    options = {"optimiser": "adamw", "learning_rate": 0.015, "weight_decay": 0.0, "batch_seconds": 8.0}
    options |= {"num_train_epochs": 80, "warmup_steps": 0, "speeds": [1.0], "spec_augment": None}
    still = {"dropout": 0, "position_dropout": 0, "layer_skip_rate": 0, "attention_decoder_layers": 0}
    one = trainer(tmp_path, model_options=still, **options | PLAIN)
    before = one.evaluate()
    one.train()
    after = one.evaluate()
    assert before["eval_wer"] > 0.8
    assert (after["eval_wer"], after["eval_cer"]) == (0, 0)
    assert after["eval_loss"] < before["eval_loss"] / 20
    cells = spelt.corpus()["audio"][:]
    for method in ("greedy", "modified_beam_search"):
        found = transcribe(one.model, spelt.extractor(), TOKENS, cells, method=method, batch_size=3)
        assert word_error_rate(spelt.TEXTS, found) == 0
    durations = spelt.corpus()["duration"][:]
    assert transcribe(one.model, spelt.extractor(), TOKENS, cells, batch_size=3, lengths=durations) == list(spelt.TEXTS)


def test_every_parameter_moves_and_every_loss_is_logged(tmp_path):
    one = trainer(tmp_path, eval_strategy="epoch", save_strategy="no", load_best_model_at_end=False)
    before = {name: value.detach().clone() for name, value in one.model.named_parameters()}
    one.train()
    assert [name for name, value in one.model.named_parameters() if torch.equal(value, before[name])] == []
    first = one.state.log_history[0]
    parts = {name: first[f"{name}_loss"] for name in ("simple", "pruned", "attention")}
    scales = one.model.loss_scales(0)
    assert scales["simple"] == 1  # the schedule starts with the first step
    assert first["loss"] == pytest.approx(sum(scales[name] * value for name, value in parts.items()), rel=1e-4)
    last = [line for line in one.state.log_history if "simple_loss" in line][-1]
    scales = one.model.loss_scales(one.state.global_step - 1)
    assert scales["simple"] < 1
    assert last["loss"] == pytest.approx(sum(scales[name] * last[f"{name}_loss"] for name in parts), rel=1e-4)
    assert {"eval_cer", "eval_wer", "eval_loss"} <= one.state.log_history[-2].keys()


def test_resuming_equals_an_uninterrupted_run(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "no", "load_best_model_at_end": False}
    options |= {"average_weights_every": 1, "save_total_limit": None, "eden": {"batches": 5, "epochs": 1}}
    whole = trainer(tmp_path / "whole", **options)
    whole.train()
    assert whole.state.global_step > 4
    again = trainer(tmp_path / "again", **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(weights(whole.model), weights(again.model))
    last = f"checkpoint-{whole.state.global_step}"
    means = [read_averaged(tmp_path / name / last) for name in ("whole", "again")]
    assert all(torch.equal(value, means[1][name]) for name, value in means[0].items())
    first, second = ([line["loss"] for line in one.state.log_history if "loss" in line] for one in (whole, again))
    assert first == second
    other = trainer(tmp_path / "other", **options | {"seed": 2})
    other.train()
    assert not torch.equal(weights(whole.model), weights(other.model))


def gradients(one: AsrTrainer, batch: dict) -> dict[str, float]:
    """Largest gradient of each part of the model."""
    one.model.train().zero_grad()
    one.compute_loss(one.model, batch).backward()
    found: dict[str, float] = {}
    for name, value in one.model.named_parameters():
        part, size = name.split(".")[0], 0.0 if value.grad is None else float(value.grad.abs().max())
        found[part] = max(found.get(part, 0.0), size)
    return found


def test_translations_teach_the_attention_decoder_alone(tmp_path):
    one = trainer(tmp_path, translated(), **PLAIN)
    items = [one.train_dataset[index] for index in range(6)]  # four transcripts, two translations
    assert [item["transcribed"] for item in items] == [True] * 4 + [False] * 2
    found = gradients(one, one.data_collator(items[4:]))
    transducer = {"decoder", "joiner", "simple_am_proj", "simple_lm_proj"}
    assert {part for part, size in found.items() if size == 0} == transducer
    assert {part for part, size in gradients(one, one.data_collator(items[:4])).items() if size == 0} == set()


def test_validation_counts_errors_of_transcripts_only(tmp_path):
    one = trainer(tmp_path, translated(), **PLAIN)
    found = one.predict(one.eval_dataset)
    assert found.label_ids.tolist() == [0, 1, 2, 3, -1, -1]
    assert {"test_cer", "test_wer", "test_loss"} <= found.metrics.keys()


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="translations train the attention decoder, and this model has none"):
        trainer(tmp_path, translated(), model_options={"attention_decoder_layers": 0})
    one = trainer(tmp_path, **PLAIN)
    with pytest.raises(RecipeError, match="the model has 12 tokens, the vocabulary 6"):
        AsrTrainer(one.model, one.args, spelt.extractor(), character_tokens(["abc"]), one.train_dataset)
    for options, message in (
        ({"batch_seconds": 0}, "batch_seconds is 0; expected a number above 0"),
        ({"longest_s": 0.05}, "shortest_s is 0.1 and training.longest_s 0.05"),
        ({"average_since": 1.0}, "average_since is 1.0; expected a share"),
    ):
        with pytest.raises(RecipeError, match=message):
            AsrTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    one = trainer(tmp_path, **PLAIN, optimiser="adamw", learning_rate=0.001)
    with torch.no_grad():
        one.model.joiner.output_linear.bias[1] = math.inf
    with pytest.raises(DialectError, match=r"the training loss is inf at step 1: lower training\.learning_rate"):
        one.train()
