"""What becomes of damaged recordings, judged in a process that may not take long, nor much memory."""

import faulthandler
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import tiny
from damaged import DECODED, EITHER, REFUSED, Damaged, damaged, write
from datasets import Dataset

from hf_dialects.data.audio import decode
from hf_dialects.data.screen import check_clip
from hf_dialects.errors import AudioError
from hf_dialects.inference import predict
from hf_dialects.models.pipeline_dialect import DialectPipeline, load_audio

LIMIT_S = 10  # of each recording; the last step, over all of them, may take as long as ten
LIMIT_BYTES = 2**30  # above what the process holds when it begins
REASONS = ("missing", "corrupt", "empty", "not finite")
PADDING = 16  # samples at 16 kHz; a damaged length that differs by less is within what writers pad
PIPELINE_EVERY = 7


def outcomes(inputs: list[Damaged], seed: int, folder: Path) -> list[dict]:
    """Outcome of each input, and of one prediction over all of them: {"outcome", "reason", "message", "faults"}.

    A recording that ends the process, or keeps it for too long, is named by the outcome "crashed" or "hung".
    """
    found: list[dict] = []
    while len(found) <= len(inputs):
        place = folder / str(len(found))
        place.mkdir()
        arguments = [sys.executable, __file__, str(place), str(seed), str(len(found))]
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace")
        found += [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0:
            hung = "Timeout (" in done.stderr
            fault = f"the process ended with code {done.returncode}: {done.stderr[-1000:]}"
            found.append({"outcome": "hung" if hung else "crashed", "reason": "", "message": "", "faults": [fault]})
    return found


def main(folder: Path, seed: int, start: int) -> None:
    inputs = damaged(seed)
    paths = write(inputs, folder)
    model, feature_extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    pipeline = DialectPipeline(model=model, feature_extractor=feature_extractor)
    pipeline(tiny.waveform(0.5))  # what is imported and allocated once does not count
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + LIMIT_BYTES, held + LIMIT_BYTES))
    for number in range(start, len(inputs)):
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        found = judged(inputs[number], paths[number])
        if number % PIPELINE_EVERY == 0:
            found["faults"] += in_pipeline(pipeline, paths[number], found["outcome"])
        print(json.dumps(found), flush=True)
    faulthandler.dump_traceback_later(10 * LIMIT_S, exit=True)
    print(json.dumps(in_one_prediction(model, feature_extractor, paths)), flush=True)


def judged(one: Damaged, path: Path) -> dict:
    """Outcome of `decode`, and what is wrong with it or with the other ways of reading."""
    faults, reason, message, waveform = [], "", "", None
    try:
        waveform = decode(path)
        outcome = DECODED
    except AudioError as error:
        outcome, reason, message = REFUSED, error.reason, str(error)
    except Exception as error:
        return {"outcome": "crashed", "reason": "", "message": "", "faults": [f"decode raised {error!r}"]}
    if one.expected not in (EITHER, outcome):
        faults.append(f"{one.expected} was expected")
    if outcome == REFUSED and (reason not in REASONS or str(path) not in message):
        faults.append(f"the message does not name the file, or the reason is unknown: {reason}: {message}")
    if waveform is not None:
        faults += as_it_was(one, waveform)
    faults += in_screening(one, path, outcome) + as_by_models(path, waveform)
    return {"outcome": outcome, "reason": reason, "message": message.replace(str(path), path.name), "faults": faults}


def as_it_was(one: Damaged, waveform: np.ndarray) -> list[str]:
    if not np.isfinite(waveform).all():
        return ["samples are not finite"]
    if one.intact is None:
        return []
    intact = decode(one.intact)
    n_samples = min(len(intact), len(waveform))
    if max(len(intact), len(waveform)) > n_samples + PADDING:
        return [f"{len(waveform)} samples were decoded, {len(intact)} are in the intact recording"]
    if one.same and np.abs(waveform[:n_samples] - intact[:n_samples]).max() > 1e-5:
        return ["other samples were decoded than those of the intact recording"]
    return []


def in_screening(one: Damaged, path: Path, outcome: str) -> list[str]:
    _, skipped = check_clip({"bytes": None, "path": str(path)}, path.name, 0.025)
    left_out = skipped is not None
    return [] if left_out == (outcome == REFUSED or one.silent) else [f"left out by check_clip: {skipped}"]


def as_by_models(path: Path, waveform: np.ndarray | None) -> list[str]:
    """`load_audio`, which travels with checkpoints, must give the same samples or refuse, too."""
    try:
        found = load_audio(path, 16000)
    except ValueError as error:
        named = str(path) in str(error)
        return [] if waveform is None and named else [f"load_audio refused it: {error}"]
    if waveform is None:
        return ["load_audio decoded it"]
    same = found.shape == waveform.shape and np.abs(found - waveform).max() < 1e-5
    return [] if same else ["load_audio gives other samples"]


def in_pipeline(pipeline: DialectPipeline, path: Path, outcome: str) -> list[str]:
    try:
        answer = pipeline(path)
    except ValueError as error:
        return [] if outcome == REFUSED and str(path) in str(error) else [f"the pipeline refused it: {error}"]
    finite = all(np.isfinite(one["score"]) for one in answer)
    return [] if outcome == DECODED and finite else [f"the pipeline answered {answer}"]


def in_one_prediction(model, feature_extractor, paths: list[Path]) -> dict:
    """A job over all of them must skip what is refused, and nothing else."""
    cells = [{"bytes": None, "path": str(path)} for path in paths]
    corpus = Dataset.from_dict({"audio": cells, "id": [path.name for path in paths]})
    made = predict(model, feature_extractor, corpus, progress=False)
    skipped = {one.id: one.reason for one in made.skipped}
    missing = {path.name for path in paths} - set(made.ids) - set(skipped)
    faults = [f"neither predicted nor skipped: {sorted(missing)}"] if missing else []
    return {"outcome": "predicted", "ids": made.ids, "skipped": skipped, "message": "", "reason": "", "faults": faults}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
