"""hf-dialects demo"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.report import report_beside


def demo(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides of the recipe, such as training.num_train_epochs=5.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the runs; the same folder again goes on where it stopped.")
    ] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(help="How many seeds to train.", min=1)] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the numbers here.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Synthetic corpus, training, evaluation, and the model's answer on a clip it never heard.

    Example:

      hf-dialects demo --out runs/demo --seeds 1
    """
    shell.start()
    from hf_dialects.evaluation.results import describe
    from hf_dialects.training.demo import over_seeds, run_demo

    answer = run_demo(out, seeds, not quiet, tuple(overrides or ()), tell=typer.echo)
    results = answer.pop("results")
    typer.echo(describe(results[0]))
    typer.echo(f"\ntest accuracy    {over_seeds(answer['accuracy'])}")
    typer.echo(f"cluster accuracy {over_seeds(answer['cluster_accuracy'])}")
    report_beside(out, with_audio=True, quiet=quiet)
    shell.write_json(answer, json_file)
    clip = answer["clip"]
    right = "right" if clip["label"] == clip["gold"] else f"it is {clip['gold']}"
    typer.echo(f"the pipeline hears {clip['label']} (p = {clip['score']:.2f}) in {clip['id']}: {right}")
