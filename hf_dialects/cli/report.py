"""hf-dialects report"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.extras import has, require

SMALL = 200 * 10**6  # bytes of weights; a larger model does not encode clips twice more without being asked
POINTS = 300  # on the maps of a report that is written at the end of a run, so that it takes seconds


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders with seed-0, seed-1 …; side by side in one page.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File; report.html in the run folder, for several in the current one.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Corpus of the runs, where it is not where their recipes say.")
    ] = None,
    with_audio: Annotated[
        bool, typer.Option("--with-audio", help="Put the clips that are listed into the page.")
    ] = False,
    clips: Annotated[
        int, typer.Option(min=0, help="How many of the worst errors, and of the most uncertain clips.")
    ] = 20,
    points: Annotated[int, typer.Option(min=0, help="Clips on a map of embeddings at most; 0 for no maps.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the maps.")] = 0,
    json: Annotated[Path | None, typer.Option(help="File for the numbers beside the maps, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Write a page about runs, to look at and to listen to.

    Examples:

      hf-dialects report runs/demo/seed-0 --with-audio

      hf-dialects report runs/plain runs/contrastive --out comparison.html

      hf-dialects report runs/zipformer_tiny-seed0 --with-audio
    """
    require("jinja2", extra="report")
    shell.start()
    from hf_dialects.evaluation.transcript_arms import is_asr

    out = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    if is_asr(runs[0]):
        from hf_dialects.report.transcript_page import write_transcript_report

        written = write_transcript_report(runs, out, data, with_audio, clips)
    else:
        from hf_dialects.report.page import write_report

        written = write_report(runs, out, data, with_audio, clips, points, seed, progress=not quiet)
    for note in written.notes:
        typer.echo(note)
    shell.write_json(written.separation, json)
    typer.echo(f"written: {written.path}")


def report_beside(folder: Path, with_audio: bool = False, quiet: bool = False) -> None:
    """Write report.html into a finished run folder, or say why not: a run does not fail for its report."""
    if not has("jinja2"):
        typer.echo(f"no report.html: run pip install 'hf-dialects[report]', then hf-dialects report {folder}")
        return
    try:
        written = _written_beside(folder, with_audio, quiet)
    except Exception as error:
        typer.echo(f"no report.html: {error}")
    else:
        typer.echo(f"report: {written.path}")


def _written_beside(folder: Path, with_audio: bool, quiet: bool):
    from hf_dialects.evaluation.transcript_arms import is_asr

    if is_asr(folder):
        from hf_dialects.report.transcript_page import write_transcript_report

        return write_transcript_report([folder], folder / "report.html", with_audio=with_audio)
    from hf_dialects.report.page import write_report

    weights = sum(path.stat().st_size for path in folder.glob("**/model/*.safetensors"))
    points = POINTS if weights <= SMALL else 0
    return write_report([folder], folder / "report.html", None, with_audio, n_points=points, progress=not quiet)
