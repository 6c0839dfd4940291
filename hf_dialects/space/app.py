"""A page that names the variety spoken in a recording: record or upload one, and see which variety is heard when.

`hf-dialects serve` runs it here. As app.py of a Space it runs where this package is not installed, beside space.json,
which names the model, its commit and its varieties.
"""

import html
import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio
import soundfile
from transformers import pipeline

TASK = "dialect-identification"
SETTINGS = "space.json"
LONGEST_MIN = 30.0
MIN_SPEECH = 0.1  # share of a window
LARGEST_FILE = "500mb"
UNKNOWN_LENGTH = 2**63 - 1  # frames, of a stream whose header does not tell
ROUNDING_S = 0.1  # what a last window may leave unheard, as encoders take no shorter one
FOLDER = "GRADIO_TEMP_DIR"
LEFT_BEHIND_S = (60, 600)  # how often uploads are looked through, and their age when they are deleted
COLOURS = (  # Okabe and Ito (2008), each with the text colour that is read on it
    ("#0072B2", "#fff"),
    ("#E69F00", "#000"),
    ("#009E73", "#000"),
    ("#CC79A7", "#000"),
    ("#56B4E9", "#000"),
    ("#D55E00", "#000"),
    ("#333333", "#fff"),
)
SILENT = ("repeating-linear-gradient(45deg, #ddd 0 4px, #fff 4px 8px)", "#000")
CSS = """
.found { font-size: 1.2em }
.found table { border-collapse: collapse; border: 0; font-size: 1rem }
.found tr { border: 0 }
.found th, .found td { padding: 2px 12px 2px 0; text-align: left; font-weight: normal; border: 0 }
.found td.number { text-align: right; font-variant-numeric: tabular-nums }
.found .bar { width: 12em; max-width: 30vw }
.found .bar div { height: 1em; min-width: 1px }
.found h2 { font-size: 1.1em; margin: 1em 0 .3em }
.found .timeline { position: relative; height: 2.6em; background: #eee; font-size: .8rem }
.found .timeline span { position: absolute; top: 0; bottom: 0; overflow: hidden; padding: .6em 0 0 4px;
  white-space: nowrap; box-sizing: border-box; border-right: 1px solid #fff }
.found .times { display: flex; justify-content: space-between; font-size: .8rem }
.found .legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; padding: 0; font-size: .9rem }
.found .legend i { display: inline-block; width: 1em; height: 1em; margin-right: 6px; vertical-align: middle }
.found details { margin-top: 1em; font-size: 1rem; overflow-x: auto }
"""
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'"
PRIVACY = (
    "The recording goes to the machine that runs this page and to no other. It is deleted there as soon as it is "
    "answered, or after ten minutes where no answer is asked for; nothing about it is kept or counted."
)


def listen(classify, path: str | Path, longest_min: float = LONGEST_MIN, min_speech: float = MIN_SPEECH) -> dict:
    """What is spoken in a recording, in all and window by window.

    Args:
        classify: a `DialectPipeline`.
        path: of an audio file.
        longest_min: minutes; a longer recording is refused before it is read.
        min_speech: windows with a smaller share of speech, in [0, 1], are left out.

    Returns:
        what the pipeline answers, {"labels", "windows"}, the probabilities calibrated where the model holds a
        temperature, with "calibrated", "seconds" (length of the recording) and "stride_s" (between two windows).

    Raises:
        ValueError: the recording is too long, or cannot be used; the message is meant for who gave it.
    """
    seconds = length_s(path)
    if seconds is not None and seconds > 60 * longest_min:
        raise ValueError(
            f"{path} lasts {clock(seconds)}, at most {longest_min:g} minutes are taken here: cut out a part of it"
        )
    config = classify.model.config
    calibrated = config.model_type == "dialect" and config.temperature != 1
    found = classify(str(path), top_k=None, windows=True, min_speech=min_speech, calibrated=calibrated)
    if seconds is None:
        seconds = found["windows"][-1]["end_s"] if found["windows"] else 0.0
    stride_s = getattr(config, "window_s", None) and getattr(config, "stride_s", None)
    return found | {"calibrated": calibrated, "seconds": seconds, "stride_s": stride_s}


def length_s(path: str | Path) -> float | None:
    """Seconds that an audio file lasts by its header; None where it does not tell, or is damaged."""
    try:
        facts = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError, RuntimeError):
        return None
    return facts.frames / facts.samplerate if 0 < facts.frames < UNKNOWN_LENGTH and facts.samplerate > 0 else None


