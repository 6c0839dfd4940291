from hf_dialects.report.palette import COLOURS, DISTINCT, SHAPES, mark, numbered


def test_the_first_35_labels_look_different():
    assert DISTINCT == len(COLOURS) * len(SHAPES) == 35
    assert len({mark(number) for number in range(DISTINCT)}) == DISTINCT
    assert mark(DISTINCT) == mark(0)


def test_the_mark_of_a_label_does_not_depend_on_the_order_of_the_others():
    assert numbered(["b", "a", "c", "a"]) == numbered(["c", "b", "a"]) == {"a": 0, "b": 1, "c": 2}
