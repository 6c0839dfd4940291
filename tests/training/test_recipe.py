"""Recipes: what is read, what is refused, and how overrides land."""

import pytest

from hf_dialects.errors import RecipeError
from hf_dialects.training.asr_recipe import is_asr, load_asr_recipe
from hf_dialects.training.recipe import apply_overrides, find_recipe, load_recipe, make_recipe, valid_keys


def write(folder, text: str):
    path = folder / "one.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_recipe_is_valid():
    shipped = sorted(find_recipe("demo").parent.glob("*.yaml"))
    assert {"demo", "small", "finetune"} <= {path.stem for path in shipped}
    for path in shipped:
        assert (load_asr_recipe if is_asr(path) else load_recipe)(path.stem).description


def test_overrides_are_dotted_and_read_as_yaml():
    recipe = load_recipe(
        "demo",
        [
            "training.learning_rate=1e-4",
            "seed=7",
            "data.labels=[en-us, es]",
            "model.pooling=max",
            "evaluation.min_speech=0.5",
        ],
    )
    assert recipe.training["learning_rate"] == 1e-4
    assert recipe.seed == 7
    assert recipe.data["labels"] == ["en-us", "es"]
    assert recipe.model["pooling"] == "max"
    assert recipe.evaluation == {"min_speech": 0.5}


def test_overrides_leave_the_original_alone():
    content = {"training": {"learning_rate": 1.0}}
    assert apply_overrides(content, ["training.learning_rate=2"])["training"]["learning_rate"] == 2
    assert content["training"]["learning_rate"] == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trainig": {}}, "unknown key trainig in the recipe; did you mean training?"),
        (
            {"training": {"learning_rat": 1}},
            "unknown key training.learning_rat in training in the recipe; did you mean training.learning_rate?",
        ),
        ({"model": {"poolin": "max"}}, "did you mean model.pooling?"),
        ({"data": {"xyzzy": 1}}, "unknown key data.xyzzy in data in the recipe; valid keys: source, label"),
        (
            {"stages": [{"form": "original"}]},
            "unknown key stages.form in a stage in the recipe; did you mean stages.from?",
        ),
        ({"training": 3}, "training in the recipe holds 3; a mapping"),
        ({"training": {"seed": 3}}, "unknown key training.seed"),
        (
            {"evaluation": {"baselines": ["durations"]}},
            "evaluation.baselines names 'durations'; valid are: majority, mel statistics, duration, non-speech, "
            "long-term spectrum",
        ),
        (
            {"stages": [{"evaluation": {"baselines": "all"}}]},
            "evaluation.baselines is 'all'; give true, false or a list",
        ),
    ],
)
def test_wrong_keys_are_named_with_the_nearest_valid_one(content, message):
    with pytest.raises(RecipeError) as caught:
        make_recipe(content)
    assert message in str(caught.value)


def test_unreadable_recipes(tmp_path):
    with pytest.raises(RecipeError, match="is not valid YAML"):
        load_recipe(write(tmp_path, "a: [1"))
    with pytest.raises(RecipeError, match="holds a list; a recipe is a mapping"):
        load_recipe(write(tmp_path, "[1, 2]"))
    with pytest.raises(RecipeError, match=r"there is no recipe file 'dmo'; give a path, or one of: .*demo"):
        load_recipe("dmo")
    with pytest.raises(RecipeError, match="is not of the form key=value"):
        load_recipe("demo", ["training.learning_rate"])
    with pytest.raises(RecipeError, match="'source' holds a plain value, nothing can be set below it"):
        load_recipe("demo", ["data.source.split=train"])


def test_resolved_recipe_is_read_back_equal(tmp_path):
    recipe = load_recipe("demo", ["seed=3"])
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_keys_of_the_sections_come_from_their_owners():
    assert "learning_rate" in valid_keys("training")
    assert "spectral_augment" in valid_keys("training")
    assert "output_dir" not in valid_keys("training")
    assert {"encoder", "pooling", "objective", "window_s"} <= set(valid_keys("model"))
    assert "class_weights" not in valid_keys("model")
