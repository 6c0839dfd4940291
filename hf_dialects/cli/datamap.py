"""hf-dialects datamap"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.extras import require

SHOWN = 10  # suspects that are printed


def datamap(
    run: Annotated[Path, typer.Argument(help="Run folder that holds dynamics.parquet.")],
    data: Annotated[str | None, typer.Option(help="Corpus of the run, where it is not where its recipe says.")] = None,
    out: Annotated[Path | None, typer.Option(help="File of the page; datamap.html in the run folder.")] = None,
    warm_up: Annotated[int, typer.Option(min=0, help="First epochs to leave out.")] = 0,
    by: Annotated[
        str, typer.Option(help="How recordings are called easy, ambiguous and hard: thresholds or quantiles.")
    ] = "thresholds",
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave the sound out of the page.")] = False,
    clips: Annotated[
        int, typer.Option(min=0, help="Recordings that can be heard, those with the most doubtful labels first.")
    ] = 200,
    points: Annotated[int, typer.Option(min=1, help="Recordings on the page at most; the tables hold all.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Seed of the choice of recordings.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Write a page with the data map of a run: see, hear and correct what is probably labelled wrong.

    Beside the page lie its tables as CSV and JSON. The corrections made on it are for hf-dialects train --corrections.

    Examples:

      hf-dialects train --data my_recordings --folds 5 training.record_dynamics=out_of_fold --out runs/folds

      hf-dialects datamap runs/folds

      hf-dialects datamap runs/folds --warm-up 2 --by quantiles --clips 500 --out map.html
    """
    require("jinja2", extra="report")
    shell.start()
    from hf_dialects.report.datamap_page import write_datamap

    options = {"with_audio": not no_audio, "n_clips": clips, "n_points": points, "seed": seed, "progress": not quiet}
    written = write_datamap(run, out, data, warm_up, by, **options)
    for note in written.table.notes:
        typer.echo(note)
    typer.echo(describe(written.table))
    typer.echo(f"\n{written.heard} recordings can be heard on the page")
    for path in (written.path, written.path.with_suffix(".csv"), written.path.with_suffix(".json")):
        typer.echo(f"written: {path}")


def describe(table) -> str:
    """Counts by region, and the first of every ranking, for the terminal.

    Args:
        table: `datamap_table.MapTable`.
    """
    from hf_dialects.evaluation.tables import aligned

    summary = table.to_dict()
    n = len(table.map.ids)
    counts = ", ".join(f"{count} {region} ({100 * count / n:.1f} %)" for region, count in summary["regions"].items())
    parts = [f"{n} recordings, {summary['epochs']} epochs, mode {summary['mode']}: {counts}"]
    scores = {"map": ("the map", table.map_score)}
    if table.confident is not None:
        title = f"confident learning, which flags {summary['flagged']}"
        scores["confident_learning"] = (title, table.confident.score)
    for name, (title, score) in scores.items():
        rows = [["", "label", "suggested", "doubt"]]
        for position in table.orders[name][:SHOWN]:
            guess = table.suggested[position]
            label = table.labels[table.map.gold[position]]
            rows.append([table.map.ids[position], label, table.labels[guess] if guess >= 0 else "-"])
            rows[-1].append(f"{score[position]:.3f}")
        parts.append(f"most doubtful labels by {title}\n{aligned(rows, indent='  ')}")
    return "\n\n".join(parts)
