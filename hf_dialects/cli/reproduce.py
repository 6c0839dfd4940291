"""hf-dialects reproduce"""

import re
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import words
from hf_dialects.errors import DialectError

EXPERIMENTS = ("salvi-table2", "salvi-table3")


def reproduce(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides of all recipes, such as training.batch_size=16.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder, manifest, Hub id or 'demo'.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each cell, with seeds 0, 1 …", min=1)] = 3,
    splits: Annotated[
        int, typer.Option(help="Splits; 1 takes those of the corpus where it has them, more are drawn.", min=1)
    ] = 1,
    encoders: Annotated[
        str | None, typer.Option(help="Rows of table 2, separated by commas; the one encoder of table 3.")
    ] = None,
    ita_xlsr53: Annotated[
        str | None, typer.Option("--ita-xlsr53", help="XLSR-53 after Italian speech recognition (CTC checkpoint).")
    ] = None,
    ita_xlsr128: Annotated[
        str | None, typer.Option("--ita-xlsr128", help="XLS-R-300M after Italian speech recognition (CTC checkpoint).")
    ] = None,
    ecapa: Annotated[str | None, typer.Option(help="ECAPA-TDNN of VoxLingua107, converted to a checkpoint.")] = None,
    objectives: Annotated[str | None, typer.Option(help="Only these of table 3: supcon, triplet, ….")] = None,
    settings: Annotated[str | None, typer.Option(help="Only these of table 3: auxiliary, pretraining, both.")] = None,
    axes: Annotated[str | None, typer.Option(help="Beyond table 3: pooling, projection, denominator, sampler.")] = None,
    part: Annotated[
        str, typer.Option(help="2/4: the second of four parts of the runs, for processes side by side.")
    ] = "1/1",
    figures: Annotated[bool, typer.Option("--figures", help="Figures 1 and 2 from the runs of table 3.")] = False,
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

      hf-dialects reproduce salvi-table3 --smoke --seeds 1 --out runs/smoke
    """
    shell.start()
    from hf_dialects.reproduce.run_table import TableOptions, run_table

    chosen = TableOptions(
        experiment=experiment,
        data=data,
        seeds=seeds,
        splits=splits,
        encoders=words(encoders or ""),
        given={"xlsr-53-ita": ita_xlsr53, "xls-r-300m-ita": ita_xlsr128, "ecapa": ecapa},
        objectives=words(objectives or ""),
        settings=words(settings or ""),
        axes=words(axes or ""),
        overrides=tuple(overrides or ()),
        part=part_of(part),
        figures=figures,
        smoke=smoke,
        out=out or Path("runs") / (f"{experiment}-smoke" if smoke else experiment),
        progress=not quiet,
    )
    path, complete = run_table(chosen, tell=typer.echo)
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(f"written: {path}, and .csv and .json beside it")
    if not complete:
        raise typer.Exit(1)


def part_of(text: str) -> tuple[int, int]:
    """ "2/4" → (2, 4)."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, parts = (int(one) for one in found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise DialectError(f"--part is {text!r}; it must be of the form 2/4, the second of four parts")
    return number, parts
