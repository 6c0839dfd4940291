import re
import xml.etree.ElementTree as xml

import pandas as pd
import pytest

from hf_dialects.report.abx_figures import BELOW, SCALE, colour, heat_map

SVG = "{http://www.w3.org/2000/svg}"


def row(layer: int, snippet: str, score: float | None, **more) -> dict:
    named = {"layer": layer, "snippet": snippet, "pooling": "max", "score": score, "warning": None}
    return named | {"low": 0.4, "high": 0.9, "null_low": 0.45, "null_high": 0.6, "p_adjusted": 0.02} | more


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_setting_has_its_field_with_its_score():
    rows = [row(0, "1s", 0.58), row(2, "1s", 0.71), row(0, "whole", None, warning="<no items>"), row(2, "whole", 0.93)]
    rows += [row(0, "1s", 0.99, pooling="mean")]
    figure = xml.fromstring(heat_map(pd.DataFrame(rows), "max", ["1s", "whole"]))
    letters = [one.text for one in figure.iter(f"{SVG}text")]
    assert letters[1:3] == ["1s", "whole"]
    assert [one for one in letters if re.fullmatch(r"\(?0\.\d+\)?|–", one)] == ["0.710", "0.930", "(0.580)", "–"]
    titles = [one.text for one in figure.iter(f"{SVG}title")]
    assert titles == [
        "layer 2, 1s: 0.710 [0.400, 0.900], p 0.02 over the grid",
        "layer 2, whole: 0.930 [0.400, 0.900], p 0.02 over the grid",
        "layer 0, 1s: 0.580 [0.400, 0.900], p 0.02 over the grid",
        "layer 0, whole: <no items>",
    ]
    assert "layer 2, whole: 0.930" in figure.get("aria-label")
    fields = list(figure.iter(f"{SVG}rect"))[1:]
    assert len({(one.get("x"), one.get("y")) for one in fields}) == 4
    assert [one.get("fill") for one in fields][:2] == [colour(0.71)[0], colour(0.93)[0]]


def test_without_intervals_and_permutations():
    nothing = dict.fromkeys(("low", "high", "null_low", "null_high", "p_adjusted"))
    figure = heat_map(pd.DataFrame([row(1, "whole", 0.5, **nothing)]), "max", ["whole"])
    assert "<title>layer 1, whole: 0.500</title>" in figure


@pytest.mark.parametrize("score", [0.0, 0.2, 0.49, 0.5, 0.6, 0.7, 0.77, 0.78, 0.8, 0.9, 1.0])
def test_letters_stand_out(score):
    fill, light = colour(score)
    letters = 1.0 if light else luminance("#222222")
    bright, dark = max(letters, luminance(fill)), min(letters, luminance(fill))
    assert (bright + 0.05) / (dark + 0.05) > 3


def test_colours_go_from_light_to_dark_and_change_at_chance():
    assert [luminance(one) for one in SCALE] == sorted((luminance(one) for one in SCALE), reverse=True)
    assert [colour(score)[0] for score in (0.5, 1.0, 0.49, 0.0)] == [SCALE[0], SCALE[-1], BELOW[0], BELOW[-1]]
