"""hf-dialects score"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import words


def score(
    reference: Annotated[
        Path, typer.Option(help="What was said: CSV, TSV or JSON lines with id and text, or lines of an id and a text.")
    ],
    hypothesis: Annotated[Path, typer.Option(help="What a system heard, with the same ids.")],
    by: Annotated[str, typer.Option(help="Columns of the reference, such as dialect,cluster.")] = "",
    reference_column: Annotated[str, typer.Option(help="Column of the reference's texts.")] = "text",
    hypothesis_column: Annotated[str, typer.Option(help="Column of the hypothesis' texts.")] = "text",
    simplify: Annotated[
        str, typer.Option(help="Simplify Chinese characters: t2s, tw2s (Taiwan), hk2s (Hong Kong) or none.")
    ] = "t2s",
    keep_erhua: Annotated[bool, typer.Option("--keep-erhua", help="Leave the suffix of 花儿 and 玩儿.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json: Annotated[Path | None, typer.Option(help="File for the scores as JSON.")] = None,
) -> None:
    """Word and character error rates of any system's transcripts, with intervals over speakers.

    Both sides are normalised: no case and punctuation, simplified characters without erhua, each of them a word of its
    own, words of other scripts whole. Speakers come from the reference's column speaker (else recording, else site).

    Examples:

      hf-dialects score --reference test.csv --hypothesis decoded.jsonl --by dialect,cluster --json scores.json

      hf-dialects score --reference text --hypothesis hyp.txt
    """
    from hf_dialects.evaluation.transcripts import describe_transcripts, read_transcripts, score_transcripts

    result = score_transcripts(
        read_transcripts(reference, reference_column),
        read_transcripts(hypothesis, hypothesis_column),
        by=words(by),
        simplify=None if simplify == "none" else simplify,
        keep_erhua=keep_erhua,
        seed=seed,
    )
    typer.echo(describe_transcripts(result))
    shell.write_json(result, json)
