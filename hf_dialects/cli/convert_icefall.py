"""hf-dialects convert-icefall"""

from pathlib import Path
from typing import Annotated

import typer


def convert_icefall(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="epoch-*.pt, pretrained.pt or .safetensors of icefall; with --to-icefall a folder of ours."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; with --to-icefall a .pt file.")],
    tokens: Annotated[Path | None, typer.Option(help="tokens.txt of icefall, to lie beside the model.")] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Take the mean of the weights over the training (model_avg).")
    ] = False,
    since: Annotated[
        Path | None, typer.Option(help="An earlier epoch-*.pt: the mean over what came after it, as icefall decodes.")
    ] = None,
    encoder_only: Annotated[bool, typer.Option("--encoder-only", help="Leave the recognition heads out.")] = False,
    to_icefall: Annotated[bool, typer.Option("--to-icefall", help="The other way round.")] = False,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="What shapes of tensors do not tell, if it is not icefall's default: query_head_dim, num_mel_bins, "
            "attention_decoder_heads, blank_token_id, bos_token_id, eos_token_id, chunk_size, left_context_frames …",
        ),
    ] = None,
) -> None:
    """Turn a Zipformer that icefall trained into a model of ours, or back.

    Examples:

      hf-dialects convert-icefall exp/pretrained.pt --tokens lang/tokens.txt --out encoders/zipformer

      hf-dialects convert-icefall exp/epoch-30.pt --since exp/epoch-21.pt --out encoders/zipformer

      hf-dialects convert-icefall encoders/zipformer --to-icefall --out pretrained.pt
    """
    from hf_dialects.cli import shell

    shell.start()
    from hf_dialects.convert_icefall import convert_icefall as convert
    from hf_dialects.convert_icefall import export_icefall
    from hf_dialects.errors import CheckpointError
    from hf_dialects.icefall_config import read_overrides

    if to_icefall:
        if tokens or average or since or encoder_only or options:
            raise CheckpointError("--to-icefall takes a folder and --out, no other option")
        state = export_icefall(checkpoint, out)
        typer.echo(f"written: {out}, {sum(tensor.numel() for tensor in state.values()):,} parameters")
        return
    overrides = read_overrides(options or ())
    model = convert(checkpoint, out, average, since, tokens, encoder_only, **overrides)
    typer.echo(f"written: {out}, {type(model).__name__}, {model.num_parameters():,} parameters")
