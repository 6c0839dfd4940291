"""hf-dialects compare"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import words


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders with seed-0, seed-1 …; the baseline first.")
    ],
    metric: Annotated[
        str,
        typer.Option(help="What to compare, separated by commas: accuracy, macro_f1, weighted_f1, ece, nll, brier."),
    ] = "accuracy,macro_f1",
    split: Annotated[str, typer.Option(help="Split whose predictions are compared.")] = "test",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json: Annotated[Path | None, typer.Option(help="File for the table as JSON.")] = None,
) -> None:
    """Test whether runs differ from the first, on the same utterances.

    Speakers and seeds are resampled together; p-values are corrected for the number of runs and metrics (Holm).

    Examples:

      hf-dialects compare runs/plain runs/contrastive --metric accuracy,macro_f1

      hf-dialects compare runs/baseline runs/b runs/c --json comparison.json
    """
    from hf_dialects.evaluation.compare import compare_runs, describe_comparison

    comparison = compare_runs(runs, words(metric), split, seed=seed)
    typer.echo(describe_comparison(comparison))
    shell.write_json(comparison, json)
