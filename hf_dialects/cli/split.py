"""hf-dialects split"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli.lists import numbers, words
from hf_dialects.errors import DialectError


def split(
    data: Annotated[
        str, typer.Argument(help="Folder, manifest, Hub id or 'demo'. Splits it may have are joined first.")
    ],
    out: Annotated[Path, typer.Option(help="New folder, to be given as --data afterwards.")],
    by: Annotated[str | None, typer.Option(help="Columns that must not cross the splits, separated by commas.")] = None,
    place: Annotated[
        bool, typer.Option("--place", help="By site: every place in one split, every region in every split.")
    ] = False,
    rounding: Annotated[
        str, typer.Option(help="With --place: 'nearest' sizes, or 'down' as the published split of VIVALDI.")
    ] = "nearest",
    repeats: Annotated[
        int, typer.Option(min=1, help="With --place: several splits that test other places, in OUT/fold-0 ….")
    ] = 1,
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

      hf-dialects split vivaldi --place --rounding down --out splits/by-place

      hf-dialects train --data splits/by-site
    """
    shares = numbers(sizes, float, "--sizes")
    if place == (by is not None):
        raise DialectError("say what must not cross the splits: either --by with columns, or --place")
    if place and folds:
        raise DialectError("--folds goes with --by; --place makes several splits with --repeats")
    from datasets import disable_progress_bars

    from hf_dialects.data.leakage import leakage
    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.place_split import place_leakage, place_split
    from hf_dialects.data.split_folder import describe, join_splits, new_folder, write_fold, write_records
    from hf_dialects.data.splits import group_folds, group_split

    disable_progress_bars()
    corpus = join_splits(load_corpus(data, label=label, labels=words(labels) if labels else None))
    several = bool(folds) or repeats > 1
    with new_folder(out) as folder:
        if place:
            options = {"by": ("site",), "sizes": shares, "seed": seed, "rounding": rounding}
            parts = place_split(corpus, sizes=shares, seed=seed, repeats=repeats, rounding=rounding)
            parts = parts if repeats > 1 else [parts]
            for splits in parts:
                typer.echo(describe_places(splits.info))
        else:
            options = {
                "by": words(by),
                "stratify": None if stratify.lower() == "none" else stratify,
                "seed": seed,
                "allow_missing": allow_missing,
            }
            if folds:
                parts = group_folds(corpus, folds, **options)
            else:
                parts = [group_split(corpus, sizes=shares, **options)]
                options["sizes"] = shares
        for number, splits in enumerate(parts):
            write_fold(splits, folder / f"fold-{number}" if several else folder, embed=embed, progress=not quiet)
        records = write_records(parts, folder, options, place_leakage if place else leakage)
    typer.echo(describe(records))
    typer.echo(f"written: {out}")


def describe_places(info) -> str:
    """What a split by place came to, in two lines."""
    places = ", ".join(f"{name} {len(found)}" for name, found in info.places.items())
    gap = "no split of whole places is nearer to the sizes" if info.gap == 0 else f"within {info.gap:g} of the best"
    left_out = ", ".join(f"{region} ({n})" for region, n in info.left_out.items()) or "none"
    return f"places: {places}; {gap}\nregions left out, with their places: {left_out}"
