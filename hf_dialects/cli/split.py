"""hf-dialects split"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli.lists import numbers, words


def split(
    data: Annotated[
        str, typer.Argument(help="Folder, manifest, Hub id or 'demo'. Splits it may have are joined first.")
    ],
    by: Annotated[str, typer.Option(help="Columns that must not cross the splits, separated by commas.")],
    out: Annotated[Path, typer.Option(help="New folder, to be given as --data afterwards.")],
    sizes: Annotated[str, typer.Option(help="Shares of training, validation and test.")] = "0.8,0.1,0.1",
    folds: Annotated[int | None, typer.Option(min=3, help="K splits instead, in OUT/fold-0 to OUT/fold-(K-1).")] = None,
    stratify: Annotated[str, typer.Option(help="Column whose shares are kept; 'none' for no column.")] = "dialect",
    seed: Annotated[int, typer.Option(help="Seed of the assignment.")] = 0,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    labels: Annotated[str | None, typer.Option(help="Keep only these varieties, separated by commas.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Accept varieties with fewer groups than splits.")
    ] = False,
    embed: Annotated[bool, typer.Option("--embed", help="Copy the audio into OUT instead of pointing to it.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Split a corpus so that no speaker, place or other group stands on two sides, and show what the splits share.

    Writes Parquet that every command takes as --data, splits.csv, leakage.csv and split.json.

    Example:

      hf-dialects split my_recordings --by site,speaker --out splits/by-site

      hf-dialects train --data splits/by-site
    """
    shares = numbers(sizes, float, "--sizes")
    from datasets import disable_progress_bars

    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.split_folder import describe, join_splits, new_folder, write_fold, write_records
    from hf_dialects.data.splits import group_folds, group_split

    disable_progress_bars()
    corpus = join_splits(load_corpus(data, label=label, labels=words(labels) if labels else None))
    options = {
        "by": words(by),
        "stratify": None if stratify.lower() == "none" else stratify,
        "seed": seed,
        "allow_missing": allow_missing,
    }
    with new_folder(out) as folder:
        if folds:
            parts = group_folds(corpus, folds, **options)
        else:
            parts = [group_split(corpus, sizes=shares, **options)]
            options["sizes"] = shares
        for number, splits in enumerate(parts):
            write_fold(splits, folder / f"fold-{number}" if folds else folder, embed=embed, progress=not quiet)
        records = write_records(parts, folder, options)
    typer.echo(describe(records))
    typer.echo(f"written: {out}")
