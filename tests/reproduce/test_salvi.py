"""The rows of the tables, and what the paper prints beside them."""

import numpy as np
import pytest

from hf_dialects.errors import DialectError
from hf_dialects.reproduce.salvi import AXES, ENCODERS, published, table2, table3

GIVEN = {"xlsr-53-ita": "ctc"}


def test_table_2_runs_what_is_known_and_says_what_must_be_given():
    cells = {cell.name: cell for cell in table2({})}
    assert list(cells) == list(ENCODERS)
    assert {name: cell.missing for name, cell in cells.items() if cell.missing} == {
        "xlsr-53-ita": "give --ita-xlsr53",
        "xls-r-300m-ita": "give --ita-xlsr128",
        "ecapa": "give --ecapa",
    }
    assert cells["wavlm-large"].resolved(3).model["encoder"] == "microsoft/wavlm-large"
    assert cells["wavlm-large"].resolved(3).seed == 3
    given = {cell.name: cell for cell in table2({"ecapa": "converted", "xlsr-53": "local"})}
    assert given["ecapa"].missing is None
    assert given["ecapa"].resolved(0).model["pooling"] == "ecapa"
    assert given["xlsr-53"].resolved(0).model["encoder"] == "local"
    assert [cell.baselines for cell in given.values()] == [("xlsr-53",), (), *[("xlsr-53",)] * 4]


def test_table_3_is_plain_its_control_and_three_times_three():
    cells = {cell.name: cell for cell in table3(GIVEN)}
    assert len(cells) == 11
    assert set(published("salvi-table3")) == set(cells) - {"plain-long"}
    assert all(cell.published for name, cell in cells.items() if name != "plain-long")
    objectives = {cell.resolved(0).model.get("objective") for cell in cells.values()}
    assert objectives == {None, "supcon", "triplet", "multi_similarity"}
    both = cells["triplet-both"].resolved(0, ("training.num_train_epochs=3",))
    assert both.model["encoder"] == "ctc"
    assert [stage["name"] for stage in both.stages] == ["pretraining", "classification"]
    assert {name: cell.baselines for name, cell in cells.items() if "supcon" in name} == {
        "supcon-auxiliary": ("plain",),
        "supcon-pretraining": ("plain", "plain-long"),
        "supcon-both": ("plain", "plain-long"),
    }


@pytest.mark.parametrize("length", ["training.num_train_epochs=3", "training.max_steps=7"])
def test_the_control_is_as_long_as_both_stages_whatever_the_overrides(length):
    key, value = length.removeprefix("training.").split("=")
    cells = {cell.name: cell for cell in table3(GIVEN)}
    assert cells["plain"].resolved(0, (length,)).training[key] == int(value)
    assert cells["plain-long"].resolved(0, (length,)).training[key] == 2 * int(value)
    assert cells["supcon-both"].resolved(0, (length,)).training[key] == int(value)  # of each stage


def test_the_numbers_of_the_paper():
    """Its own claims, from its tables: what is best, and what multi-similarity gains beside cross-entropy."""
    rows = published("salvi-table3")
    best = max(rows, key=lambda name: rows[name]["macro_f1"][0])
    assert best == "multi_similarity-auxiliary"
    assert rows[best]["macro_f1"] == [51.29, 1.36]
    assert rows["plain"] == published("salvi-table2")["xlsr-53-ita"]
    assert all(rows[name]["macro_f1"][0] < rows["plain"]["macro_f1"][0] for name in rows if "supcon" in name)
    assert np.mean([row["accuracy"][0] for row in rows.values()]) == pytest.approx(59.32, abs=1e-9)


def test_another_encoder_has_no_published_numbers_beside_it():
    assert not any(cell.published for cell in table3({}, encoder="xls-r-300m"))
    assert table3({}, encoder="some/model")[0].resolved(0).model["encoder"] == "some/model"
    with pytest.raises(
        DialectError, match=r"fine-tunes xlsr-53-ita, whose checkpoint it does not name: give --ita-xlsr53"
    ):
        table3({})


def test_axes_vary_the_rows_they_concern_and_compare_like_with_like():
    cells = {cell.name: cell for cell in table3(GIVEN, axes=tuple(AXES), settings=("auxiliary",))}
    assert [name for name in cells if "+" not in name] == [
        "plain",
        *(f"{name}-auxiliary" for name in ("supcon", "triplet", "multi_similarity")),
    ]
    assert cells["plain+pooling-attention"].resolved(0).model["pooling"] == "attention"
    assert cells["triplet-auxiliary+pooling-max"].baselines == ("plain+pooling-max",)
    assert cells["plain+sampler-balanced"].resolved(0).training["sampler"] == "balanced"
    assert cells["supcon-auxiliary+projection-256"].baselines == ("plain",)
    assert cells["supcon-auxiliary+projection-256"].resolved(0).model["projection_size"] == 256
    assert [name for name in cells if "denominator" in name] == ["supcon-auxiliary+denominator-negatives"]
    assert cells["supcon-auxiliary+denominator-negatives"].resolved(0).model["objective_options"] == {
        "denominator": "negatives"
    }
    assert sum("+pooling-" in name for name in cells) == 4 * 4
    assert all(set(cell.baselines) <= set(cells) for cell in cells.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": ("poling",)}, "there is no axis 'poling'; choose from: pooling, sampler, projection, denominator"),
        ({"objectives": ("ms",)}, "there is no objective 'ms'; choose from: supcon"),
        ({"settings": ("pre",)}, "there is no setting 'pre'; choose from: auxiliary"),
    ],
)
def test_unknown_choices_are_named(options, message):
    with pytest.raises(DialectError, match=message):
        table3(GIVEN, **options)
    with pytest.raises(DialectError, match="table 2 has no encoder 'wavlm'"):
        table2({}, ("wavlm",))
