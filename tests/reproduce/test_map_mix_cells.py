"""The rows of the tables of Map-Mix: what the paper prints, what prepares them, and what is equal between them."""

import pytest

from hf_dialects.errors import DialectError
from hf_dialects.reproduce.map_mix import ABLATIONS, AXES, ENCODERS, PLAIN, SHORT, TABLES, map_mix_cells, published
from hf_dialects.reproduce.map_mix_steps import equal_steps
from hf_dialects.training.screened import Screened

STEPS = ("training.max_steps=90", "training.eval_strategy=steps", "training.eval_steps=10", "training.save_steps=10")


def cells(table="map-mix-table1", **options):
    return {cell.name: cell for cell in map_mix_cells(table, **options)}


def test_the_numbers_of_the_paper():
    """Its own claims, from its tables."""
    one, two = published("map-mix-table1"), published("map-mix-table2")
    assert one["map_mix"] == two["map_mix"]
    gain = one["map_mix"]["weighted_f1"] - one["random"]["weighted_f1"]
    assert gain == pytest.approx(0.02)  # "by 2% compared to the random mixup baseline"
    assert max(one, key=lambda name: one[name]["cluster_accuracy"]) == "plain"
    assert min(one, key=lambda name: one[name]["ece"]) == "map_mix"
    assert two["easy"]["weighted_f1"] > two["hard"]["weighted_f1"]
    assert {name: row for name, row in two.items() if name in one} == {name: one[name] for name in two if name in one}


def test_the_tables_are_the_papers_and_the_ablations():
    first, second = cells(), cells("map-mix-table2")
    assert [name for name, cell in first.items() if not cell.preparation] == list(TABLES["map-mix-table1"])
    assert {name for name, cell in first.items() if cell.published} == set(published("map-mix-table1"))
    assert {name for name, cell in second.items() if cell.published} == set(published("map-mix-table2"))
    assert all(first[name] == second[name] for name in ("plain", "labels", "none-smoothing"))  # one run serves both
    settings = {name: second[name].resolved(0).training for name in ("map_mix", *ABLATIONS)}
    assert {name: (one["mixup"], one["targets"]) for name, one in settings.items()} == {
        "map_mix": ("ambiguous_easy", "confidence"),
        "none-confidence": ("none", "confidence"),
        "none-smoothing": ("none", "smoothing"),
        "random-confidence": ("random", "confidence"),
        "random-subset": ("random", "one_hot"),
    }
    assert settings["random-subset"]["train_subset"] == "like_ambiguous_easy"


def test_settings_differ_in_mixing_and_targets_alone():
    """One stage, and everything of the recipe but these keys."""
    varied = {"mixup", "targets", "datamap", "confidence_from", "train_subset", "record_dynamics"}
    recipes = [
        cell.resolved(3, STEPS) for cell in cells().values() if cell.name not in ENCODERS and not cell.preparation
    ]
    plain = {key: value for key, value in recipes[0].training.items() if key not in varied}
    for recipe in recipes:
        assert recipe.stages == []
        assert recipe.seed == 3
        assert recipe.model == recipes[0].model
        assert {key: value for key, value in recipe.training.items() if key not in varied} == plain


def test_one_map_and_one_table_of_labels_for_each_seed():
    made = cells()
    assert made["plain"].resolved(2).training["record_dynamics"] == "training"
    for name in ("map_mix", "random-subset"):
        assert made[name].resolved(2).training["datamap"] == "../../plain/seed-2/dynamics.parquet"
    for name in ("map_mix", "none-confidence", "random-confidence"):
        assert made[name].resolved(2).training["confidence_from"] == "../../labels/seed-2/confidence_labels.csv"
    labels = made["labels"].resolved(2, STEPS).training
    assert made["labels"].preparation
    assert labels["confidence_from"] == "out_of_fold"
    assert labels["max_steps"] == 27  # of 90: nine looks after three steps
    alone = cells(chosen=("map_mix",))
    assert [name for name, cell in alone.items() if cell.preparation] == ["plain", "labels"]
    assert alone["map_mix"].baselines == ()
    uniform = cells(chosen=("map_mix",), shares="uniform")
    assert list(uniform) == ["plain", "map_mix"]
    assert uniform["map_mix"].resolved(0).training["confidence_from"] == "uniform"


def test_a_table_of_shares_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cells(chosen=("map_mix",), shares="shares.csv")["map_mix"].resolved(0).training["confidence_from"]
    assert found == str(tmp_path / "shares.csv")


