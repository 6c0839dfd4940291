import json
import re
import shutil
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from finished import HOSTILE

from hf_dialects.data.audio import decode
from hf_dialects.report import clips
from hf_dialects.report.clips import HEADER
from hf_dialects.report.page import write_report

VOID = {"meta", "link", "img", "br", "input"}
SECTIONS = [
    "result",
    "confusion",
    "dialects",
    "maps",
    "calibration",
    "duration",
    "training",
    "splits",
    "clips",
    "skipped",
    "origin",
]


class Page(HTMLParser):
    """Elements in order as (tag, attributes, own text)."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements, self._open = [], []
        self.feed(self.source)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, f"{tag} at {self.getpos()}"

    def handle_data(self, data):
        if self._open:
            self._open[-1][2] += data

    def all(self, tag, **wanted):
        return [one for one in self.elements if one[0] == tag and wanted.items() <= one[1].items()]

    def data(self, id="data"):
        return json.loads(self.all("script", id=id)[0][2])

    @property
    def first_line(self):
        tags = [one[0] for one in self.elements]
        return self.elements[tags.index("body") + 1]


@pytest.fixture(scope="module")
def hostile(hostile_run):
    report = write_report([hostile_run], hostile_run / "report.html", with_audio=True, n_clips=4, progress=False)
    return report, Page(report.path)


@pytest.fixture(scope="module")
def plain(run_folder):
    report = write_report([run_folder], run_folder / "report.html", progress=False)
    return report, Page(report.path)


def test_all_sections_are_there_and_nothing_is_missing(plain):
    report, page = plain
    assert report.notes == []
    assert [one[1]["id"] for one in page.all("section")] == SECTIONS
    assert len(page.all("svg", **{"class": "figure scatter"})) == 2
    assert list(report.separation["plain"]) == ["before training", "after training"]
    assert "audio/broken is <b>corrupt</b>" in "".join(one[2] for one in page.elements)


def test_what_users_call_their_labels_and_files_is_text(hostile):
    _, page = hostile
    assert HOSTILE not in page.source
    assert not page.all("img")
    assert not page.all("b")
    scripts = page.all("script")
    assert [(one[1].get("type"), one[1].get("id")) for one in scripts[:2]] == [
        ("application/json", "sound"),
        ("application/json", "data"),
    ]
    assert len(scripts) == 3
    assert HOSTILE in page.data()["runs"][0]["labels"]
    assert HOSTILE in [one[2] for one in page.all("bdi")]


def test_only_the_pages_own_script_may_run(hostile):
    _, page = hostile
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0][1]["content"]
    digest = b64encode(sha256(page.all("script")[2][2].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def test_no_other_machine_is_named_and_no_path_of_this_one(hostile, hostile_run):
    _, page = hostile
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert str(hostile_run.parent) not in page.source
    assert {one[1]["href"][0] for one in page.all("a")} == {"#"}


def test_the_first_line_warns_of_baselines_only_where_it_has_to(plain, hostile):
    assert plain[1].first_line[0] == "header"
    tag, attributes, _ = hostile[1].first_line
    assert (tag, attributes["class"]) == ("div", "warning")
    assert any("majority reaches the model's interval" in one[2] for one in hostile[1].all("li"))


def test_clips_are_listed_with_sound(hostile):
    _, page = hostile
    (found,) = page.data()["runs"]
    sound = page.data("sound")
    assert len(found["id"]) == len(found["gold"]) == len(found["seconds"]) == 24
    assert len(found["errors"]) == len(found["uncertain"]) == 4
    assert sorted(map(int, found["sound"])) == sorted({*found["errors"], *found["uncertain"]})
    for position, key in found["sound"].items():
        seconds = len(decode(b64decode(sound[key].removeprefix(HEADER)))) / 16000
        assert seconds == pytest.approx(found["seconds"][int(position)], abs=0.02)
    worst = [found["confidence"][position] for position in found["errors"]]
    assert worst == sorted(worst, reverse=True)
    assert all(found["gold"][position] != found["answer"][position] for position in found["errors"])


def test_sound_is_left_out_unless_asked_for(plain):
    _, page = plain
    assert page.data("sound") == {}
    assert "hf-dialects report --with-audio adds it" in page.source


def test_much_sound_lies_beside_the_page(hostile_run, tmp_path, monkeypatch):
    monkeypatch.setattr(clips.place, "__defaults__", (1000,))
    out = tmp_path / "report.html"
    write_report([hostile_run], out, with_audio=True, n_clips=2, n_points=0, progress=False)
    sources = set(Page(out).data("sound").values())
    assert sources == {f"report_audio/{path.name}" for path in (tmp_path / "report_audio").iterdir()}
    assert len(sources) >= 2


def test_runs_stand_side_by_side_and_share_marks_and_sound(run_folder, hostile_run, tmp_path):
    shutil.copytree(run_folder, tmp_path / "again")
    out = tmp_path / "report.html"
    report = write_report(
        [run_folder, hostile_run, tmp_path / "again"], out, with_audio=True, n_clips=3, progress=False
    )
    page = Page(out)
    assert len(page.all("article")) == 3 * len(SECTIONS)
    assert list(report.separation) == ["plain", "hostile", "again"]
    first, _, again = page.data()["runs"]
    assert first["sound"] == again["sound"]
    labels = sorted({*first["labels"], *page.data()["runs"][1]["labels"]})
    shown = re.findall(r'data-number="(\d+)">.*?<bdi>coast</bdi>', page.source)
    assert set(shown) == {str(labels.index("coast"))}


def test_without_the_recordings_the_page_says_what_is_missing(run_folder, tmp_path):
    shutil.copytree(run_folder, tmp_path / "run")
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    moved = re.sub(r"source: .*", f"source: {tmp_path / 'secret' / 'gone'}", recipe)
    (tmp_path / "run" / "recipe.yaml").write_text(moved)
    report = write_report([tmp_path / "run"], tmp_path / "report.html", with_audio=True, progress=False)
    (note,) = report.notes
    assert note.startswith("run: Without the recordings there are no maps, durations, training speakers and sound: ")
    page = Page(tmp_path / "report.html")
    assert note.removeprefix("run: ") in [one[2] for one in page.all("p")]
    assert "secret" not in page.source
    assert len(page.all("svg", **{"class": "figure"})) == 4
    assert set(page.data()["runs"][0]["seconds"]) == {None}


def test_maps_can_be_left_out(run_folder, tmp_path):
    report = write_report([run_folder], tmp_path / "deep" / "report.html", n_points=0, progress=False)
    assert report.notes == ["plain: Maps of embeddings were left out; hf-dialects report makes them."]
    assert not Page(report.path).all("svg", **{"class": "figure scatter"})


def test_the_same_run_gives_the_same_page(run_folder, plain, tmp_path):
    again = write_report([run_folder], tmp_path / "report.html", progress=False)
    assert again.path.read_bytes() == plain[0].path.read_bytes()
