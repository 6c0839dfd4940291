"""hf-dialects embed"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import numbers, words


def embed(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or Hub id; a bare encoder will do.")],
    data: Annotated[str, typer.Option(help="Folder, manifest, Hub id or 'demo'.")],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    layers: Annotated[str, typer.Option(help="Layers, separated by commas; 0 is the input of the first block.")] = "-1",
    frames: Annotated[bool, typer.Option("--frames", help="All frames instead of a vector per recording.")] = False,
    split: Annotated[str | None, typer.Option(help="Split of the corpus; all of it without.")] = None,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Read recordings only when they are reached, and download none before.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(help="Varieties to keep, separated by commas; --streaming needs them where they are text."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows of one pass.")] = 16,
    normalize: Annotated[
        str, typer.Option(help="window, or recording: the input is normalised once and the front runs once.")
    ] = "window",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 where the hardware has it.")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw away what lies in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Write what a model makes of every recording: one vector per layer, or all frames.

    Example:

      hf-dialects embed runs/demo/seed-0 --data demo --layers=-1,6 --out vectors

    Several processes share the shards, on a processor or on an accelerator each; kill any of them, and the same command
    again does what is missing. On processors, accelerate takes --multi_gpu, too: with --cpu it starts one process only.

      torchrun --nproc-per-node 2 -m hf_dialects.cli.main embed runs/small --data demo --out vectors

      accelerate launch --multi_gpu --num_processes 2 -m hf_dialects.cli.main embed runs/small --data demo --out vectors

    An archive on the Hub is not downloaded; processes share its files:

      hf-dialects embed runs/demo/seed-0 --data owner/archive --streaming --out vectors
    """
    chosen = numbers(layers, int, "--layers")
    shell.start()
    import torch
    from accelerate.utils.environment import get_cpu_distributed_information

    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.split_folder import join_splits
    from hf_dialects.embedding_files import is_complete, listed_ids
    from hf_dialects.embeddings import embed as write_embeddings
    from hf_dialects.saving import load_for_inference

    network, feature_extractor = load_for_inference(model, head=False)
    # of the other processes nothing but their number is needed: no group of them waits for one that died
    process = get_cpu_distributed_information()  # of torchrun and of MPI, whatever the device
    rank, world_size = process.rank, process.world_size
    network.to(f"cuda:{process.local_rank}" if torch.cuda.is_available() else "cpu")
    known = words(labels) if labels else None
    corpus = join_splits(load_corpus(data, split=split, label=label, streaming=streaming, labels=known))
    skipped = write_embeddings(
        network,
        feature_extractor,
        corpus,
        out,
        layers=chosen,
        frames=frames,
        batch_size=batch_size,
        overwrite=overwrite,
        progress=not quiet and rank == 0,
        normalize=normalize,
        precision=precision,
        rank=rank,
        world_size=world_size,
    )
    if not is_complete(out):
        typer.echo(f"process {rank} of {world_size} has written its shards; {out} is complete when all have")
        return
    found = len(listed_ids(out))
    typer.echo(f"written: {out}, {found - len(skipped):,} of {found:,} recordings")
    for one in skipped[:10]:
        typer.echo(f"left out ({one.reason}): {one.message}", err=True)