def test_rows_are_tested_against_plain_training_and_random_mixup():
    made = cells("map-mix-table1")
    assert made["plain"].baselines == made["labels"].baselines == ()
    assert made["hubert"].baselines == made["random"].baselines == ("plain",)
    assert made["map_mix"].baselines == made["static"].baselines == ("plain", "random")


def test_equal_examples_counts_what_prepares_a_setting():
    """In units of plain training: the map a third, mixing with partners twice a third."""
    steps, examples = cells("map-mix-table2"), cells("map-mix-table2", equal="examples")
    for name in ("plain", "random", "none-smoothing"):
        assert examples[name].resolved(0, STEPS) == steps[name].resolved(0, STEPS)
    assert "random-subset" not in examples
    assert "labels" not in examples
    for name, cell in examples.items():
        training = cell.resolved(0, STEPS).training
        per_step = 2 if training["mixup"] in ("easy", "hard", "ambiguous_easy") else 1
        prepared = [examples[one].resolved(0, STEPS).training["max_steps"] for one, _ in cell.inputs.values()]
        assert per_step * training["max_steps"] + sum(prepared) <= 90
        if name != SHORT:
            assert per_step * training["max_steps"] + sum(prepared) >= 80
        assert training["max_steps"] // training["eval_steps"] == 9
        assert training.get("confidence_from") != "../../labels/seed-0/confidence_labels.csv"


def test_axes_add_rows_without_published_numbers():
    made = cells("map-mix-table2", axes=tuple(AXES))
    assert made["map_mix+quantiles"].resolved(0).training["regions"]["by"] == "quantiles"
    assert made["map_mix+short"].inputs == made["map_mix"].inputs  # the whole map
    assert made["map_mix+frequency"].resolved(0).training["confidence_from"] == "frequency"
    assert made[SHORT].resolved(0, STEPS).training["max_steps"] == 27
    assert not any(cell.published for name, cell in made.items() if "+" in name)


def test_other_encoders_and_presets():
    made = cells(given={"hubert": "folder"}, recipe="map_mix_released")
    assert made["hubert"].resolved(0).model["encoder"] == "folder"
    assert made[PLAIN].resolved(0, ("model.encoder=own",)).model["encoder"] == "own"
    assert made["wav2vec2"].resolved(0, ("model.encoder=own",)).model["encoder"] == ENCODERS["wav2vec2"]
    assert made[PLAIN].resolved(0).model["classifier_hidden"] == 512


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chosen": ("easy",)}, "map-mix-table1 has no row 'easy'; choose from: wav2vec2"),
        ({"axes": ("size",)}, "has no axis 'size'; choose from: regions, length, shares"),
        ({"equal": "epochs"}, "has no kind of equality 'epochs'; choose from: steps, examples"),
        ({"given": {"wavlm": "x"}}, "has no encoder 'wavlm'; choose from: wav2vec2, hubert"),
    ],
)
def test_unknown_choices_are_named(options, message):
    with pytest.raises(DialectError, match=message):
        map_mix_cells("map-mix-table1", **options)


@pytest.mark.parametrize(
    ("training", "steps", "every"),
    [
        ({"num_train_epochs": 50, "batch_size": 8}, 650, 13),  # 100 recordings: 13 batches an epoch
        ({"max_steps": 450, "batch_size": 8}, 444, 12),  # 34.6 epochs: 35 looks would be after 12.9 steps
        ({"max_steps": 90, "eval_strategy": "steps", "eval_steps": 10}, 90, 10),
        ({"max_steps": 2, "batch_size": 8}, 2, 2),
    ],
)
def test_steps_and_looks_are_equal_whatever_an_epoch_holds(training, steps, every):
    class Hundred:
        def __len__(self):
            return 100

    unit = Screened({"train": Hundred()}, [], ("speaker",))
    found = dict(one.split("=") for one in equal_steps(training, unit))
    assert equal_steps(training, [unit, None]) == equal_steps(training, unit)
    assert int(found["training.max_steps"]) == steps
    assert {int(found[f"training.{name}"]) for name in ("eval_steps", "save_steps", "logging_steps")} == {every}
    assert steps % every == 0


def test_another_recipe_has_no_published_numbers_and_another_name():
    plain = cells(recipe="demo")["plain"]
    assert plain.columns["model"] == "plain training"
    assert not any(cell.published for cell in cells(recipe="demo").values())
    assert cells(recipe="map_mix_released")["plain"].columns["model"] == "XLSR"
