"""hf-dialects convert-ecapa"""

from pathlib import Path
from typing import Annotated

import typer


def convert_ecapa(
    checkpoint: Annotated[Path, typer.Argument(help="embedding_model.ckpt of a released ECAPA-TDNN.")],
    out: Annotated[Path, typer.Option(help="Folder to write; --encoder and --ecapa take it.")],
) -> None:
    """Turn the weights of an ECAPA-TDNN that SpeechBrain released into an encoder of ours.

    Example:

      hf-dialects convert-ecapa embedding_model.ckpt --out encoders/ecapa-voxlingua107

      hf-dialects reproduce salvi-table2 --data vivaldi --ecapa encoders/ecapa-voxlingua107
    """
    from hf_dialects.convert_ecapa import convert_ecapa as convert

    model = convert(checkpoint, out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    typer.echo(f"written: {out}, {parameters:,} parameters")
