"""hf-dialects embed"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import numbers


def embed(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or Hub id; a bare encoder will do.")],
    data: Annotated[str, typer.Option(help="Folder, manifest, Hub id or 'demo'.")],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    layers: Annotated[str, typer.Option(help="Layers, separated by commas; 0 is the input of the first block.")] = "-1",
    frames: Annotated[bool, typer.Option("--frames", help="All frames instead of a vector per recording.")] = False,
    split: Annotated[str | None, typer.Option(help="Split of the corpus; all of it without.")] = None,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    batch_size: Annotated[int, typer.Option(min=1, help="Windows of one pass.")] = 16,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw away what lies in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Write what a model makes of every recording: one vector per layer, or all frames.

    Example:

      hf-dialects embed runs/demo --data demo --layers=-1,6 --out vectors
    """
    chosen = numbers(layers, int, "--layers")
    shell.start()
    import torch

    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.split_folder import join_splits
    from hf_dialects.embeddings import embed as write_embeddings
    from hf_dialects.saving import load_for_inference

    network, feature_extractor = load_for_inference(model, head=False)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    corpus = join_splits(load_corpus(data, split=split, label=label))
    skipped = write_embeddings(
        network,
        feature_extractor,
        corpus,
        out,
        layers=chosen,
        frames=frames,
        batch_size=batch_size,
        overwrite=overwrite,
        progress=not quiet,
    )
    typer.echo(f"written: {out}, {len(corpus) - len(skipped):,} of {len(corpus):,} recordings")
    for one in skipped[:10]:
        typer.echo(f"left out ({one.reason}): {one.message}", err=True)
