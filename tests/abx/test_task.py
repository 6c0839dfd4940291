import numpy as np
import pandas as pd
import pytest

from hf_dialects.abx import abx
from hf_dialects.abx.task import Task
from hf_dialects.errors import DialectError

VECTORS = np.random.default_rng(0).standard_normal((8, 4))
ATTRIBUTES = {
    "dialect": list("aabbaabb"),
    "speaker": list("pqrspqrs"),
    "sentence": [1, 1, 1, 1, 2, 2, 2, 2],
    "gender": list("fmfmfmfm"),
    "recording": list("uuvvuuvv"),
    "start_s": [0, 1, 0, 1, 2, 3, 2, 3],
    "end_s": [1, 2, 1, 2, 3, 4, 3, 4],
}


def test_contexts_share_by():
    task = Task(ATTRIBUTES, 8, "dialect", by=("sentence", "gender"))
    assert [context.by for context in task.contexts] == [(1, "f"), (1, "m"), (2, "f"), (2, "m")]
    assert [context.items.tolist() for context in task.contexts] == [[0, 2], [1, 3], [4, 6], [5, 7]]
    (whole,) = Task(ATTRIBUTES, 8, "dialect").contexts
    assert whole.items.tolist() == list(range(8))


def test_what_may_stand_beside_x():
    (context,) = Task(ATTRIBUTES, 8, "dialect", differ="speaker").contexts
    assert np.flatnonzero(~context.allowed(1, 2)[0]).tolist() == [1, 5]
    (context,) = Task(ATTRIBUTES, 8, "dialect", across="sentence").contexts
    assert np.flatnonzero(context.allowed(1, 2)[0]).tolist() == [4, 5, 6, 7]
    (context,) = Task(ATTRIBUTES, 8, "dialect").contexts
    assert (context.allowed(2, 4) == ~np.eye(8, dtype=bool)[2:4]).all()


@pytest.mark.parametrize(
    ("gap", "near"), [(0.5, [0, 1, 4]), (1.0, [0, 1, 4]), (1.0 + 1e-9, [0, 1, 4]), (1.1, [0, 1, 4, 5]), (0, [1])]
)
def test_gap_is_from_end_to_start_and_within_a_recording(gap, near):
    """Item 1 lies at 1 to 2 s of recording u: 0 and 4 touch it, 5 begins 1 s after its end; v is another recording."""
    (context,) = Task(ATTRIBUTES, 8, "dialect", min_gap_s=gap).contexts
    assert np.flatnonzero(~context.allowed(1, 2)[0]).tolist() == near


def test_columns_of_cells():
    cells = abx(VECTORS, ATTRIBUTES, "dialect", by="gender", across="sentence").cells
    assert cells.columns.tolist() == ["on_a", "on_b", "gender", "sentence_ab", "sentence_x", "score", "triples"]
    assert len(cells) == 2 * 2 * 2
    assert (cells["sentence_ab"] != cells["sentence_x"]).all()
    assert cells["triples"].tolist() == [1] * 8


def test_names_may_be_given_alone_and_attributes_as_a_table():
    alone = abx(VECTORS, ATTRIBUTES, "dialect", by="sentence", differ="speaker")
    several = abx(VECTORS, pd.DataFrame(ATTRIBUTES), "dialect", by=["sentence"], differ=("speaker",))
    pd.testing.assert_frame_equal(alone.cells, several.cells)


def test_values_of_several_types_are_told_apart():
    mixed = {"dialect": np.array(["a", 1, "a", 1], dtype=object)}
    assert set(abx(VECTORS[:4], mixed, "dialect").cells["on_a"]) == {"a", 1}


@pytest.mark.parametrize(
    ("attributes", "conditions", "message"),
    [
        ({}, {"by": "speakers"}, "no attribute 'speakers'; found: dialect, speaker, sentence"),
        ({}, {"by": "speaker", "differ": "speaker"}, "speaker is named more than once among on, by, across and differ"),
        ({"speaker": list("pqrspq")}, {"by": "speaker"}, r"speaker has shape \(6,\); expected one value for each of"),
        ({"speaker": [*"pqrspqr", None]}, {"by": "speaker"}, "speaker is missing in 1 of 8 items, first in item 7"),
        ({"speaker": ["", *"pqrspqr"]}, {"differ": "speaker"}, "speaker is missing in 1 of 8 items, first in item 0"),
        ({"sentence": [1.0, np.nan] * 4}, {"across": "sentence"}, "sentence is missing in 4 of 8 items"),
        ({"dialect": ["a"] * 8}, {}, "all 8 items have the same dialect, 'a'; expected at least two"),
        ({"score": range(8)}, {"by": "score"}, "columns of its own named score; rename it"),
        ({}, {"min_gap_s": -1}, "min_gap_s is -1.0; expected seconds"),
        ({"end_s": [0] * 8}, {"min_gap_s": 1}, "each end after its start, first in item 0"),
        ({"end_s": ["x"] * 8}, {"min_gap_s": 1}, "start_s or end_s is not a number"),
        ({}, {"across": "speaker"}, r"every speaker has a single dialect.* use differ=\('speaker',\)"),
        ({}, {"by": "speaker"}, "0 of 4 contexts have two values of dialect"),
        ({}, {"by": ("sentence", "gender")}, "4 of 4 contexts have two values of dialect, and none of these has an A"),
    ],
)
def test_messages(attributes, conditions, message):
    with pytest.raises(DialectError, match=message):
        abx(VECTORS, {**ATTRIBUTES, **attributes}, "dialect", **conditions)


def test_gap_needs_times():
    few = {name: values for name, values in ATTRIBUTES.items() if name != "end_s"}
    with pytest.raises(DialectError, match=r"needs the attributes recording, start_s and end_s .* missing: end_s"):
        abx(VECTORS, few, "dialect", min_gap_s=1)
    with pytest.raises(DialectError, match="attributes is a list; expected a DataFrame or a dict"):
        abx(VECTORS, [1, 2], "dialect")
