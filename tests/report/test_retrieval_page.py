"""The misses of a retrieval, and their page in a real browser."""

import json
import re

import numpy as np
import pandas as pd
import parallel_sites
import pytest
import tiny
from chromium import CHROMIUM
from finished import HOSTILE
from test_browser import OVERLAPS, SIDEWAYS

from hf_dialects.data.load import load_corpus
from hf_dialects.report.retrieval_misses import drawn, heard, misses
from hf_dialects.report.retrieval_page import write_page
from hf_dialects.report.retrieval_report import cautions, layer_table, shown_rows
from hf_dialects.retrieval.parallel import Parallel
from hf_dialects.retrieval_pool import Question
from hf_dialects.retrieval_source import Options, retrieve
from hf_dialects.saving import save_for_hub


def two_sites():
    """Two sites with three sentences, one of them said twice at the second."""
    attributes = {"site": list("aaabbbb"), "sentence": ["0", "1", "2", "0", "1", "2", "2"]}
    return Parallel(attributes, 7, "site", "sentence", None)


def test_misses_are_queries_with_a_wrong_target_as_similar_as_the_best_right_one():
    scores = np.zeros((7, 7))
    scores[:3, 3:] = [[0.9, 0.8, 0.1, 0.2], [0.7, 0.7, 0.2, 0.6], [0.95, 0.1, 0.3, 0.4]]
    scores[3:, :3] = [[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.2, 0.9], [0.5, 0.2, 0.4]]
    found = misses(scores, two_sites())
    assert [(one.query, one.retrieved, one.right) for one in found] == [(1, 3, 4), (2, 3, 6), (6, 0, 2)]
    assert [one.scores for one in found] == [(0.7, 0.7), (0.95, 0.4), (0.5, 0.4)]
    assert [(one.rank, one.of) for one in found] == [(2, 4), (2, 4), (2, 3)], "a tie puts the right one behind"
    assert heard(found) == [0, 1, 2, 3, 4, 6]
    assert [one.query for one in drawn(found, 9, 0)] == [2, 6, 1], "missed by most first"
    chosen = {drawn(found, 1, seed)[0].query for seed in range(20)}
    assert chosen == {1, 2, 6}, "drawn, not the first"
    assert drawn(found, 2, 3) == drawn(found, 2, 3)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A retrieval among sites with hostile names, and its corpus."""
    folder = tmp_path_factory.mktemp("retrieval")
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), folder / "model")
    parallel_sites.write(folder / "corpus")
    table = pd.read_csv(folder / "corpus" / "metadata.csv")
    table["site"] = table["site"].replace({"Aa": HOSTILE, "Ab": '"><img src=x onerror=alert(2)>'})
    table["text"] += "</script><b>"
    table.to_csv(folder / "corpus" / "metadata.csv", index=False)
    corpus = load_corpus(str(folder / "corpus"))
    options = Options(layers=(0, 2), show=0, progress=False)
    return retrieve(folder / "model", corpus, Question(), folder / "out", options, tell=lambda text: None), corpus


def test_a_control_that_is_as_good_is_the_first_thing_said(found):
    layers = layer_table(found[0], draws=50)
    assert layers["layer"].tolist() == [0, 2]
    worse = layers.assign(**{"mel DTW": layers["low"] - 0.01, "mean vector": layers["low"]})
    worse["duration only"] = worse["shuffled labels"] = 0.0
    said = cautions(found[0], worse)
    assert [re.sub(r"[\d.]+ %", "x %", one) for one in said[:2]] == [
        "layer 0: SeqSim finds x % (interval from x %), no better than mean vector x %",
        "layer 2: SeqSim finds x % (interval from x %), no better than mean vector x %",
    ]
    assert said[2].startswith("indicative (4 sites")
    head, *rows = shown_rows(layers)
    assert head == ["layer", "recall@1", "interval", "recall@5", "mrr", "chance", "ties"]
    assert [row[0] for row in rows] == ["0", "2"]


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    return write_page(
        found[0], layer_table(found[0], draws=50), found[1], tmp_path_factory.mktemp("page"), draws=50, progress=False
    )


def test_the_page_holds_all_it_needs(found, page):
    text = page.read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    every = misses(found[0].scores, found[0].results[0].parallel)
    assert len(every) > 3
    assert len(data["misses"]) == len(every)
    ids = found[0].pool.attributes["id"]
    for row in data["misses"]:
        query, retrieved, right = row[:3]
        one = next(
            one for one in every if [ids[n] for n in one[:3]] == [data["clips"]["id"][place] for place in row[:3]]
        )
        assert row[3:] == [*np.round(one.scores, 4), one.rank, one.of]
        assert (
            data["clips"]["sentence"][query] == data["clips"]["sentence"][right] != data["clips"]["sentence"][retrieved]
        )
        assert data["clips"]["site"][query] != data["clips"]["site"][right] == data["clips"]["site"][retrieved]
    assert set(data["sound"]) == {str(place) for place in range(len(data["clips"]["id"]))}
    assert text.count("data:audio/ogg;base64,") == len(data["sound"])
    assert "<b>" not in text.replace("\\u003cb\\u003e", "")
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text), "nothing is loaded from elsewhere"


in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium")
CURRENT = "document.querySelector('#misses tr.current')"
PLAYING = """(() => { const one = [...document.querySelectorAll('audio')].find((audio) => !audio.paused);
  return one ? one.dataset.side : null; })()"""


@in_chromium
def test_misses_are_gone_through_and_played_by_keyboard(browser, page, found):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    n = browser.run("document.querySelectorAll('#misses tbody tr').length")
    assert n == min(25, len(misses(found[0].scores, found[0].results[0].parallel)))
    browser.press("ArrowDown", 40)
    browser.press("ArrowDown", 40)
    assert browser.run(f"{CURRENT}.rowIndex") == 2
    browser.press("ArrowUp", 38)
    assert browser.run(f"{CURRENT}.ariaCurrent") == "true"
    for key, side in (("2", "retrieved"), ("1", "query"), ("3", "right")):
        browser.press(key, ord(key), key)
        assert browser.run(PLAYING) == side
        assert (
            browser.run(f"{PLAYING} && [...document.querySelectorAll('audio')].filter((one) => !one.paused).length")
            == 1
        )
    browser.press(" ", 32, " ")
    assert browser.run(PLAYING) is None, "space stops what is played"
    browser.run("""(() => {
      window.seen = [];
      document.addEventListener("play", (event) => {
        if (event.target.paused) return; // of the clip before, which space has stopped
        event.target.playbackRate = 16;
        window.seen.push(event.target.dataset.side);
      }, true);
    })()""")
    browser.press(" ", 32, " ")
    played = browser.run("""(async () => {
      for (let tries = 0; tries < 200 && seen.length < 3; tries++) await new Promise((done) => setTimeout(done, 50));
      return seen;
    })()""")
    assert played == ["query", "retrieved", "right"], "one after the other"
    assert browser.complaints == []
    assert all(request.startswith(("file:", "data:")) for request in browser.requests)


@in_chromium
def test_filters_leave_what_is_asked_for(browser, page, found):
    browser.open(page)
    names = browser.run("[...document.querySelector('[data-filter=from]').options].map((one) => one.textContent)")
    assert set(names[1:]) <= set(found[0].results[0].parallel.sites)
    browser.run("""(() => { const one = document.querySelector('[data-filter=from]');
      one.selectedIndex = 1; one.dispatchEvent(new Event('input')); })()""")
    shown = browser.run(
        "[...document.querySelectorAll('#misses td.query bdi:nth-of-type(1)')].map((one) => one.textContent)"
    )
    assert shown
    said = browser.run("[...document.querySelectorAll('#misses td.query small bdi')].map((one) => one.textContent)")
    assert set(said) == {names[1]}
    browser.run("""(() => { const one = document.querySelector('[data-filter=text]');
      one.value = 'nowhere'; one.dispatchEvent(new Event('input')); })()""")
    assert browser.run("document.querySelector('.count').textContent").startswith("0 of ")


@in_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overlaps_or_runs_out_of_the_page(browser, page, width):
    browser.open(page, width)
    assert browser.run(OVERLAPS) == []
    assert browser.run(SIDEWAYS) <= 0
