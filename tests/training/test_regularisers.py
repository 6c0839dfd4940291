"""Balancer and Whiten on a Zipformer: gradients only, in training only, blind to padding, the same after a resume."""

from dataclasses import replace

import pytest
import torch
from test_asr_trainer import trainer, weights
from tiny_zipformer import CHUNKS, SIX, TWO, drawn
from torch import nn

from hf_dialects.errors import RecipeError
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.training.activation_penalties import Balancer, Whiten
from hf_dialects.training.activation_places import Place, places
from hf_dialects.training.asr_trainer import AsrTrainer
from hf_dialects.training.regularisers import Regularisers, _Regularised, build_regularisers

STILL = {"dropout": 0.0, "position_dropout": 0.0, "layer_skip_rate": 0.0}


def encoder(**options) -> ZipformerModel:
    return drawn(ZipformerModel(ZipformerConfig(**TWO | STILL | options))).train()


def batch(n_frames: int = 60, bins: int = 20) -> dict[str, torch.Tensor]:
    """Three utterances, the longest of 60 frames."""
    features = torch.randn(3, 60, bins, generator=torch.Generator().manual_seed(3))
    mask = (torch.arange(60) < torch.tensor([[60], [41], [28]])).long()
    if n_frames > 60:
        features = nn.functional.pad(features, (0, 0, 0, n_frames - 60), value=7.0)
        mask = nn.functional.pad(mask, (0, n_frames - 60))
    return {"input_features": features, "attention_mask": mask}


def gradients(model: ZipformerModel, inputs: dict, scale: float = 1.0) -> torch.Tensor:
    model.zero_grad()
    output = model(**inputs)
    (scale * output.last_hidden_state[output.frame_mask].square().sum()).backward()
    return torch.cat([one.grad.flatten() for one in model.parameters()])


def always(model: ZipformerModel, **options) -> Regularisers:
    """Regularisers of which none waits for its turn, and all have something to say."""
    found = Regularisers(model, **options)
    kinds = {Balancer: Balancer(0.49, 0.51, 1.0, 1.01, 1.0, scale=0.3), Whiten: Whiten(1.0, 1, 1.0, scale=0.3)}
    found.places = [replace(place, regulariser=kinds[type(place.regulariser)]) for place in found.places]
    return found


@pytest.mark.parametrize("options", [TWO, SIX, SIX | CHUNKS])
def test_places_have_names_and_channels_of_their_own(options):
    model = ZipformerModel(ZipformerConfig(**options))
    found = list(places(model))
    layers = sum(options["num_encoder_layers"])
    assert [sum(isinstance(one.regulariser, kind) for one in found) for kind in (Balancer, Whiten)] == [
        5 + 14 * layers,
        2 + 11 * layers,
    ]
    assert len({(one.name, type(one.regulariser)) for one in found}) == len(found)
    assert all(model.get_submodule(one.name) is one.module for one in found)


def test_the_large_model_has_as_many_places_as_icefall():
    with torch.device("meta"):
        model = ZipformerModel(ZipformerConfig.preset("large"))
    kinds = [type(one.regulariser) for one in places(model)]
    assert kinds.count(Balancer) == 273 - 2  # two are on embeddings of the prediction network
    assert kinds.count(Whiten) == 211


@pytest.mark.parametrize("options", [{}, CHUNKS])
def test_every_place_is_regularised(options):
    model, inputs = encoder(**options), batch()
    plain = gradients(model, inputs)
    every = always(model)
    silent = []
    for place in every.places:
        one = always(model)
        one.places = [place]
        with one:
            if torch.equal(gradients(model, inputs), plain):
                silent.append(place.name)
    assert silent == []


@pytest.mark.parametrize(("shape", "channel_dim"), [((2, 5, 6), -1), ((2, 6, 5), 1), ((2, 6, 5, 3), 1)])
def test_the_gradient_of_a_part_gains_what_the_regulariser_adds(shape, channel_dim):
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gradient = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    for regulariser in (Balancer(0.4, 0.5, 2.0, 3.0, scale=0.5), Whiten(1.0, groups=2, scale=0.5)):
        place = Place(nn.Identity(), regulariser, (2, 6), channel_dim)
        for frames, kept in ((..., torch.ones_like(valid)), (valid.nonzero(as_tuple=True), valid)):
            output = _Regularised.apply(values, place, frames, 0.0)
            assert torch.equal(output, values)
            (found,) = torch.autograd.grad(output, values, gradient)
            rows = [
                [one.detach().movedim(channel_dim, -1)[row, frame, ..., 2:6] for row, frame in kept.nonzero().tolist()]
                for one in (values, gradient)
            ]
            flat, of_flat = (torch.stack(one).reshape(-1, 4) for one in rows)
            added = iter(regulariser.added(flat.requires_grad_(), of_flat).reshape(int(kept.sum()), -1, 4))
            expected = gradient.clone()
            for row, frame in kept.nonzero().tolist():
                there = expected.movedim(channel_dim, -1)[row, frame, ..., 2:6]
                there += next(added).reshape(there.shape)
            assert not torch.equal(expected, gradient)
            assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_the_forward_pass_the_weights_and_evaluation_are_untouched():
    model, inputs = encoder(), batch()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    plain, plain_gradient = model(**inputs).last_hidden_state, gradients(model, inputs)
    with torch.no_grad():
        evaluated = model.eval()(**inputs).last_hidden_state
        model.train()
    with always(model):
        assert torch.equal(model(**inputs).last_hidden_state, plain)
        assert not torch.equal(gradients(model, inputs), plain_gradient)
        after = model.state_dict()
        assert after.keys() == weights.keys()
        assert all(torch.equal(value, weights[name]) for name, value in after.items())
        with torch.no_grad():
            assert torch.equal(model.eval()(**inputs).last_hidden_state, evaluated)
        of_evaluation = gradients(model, inputs)  # eval mode, with gradients
    assert torch.equal(gradients(model, inputs), of_evaluation)
    assert torch.equal(gradients(model.train(), inputs), plain_gradient)
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