def stretches(
    windows: Sequence[Mapping], seconds: float, stride_s: float | None = None
) -> list[tuple[float, float, str | None, float]]:
    """Which variety is heard when.

    A window speaks for the stretch of one stride around its middle, where no other window has its middle; the first
    and the last one also speak for the start and the end of the recording. Neighbours with the same variety are joined.

    Args:
        windows: of a pipeline's answer.
        seconds: length of the recording.
        stride_s: between the starts of two windows; None for windows side by side.

    Returns:
        (start, end, variety, its mean probability) in order of time, without gaps; where no window was classified the
        variety is None.
    """
    width = max((one["end_s"] - one["start_s"] for one in windows), default=0.0)
    stride = stride_s or width
    margin = (width - stride) / 2
    parts = []
    for one in windows:
        start = one["start_s"] + margin if one["start_s"] else 0.0
        end = seconds if one["end_s"] > seconds - ROUNDING_S else one["start_s"] + margin + stride
        label, score = max(one["scores"].items(), key=lambda entry: entry[1])
        parts.append((start, end, label, [score]))
    joined = []
    for start, end, label, scores in [*parts, (seconds, seconds, None, [])]:
        before = joined[-1][1] if joined else 0.0
        if start > before + 1e-6:
            joined.append((before, start, None, [0.0]))
        if joined and joined[-1][2] == label and label is not None:
            first, _, _, others = joined.pop()
            joined.append((first, end, label, others + scores))
        elif end > start:
            joined.append((start, end, label, scores))
    return [(start, end, label, sum(scores) / len(scores)) for start, end, label, scores in joined]


def show(found: Mapping, names: Mapping[str, str]) -> str:
    """HTML of an answer: the variety, all probabilities, a timeline, and the windows as a table.

    Args:
        found: answer of `listen`.
        names: label → name of its variety, in the model's order.
    """
    if not found["windows"]:
        return message(
            "No speech", "no window of the recording holds enough speech to tell: speak closer, or give another one"
        )
    best, looks = found["labels"][0], {label: COLOURS[at % len(COLOURS)] for at, label in enumerate(names)}
    named = {label: html.escape(name) for label, name in names.items()}
    rows = "".join(
        f'<tr><th scope="row">{named[one["label"]]}</th><td class="number">{one["score"]:.1%}</td>'
        f'<td class="bar"><div style="width:{one["score"]:.1%};background:{looks[one["label"]][0]}"></div></td></tr>'
        for one in found["labels"]
    )
    how = "calibrated on held-out recordings" if found["calibrated"] else "as the model gives them, not calibrated"
    return (
        f'<div class="found" role="status"><p>Most probably <strong>{named[best["label"]]}</strong>, '
        f"{best['score']:.1%}</p><h2>Probabilities</h2><table><tbody>{rows}</tbody></table>"
        f"<p><small>Mean over the windows, {how}.</small></p>{_timeline(found, named, looks)}"
        f"{_table(found['windows'], named)}</div>"
    )


def _timeline(found: Mapping, named: Mapping[str, str], looks: Mapping[str, tuple[str, str]]) -> str:
    seconds, parts = found["seconds"], stretches(found["windows"], found["seconds"], found["stride_s"])
    cells, told = [], []
    for start, end, label, score in parts:
        fill, text = looks.get(label, SILENT)
        what = f"{named[label]}, {score:.0%}" if label is not None else "no speech"
        when = f"{clock(start)} to {clock(end)}"
        place = f"left:{start / seconds:.3%};width:{(end - start) / seconds:.3%};background:{fill};color:{text}"
        cells.append(f'<span style="{place}" title="{what}; {when}">{named.get(label, "")}</span>')
        told.append(f"{when}: {what}")
    seen = {label for _, _, label, _ in parts}
    legend = [(named[label], fill) for label, (fill, _) in looks.items() if label in seen]
    legend += [("no speech", SILENT[0])] if None in seen else []
    entries = "".join(f'<li><i style="background:{fill}"></i>{name}</li>' for name, fill in legend)
    return (
        f'<h2>When</h2><div class="timeline" role="img" aria-label="{"; ".join(told)}">{"".join(cells)}</div>'
        f'<div class="times"><span>{clock(0)}</span><span>{clock(seconds)}</span></div>'
        f'<ul class="legend">{entries}</ul>'
    )


def _table(windows: Sequence[Mapping], named: Mapping[str, str]) -> str:
    rows = []
    for one in windows:
        label, score = max(one["scores"].items(), key=lambda entry: entry[1])
        rows.append(
            f"<tr><td>{clock(one['start_s'])}</td><td>{clock(one['end_s'])}</td><td>{named[label]}</td>"
            f'<td class="number">{score:.1%}</td><td class="number">{one["speech_share"]:.0%}</td></tr>'
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("from", "to", "variety", "probability", "speech"))
    return (
        f"<details><summary>All {len(windows)} windows as a table</summary><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></details>"
    )


