"""hf-dialects retrieve"""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.lists import numbers, words
from hf_dialects.errors import DialectError


def retrieve(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|EMBEDDINGS", help="Run folder, model folder or Hub id; or what embed --frames wrote."
        ),
    ],
    data: Annotated[str, typer.Option(help="Folder, manifest, Hub id or 'demo': who says what where, and the sound.")],
    parallel: Annotated[str, typer.Option(help="Column; the same value means the same content.")] = "sentence_id",
    between: Annotated[str, typer.Option(help="Column of the places or people between which is retrieved.")] = "site",
    group: Annotated[
        str | None, typer.Option(help="Column of groups of these, or none; without, cluster where it is filled in.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers, separated by commas; 0 is the input of the first block. Without: the last, or all."),
    ] = None,
    show: Annotated[int | None, typer.Option(help="Layer of the page; without, the last of the layers.")] = None,
    k: Annotated[str, typer.Option("--k", help="Of recall@k, separated by commas.")] = "1,5",
    centre: Annotated[
        str | None, typer.Option(help="Centre frames on those of this set: a corpus, or a folder of frames.")
    ] = None,
    whiten: Annotated[str | None, typer.Option(help="The same, and divide by the spread in every direction.")] = None,
    centre_split: Annotated[str | None, typer.Option(help="Split of the set that frames are centred on.")] = None,
    precision: Annotated[
        str, typer.Option(help="Of SeqSim: float32, or int8, faster where the processor has VNNI.")
    ] = "float32",
    controls: Annotated[
        str, typer.Option(help="Of mel-dtw and trimmed, those that need the recordings; or none.")
    ] = "mel-dtw,trimmed",
    clips: Annotated[int, typer.Option(min=0, help="Misses on the page; 0 for no page.")] = 200,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the intervals.")] = 2000,
    split: Annotated[str | None, typer.Option(help="Split of the corpus; all of it without.")] = None,
    label: Annotated[str, typer.Option(help="Column that names the variety.")] = "dialect",
    seed: Annotated[int, typer.Option(help="Of draws, shuffled labels and the choice of misses.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; the same command again goes on where it stopped.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away frames of something else in --out.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Which utterance of another place says the same: speech-to-speech retrieval by SeqSim, beside its controls.

    Every utterance of one site is sought among those of another, in both directions: recall@1, @5 and mean reciprocal
    rank by site and by group, with chance and intervals over sites × sentences; the same by duration alone, among
    distractors of the same duration, by mean vectors, by time warping of mel frames, without silence at the ends, with
    shuffled labels, and with CSLS. retrieval.html plays the misses.

    Examples:

      hf-dialects retrieve runs/demo/seed-0 --data demo --split test --between dialect --group cluster

      hf-dialects retrieve facebook/wav2vec2-xls-r-300m --data yubao --layers 9,12 --centre fleurs --centre-split train

      hf-dialects retrieve embeddings --data my_recordings --between speaker --group none --precision int8
    """
    if centre and whiten:
        raise DialectError("--centre and --whiten name the set that frames are moved by; give one of them")
    if centre_split and not (centre or whiten):
        raise DialectError("--centre-split is of the set that --centre or --whiten names; give it too")
    shell.start()
    from time import perf_counter

    import torch

    from hf_dialects.abx_source import is_embedding_folder
    from hf_dialects.data.load import load_corpus
    from hf_dialects.data.split_folder import join_splits
    from hf_dialects.data.splits import split_fingerprint
    from hf_dialects.evaluation.environment import anonymous, environment
    from hf_dialects.evaluation.tables import aligned
    from hf_dialects.report.retrieval_page import write_page
    from hf_dialects.report.retrieval_report import (
        cautions,
        control_rows,
        layer_table,
        question_text,
        shown_rows,
        write_retrieval,
    )
    from hf_dialects.retrieval_frames import Centre
    from hf_dialects.retrieval_pool import Question
    from hf_dialects.retrieval_source import Options
    from hf_dialects.retrieval_source import retrieve as ask

    started = perf_counter()
    options = Options(
        layers=None if layers is None else numbers(layers, int, "--layers"),
        show=show,
        k=numbers(k, int, "--k"),
        precision=precision,
        controls=() if controls == "none" else words(controls),
        seed=seed,
        device="cuda" if torch.cuda.is_available() else "cpu",
        overwrite=overwrite,
        progress=not quiet,
    )
    corpus = join_splits(load_corpus(data, split=split, label=label))
    named = centre or whiten
    of_centre = None
    if named:
        embedded = is_embedding_folder(named)
        rows = None if embedded else join_splits(load_corpus(named, split=centre_split, label=label))
        called = anonymous(named) + f" ({centre_split})" * bool(centre_split)
        of_centre = Centre(called, rows, Path(named) if embedded else None, whiten is not None)
    out = out or Path("runs") / f"retrieve-{parallel}-{Path(source).name}"
    found = ask(source, corpus, Question(parallel, between, group), out, options, of_centre, tell=typer.echo)
    facts = {"data": {"n": len(corpus), "sha256": split_fingerprint(corpus)}, "seed": seed, "draws": draws}
    facts["environment"] = environment(options.device, perf_counter() - started)
    table = layer_table(found, draws, seed)
    written = write_retrieval(found, table, out, facts, draws, seed)
    for one in cautions(found, table):
        typer.echo(f"mind: {one}", err=True)
    typer.echo(question_text(found))
    typer.echo(aligned(shown_rows(table)))
    shown = found.results[found.shown]
    typer.echo(f"\nlayer {found.shown}\n{aligned(control_rows(shown))}\n")
    for one in shown.notes:
        typer.echo(one)
    if clips:
        written.append(write_page(found, table, corpus, out, clips, seed, draws, progress=not quiet))
    typer.echo(f"written: {', '.join(str(path) for path in written)}")
