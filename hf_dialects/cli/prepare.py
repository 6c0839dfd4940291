"""hf-dialects prepare"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.dataset_scripts import names
from hf_dialects.errors import DialectError


def prepare(
    corpus: Annotated[str, typer.Argument(help=f"One of: {', '.join(names())}.")],
    out: Annotated[Path, typer.Option(help="Folder to write; the same command again goes on where it stopped.")],
    source: Annotated[Path | None, typer.Option(help="Folder that holds the corpus in its original layout.")] = None,
    expect_complete: Annotated[
        bool, typer.Option("--expect-complete", help="Fail unless no recording is missing.")
    ] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="REPO", help="Dataset repository, owner/name, to share the corpus in, too.")
    ] = None,
    splits: Annotated[
        Path | None, typer.Option(help="Share it in these splits: folder that hf-dialects split wrote from OUT.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it; private without.")] = False,
    license: Annotated[
        str | None, typer.Option(help="As the Hub names it; needed where the corpus has none of the Hub's.")
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="The terms of the corpus, which are shown without, are met.")
    ] = False,
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Publish the ids of speakers and recordings; pseudonyms without.")
    ] = False,
    id_key: Annotated[
        Path | None,
        typer.Option(
            help="File with the key of the pseudonyms, made where it is not there [default: OUT/id.key]. The variable "
            "HF_DIALECTS_ID_KEY may hold the key itself."
        ),
    ] = None,
    exact_places: Annotated[
        bool, typer.Option("--exact-places", help="Publish coordinates as they are, not to a tenth of a degree.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Options of the corpus; one that it has not makes it list them."),
    ] = None,
) -> None:
    """Turn a corpus, as its authors publish it, into a dataset folder: Parquet with the audio inside, and a card.

    Examples:

      hf-dialects prepare fsdd --source fsdd-master --out corpora/fsdd

      hf-dialects prepare fleurs --source fleurs --out corpora/fleurs languages=cmn_hans_cn,yue_hant_hk splits=test

      hf-dialects prepare fsdd --source fsdd-master --out corpora/fsdd --push-to-hub me/digits

    With --push-to-hub the ids of speakers and recordings become pseudonyms, by a key that stays here, coordinates are
    rounded, recordings whose licence forbids sharing stay here, and everything arrives in one commit or not at all. The
    token is that of `hf auth login`, or the environment variable HF_TOKEN.
    """
    from hf_dialects.data.prepare import prepare_corpus
    from hf_dialects.dataset_scripts import script

    module, report = script(corpus), partial(typer.echo, err=True)
    if not push_to_hub and any((splits, public, license, accept_terms, keep_ids, id_key, exact_places)):
        raise DialectError("options of sharing were given without --push-to-hub; name the repository")
    if push_to_hub:
        from hf_dialects.hub import dataset_facts, dataset_key, dataset_push

        facts = dataset_facts.facts_of(module)
        dataset_push.check_push(facts, push_to_hub, license, accept_terms)
    prepare_corpus(module, source, out, expect_complete, not quiet, report, options or ())
    typer.echo(f"written: {out}; load it with load_corpus({str(out)!r}) or --data {out}")
    if push_to_hub:
        from huggingface_hub.utils import disable_progress_bars

        if quiet:
            disable_progress_bars()
        pushed = dataset_push.push_dataset(
            splits or out,
            push_to_hub,
            facts,
            public=public,
            license=license,
            accept_terms=accept_terms,
            keep_ids=keep_ids,
            id_key=id_key or out / dataset_key.FILE,
            exact_places=exact_places,
            options=options or (),
            report=report,
        )
        total = sum(size for _, size in pushed.files)
        typer.echo(f"{'public' if public else 'private'}: {pushed.url}, {len(pushed.files)} files, {total:,} bytes")
