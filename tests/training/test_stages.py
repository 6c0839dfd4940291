"""Stages: what carries over, what is new, what selects, and that a broken run ends as one that was not."""

import json

import numpy as np
import pytest
import tiny
import torch
from datasets import DatasetDict
from transformers import TrainerCallback

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.saving import load_for_inference, save_for_hub
from hf_dialects.training.recipe import load_recipe, make_recipe
from hf_dialects.training.run import train_on
from hf_dialects.training.stages import carry_over, stages_of

PRETRAINING = {"name": "pretraining", "model": {"cross_entropy_weight": 0}}
CLASSIFICATION = {"name": "classification", "model": {"objective": None}}
CONTENT = {
    "data": {"source": "fixture"},
    "model": {
        "encoder": {"model_type": "whisper"} | tiny.WHISPER,
        "features": {"feature_size": 20},
        "pooling": "attention",
        "objective": "multi_similarity",
        "projection_size": 8,
        "window_s": 2.0,
        "stride_s": 1.0,
    },
    "training": {
        "max_steps": 4,
        "batch_size": 16,
        "learning_rate": 5e-3,
        "use_cpu": True,
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_total_limit": None,
    },
    "evaluation": {"draws": 20, "baselines": False},
    "stages": [PRETRAINING, CLASSIFICATION],
}


class Killed(Exception):
    pass


