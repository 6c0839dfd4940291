"""The console script `hf-dialects`."""

import typer

from hf_dialects.cli import (
    abx,
    check,
    compare,
    convert_ecapa,
    convert_icefall,
    datamap,
    demo,
    embed,
    evaluate,
    predict,
    prepare,
    push,
    report,
    reproduce,
    retrieve,
    score,
    serve,
    shell,
    split,
    train,
    transcribe,
)
from hf_dialects.version import __version__

app = typer.Typer(
    name="hf-dialects",
    help="Dialects and other closely related varieties of spoken language: train, judge and use models of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    demo.demo,
    prepare.prepare,
    check.check,
    split.split,
    train.train,
    evaluate.evaluate,
    report.report,
    datamap.datamap,
    compare.compare,
    reproduce.reproduce,
    convert_ecapa.convert_ecapa,
    convert_icefall.convert_icefall,
    predict.predict,
    transcribe.transcribe,
    embed.embed,
    abx.abx,
    retrieve.retrieve,
    score.score,
    push.push,
    serve.serve,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    """Dialects and other closely related varieties of spoken language: train, judge and use models of them."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    shell.run(app)


if __name__ == "__main__":
    main()
