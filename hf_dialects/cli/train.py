"""hf-dialects train; also `accelerate launch -m hf_dialects.cli.train RECIPE.yaml`."""

from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell
from hf_dialects.cli.report import report_beside


def train(
    recipe: Annotated[str | None, typer.Argument(help="Recipe file, or the name of one that is shipped.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Dotted overrides, such as training.learning_rate=1e-4.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Folder, manifest, Hub id or 'demo'; several to join them.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Pretrained encoder (Hub id or folder); without it a small one from scratch.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column that names the variety.")] = None,
    labels: Annotated[str | None, typer.Option(help="Keep only these varieties, separated by commas.")] = None,
    split_by: Annotated[
        str | None, typer.Option(help="Columns that must not cross a split, separated by commas.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Columns to break the test result down by, such as gender,device.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="Contrastive objective: supcon, triplet or multi_similarity.")
    ] = None,
    mixup: Annotated[
        str | None,
        typer.Option(
            help="Mix examples: static, random, within, across, easy, hard or ambiguous_easy; or map_mix, which makes "
            "the data map in a stage of its own."
        ),
    ] = None,
    targets: Annotated[str | None, typer.Option(help="Training targets: one_hot, smoothing or confidence.")] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Keep the encoder as it is and train a head on cached features.")
    ] = False,
    layers: Annotated[str | None, typer.Option(help="With --frozen: layers to try, such as 6,9,12, or 'all'.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Corrections of training labels, from the page of hf-dialects datamap.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="K folds by group; predictions are pooled over the folds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; the same folder again goes on where it stopped.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Train a dialect classifier and evaluate it.

    Examples:

      hf-dialects train demo --out runs/demo

      hf-dialects train --data my_recordings --folds 5

      hf-dialects train --data my_recordings --encoder facebook/wav2vec2-xls-r-300m --frozen --layers 6,9,12

      hf-dialects train --data my_recordings --encoder facebook/wav2vec2-xls-r-300m --mixup map_mix

      hf-dialects train --data my_recordings --corrections corrections.csv --out runs/corrected

      hf-dialects train alignment --data my_recordings --split-by sentence_id

      hf-dialects train zipformer_tiny --data my_recordings data.text=transcript

      accelerate launch -m hf_dialects.cli.train finetune data.source=my_recordings training.batch_size=64
    """
    shell.start()
    from hf_dialects.data.corrections import Applied
    from hf_dialects.errors import RecipeError
    from hf_dialects.evaluation.results import describe
    from hf_dialects.training.asr_recipe import is_asr
    from hf_dialects.training.folds import train_folds
    from hf_dialects.training.frozen import train_frozen
    from hf_dialects.training.recipe import load_recipe
    from hf_dialects.training.run import train_recipe
    from hf_dialects.training.stages import with_mixup

    arguments = list(overrides or [])
    if recipe is not None and "=" in recipe:  # `train --data DIR key=value`: no recipe was named
        arguments, recipe = [recipe, *arguments], None
    if data:
        arguments.append(f"data.source={data[0] if len(data) == 1 else '[' + ','.join(data) + ']'}")
    given = {"model.encoder": encoder, "data.label": label, "model.objective": objective, "seed": seed}
    given |= {"data.corrections": corrections}
    arguments += [f"{key}={value}" for key, value in given.items() if value is not None]
    listed = {"data.labels": labels, "data.split_by": split_by, "evaluation.by": by}
    arguments += [f"{key}=[{value}]" for key, value in listed.items() if value is not None]
    name = recipe or ("finetune" if encoder else "small")
    if is_asr(name):
        if encoder or objective or mixup or targets or frozen or layers or corrections or folds:
            raise RecipeError("the options of a dialect classifier do not go with a recipe of task: asr; set its keys")
        from hf_dialects.training.asr_recipe import load_asr_recipe
        from hf_dialects.training.asr_run import describe_asr, train_asr

        chosen = load_asr_recipe(name, arguments)
        out = out or Path("runs") / f"{Path(name).stem}-seed{chosen.seed}"
        if found := train_asr(chosen, out, progress=not quiet):
            typer.echo(f"{describe_asr(found)}\n\nrun folder: {out}")
            report_beside(out, quiet=quiet)
        return
    chosen = with_mixup(load_recipe(name, arguments), mixup, targets)
    out = out or Path("runs") / f"{Path(name).stem}-seed{chosen.seed}"
    if chosen.training.get("align") and not (frozen or folds):
        from hf_dialects.training.alignment_run import describe_aligned, train_alignment

        if found := train_alignment(chosen, out, progress=not quiet):
            typer.echo(f"{describe_aligned(found)}\nrun folder: {out}")
        return
    if frozen and chosen.training.get("align"):
        raise RecipeError("training.align trains a whole encoder and no head; it does not go with --frozen")
    if frozen and (mixup or targets):
        raise RecipeError("--mixup and --targets do not go with --frozen, whose head is fitted to cached features")
    if frozen:
        results = train_frozen(chosen, out, layers=layers, folds=folds, progress=not quiet)
    elif folds:
        results = train_folds(chosen, out, folds, progress=not quiet)
    else:
        results = train_recipe(chosen, out, progress=not quiet)
    if results:
        typer.echo(describe(results))
        if applied := results["data"].get("corrections"):
            typer.echo(f"\n{Applied(**applied)}")
        report_beside(out, quiet=quiet)
        typer.echo(f"run folder: {out}")


if __name__ == "__main__":
    shell.run(lambda: typer.run(train))