class KillAt(TrainerCallback):
    """Breaks off after this step of the first stage that reaches it."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


@pytest.fixture(scope="module")
def finished(screened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    return folder, train_on(screened, make_recipe(CONTENT), folder, progress=False)


def state(folder) -> dict[str, torch.Tensor]:
    return load_for_inference(folder)[0].state_dict()


def test_the_last_stage_gives_the_model_and_the_results_of_the_run(finished):
    folder, results = finished
    stages = ["stage-1-pretraining", "stage-2-classification"]
    assert sorted(one.name for one in folder.glob("stage-*")) == stages
    last, run = state(folder / stages[1]), state(folder)
    assert all(torch.equal(last[name], run[name]) for name in run)
    selected = results["selected_on"]
    assert {name: one["by"] for name, one in selected["stages"].items()} == dict(
        zip(stages, ["contrastive", "cross_entropy"], strict=True)
    )
    assert selected["by"] == "cross_entropy"
    assert selected["checkpoint"] == selected["stages"][stages[1]]["checkpoint"]
    assert json.loads((folder / "results.json").read_text())["metrics"] == results["metrics"]


def test_pretraining_trains_no_classifier_and_is_selected_by_its_loss(finished):
    folder, _ = finished
    history = json.loads((folder / "stage-1-pretraining" / "history.json").read_text())
    values = {line["step"]: line["eval_contrastive"] for line in history["log"] if "eval_contrastive" in line}
    assert sorted(values) == [2, 4]
    assert history["best"] == f"checkpoint-{min(values, key=values.get)}"
    assert not any("eval_accuracy" in line or "eval_cross_entropy" in line for line in history["log"])
    before, after = (state(folder / "stage-1-pretraining" / "checkpoints" / f"checkpoint-{step}") for step in (2, 4))
    moved = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"dialect", "projection"}


def test_the_head_of_the_second_stage_starts_as_that_of_a_plain_run(screened, finished, tmp_path):
    """Without learning, encoder and pooling stay those of the first stage, and the head that of the seed."""
    still = {"training": {"learning_rate": 0.0}}
    recipe = make_recipe(CONTENT | {"stages": [PRETRAINING, CLASSIFICATION | still]})
    train_on(screened, recipe, tmp_path / "staged", progress=False)
    plain = CONTENT | {"stages": [], "model": CONTENT["model"] | {"objective": None}}
    plain["training"] = CONTENT["training"] | still["training"]
    train_on(screened, make_recipe(plain), tmp_path / "plain", progress=False)
    first, second, plain = (state(tmp_path / name) for name in ("staged/stage-1-pretraining", "staged", "plain"))
    assert {name.split(".")[0] for name in second} == {"dialect", "classifier"}
    for name in second:
        assert torch.equal(second[name], (first if name.startswith("dialect.") else plain)[name]), name
    assert not torch.equal(first["dialect.pooling.score.weight"], plain["dialect.pooling.score.weight"])


@pytest.mark.parametrize("step", [1, 3])
def test_killed_in_either_stage_and_resumed_is_the_same(screened, finished, tmp_path, step):
    _, expected = finished
    recipe = make_recipe(CONTENT)
    with pytest.raises(Killed):
        train_on(screened, recipe, tmp_path, progress=False, callbacks=(KillAt(step),))
    assert not (tmp_path / "stage-1-pretraining" / "model").exists()
    train_until = KillAt(step)
    train_until.on_step_end = lambda args, state, control, **rest: _kill_in_second_stage(args, state, step)
    with pytest.raises(Killed):
        train_on(screened, recipe, tmp_path, progress=False, callbacks=(train_until,))
    written = (tmp_path / "stage-1-pretraining" / "model" / "config.json").stat().st_mtime_ns
    assert not (tmp_path / "model").exists()
    results = train_on(screened, recipe, tmp_path, progress=False)
    assert {**results, "environment": None} == {**expected, "environment": None}
    assert (tmp_path / "stage-1-pretraining" / "model" / "config.json").stat().st_mtime_ns == written


def _kill_in_second_stage(args, state, step: int) -> None:
    if "stage-2" in args.output_dir and state.global_step == step:
        raise Killed


def test_what_carries_over_to_a_new_model(tmp_path):
    options = {"pooling": "attention", "layer": "weighted"}
    source = tiny.model("wavlm", seed=1, objective="supcon", projection_size=8, **options)
    torch.nn.init.normal_(source.dialect.layer_weights)
    save_for_hub(source, tiny.feature_extractor("wavlm"), tmp_path / "source")
    old, made = source.state_dict(), {}
    for head in ("new", "keep"):
        model = tiny.model("wavlm", seed=2, objective="supcon", projection_size=8, **options)
        fresh = {name: value.clone() for name, value in model.state_dict().items()}
        carry_over(model, tmp_path / "source", head)
        made[head] = model.state_dict()
    for name in old:
        new = old if name.startswith("dialect.") else fresh
        assert torch.equal(made["new"][name], new[name]), name
        assert torch.equal(made["keep"][name], old[name]), name
    assert not torch.equal(old["classifier.0.weight"], fresh["classifier.0.weight"])


def test_models_that_do_not_fit_each_other(tmp_path):
    save_for_hub(tiny.model("whisper"), tiny.feature_extractor("whisper"), tmp_path / "source")
    with pytest.raises(RecipeError, match=r"differs in 1 parameters, the first: dialect.pooling.*from: original"):
        carry_over(tiny.model("whisper", pooling="attention"), tmp_path / "source")
    other = tiny.model("whisper", id2label={0: "north", 1: "south", 2: "east"})
    with pytest.raises(RecipeError, match="knows other dialects; take head: new"):
        carry_over(other, tmp_path / "source", head="keep")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"from": "previous"}, {}], r"stage-1-training starts from the previous stage, but it is the first"),
        ([{}, {"from": "original", "head": "keep"}], r"stage-2-training keeps a head, but starts from the original"),
        ([{}, PRETRAINING], r"stage-2-pretraining has model.cross_entropy_weight 0"),
        ([{}, {"data": {"source": "other"}}], r"stage-2-training has data of its own"),
    ],
)
def test_stages_that_make_no_sense(stages, message):
    with pytest.raises(RecipeError, match=message):
        stages_of(make_recipe({"stages": stages}))


def test_wrong_values_of_a_stage_are_named():
    with pytest.raises(RecipeError, match=r"stages.from in the recipe is 'first'; it must be previous or original"):
        make_recipe({"stages": [{"from": "first"}]})
    with pytest.raises(RecipeError, match=r"stages.name in the recipe is 'a/b'; it names a folder"):
        make_recipe({"stages": [{"name": "a/b"}]})


def test_nothing_to_learn_is_an_error(screened, tmp_path):
    content = CONTENT | {"model": CONTENT["model"] | {"objective": None}}
    with pytest.raises(RecipeError, match=r"no model\.objective is set, so there is nothing to learn"):
        train_on(screened, make_recipe(content), tmp_path, progress=False)


def test_no_stage_may_hear_the_speakers_that_are_tested(screened, tmp_path, monkeypatch):
    from hf_dialects.training import stages

    swapped = DatasetDict(screened.splits | {"train": screened.splits["test"], "test": screened.splits["train"]})
    other = type(screened)(swapped, [], screened.by)
    monkeypatch.setattr(stages, "splits_of_recipe", lambda recipe, progress: other)
    content = CONTENT | {"stages": [PRETRAINING | {"data": {"split_seed": 3}}, CLASSIFICATION]}
    with pytest.raises(CorpusError, match="speaker"):
        train_on(screened, make_recipe(content), tmp_path, progress=False)


def test_the_three_settings_and_their_controls_take_equal_steps():
    plain, long = load_recipe("salvi_plain"), load_recipe("salvi_plain_long")
    for name, total in {"auxiliary": 1, "pretraining": 2, "both": 2}.items():
        recipe = load_recipe(f"salvi_{name}")
        epochs = [stage.recipe.training["num_train_epochs"] for stage in stages_of(recipe)]
        epochs = epochs or [recipe.training["num_train_epochs"]]
        assert sum(epochs) == total * plain.training["num_train_epochs"]
        assert recipe.training == plain.training
        same = {key: value for key, value in recipe.model.items() if key not in ("objective", "contrastive_weight")}
        assert same == plain.model
    assert long.training == plain.training | {"num_train_epochs": 2 * plain.training["num_train_epochs"]}
    last = stages_of(load_recipe("salvi_pretraining"))[-1].recipe.model
    assert last["objective"] is None
    assert np.all([stages_of(load_recipe("salvi_both"))[-1].recipe.model["objective"] == "multi_similarity"])
