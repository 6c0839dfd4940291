"""The page: everything is put in at once, so that it works offline and asks nothing of any other machine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hf_dialects.errors import DialectError
from hf_dialects.evaluation.environment import anonymous
from hf_dialects.report import clips
from hf_dialects.report.clip_list import clip_list
from hf_dialects.report.maps import clip_maps
from hf_dialects.report.palette import COLOURS, SHAPES
from hf_dialects.report.panel import Material, mark_numbers, number, panel
from hf_dialects.report.run_corpus import open_corpus
from hf_dialects.report.run_folder import RunFolder, read_runs
from hf_dialects.report.templates import filled

CLIPS, POINTS = 20, 1000


@dataclass
class Report:
    """What was written.

    Attributes:
        path: of the page.
        notes: what is missing in it, and why.
        separation: run → title of the map → property → silhouette, purity, chance.
    """

    path: Path
    notes: list[str] = field(default_factory=list)
    separation: dict[str, dict] = field(default_factory=dict)


def write_report(
    runs: Sequence[str | Path],
    out: str | Path,
    data: str | None = None,
    with_audio: bool = False,
    n_clips: int = CLIPS,
    n_points: int = POINTS,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """One page about one or several runs.

    Where a corpus is out of reach, what needs the recordings (maps, durations, numbers of training speakers, sound) is
    left out, and the page says so. With sound above 20 MB, clips lie in the folder "{out}_audio" beside the page.

    Args:
        runs: run folders, what `hf-dialects evaluate` wrote, or folders that hold seed-0, seed-1 …
        out: file of the page.
        data: corpus of all these runs; None takes what their recipes name.
        with_audio: put the clips that are listed into the page, in Opus.
        n_clips: of the most confident errors, and of the most uncertain clips.
        n_points: clips of a map at most; 0 leaves maps out. Every clip is encoded twice for them.
        seed: of the maps, and of the choice of their clips.

    Raises:
        CheckpointError: a folder that is no finished run.
    """
    out, report = Path(out), Report(Path(out))
    material, sounds = [], {}
    for run in read_runs([Path(run) for run in runs]):
        found = _material(run, data, n_clips, n_points, seed, progress)
        if with_audio and found.corpus is not None:
            sounds |= _add_sound(found)
        material.append(found)
        report.notes += [f"{run.name}: {note}" for note in found.notes]
        maps = {one.title: {name: asdict(apart) for name, apart in one.separation.items()} for one in found.maps}
        report.separation[run.name] = maps
    numbers = mark_numbers(material)
    panels = [panel(one, numbers) for one in material]
    out.parent.mkdir(parents=True, exist_ok=True)
    sound = clips.place(sounds, out)
    out.write_text(render(panels, sound, with_audio), encoding="utf-8")
    return report


def render(panels: Sequence[dict], sound: dict[str, str], with_audio: bool) -> str:
    """The page's text. A script runs only if its hash is that of the page's own, whatever labels and names hold.

    Args:
        panels: what `panel.panel` returns, one per run.
        sound: what `clips.place` returns.
    """
    return filled(
        "report.html.jinja",
        styles=("report.css",),
        scripts=("report.js",),
        runs=panels,
        data={"runs": [one["clips"] for one in panels], "colours": COLOURS, "shapes": SHAPES},
        sound=sound,
        with_audio=with_audio,
        number=number,
    )


def _material(run: RunFolder, data: str | None, n_clips: int, n_points: int, seed: int, progress: bool) -> Material:
    found = Material(run)
    try:
        found.corpus = open_corpus(run, data)
    except (DialectError, OSError) as error:
        missing = "Without the recordings there are no maps, durations, training speakers and sound"
        found.notes.append(f"{missing}: {_reason(error)}")
    else:
        if not found.corpus.training and run.recipe is not None:
            found.notes.append("Numbers of training speakers are left out: the corpus has changed since the run.")
        _add_maps(found, n_points, seed, progress)
    found.clips = clip_list(run, found.corpus, n_clips)
    return found


def _add_maps(found: Material, n_points: int, seed: int, progress: bool) -> None:
    if not n_points:
        found.notes.append("Maps of embeddings were left out; hf-dialects report makes them.")
        return
    try:
        found.maps = clip_maps(found.run, found.corpus, n_points, seed, progress)
    except DialectError as error:
        found.notes.append(f"There are no maps of embeddings: {_reason(error)}")
        return
    if not found.maps:
        found.notes.append("There are no maps of embeddings: too few clips.")


def _add_sound(found: Material) -> dict[str, bytes]:
    """Key → file of the clips that are worth a look, whose keys are added to the list of clips."""
    chosen = sorted({*found.clips["errors"], *found.clips["uncertain"]})
    sounds = clips.sounds_of(found.corpus.scored, chosen)
    found.clips["sound"] = {position: sound.key for position, sound in sounds.items()}
    return {sound.key: sound.file for sound in sounds.values()}


def _reason(error: Exception) -> str:
    return anonymous((str(error).splitlines() or [type(error).__name__])[0])
