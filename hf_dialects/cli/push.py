"""hf-dialects push"""

from pathlib import Path
from typing import Annotated

import typer


def push(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or of a saved encoder or Zipformer.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub, owner/name; made where it does not exist.")],
    license: Annotated[
        str | None,
        typer.Option(help="License of the weights as the Hub names it, such as apache-2.0 or cc-by-nc-4.0; required."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it; private without.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, list the files and their sizes, and send nothing.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="As a classifier of transformers, without remote code; refused where none is equal."
        ),
    ] = False,
    space: Annotated[
        bool,
        typer.Option("--space", help="Also a Space of the same name, whose page classifies recordings with the model."),
    ] = False,
    card: Annotated[Path | None, typer.Option(help="Folder to keep the card and its figures in, too.")] = None,
    json: Annotated[Path | None, typer.Option(help="File for what is printed, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Share the model of a run on the Hugging Face Hub, with its results and a card: a classifier, an encoder for
    retrieval, or a Zipformer.

    The token is that of `hf auth login`, or the environment variable HF_TOKEN.

    Examples:

      hf-dialects push runs/finetune-seed0 me/accents --license cc-by-nc-4.0 --dry-run

      hf-dialects push runs/finetune-seed0 me/accents --license apache-2.0 --public

      hf-dialects push runs/finetune-seed0 me/accents-plain --license apache-2.0 --plain

      hf-dialects push runs/finetune-seed0 me/accents --license apache-2.0 --public --space

      hf-dialects push runs/alignment-seed0 me/aligned --license mit --dry-run --card cards/aligned
    """
    from hf_dialects.cli import shell

    shell.start()
    from huggingface_hub.utils import disable_progress_bars

    from hf_dialects import hub
    from hf_dialects.errors import DialectError

    if quiet:
        disable_progress_bars()
    with_space = {"public": public, "license": license}
    if space:
        if plain:
            raise DialectError("--space shows windows, which a --plain classifier has not: leave one of them out")
        hub.push_space(run, repo, dry_run=True, **with_space)  # refuses before anything is sent
    pushed = hub.push(run, repo, public=public, license=license, dry_run=dry_run, plain=plain, card=card)
    for path, size in pushed.files:
        typer.echo(f"{size:>14,}  {path}")
    total = sum(size for _, size in pushed.files)
    typer.echo(f"{total:>14,}  bytes in {len(pushed.files)} files")
    if pushed.left_out:
        typer.echo(f"stays here: {', '.join(pushed.left_out)}")
    seen = "public" if public else "private"
    typer.echo(f"nothing was sent: {repo} would be {seen}" if dry_run else f"{seen}: {pushed.url}")
    content = {"repo": repo, "public": public, "url": pushed.url, "files": dict(pushed.files)}
    if space:
        revision = pushed.url and pushed.url.rsplit("/", 1)[-1]
        shown = hub.push_space(run, repo, revision, dry_run=dry_run, **with_space)
        for path, size in shown.files:
            typer.echo(f"{size:>14,}  {path}, of the Space")
        typer.echo("no Space was sent" if dry_run else f"{seen} Space: {shown.url}")
        if not (public or dry_run):
            typer.echo("the Space reads the private model once its settings hold a secret HF_TOKEN that may read it")
        content["space"] = {"url": shown.url, "files": dict(shown.files)}
    shell.write_json(content | {"left_out": pushed.left_out}, json)
