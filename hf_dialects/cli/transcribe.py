"""hf-dialects transcribe"""

import json
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.predict import recordings_in


def transcribe(
    model: Annotated[
        Path,
        typer.Argument(
            help="Run folder of a training with task: asr, model folder, or what convert-icefall --tokens wrote."
        ),
    ],
    files: Annotated[list[Path], typer.Argument(help="Recordings, or folders of recordings.")],
    method: Annotated[
        str, typer.Option(help="greedy or modified_beam_search with the transducer; attention with its decoder.")
    ] = "greedy",
    num_beams: Annotated[int, typer.Option(min=1, help="Hypotheses of a beam search.")] = 4,
    language: Annotated[
        str | None, typer.Option(help="With attention: language to write, 'spoken' for the one that is spoken.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Write down what is said in recordings. A file that cannot be used is told about; the others are transcribed.

    Recordings are taken whole: models are trained on utterances of some seconds.

    Example:

      hf-dialects transcribe runs/zipformer_tiny-seed0 field_trip/ --method modified_beam_search
    """
    shell.start()
    from tqdm.auto import tqdm

    from hf_dialects.errors import AudioError
    from hf_dialects.recognition import load_recogniser
    from hf_dialects.recognition import transcribe as texts_of

    paths = [path for given in files for path in (recordings_in(given) if given.is_dir() else [given])]
    recogniser = load_recogniser(model, decode_only=True)
    failed = 0
    for path in tqdm(paths, desc="transcribing", unit="file", disable=quiet or len(paths) == 1):
        try:
            (text,) = texts_of(*recogniser, [path], method=method, num_beams=num_beams, language=language)
        except AudioError as error:
            typer.echo(f"error: {error}", err=True)
            failed += 1
            continue
        answer = {"file": str(path), "text": text}
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else f"{path}\t{text}")
    if failed:
        raise typer.Exit(1)
