import xml.etree.ElementTree as xml

import pytest

from hf_dialects.report.svg import Frame, cut, element, line, roof, text, ticks


def test_everything_is_escaped():
    found = element("text", '<b onclick="x">&', class_='"><script>', stroke_width=2, none=None)
    assert found == ('<text class="&#34;&gt;&lt;script&gt;" stroke-width="2">&lt;b onclick=&#34;x&#34;&gt;&amp;</text>')
    assert element("g", element("title", "<")) == "<g><title>&lt;</title></g>"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 25, [0, 5, 10, 15, 20, 25]),
        (0, 2.49, [0, 0.5, 1, 1.5, 2]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_within(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 2.49, 2.5), (0, 1, 1), (0, 0, 1), (2, 2, 3)])
def test_the_roof_is_a_tick_above(low, high, expected):
    assert roof(low, high) == pytest.approx(expected)


def test_values_lie_where_the_axes_say():
    frame = Frame(200, 100, (0, 10), (0, 1), left=40, right=10, top=5, bottom=25)
    assert [frame.across(value) for value in (0, 5, 10)] == [40, 115, 190]
    assert [frame.up(value) for value in (0, 1)] == [75, 5]
    drawn = xml.fromstring(line(frame, [(0, 0), (10, 1)], stroke="red"))
    assert drawn.get("points") == "40.0,75.0 190.0,5.0"


def test_a_picture_names_its_axes_and_itself():
    frame = Frame(200, 100, (0, 1))
    picture = xml.fromstring(frame.picture("what it shows", frame.x_axis("time", [0, 1]), frame.y_axis("loss", [0])))
    assert picture.get("aria-label") == "what it shows"
    assert [one.text for one in picture.iter("text")] == ["0", "1", "time", "0", "loss"]


def test_long_names_are_cut():
    assert cut("dialect", 7) == "dialect"
    assert cut("dialects", 7) == "dialec…"
    assert xml.fromstring(text(1, 2, "a", "end")).get("text-anchor") == "end"
