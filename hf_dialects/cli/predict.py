"""hf-dialects predict"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hf_dialects.cli import shell


def predict(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or Hub id.")],
    files: Annotated[list[Path], typer.Argument(help="Recordings, or folders of recordings.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of text.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="Also the probabilities of every window.")] = False,
    top_k: Annotated[int, typer.Option(min=1, help="How many dialects of each recording, best first.")] = 3,
    min_speech: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Leave out windows with a smaller share of speech; a file with no other is 'no speech'."
        ),
    ] = 0.0,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Probabilities at the temperature that was fitted after training.")
    ] = False,
    window: Annotated[float | None, typer.Option(min=0.05, help="Seconds of a window; by default the model's.")] = None,
    stride: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds between windows; by default the model's.")
    ] = None,
    normalize: Annotated[
        str,
        typer.Option(
            help="window, or recording: the input is normalised once over each recording and the encoder's front runs "
            "once instead of in every window."
        ),
    ] = "window",
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 where the hardware has it; the difference is measured and told.")
    ] = "float32",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows of one pass; by default the fastest here, which is measured.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Name the dialect of recordings. A file that cannot be used is told about; the others are still classified.

    Recordings may have any length: memory does not grow with them.

    Examples:

      hf-dialects predict runs/demo/seed-0 interview.wav field_trip/ --windows

      hf-dialects predict runs/demo/seed-0 day.flac --normalize recording --precision bfloat16 --json
    """
    shell.start()
    from tqdm.auto import tqdm

    from hf_dialects.recording_classifier import RecordingClassifier
    from hf_dialects.saving import load_for_inference

    paths = [path for given in files for path in (recordings_in(given) if given.is_dir() else [given])]
    network, feature_extractor = load_for_inference(model)
    classify = RecordingClassifier(
        network,
        feature_extractor,
        window_s=window,
        stride_s=stride,
        min_speech=min_speech,
        calibrated=calibrated,
        batch_size=batch_size,
        normalize=normalize,
        precision=precision,
    )
    unit = {"normalize": normalize, "precision": classify.precision}
    compared = classify.precision == "float32"
    if calibrated and network.config.temperature == 1:
        typer.echo("note: the model's temperature is 1: it was not calibrated, or needed nothing", err=True)
    failed = 0
    for path in tqdm(paths, desc="predicting", unit="file", disable=quiet or len(paths) == 1):
        try:
            answer = classify(path, top_k=top_k)
            if not compared:
                typer.echo(describe_precision(path, *classify.precision_difference(path)), err=True)
                compared = True
        except (ValueError, OSError) as error:
            typer.echo(f"error: {error}" if str(path) in str(error) else f"error: {path}: {error}", err=True)
            failed += 1
            continue
        answer = {"file": str(path), **unit, **{name: answer[name] for name in (("labels", "windows")[: 1 + windows])}}
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else describe(answer))
    if failed:
        raise typer.Exit(1)


def recordings_in(folder: Path) -> list[Path]:
    """Audio files below a folder, sorted; names that start with a dot are left out.

    Raises:
        DialectError: there is none.
    """
    from hf_dialects.data.folders import AUDIO_SUFFIXES
    from hf_dialects.errors import DialectError

    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise DialectError(f"{folder} holds no recordings; audio files are those ending in {', '.join(AUDIO_SUFFIXES)}")
    return found


def describe_precision(path: Path, logit: float, probability: float, windows: int) -> str:
    """How far bfloat16 is from float32."""
    where = f"the first {windows} windows of {path}"
    return f"bfloat16 against float32, {where}: at most {probability:.2g} of a probability, {logit:.2g} of a logit"


def describe(answer: dict) -> str:
    """A line for the recording, and one for each window."""
    lines = [f"{answer['file']}\t" + _scores((one["label"], one["score"]) for one in answer["labels"])]
    for window in answer.get("windows", ()):
        best = sorted(window["scores"].items(), key=lambda one: -one[1])[: len(answer["labels"])]
        lines.append(f"  {window['start_s']:.2f}-{window['end_s']:.2f} s\t{_scores(best)}")
    return "\n".join(lines)


def _scores(labels: Iterable[tuple[str, float | None]]) -> str:
    return "  ".join(label if score is None else f"{label} {score:.3f}" for label, score in labels)
