"""hf-dialects compare"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import words
from hf_dialects.errors import DialectError


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders with seed-0, seed-1 …; the baseline first.")
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="What to compare, separated by commas: accuracy, macro_f1, weighted_f1, ece, nll, brier; of speech "
            "recognition cer, wer. Default: the first two."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split whose predictions or transcripts are compared.")] = "test",
    method: Annotated[
        str | None, typer.Option(help="Of speech recognition: the search; the first that was scored.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json: Annotated[Path | None, typer.Option(help="File for the table as JSON.")] = None,
) -> None:
    """Test whether runs differ from the first, on the same utterances.

    Speakers and seeds are resampled together; p-values are corrected for the number of runs and metrics (Holm).

    Examples:

      hf-dialects compare runs/plain runs/contrastive --metric accuracy,macro_f1

      hf-dialects compare runs/baseline runs/b runs/c --json comparison.json

      hf-dialects compare runs/asr runs/asr_st --metric cer --method greedy
    """
    from hf_dialects.evaluation.compare import compare_runs, describe_comparison
    from hf_dialects.evaluation.transcript_arms import is_asr

    if runs and is_asr(runs[0]):
        from hf_dialects.evaluation.compare_transcripts import compare_transcripts

        chosen = words("cer,wer" if metric is None else metric)
        comparison = compare_transcripts(runs, chosen, split, method, seed=seed)
    elif method is not None:
        raise DialectError("--method is of speech recognition; leave it out")
    else:
        chosen = words("accuracy,macro_f1" if metric is None else metric)
        comparison = compare_runs(runs, chosen, split, seed=seed)
    typer.echo(describe_comparison(comparison))
    shell.write_json(comparison, json)