def test_padding_changes_nothing():
    model = encoder().double()
    with always(model):
        found = []
        for inputs in (batch(), batch(97)):
            inputs["input_features"] = inputs["input_features"].double()
            found.append(gradients(model, inputs))
        features = batch()["input_features"].double()
        alone = gradients(model, {"input_features": features})
        whole = gradients(model, {"input_features": features, "attention_mask": torch.ones(3, 60).long()})
    assert torch.allclose(*found, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found[0], alone)
    assert torch.allclose(whole, alone, rtol=1e-9, atol=1e-9)  # no frame of an utterance is left out


def test_the_size_of_the_loss_does_not_matter():
    model, inputs = encoder().double(), batch()
    inputs["input_features"] = inputs["input_features"].double()
    with always(model):
        assert torch.allclose(64 * gradients(model, inputs), gradients(model, inputs, scale=64.0))


def test_either_may_be_left_out():
    model, inputs = encoder(), batch()
    found = []
    for balancer, whiten in ((True, True), (True, False), (False, True), (False, False)):
        with always(model, balancer=balancer, whiten=whiten):
            found.append(gradients(model, inputs))
    assert not any(torch.equal(one, other) for row, one in enumerate(found) for other in found[:row])
    assert torch.equal(found[-1], gradients(model, inputs))


def test_draws_depend_on_seed_and_step():
    model, inputs = encoder(), batch()

    def found(seed: int, step: int) -> torch.Tensor:
        regularisers = Regularisers(model, seed)
        with regularisers:
            regularisers.step = step
            return gradients(model, inputs)

    assert torch.equal(found(1, 5), found(1, 5))
    assert not torch.equal(found(1, 5), found(1, 6))
    assert not torch.equal(found(1, 5), found(2, 5))


def test_checkpointed_activations_give_the_same_gradients():
    model, inputs = encoder(), batch()
    with Regularisers(model, seed=2):
        plain = gradients(model, inputs)
        model.activation_checkpointing_enable()
        assert torch.equal(gradients(model, inputs), plain)
    model.activation_checkpointing_disable()
    assert not torch.equal(gradients(model, inputs), plain)


def test_half_precision_is_regularised_in_float32():
    model, inputs = encoder(), batch()
    with always(model), torch.autocast("cpu", torch.bfloat16):
        found = gradients(model, inputs)
    assert torch.isfinite(found).all()


def losses(one: AsrTrainer) -> list[float]:
    return [line["loss"] for line in one.state.log_history if "loss" in line]


def test_a_training_with_regularisers_goes_its_own_way_and_resumes_on_it(tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "no", "load_best_model_at_end": False}
    saving |= {"save_total_limit": None}
    options = {"on": {}, "off": None, "neither": {"balancer": False, "whiten": False}}
    runs = {}
    for name, own in options.items():
        runs[name] = trainer(tmp_path / name, **saving, regularisers=own)
        runs[name].train()
    assert runs["on"].state.global_step > 4
    assert len({losses(one)[0] for one in runs.values()}) == 1
    assert not torch.equal(weights(runs["on"].model), weights(runs["off"].model))
    assert torch.equal(weights(runs["neither"].model), weights(runs["off"].model))
    again = trainer(tmp_path / "again", **saving, regularisers={})
    again.train(resume_from_checkpoint=str(tmp_path / "on" / "checkpoint-2"))
    assert torch.equal(weights(again.model), weights(runs["on"].model))
    assert losses(again) == losses(runs["on"])
    files = [{path.name for path in (tmp_path / name / "checkpoint-2").iterdir()} for name in ("on", "off")]
    assert files[0] == files[1]
    assert not any(module._forward_hooks for module in again.model.modules())


def test_schedules_follow_the_seconds_of_a_step():
    found = build_regularisers(encoder(), {"first_batch": 100}, seed=0, seconds_per_step=19200)
    assert (found.first_batch, found.batches_per_step) == (100, 32)
    quiet = [replace(place, regulariser=Whiten(((0, 1.0), (64, 1e9)), probability=1.0)) for place in found.places[-3:]]
    model, inputs = found.encoder, batch()
    plain, found.first_batch, found.places = gradients(model, inputs), 0, quiet
    with found:
        assert not torch.equal(gradients(model, inputs), plain)
        found.step = 2
        assert torch.equal(gradients(model, inputs), plain)


def test_what_does_not_fit_is_refused(tmp_path):
    for options, message in (
        ({"limits": 3}, r"training\.regularisers has no limits; its options are balancer, whiten, first_batch"),
        ({"whiten": 0.5}, r"regularisers\.whiten is 0\.5; it must be true or false"),
        ({"first_batch": -1}, r"regularisers\.first_batch is -1; expected a number from 0"),
    ):
        with pytest.raises(RecipeError, match=message):
            trainer(tmp_path, regularisers=options)
    with pytest.raises(RecipeError, match="are for Zipformers, and Linear holds none"):
        Regularisers(nn.Linear(2, 2))
