import xml.etree.ElementTree as xml

import numpy as np
import pandas as pd

from hf_dialects.report.abx_figures import SCALE
from hf_dialects.report.retrieval_figures import LETTERED, colour, heat_map

SVG = "{http://www.w3.org/2000/svg}"


def square(values, names):
    return pd.DataFrame(values, pd.Index(names, name="source"), pd.Index(names, name="target"))


def test_every_pair_has_its_field_sources_from_top_to_bottom():
    figure = xml.fromstring(heat_map(square([[np.nan, 0.25], [0.999, 1.0]], ["a & <b>", "c"]), "recall"))
    letters = [one.text for one in figure.iter(f"{SVG}text")]
    assert letters == ["recall", "to", "from", "a & <b>", "a & <b>", "c", "c", "–", "25.0", "99.9", "100.0"]
    titles = [one.text for one in figure.iter(f"{SVG}title")]
    assert titles == ["a & <b> → a & <b>: –", "a & <b> → c: 25.0", "c → a & <b>: 99.9", "c → c: 100.0"]
    assert figure.get("aria-label") == "recall, 2 sources by 2 targets, 0.250 to 1.000"
    fields = [one.find(f"{SVG}rect") for one in figure.iter(f"{SVG}g")]
    places = [(float(one.get("x")), float(one.get("y"))) for one in fields]
    assert places[0][1] == places[1][1] < places[2][1]
    assert places[0][0] == places[2][0] < places[1][0]
    assert [one.get("fill") for one in fields] == ["#eee", SCALE[2], SCALE[-1], SCALE[-1]]


def test_fields_of_many_sites_are_small_and_without_numbers():
    names = [f"site {number}" for number in range(LETTERED + 1)]
    figure = xml.fromstring(heat_map(square(np.full((len(names),) * 2, 0.5), names), "recall"))
    assert "50.0" not in [one.text for one in figure.iter(f"{SVG}text")]
    assert len(list(figure.iter(f"{SVG}title"))) == len(names) ** 2
    assert xml.fromstring(heat_map(square([[np.nan]], ["a"]), "r")).get("aria-label") == "r, 1 sources by 1 targets"


def test_colours_go_from_nothing_to_all():
    assert [colour(share)[0] for share in (0, 0.5, 1)] == [SCALE[0], SCALE[4], SCALE[-1]]
    assert [colour(share)[1] for share in (0, 1)] == [False, True], "light letters on dark fields"