def message(title: str, text: str) -> str:
    """HTML of an answer without a variety."""
    return f'<div class="found" role="alert"><p><strong>{html.escape(title)}</strong>: {html.escape(text)}</p></div>'


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 1:02.5."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def respond(
    classify, names: Mapping[str, str], path: str | None, longest_min: float = LONGEST_MIN, min_speech=MIN_SPEECH
) -> str:
    """HTML that answers a recording, which is deleted."""
    if path is None:
        return message("No recording", "record or upload one first")
    try:
        if not Path(path).is_file():
            return message("No recording", "it is not here any more: record or upload it again")
        return show(listen(classify, path, longest_min, min_speech), names)
    except ValueError as error:
        return message("This recording cannot be used", str(error).replace(str(path), Path(path).name))
    finally:
        forget(path)


def forget(path: str | Path) -> None:
    """Delete an uploaded file, and the folder that was made for it."""
    path = Path(path)
    path.unlink(missing_ok=True)
    if path.parent.parent == Path(os.environ.get(FOLDER, os.devnull)):
        shutil.rmtree(path.parent, ignore_errors=True)


def page(
    classify, settings: Mapping, longest_min: float = LONGEST_MIN, min_speech: float = MIN_SPEECH
) -> gradio.Blocks:
    """The page.

    Args:
        classify: a `DialectPipeline`.
        settings: "title", "varieties" (label → name) and "limits" (Markdown).
        longest_min, min_speech: see `listen`.
    """
    names = {label: settings["varieties"].get(label, label) for label in classify.model.config.id2label.values()}

    def answer(path: str | None) -> tuple[None, str]:
        return None, respond(classify, names, path, longest_min, min_speech)

    varieties = "".join(f"<li>{html.escape(name)}</li>" for name in names.values())
    with gradio.Blocks(title=settings["title"], analytics_enabled=False, delete_cache=LEFT_BEHIND_S) as blocks:
        gradio.HTML(
            f"<h1>{html.escape(settings['title'])}</h1><p>Which of {len(names)} varieties is spoken in a recording, "
            f"of up to {longest_min:g} minutes?</p>"
        )
        recording = gradio.Audio(
            sources=["upload", "microphone"], type="filepath", label="Recording", editable=False, buttons=[]
        )
        gradio.HTML(f"<p>{PRIVACY}</p>")
        button = gradio.Button("Name the variety", variant="primary", elem_id="ask")
        shown = gradio.HTML(elem_id="answer")
        gradio.HTML(f"<h2>Varieties</h2><ul>{varieties}</ul>")
        gradio.Markdown(f"## Intended use and limits\n\n{settings['limits']}")
        button.click(answer, recording, [recording, shown], api_visibility="private", concurrency_limit=1)
    return blocks


class OnlyHere:
    """Lets the browser load nothing from elsewhere."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(sent):
            if sent["type"] == "http.response.start":
                sent["headers"] = [*sent.get("headers", ()), (b"content-security-policy", POLICY.encode())]
            await send(sent)

        await self.app(scope, receive, send_with_policy)


def serve(
    classify, settings: Mapping, longest_min: float = LONGEST_MIN, min_speech: float = MIN_SPEECH, **options
) -> None:
    """Serve the page until the process is interrupted or terminated; uploads lie in a folder that is deleted then.

    Args:
        classify, settings, longest_min, min_speech: see `page`.
        options: of `gradio.Blocks.launch`, such as server_name, server_port and inbrowser.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, _leave)
    with TemporaryDirectory(prefix="recordings-") as place:
        os.environ[FOLDER] = place  # read when the page is made
        shown = page(classify, settings, longest_min, min_speech)
        shown.launch(
            prevent_thread_lock=True,
            quiet=True,  # else it advertises public links
            share=False,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            max_file_size=LARGEST_FILE,
            theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=CSS,
            app_kwargs={"middleware": [(OnlyHere, (), {})]},
            **options,
        )
        print(f"listening at {shown.local_url} until Control-C", flush=True)
        shown.block_thread()


def _leave(*_) -> None:
    raise SystemExit


def main() -> None:
    """Serve the model that the settings name, at the commit that they name."""
    settings = json.loads(Path(__file__).with_name(SETTINGS).read_text("utf-8"))
    classify = pipeline(TASK, model=settings["model"], revision=settings["revision"], trust_remote_code=True)
    serve(classify, settings)


if __name__ == "__main__":
    main()
