"""Eden gives the learning rates of icefall's implementation; see vectors/README.md."""

import json
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hf_dialects.errors import RecipeError
from hf_dialects.training.eden import Eden, build_eden

EDEN = Path(__file__).parent.parent / "vectors" / "eden.safetensors"


@pytest.mark.parametrize(
    ("table", "eden"),
    [
        ("eden_7500_3.5_f64", Eden()),
        ("eden_7500_3.5_warm100_start0.1_f64", Eden(warmup_batches=100, warmup_start=0.1)),
        ("eden2_7500_f64", Eden(epochs=None)),
    ],
)
def test_tables_of_the_reference(table, eden):
    with safe_open(EDEN, "pt") as file:
        expected, base = file.get_tensor(table), json.loads(file.metadata()["config"])["base_lr"]
        batches, epochs = file.get_tensor("batches").tolist(), file.get_tensor("epochs").tolist()
    rows = [[base * eden.factor(batch, epoch) for batch in batches] for epoch in epochs]
    if expected.ndim == 1:  # Eden2 knows no epochs
        expected = expected.expand(len(epochs), -1)
    torch.testing.assert_close(torch.tensor(rows, dtype=torch.float64), expected, rtol=1e-12, atol=0)


def optimizer(lr=0.045):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule, n: int) -> list[float]:
    found = []
    for _ in range(n):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def test_batches_fall_in_whole_epochs():
    options = {"batches": 20, "epochs": 2, "warmup_batches": 4, "warmup_start": 0.1}
    eden, found = Eden(**options), rates(build_eden(optimizer(), options, 7), 22)
    assert found == pytest.approx([0.045 * eden.factor(batch, batch // 7) for batch in range(22)], rel=1e-12)
    assert found[0] == pytest.approx(0.0045)
    assert found[7] < found[6] < found[5]


def test_a_schedule_goes_on_where_it_was_saved():
    options = {"batches": 10, "epochs": 1.5}
    whole = rates(build_eden(optimizer(), options, 5), 20)
    first, file = build_eden(optimizer(), options, 5), BytesIO()
    rates(first, 8)
    torch.save((first.state_dict(), first.optimizer.state_dict()), file)
    again = build_eden(optimizer(lr=1.0), {}, 99)
    schedule, rest = torch.load(BytesIO(file.getvalue()), weights_only=True)
    again.optimizer.load_state_dict(rest)
    again.load_state_dict(schedule)
    assert rates(again, 12) == whole[8:]


@pytest.mark.parametrize("options", [{"batches": 0}, {"epochs": -1}, {"warmup_start": "half"}, {"batches": None}])
def test_wrong_values_are_named(options):
    (name, value), *_ = options.items()
    with pytest.raises(RecipeError, match=rf"training.eden.{name} is {value!r}; expected a number above zero"):
        Eden(**options)


def test_unknown_options_are_answered_with_the_valid_ones():
    with pytest.raises(RecipeError, match=r"training.eden has no warmup; its options are batches, epochs, warmup_b"):
        build_eden(optimizer(), {"warmup": 3}, 5)
