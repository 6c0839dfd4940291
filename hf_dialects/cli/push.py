"""hf-dialects push"""

from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub, owner/name; made where it does not exist.")],
    license: Annotated[
        str | None,
        typer.Option(help="License of the weights as the Hub names it, such as apache-2.0 or cc-by-nc-4.0; required."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it; private without.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, list the files and their sizes, and send nothing.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="File for what is printed, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Share the model of a run on the Hugging Face Hub, with its results and a card.

    The token is that of `hf auth login`, or the environment variable HF_TOKEN.

    Examples:

      hf-dialects push runs/finetune-seed0 me/accents --license cc-by-nc-4.0 --dry-run

      hf-dialects push runs/finetune-seed0 me/accents --license apache-2.0 --public
    """
    from hf_dialects.cli import shell

    shell.start()
    from huggingface_hub.utils import disable_progress_bars

    from hf_dialects import hub

    if quiet:
        disable_progress_bars()
    pushed = hub.push(run, repo, public=public, license=license, dry_run=dry_run)
    for path, size in pushed.files:
        typer.echo(f"{size:>14,}  {path}")
    total = sum(size for _, size in pushed.files)
    typer.echo(f"{total:>14,}  bytes in {len(pushed.files)} files")
    if pushed.left_out:
        typer.echo(f"stays here: {', '.join(pushed.left_out)}")
    seen = "public" if public else "private"
    typer.echo(f"nothing was sent: {repo} would be {seen}" if dry_run else f"{seen}: {pushed.url}")
    content = {"repo": repo, "public": public, "url": pushed.url, "files": dict(pushed.files)}
    shell.write_json(content | {"left_out": pushed.left_out}, json)
