"""The page about runs of speech recognition: error rates by variety, kinds of errors, the worst utterances to listen
to, and the course of the training."""

from collections.abc import Sequence
from pathlib import Path

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.errors import DialectError
from hf_dialects.evaluation.environment import anonymous
from hf_dialects.evaluation.groups import positions_of
from hf_dialects.evaluation.tables import with_interval
from hf_dialects.report import clips
from hf_dialects.report.curves import curves, kept_epochs
from hf_dialects.report.figures import curves_figure, intervals_figure, key
from hf_dialects.report.page import CLIPS, Report
from hf_dialects.report.run_corpus import joined_corpus
from hf_dialects.report.templates import filled
from hf_dialects.report.transcript_errors import aligned_pieces, confusions, worst
from hf_dialects.report.transcript_run import TranscriptRun, read_transcript_runs

LOSSES = {"training": ("loss",), "validation": ("eval_loss",)}
PARTS = {
    "simple transducer": ("simple_loss",),
    "pruned transducer": ("pruned_loss",),
    "CTC": ("ctc_loss",),
    "attention decoder": ("attention_loss",),
}
ERRORS = {"validation CER": ("eval_cer",), "validation WER": ("eval_wer",)}
COURSE = ((LOSSES, "loss per frame"), (PARTS, "parts of the training loss"), (ERRORS, "error rate"))
RATES = ("wer", "cer")
KINDS = ("substitutions", "deletions", "insertions")
CONFUSIONS = 15


def write_transcript_report(
    runs: Sequence[str | Path],
    out: str | Path,
    data: str | None = None,
    with_audio: bool = False,
    n_clips: int = CLIPS,
) -> Report:
    """One page about one or several runs with `task: asr`.

    With sound above 20 MB, clips lie in the folder "{out}_audio" beside the page.

    Args:
        runs: run folders, or folders that hold seed-0, seed-1 …
        out: file of the page.
        data: corpus of all these runs; None takes what their recipes name.
        with_audio: put the clips that are listed into the page, in Opus.
        n_clips: of the worst utterances of each search.

    Raises:
        CheckpointError: a folder that is no finished run of speech recognition.
    """
    report, panels, sounds = Report(Path(out)), [], {}
    for run in read_transcript_runs([Path(run) for run in runs]):
        shown = panel(run, n_clips)
        if with_audio:
            try:
                sounds |= add_sound(run, shown, data)
            except (DialectError, OSError) as error:
                report.notes.append(f"{run.name}: without sound, {anonymous(str(error).splitlines()[0])}")
        report.separation[run.name] = {}
        panels.append(shown)
    report.path.parent.mkdir(parents=True, exist_ok=True)
    with disk_space(report.path, KEPT):
        places = clips.place(sounds, report.path)
        text = filled(
            "transcripts.html.jinja",
            styles=("report.css", "transcripts.css"),
            scripts=(),
            runs=panels,
            sound=places,
            notes=report.notes,
            kinds=KINDS,
        )
        report.path.write_text(text, encoding="utf-8")
    return report


def panel(run: TranscriptRun, n_clips: int = CLIPS) -> dict:
    """What the template shows of a run; the key of a clip's sound is still to be filled."""
    model, chosen, splits = (run.results[name] for name in ("model", "selected_on", "data"))
    trained = splits["splits"]["train"]["n"]
    kept = "the mean of the weights" if chosen["weights"] == "mean" else chosen["best"]
    value = "" if chosen["best_value"] is None else f" ({chosen['best_value']:.3f})"
    return {
        "name": run.name,
        "split": run.split,
        "facts": {
            "model": f"{model['parameters']:,} parameters, {model['tokens']} tokens",
            "trained on": f"{trained:,} utterances",
            "chosen": f"{kept} by {chosen['by']} on validation{value}",
            "seed": str(run.results["seed"]),
            "left out": ", ".join(f"{n} {why}" for why, n in run.results["skipped"].items()) or "nothing",
        },
        "methods": [_method(run, method, n_clips) for method in run.scores],
        "curves": [found for names, axis in COURSE if (found := _curves(run, names, axis))],
    }


def _method(run: TranscriptRun, method: str, n_clips: int) -> dict:
    """Tables and lists of one search."""
    scored, transcripts = run.scores[method], run.transcripts[method]
    references, hypotheses = run.texts(method)
    ids, rows = list(transcripts.rows), list(transcripts.rows.values())
    unit = f"{scored['groups']['unit']}s"
    blocks = {row["column"]: [] for row in scored["scores"]}
    for row in scored["scores"]:
        blocks[row["column"]].append(_line(row))
    listed = []
    for place in worst(references, hypotheses, ids, n_clips):
        about = {name: rows[place].get(name) or "" for name in ("dialect", "speaker", "duration")}
        pieces = aligned_pieces(references[place], hypotheses[place])
        texts = {"said": references[place], "heard": hypotheses[place]}
        listed.append({"id": ids[place], **about, **texts, "pieces": pieces, "sound": None})
    named = [{"name": row["value"], **row["cer"], "model": row["column"] is None} for row in scored["scores"]]
    return {
        "name": method,
        "unit": unit,
        "warning": scored["warning"],
        "han": scored["han"],
        "blocks": blocks,
        "figure": intervals_figure([_within(row) for row in named], "character error rate"),
        "confusions": confusions(references, hypotheses, CONFUSIONS, "wer" if scored["han"] else "cer"),
        "worst": listed,
    }


def _line(row: dict) -> dict:
    """A row of error rates for people."""
    wer, cer = row["wer"], row["cer"]
    shares = {f"{unit} {kind}": f"{row[unit][kind] / row[unit]['length']:.3f}" for unit in RATES for kind in KINDS}
    return {
        "value": row["value"],
        "n": f"{row['n']:,}",
        "groups": str(wer["groups"]),
        "words": f"{wer['length']:,}",
        "wer": with_interval(wer),
        "cer": with_interval(cer),
        "shares": shares,
        "warning": wer["warning"],
    }


def _within(row: dict) -> dict:
    """A rate above 1, which insertions make, at the edge of the figure."""
    return row | {end: None if row[end] is None else min(row[end], 1.0) for end in ("value", "low", "high")}


def _curves(run: TranscriptRun, names: dict, axis: str) -> dict | None:
    found = curves(run, names)
    if not found:
        return None
    return {"axis": axis, "figure": curves_figure(found, axis, kept_epochs(run)), "key": key(list(found))}


def add_sound(run: TranscriptRun, shown: dict, data: str | None) -> dict[str, bytes]:
    """Key → file of the listed clips, whose keys are added to the list.

    Raises:
        CorpusError: the corpus cannot be loaded, or lacks utterances.
    """
    corpus = joined_corpus(run.recipe, data)
    listed = [one for method in shown["methods"] for one in method["worst"]]
    ids = list(dict.fromkeys(one["id"] for one in listed))
    position = dict(zip(ids, positions_of(corpus, ids).tolist(), strict=True))
    sounds = clips.sounds_of(corpus, position.values())
    for one in listed:
        if (sound := sounds.get(position[one["id"]])) is not None:
            one["sound"] = sound.key
    return {sound.key: sound.file for sound in sounds.values()}
