"""hf-dialects prepare"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.dataset_scripts import names


def prepare(
    corpus: Annotated[str, typer.Argument(help=f"One of: {', '.join(names())}.")],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    source: Annotated[Path | None, typer.Option(help="Folder that holds the corpus in its original layout.")] = None,
    expect_complete: Annotated[
        bool, typer.Option("--expect-complete", help="Fail unless no recording is missing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Options of the corpus; one that it has not makes it list them."),
    ] = None,
) -> None:
    """Turn a corpus, as its authors publish it, into a dataset folder: Parquet with the audio inside, and a card.

    Examples:

      hf-dialects prepare fsdd --source fsdd-master --out corpora/fsdd

      hf-dialects prepare fleurs --source fleurs --out corpora/fleurs languages=cmn_hans_cn,yue_hant_hk splits=test
    """
    from hf_dialects.data.prepare import prepare_corpus
    from hf_dialects.dataset_scripts import script

    report = partial(typer.echo, err=True)
    prepare_corpus(script(corpus), source, out, expect_complete, not quiet, report, options or ())
    typer.echo(f"written: {out}; load it with load_corpus({str(out)!r}) or --data {out}")
