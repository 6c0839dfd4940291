import json
import shutil

import finished
import pytest

from hf_dialects.cli import report
from hf_dialects.cli.report import report_beside


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    corpus = finished.recordings(tmp_path_factory.mktemp("recordings"))
    return finished.run(tmp_path_factory.mktemp("runs") / "one", corpus)


def test_a_report_is_written_into_the_run_folder(run, run_folder, tmp_path):
    numbers = tmp_path / "numbers.json"
    left = run("report", run_folder, "--quiet", "--with-audio", "--json", numbers)
    assert (left.code, left.out) == (0, f"written: {numbers}\nwritten: {run_folder / 'report.html'}\n")
    page = (run_folder / "report.html").read_text("utf-8")
    assert "data:audio/ogg;base64," in page
    maps = json.loads(numbers.read_text())["one"]
    assert set(maps["after training"]["dialect"]) == {"silhouette", "purity", "chance"}


def test_one_page_for_several_runs(run, run_folder, tmp_path, monkeypatch):
    shutil.copytree(run_folder, tmp_path / "two")
    monkeypatch.chdir(tmp_path)
    left = run("report", run_folder, tmp_path / "two", "--quiet", "--points", 0)
    assert left.code == 0
    assert left.out.splitlines()[-1] == "written: report.html"
    assert "one, two – dialect report" in (tmp_path / "report.html").read_text("utf-8")


def test_what_is_no_run_is_one_message(run, tmp_path):
    left = run("report", tmp_path)
    assert left.code == 1
    assert left.err.startswith(f"error: there is no {tmp_path / 'results.json'}: the run has not been evaluated")


def test_without_the_extra_the_command_names_it_and_a_run_goes_on(run, run_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hf_dialects.extras.find_spec", lambda name: None)
    left = run("report", run_folder)
    assert (left.code, left.err) == (1, "error: jinja2 is not installed; run: pip install 'hf-dialects[report]'\n")
    report_beside(tmp_path)
    assert capsys.readouterr().out == (
        f"no report.html: run pip install 'hf-dialects[report]', then hf-dialects report {tmp_path}\n"
    )


def test_a_run_does_not_fail_for_its_report(tmp_path, capsys):
    report_beside(tmp_path, quiet=True)
    assert capsys.readouterr().out.startswith(f"no report.html: there is no {tmp_path / 'results.json'}")
    assert not (tmp_path / "report.html").exists()


def test_a_large_model_does_not_encode_its_clips_again_unasked(run_folder, capsys, monkeypatch):
    report_beside(run_folder, quiet=True)
    assert capsys.readouterr().out == f"report: {run_folder / 'report.html'}\n"
    assert 'class="figure scatter"' in (run_folder / "report.html").read_text("utf-8")
    monkeypatch.setattr(report, "SMALL", 1000)
    report_beside(run_folder, quiet=True)
    page = (run_folder / "report.html").read_text("utf-8")
    assert 'class="figure scatter"' not in page
    assert "Maps of embeddings were left out" in page
