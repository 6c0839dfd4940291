import xml.etree.ElementTree as xml

import numpy as np
import pytest

from hf_dialects.metrics.calibration import reliability_table
from hf_dialects.report.figures import curves_figure, intervals_figure, key, reliability_figure, scatter_figure, symbol
from hf_dialects.report.palette import mark


def texts(picture):
    return ["".join(one.itertext()) for one in picture.iter("text")]


def test_intervals_lie_on_their_axis():
    rows = [
        {"name": "<model>", "value": 0.5, "low": 0.25, "high": 1.0, "model": True},
        {"name": "unknown", "value": None, "low": None, "high": None, "model": False},
        {"name": "no interval", "value": 0.0, "low": None, "high": None, "model": False},
    ]
    picture = xml.fromstring(intervals_figure(rows, "accuracy"))
    first, last = (float(dot.get("cx")) for dot in picture.iter("circle"))
    left, right = 126, 340 - 12
    assert (first, last) == ((left + right) / 2, left)
    bars = [bar for bar in picture.iter("line") if bar.get("stroke-width")]
    assert [(float(bar.get("x1")), float(bar.get("x2"))) for bar in bars] == [(left + 50.5, right), (left, left)]
    assert "accuracy" in texts(picture)
    assert picture.get("aria-label").endswith("<model> 0.500; unknown unknown; no interval 0.000")


def test_reliability_shows_filled_bins():
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.55, 0.45]] * 4)
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    picture = xml.fromstring(reliability_figure(reliability_table(probabilities, labels)))
    titles = [title.text for title in picture.iter("title")]
    assert titles == ["4 clips: confidence 0.550, accuracy 0.500", "4 clips: confidence 0.950, accuracy 0.750"]
    assert {"accuracy", "confidence (probability of the answer)"} <= set(texts(picture))


def test_curves_have_a_line_each_and_dots_where_there_are_few_points():
    series = {"training": [[(1, 2.0), (2, 1.0)], [(1, 1.5)]], "validation": [[(epoch, 1.0) for epoch in range(20)]]}
    picture = xml.fromstring(curves_figure(series, "loss", best=[2]))
    lines = list(picture.iter("polyline"))
    assert len(lines) == 3
    assert len({line.get("stroke") for line in lines}) == len({line.get("stroke-dasharray") for line in lines}) == 2
    assert len(list(picture.iter("circle"))) == 3
    assert [title.text for title in picture.iter("title")] == ["checkpoint of epoch 2 was kept"]
    assert {"epoch", "loss"} <= set(texts(picture))
    assert [name for name, _ in key(list(series))] == list(series)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_curve_of_one_value_is_drawn(value):
    picture = xml.fromstring(curves_figure({"accuracy": [[(1, value)]]}, "score", top=1.0))
    (dot,) = picture.iter("circle")
    assert float(dot.get("cy")) == (10 if value else 240 - 38)


def test_a_map_carries_all_numbers_and_shows_the_first():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [0.5, 2.0]])
    numbers = {"dialect": [0, 1, 8], "speaker": [3, 3, 4]}
    picture = xml.fromstring(scatter_figure(points, numbers, ["<a>", "b", "c"], "a map"))
    drawn = list(picture.iter("path"))
    assert [(one.get("fill"), one.get("d")) for one in drawn] == [mark(number) for number in (0, 1, 8)]
    assert [one.get("data-speaker") for one in drawn] == ["3", "3", "4"]
    assert [one.find("title").text for one in drawn] == ["<a>", "b", "c"]
    assert mark(3)[0] in symbol(3)
