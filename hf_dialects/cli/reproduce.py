"""hf-dialects reproduce"""

import re
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import words
from hf_dialects.errors import DialectError

EXPERIMENTS = ("salvi-table2", "salvi-table3", "map-mix-table1", "map-mix-table2")
SERIES = ("abx-recording", "abx-voice", "abx-segments")
TRAINED, YUBAO = "yubao-table4", ("yubao-table5", "yubao-table6")


def reproduce(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join((*EXPERIMENTS, *SERIES, TRAINED, *YUBAO))}.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides of all recipes, such as training.batch_size=16.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder, manifest, Hub id or 'demo'.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each cell, with seeds 0, 1 …", min=1)] = 3,
    splits: Annotated[
        int, typer.Option(help="Splits; 1 takes those of the corpus where it has them, more are drawn.", min=1)
    ] = 1,
    folds: Annotated[
        int | None, typer.Option(help="K folds by whole speakers instead of three parts: for few speakers.", min=3)
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            help="SALVI: rows of table 2, separated by commas; the one encoder of table 3. Map-Mix: other sources, "
            "such as hubert=FOLDER. ABX and YuBao: the encoder."
        ),
    ] = None,
    ita_xlsr53: Annotated[
        str | None, typer.Option("--ita-xlsr53", help="XLSR-53 after Italian speech recognition (CTC checkpoint).")
    ] = None,
    ita_xlsr128: Annotated[
        str | None, typer.Option("--ita-xlsr128", help="XLS-R-300M after Italian speech recognition (CTC checkpoint).")
    ] = None,
    ecapa: Annotated[str | None, typer.Option(help="ECAPA-TDNN of VoxLingua107, converted to a checkpoint.")] = None,
    objectives: Annotated[str | None, typer.Option(help="Only these of SALVI's table 3: supcon, triplet, ….")] = None,
    settings: Annotated[
        str | None, typer.Option(help="Only these of SALVI's table 3: auxiliary, pretraining, both.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Beyond the paper. SALVI's table 3: pooling, projection, denominator, sampler; Map-Mix: regions, "
            "length, shares."
        ),
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Only these of Map-Mix: plain, random, map_mix, ….")] = None,
    equal: Annotated[
        str, typer.Option(help="Map-Mix: equal steps, or equal encoded examples with the runs that prepare it counted.")
    ] = "steps",
    hours: Annotated[
        float | None, typer.Option(help="Map-Mix: every split is a subset with this many hours of each dialect.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Map-Mix: as the paper says, or as its released code runs.")] = "paper",
    shares: Annotated[
        str, typer.Option(help="Confidence labels of Map-Mix: out_of_fold, uniform, frequency, or a table.")
    ] = "out_of_fold",
    part: Annotated[
        str, typer.Option(help="2/4: the second of four parts of the runs, for processes side by side.")
    ] = "1/1",
    figures: Annotated[bool, typer.Option("--figures", help="The paper's figures, from the runs.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The whole grid with tiny encoders on the shipped fixture, in minutes.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs; the same folder again goes on where it stopped.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Run the grid behind a table of a paper, and write the table with the paper's numbers beside.

    Examples:

      hf-dialects reproduce salvi-table3 --data vivaldi --ita-xlsr53 CTC_CHECKPOINT --seeds 3 --figures

      hf-dialects reproduce salvi-table2 --data vivaldi --encoders wavlm-large,xlsr-53 training.bf16=true

      hf-dialects reproduce map-mix-table1 --data lre17 --hours 5 --splits 3 --figures

      hf-dialects reproduce map-mix-table2 --data lre17 --hours 5 --splits 3 --equal examples

      hf-dialects reproduce salvi-table3 --smoke --seeds 1 --out runs/smoke

      hf-dialects reproduce abx-recording --data pangloss

      hf-dialects reproduce yubao-table4 --data CORPUS --seeds 1 training.batch_seconds=600

      hf-dialects reproduce yubao-table6 --data yubao --encoders MODEL
    """
    shell.start()
    if experiment.startswith(("abx-", "yubao-")):
        others = {"--folds": folds, "--objectives": objectives, "--settings": settings, "--axes": axes, "--rows": rows}
        others |= {"--hours": hours, "--figures": figures}
        if experiment == TRAINED:
            chosen = {"seeds": seeds, "overrides": tuple(overrides or ())}
            return reproduce_trained(data, chosen, others | {"--encoders": encoders}, smoke, out, quiet)
        others["overrides"] = overrides
        return reproduce_one(experiment, data, words(encoders or ""), others, smoke, out, quiet)
    from hf_dialects.reproduce.run_table import TableOptions, run_table

    chosen = TableOptions(
        experiment=experiment,
        data=data,
        seeds=seeds,
        splits=splits,
        folds=folds,
        encoders=words(encoders or ""),
        given={"xlsr-53-ita": ita_xlsr53, "xls-r-300m-ita": ita_xlsr128, "ecapa": ecapa},
        objectives=words(objectives or ""),
        settings=words(settings or ""),
        axes=words(axes or ""),
        rows=words(rows or ""),
        equal=equal,
        hours=hours,
        preset=preset,
        shares=shares,
        overrides=tuple(overrides or ()),
        part=part_of(part),
        figures=figures,
        smoke=smoke,
        out=out or Path("runs") / (folder_of(experiment) + "-smoke" * smoke),
        progress=not quiet,
    )
    path, complete = run_table(chosen, tell=typer.echo)
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(f"written: {path}, and .csv and .json beside it")
    if not complete:
        raise typer.Exit(1)


def reproduce_trained(data: str | None, chosen: dict, others: dict, smoke: bool, out: Path | None, quiet: bool) -> None:
    """Train the recognisers of YuBao's table IV and print it; `others` are options that are not for it."""
    check_others(TRAINED, others)
    from hf_dialects.reproduce.yubao_table4 import Table4Options, run_table4

    out = out or Path("runs") / (TRAINED + "-smoke" * smoke)
    path = run_table4(Table4Options(out, data, **chosen, smoke=smoke, progress=not quiet), tell=typer.echo)
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(f"written: {path}, and .csv, .json and .tex beside it")


def check_others(experiment: str, others: dict) -> None:
    """Raise `DialectError` where options are given that are not for an experiment."""
    if given := ", ".join(name for name, value in others.items() if value):
        raise DialectError(f"{given} are not for {experiment}; leave them out")


def reproduce_one(
    experiment: str,
    data: str | None,
    encoders: tuple[str, ...],
    others: dict,
    smoke: bool,
    out: Path | None,
    quiet: bool,
) -> None:
    """Run what is of one encoder and print the table; `others` are options that are not for it."""
    check_others(experiment, others)
    if len(encoders) > 1:
        raise DialectError(f"{experiment} is of one encoder, got {', '.join(encoders)}")
    out = out or Path("runs") / (experiment + "-smoke" * smoke)
    given = {"data": data, "smoke": smoke, "progress": not quiet} | ({"encoder": encoders[0]} if encoders else {})
    if experiment.startswith("abx-"):
        from hf_dialects.reproduce.abx_series import SeriesOptions, run_series

        path = run_series(SeriesOptions(experiment, out, **given), tell=typer.echo)
    else:
        from hf_dialects.reproduce.yubao import YubaoOptions, run_yubao

        path = run_yubao(YubaoOptions(experiment, out, **given), tell=typer.echo)
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(f"written: {path}, and .csv and .json beside it")


def folder_of(experiment: str) -> str:
    """Where the runs of an experiment lie; the tables of Map-Mix share theirs."""
    return "map-mix" if experiment.startswith("map-mix") else experiment


def part_of(text: str) -> tuple[int, int]:
    """ "2/4" → (2, 4)."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, parts = (int(one) for one in found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise DialectError(f"--part is {text!r}; it must be of the form 2/4, the second of four parts")
    return number, parts
