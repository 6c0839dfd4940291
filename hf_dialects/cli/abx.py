"""hf-dialects abx"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import numbers, words
from hf_dialects.errors import DialectError


def abx(
    source: Annotated[
        str, typer.Argument(metavar="MODEL|EMBEDDINGS", help="Run folder, model folder or Hub id; or what embed wrote.")
    ],
    data: Annotated[str, typer.Option(help="Folder, manifest, Hub id or 'demo': the attributes, and the recordings.")],
    on: Annotated[
        str, typer.Option(help="Attribute that is tested: A and X share it, B has another value.")
    ] = "dialect",
    by: Annotated[str | None, typer.Option(help="Attributes that A, B and X share, such as sentence_id.")] = None,
    across: Annotated[
        str | None, typer.Option(help="Attributes in which X differs from A and B, which share them (crossed ones).")
    ] = None,
    differ: Annotated[
        str | None, typer.Option(help="Attributes that differ in A, B and X (nested ones: a speaker has one dialect).")
    ] = None,
    layers: Annotated[str, typer.Option(help="all, or numbers; 0 is the input of the first block.")] = "all",
    snippets: Annotated[
        str | None, typer.Option(help="Seconds of consecutive snippets, such as 1,5,10,20; without, whole recordings.")
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="Of max, mean, statistics; without, all (of a folder, all it has).")
    ] = None,
    distance: Annotated[str, typer.Option(help="cosine, angular or euclidean.")] = "cosine",
    min_gap: Annotated[float, typer.Option(min=0, help="Seconds between snippets of one recording.")] = 0.0,
    tail: Annotated[str, typer.Option(help="The rest of a recording: drop, or keep from half a snippet on.")] = "drop",
    frames: Annotated[
        bool, typer.Option("--frames", help="Compare sequences of frames by dynamic time warping, no pooled vectors.")
    ] = False,
    interval_by: Annotated[
        str | None,
        typer.Option(help="Attribute resampled and permuted whole, by default speaker; a second one is drawn along."),
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="Draws of the interval; 0 for none.")] = 2000,
    permutations: Annotated[int, typer.Option(min=0, help="Permutations of the labels; 0 for none.")] = 1000,
    split: Annotated[str | None, typer.Option(help="Split of the corpus; all of it without.")] = None,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    show: Annotated[str | None, typer.Option(help="Print the matrix of one setting, such as 9,10s,max.")] = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Dialect, speaker, session, room … side by side: how much of it is dialect."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of draws and permutations.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; the same command again goes on where it stopped.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away snippets of something else in --out.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """What do representations tell apart: ABX scores for every layer, snippet length and pooling.

    The score is the share of triples in which X is nearer to A, which shares its dialect (or speaker, room …), than to
    B, which does not. 0.5 is chance, 1 - score the error rate. Nothing is chosen: the whole grid is printed.

    Examples:

      hf-dialects abx runs/demo/seed-0 --data demo --split test --by sentence_id --differ speaker

      hf-dialects abx facebook/wav2vec2-large-xlsr-53 --data recordings --on room --differ recording --snippets 1,10

      hf-dialects abx embeddings --data my_recordings --on speaker --layers 6,9 --show 6,whole,model

      hf-dialects abx runs/demo/seed-0 --data demo --split test --by sentence_id --profile
    """
    if frames and (snippets or pooling):
        raise DialectError("--frames compares whole recordings frame by frame; leave --snippets and --pooling out")
    chosen = None if layers == "all" else numbers(layers, int, "--layers")
    lengths = numbers(snippets, float, "--snippets") if snippets else None
    groups, crossed = (*words(interval_by or ""), None, None)[:2]
    shell.start()
    from time import perf_counter

    import torch

    from hf_dialects.abx_grid import Question
    from hf_dialects.abx_source import ask
    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.split_folder import join_splits
    from hf_dialects.data.splits import split_fingerprint
    from hf_dialects.evaluation.environment import environment
    from hf_dialects.evaluation.tables import aligned
    from hf_dialects.report.abx_report import grid_rows, matrix_rows, question_text, warnings, write_grid

    started, device = perf_counter(), "cuda" if torch.cuda.is_available() else "cpu"
    corpus = join_splits(load_corpus(data, split=split, label=label))
    question = Question(on, words(by or ""), words(across or ""), words(differ or ""), min_gap, distance)
    out = out or Path("runs") / f"abx-{on}-{Path(source).name}"
    answer = ask(
        source,
        corpus,
        question,
        out,
        lengths_s=lengths,
        layers=chosen,
        poolings=words(pooling or "") or None,
        tail=tail,
        frames=frames,
        groups=groups,
        crossed=crossed,
        draws=draws,
        permutations=permutations,
        seed=seed,
        show=show,
        device=device,
        overwrite=overwrite,
        progress=not quiet,
        tell=typer.echo,
    )
    table = answer.grid.table
    facts = {"data": {"n": len(corpus), "sha256": split_fingerprint(corpus)}, **answer.facts}
    facts["environment"] = environment(device, perf_counter() - started)
    written = write_grid(answer.grid, question, out, facts)
    typer.echo(question_text(question))
    typer.echo(aligned(grid_rows(table)))
    for one in warnings(table):
        typer.echo(f"mind: {one}", err=True)
    if answer.shown is not None:
        typer.echo(f"\n{answer.shown}\n{aligned(matrix_rows(answer.grid.matrix(answer.shown)))}")
    if profile:
        written += write_profile_of(answer, question, out, device, draws, seed, facts, not quiet)
    typer.echo(f"written: {', '.join(str(path) for path in written)}")


def write_profile_of(
    answer, question, out: Path, device: str, draws: int, seed: int, facts: dict, progress: bool
) -> list:
    """Score all aspects in the settings of the grid, print the profile and write it; returns the files."""
    from hf_dialects.evaluation.abx_profile import aspects_of, profile
    from hf_dialects.evaluation.tables import aligned
    from hf_dialects.report.abx_profile import profile_questions, profile_rows, write_profile

    cut = any(setting.length_s for setting in answer.grid.settings)
    aspects, left_out = aspects_of(answer.items.attributes, cut, question.min_gap_s, question.distance)
    options = {"draws": draws, "seed": seed, "device": device, "progress": progress, "tell": typer.echo}
    found = profile(answer.items.read, answer.grid.settings, aspects, folder=out / "profile", **options)
    found.left_out |= left_out
    typer.echo("\n" + "\n".join(profile_questions(found)))
    typer.echo(aligned(profile_rows(found)))
    kept = ("data", "draws", "seed", "embeddings", "environment")
    return write_profile(found, out, {name: facts[name] for name in kept})
