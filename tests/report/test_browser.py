"""The report in a real browser: what it loads, what it does, how it looks on a screen and on a phone."""

import finished
import pytest
from chromium import CHROMIUM
from finished import HOSTILE

from hf_dialects.report import clips
from hf_dialects.report.page import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium")
WIDTHS = (1280, 390)  # a screen, a phone

OVERLAPS = """(() => {
  const selector = "p, li, h1, h2, h3, dt, dd, label, legend, button, figcaption, th, td, audio, select, a, svg text";
  const clipped = (element) => {
    let { left, right, top, bottom } = element.getBoundingClientRect();
    for (let one = element.parentElement; one; one = one.parentElement) {
      if (one instanceof SVGElement || getComputedStyle(one).overflowX === "visible") continue;
      const within = one.getBoundingClientRect();
      [left, right] = [Math.max(left, within.left), Math.min(right, within.right)];
      [top, bottom] = [Math.max(top, within.top), Math.min(bottom, within.bottom)];
    }
    return { element, left, right, top, bottom };
  };
  const shown = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map(clipped)
    .filter((one) => one.right - one.left > 2 && one.bottom - one.top > 2).sort((a, b) => a.top - b.top);
  const found = [];
  shown.forEach((one, index) => {
    for (const other of shown.slice(index + 1)) {
      if (other.top > one.bottom) break;
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      const nested = one.element.contains(other.element) || other.element.contains(one.element);
      if (across > 1.5 && down > 1.5 && !nested)
        found.push([one, other].map(({ element }) => `${element.tagName} ${element.textContent.slice(0, 40)}`));
    }
  });
  return found;
})()"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def page(run_folder, hostile_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report([run_folder, hostile_run], out, with_audio=True, n_clips=5, progress=False)
    return out


@pytest.fixture
def opened(browser, page):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page)
    return browser


def text(browser, selector):
    return browser.run(f"document.querySelector({selector!r})?.innerText")


@pytest.mark.parametrize("width", WIDTHS)
def test_it_loads_without_complaint_and_asks_nobody(browser, page, width):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page, width)
    browser.run("new Promise((done) => setTimeout(done, 300))")
    assert browser.complaints == []
    assert {address for address in browser.requests if not address.startswith("data:")} == {page.as_uri()}
    assert browser.run("document.querySelectorAll('section').length") == 11


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("runs", [1, 2])
def test_nothing_overlaps_or_sticks_out(browser, page, run_folder, tmp_path, width, runs):
    if runs == 1:
        page = tmp_path / "report.html"
        write_report([run_folder], page, with_audio=True, n_points=30, progress=False)
    browser.open(page, width)
    assert browser.run(SIDEWAYS) == 0
    assert browser.run(OVERLAPS) == []


def test_an_overlap_would_be_found(opened):
    opened.run("document.querySelector('h1').style.marginBottom = '-30px'")
    opened.run("document.querySelector('figure').style.width = '2000px'")
    assert opened.run(OVERLAPS) != []
    assert opened.run(SIDEWAYS) > 0


def test_labels_are_text(opened):
    assert HOSTILE in opened.run("[...document.querySelectorAll('bdi')].map((one) => one.innerText)")
    assert opened.run("document.querySelectorAll('img, b, section i').length") == 0
    assert opened.run("document.scripts.length") == 3


def test_the_first_line_is_the_warning(opened):
    assert text(opened, "body > :first-child").startswith("Not shown to be better than a baseline.\nhostile, test: ")


def test_maps_are_coloured_by_what_is_chosen(opened):
    looks = (
        "[...document.querySelectorAll('.scatter path')].map((one) => one.getAttribute('fill') + one.getAttribute('d'))"
    )
    choose = "document.querySelector('input[data-colour][value={}]').click()"
    by_dialect = opened.run(looks)
    opened.run(choose.format("speaker"))
    by_speaker = opened.run(looks)
    assert by_speaker != by_dialect
    assert len(set(by_speaker)) > len(set(by_dialect))
    legends = "[...document.querySelectorAll('[data-maps] .legend')].slice(0, 3).map((one) => one.checkVisibility())"
    assert opened.run(legends) == [False, False, True]
    opened.run(choose.format("dialect"))
    assert opened.run(looks) == by_dialect


def test_a_button_of_the_legend_shows_its_clips_alone(opened):
    away = "document.querySelectorAll('article[data-run=\"0\"] .scatter path.away').length"
    button = "document.querySelector('article[data-run=\"0\"] .legend button')"
    assert opened.run(away) == 0
    opened.run(f"{button}.click()")
    assert opened.run(f"{button}.getAttribute('aria-pressed')") == "true"
    assert opened.run(away) == 2 * 24  # of 32 clips on two maps, 8 are of the dialect
    opened.run(f"{button}.click()")
    assert opened.run(away) == 0


def test_cells_show_counts_or_percent(opened):
    cell = ".confusion td.right button"
    count = int(text(opened, cell))
    opened.run("document.querySelector('input[data-cells][value=share]').click()")
    assert int(text(opened, cell)) == round(100 * count / 8)


def test_a_cell_reached_by_keyboard_leads_to_its_clips(opened):
    for _ in range(60):
        opened.press("Tab", 9)
        if opened.run("document.activeElement.closest('.confusion') !== null"):
            break
    first = opened.run("document.activeElement.ariaLabel")
    opened.press("ArrowDown", 40)
    second = opened.run("document.activeElement.ariaLabel")
    assert opened.run("document.activeElement.matches('.confusion button:focus-visible')")
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert first != second
    opened.press("Enter", 13, "\r")
    spoken, answered = second.split(":")[0].split(" answered as ")
    count = int(second.split(": ")[1].removesuffix(" clips"))
    assert text(opened, ".clips .found") == f"{count} of 32 clips"
    rows = opened.run(
        "[...document.querySelector('.list tbody').rows].map((row) => [row.cells[1].innerText, row.cells[2].innerText])"
    )
    assert len(rows) == count
    assert {row[0] for row in rows} == {spoken}
    assert {row[1].split(" (")[0] for row in rows} == {answered}


def test_clips_are_filtered_and_paged(opened):
    clips_of = "document.querySelector('.clips')"
    found = f"{clips_of}.querySelector('.found').innerText"
    n_rows = f"{clips_of}.querySelectorAll('tbody tr').length"

    def set_filter(name, value):
        field = f"{clips_of}.querySelector('[data-filter={name}]')"
        opened.run(f"{field}.value = {value!r}; {field}.dispatchEvent(new Event('input'))")

    assert opened.run(n_rows) == 5
    opened.run(f"{clips_of}.querySelector('input[value=all]').click()")
    assert (opened.run(found), opened.run(n_rows)) == ("32 of 32 clips", 25)
    opened.run(f"{clips_of}.querySelector('[data-step=\"1\"]').click()")
    assert opened.run(n_rows) == 7
    assert opened.run(f"{clips_of}.querySelector('[data-step=\"1\"]').disabled")
    set_filter("gold", "2")
    assert (opened.run(found), opened.run(n_rows)) == ("8 of 32 clips", 8)
    set_filter("text", "TEST-2-1")
    assert opened.run(found) == "4 of 32 clips"
    set_filter("text", "nowhere")
    assert (opened.run(found), opened.run(n_rows)) == ("0 of 32 clips", 0)


PLAYED = """(async () => {
  const [first, second] = document.querySelectorAll("audio");
  await first.play();
  await second.play();
  const stopped = first.paused;
  await new Promise((done) => { second.ontimeupdate = () => second.currentTime > 0.1 && done(); });
  return { stopped, seconds: second.duration, at: second.currentTime };
})()"""


@pytest.mark.parametrize("limit", [clips.EMBEDDED, 100], ids=["within the page", "beside it"])
def test_clips_can_be_heard(browser, run_folder, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(clips.place, "__defaults__", (limit,))
    page = tmp_path / "report.html"
    write_report([run_folder], page, with_audio=True, n_clips=6, n_points=0, progress=False)
    assert (tmp_path / "report_audio").is_dir() == (limit == 100)
    browser.complaints.clear()
    browser.open(page)
    played = browser.run(PLAYED)
    assert played["stopped"]
    assert min(abs(played["seconds"] - seconds) for seconds in finished.SECONDS) < 0.05
    assert played["at"] > 0.1
    assert browser.complaints == []


def test_on_paper_there_are_no_controls(opened):
    opened.send("Emulation.setEmulatedMedia", media="print")
    controls = "document.querySelectorAll('.controls, .pager, nav, audio')"
    assert opened.run(f"[...{controls}].filter((one) => one.checkVisibility()).length") == 0
    assert opened.run(f"{controls}.length") > 0
    opened.send("Emulation.setEmulatedMedia", media="")
