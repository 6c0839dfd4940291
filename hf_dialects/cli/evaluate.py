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
    seconds: Annotated[
        str | None, typer.Option(help="Edges of --by duration, such as 3,10,30; by default 1,2,4,8,16.")
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="YAML, JSON or CSV: label of the model -> variety, where the names differ.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.05, help="Seconds of a window; by default the model's, else 8.")
    ] = None,
    stride: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds between windows; by default the model's, else 3.")
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=0, help="Windows of one pass; 0 measures which is fastest here, results then differ by rounding."
        ),
    ] = 16,
    normalize: Annotated[
        str,
        typer.Option(
            help="window, or recording: the input is normalised once over each recording and the encoder's front runs "
            "once instead of in every window. The difference is reported."
        ),
    ] = "window",
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 where the hardware has it. The difference is reported.")
    ] = "float32",
    min_speech: Annotated[float, typer.Option(help="Leave out windows with a smaller share of speech.")] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Evaluate a classifier on a corpus, with intervals.

    Any audio classifier of the Hub will do. Where its labels are not those of the corpus, --label-map says which stand
    for which variety: probabilities of several labels are added up, other labels are dropped and their mass reported.

    Examples:

      hf-dialects evaluate runs/demo --data demo --split test --by duration --out runs/demo-again

      hf-dialects evaluate facebook/mms-lid-126 --data my_recordings --label-map languages.yaml --out runs/mms
    """
    shell.start()
    from hf_dialects.cli.lists import numbers
    from hf_dialects.evaluation.label_map import describe_label_map
    from hf_dialects.evaluation.results import describe
    from hf_dialects.evaluation.settings_difference import describe_difference
    from hf_dialects.evaluation.standalone import evaluate_model

    results = evaluate_model(
        model,
        data,
        out,
        split=split,
        label=label,
        by=tuple(by.split(",")) if by else (),
        seconds=numbers(seconds, float, "--seconds") if seconds else None,
        batch_size=batch_size or None,
        min_speech=min_speech,
        window_s=window,
        stride_s=stride,
        label_map=label_map,
        normalize=normalize,
        precision=precision,
        progress=not quiet,
    )
    typer.echo(describe(results))
    if label_map is not None:
        typer.echo(describe_label_map(results["label_map"]))
    windows = results["windows"]
    if windows["set_by"] == "default":
        typer.echo(f"windows of {windows['window_s']:g} s every {windows['stride_s']:g} s; the model names none")
    typer.echo(describe_difference(windows), nl=False)
    typer.echo(f"written: {out / 'results.json'}")
