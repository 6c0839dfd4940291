"""hf-dialects check"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell


def check(
    data: Annotated[list[str], typer.Argument(help="Folders, manifests, Hub ids or 'demo'; several are joined.")],
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    headers: Annotated[bool, typer.Option("--headers", help="Read headers only: fast, finds less.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the findings to this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Say what is in a corpus, what is wrong with it, and whether there is enough of every variety.

    Leaves with exit code 1 where something must be repaired before training. Of several corpora it also says whether
    the source alone gives the variety away.

    Examples:

      hf-dialects check my_recordings --json findings.json

      hf-dialects check my_recordings other_recordings
    """
    from datasets import disable_progress_bars

    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.schema import check_corpus

    disable_progress_bars()
    corpus = load_corpus(data[0] if len(data) == 1 else data, label=label)
    found = check_corpus(corpus, decode=not headers, progress=not quiet)
    typer.echo(found.text())
    shell.write_json(found.to_dict(), json)
    if any(problem.severity == "error" for problem in found.problems):
        raise typer.Exit(1)
