"""hf-dialects evaluate"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or Hub id.")],
    data: Annotated[str, typer.Option(help="Folder, manifest, Hub id or 'demo'.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json and predictions.")],
    split: Annotated[str | None, typer.Option(help="Split of the corpus; all of it where it has none.")] = None,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    by: Annotated[
        str | None, typer.Option(help="Columns to break the result down by, such as gender,device,duration.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Windows of one pass.")] = 16,
    min_speech: Annotated[float, typer.Option(help="Leave out windows with a smaller share of speech.")] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Evaluate a classifier on a corpus, with intervals.

    Example:

      hf-dialects evaluate runs/demo --data demo --split test --by duration --out runs/demo-again
    """
    shell.start()
    from hf_dialects.evaluation.results import describe
    from hf_dialects.evaluation.standalone import evaluate_model

    results = evaluate_model(
        model,
        data,
        out,
        split=split,
        label=label,
        by=tuple(by.split(",")) if by else (),
        batch_size=batch_size,
        min_speech=min_speech,
        progress=not quiet,
    )
    typer.echo(describe(results))
    typer.echo(f"written: {out / 'results.json'}")
