"""What a nuisance profile leaves behind: profile.csv, profile.json, profile.svg and profile.md to read."""

from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.evaluation.abx_profile import Profile
from hf_dialects.report.abx_report import question_text, warnings
from hf_dialects.report.palette import COLOURS
from hf_dialects.report.svg import Frame, element, line, text, ticks

WIDTH, HEIGHT, KEY = 300, 210, 20  # of a panel and of a line of the key, in units of the view box
DASHES = (None, "6 3", "2 2", "8 3 2 3")
STYLE = "text{font:11px sans-serif;fill:#222}.axis{font-weight:bold}.rule{stroke:#888;stroke-width:1}"
NOTE = """`dialect share` is the part of the dialect score above chance that is left under the strict test:
(dialect - 0.5) / (dialect, anyhow - 0.5). Where speaker or session scores lie above the strict dialect score, a
classifier on that layer has more to gain from them. No layer is chosen; intervals are over whole groups."""


def profile_figure(profile: Profile) -> str:
    """Scores over layers with their intervals, a line per aspect, a panel per pooling (down) and length (across)."""
    scores = profile.scores
    poolings, lengths = list(dict.fromkeys(scores["pooling"])), list(dict.fromkeys(scores["snippet"]))
    names = [aspect.name for aspect in profile.aspects]
    width, top = WIDTH * len(lengths), KEY * len(names) + 8
    height = top + HEIGHT * len(poolings)
    parts = [element("style", Markup(STYLE)), element("rect", width=width, height=height, fill="#fff")]
    for number, name in enumerate(names):
        y = KEY * number + 14
        parts += [element("line", x1=12, x2=44, y1=y, y2=y, **_stroke(number)), text(50, y + 4, name)]
    for row, pooling in enumerate(poolings):
        for column, length in enumerate(lengths):
            some = scores[(scores["pooling"] == pooling) & (scores["snippet"] == length)]
            place = f"translate({WIDTH * column} {top + HEIGHT * row})"
            parts.append(element("g", _panel(some, names, f"{length}, {pooling}"), transform=place))
    said = escape(f"ABX scores over layers: {', '.join(names)}")
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    body = Markup("").join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{said}">{body}</svg>\n'


def write_profile(profile: Profile, folder: Path, facts: Mapping) -> list[Path]:
    """Write all files of a profile into `folder`; `facts` are what else profile.json holds."""
    scores = profile.scores
    content = {
        "schema": 1,
        "aspects": [asdict(aspect) for aspect in profile.aspects],
        "left_out": profile.left_out,
        "scores": scores.where(scores.notna(), None).to_dict("records"),
        "table": _plain(profile.table),
        **facts,
    }
    with disk_space(folder, KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        scores.to_csv(folder / "profile.csv", index=False)
        write_json(folder / "profile.json", content)
        (folder / "profile.svg").write_text(profile_figure(profile), encoding="utf-8")
        (folder / "profile.md").write_text(_summary(profile), encoding="utf-8")
    return [folder / f"profile.{suffix}" for suffix in ("csv", "json", "svg", "md")]


def profile_rows(profile: Profile) -> list[list[str]]:
    """Head and rows of the table for people: a row per setting, a column per aspect."""
    table, scores = profile.table, profile.scores.set_index(["aspect", "layer", "snippet", "pooling"])
    names = [aspect.name for aspect in profile.aspects]
    rest = ["dialect share"] if "dialect_share" in table else []
    rows = [["layer", "snippet", "pooling", *names, *rest]]
    for _, row in table.iterrows():
        setting = (row["layer"], row["snippet"], row["pooling"])
        cells = [_with_interval(scores.loc[(name, *setting)]) for name in names]
        share = ["–" if pd.isna(row["dialect_share"]) else f"{row['dialect_share']:.2f}"] if rest else []
        rows.append([*map(str, setting), *cells, *share])
    return rows


def profile_questions(profile: Profile) -> list[str]:
    """How every aspect was tested, and which could not be."""
    told = [f"{aspect.name}: {question_text(aspect.question)}" for aspect in profile.aspects]
    return [*told, *(f"{name}: not tested, {why}" for name, why in profile.left_out.items())]


def _panel(scores: pd.DataFrame, names: list[str], title: str) -> Markup:
    layers = [int(one) for one in scores["layer"]]
    frame = Frame(WIDTH, HEIGHT, (min(layers), max(layers)), (_floor(scores), 1.0), top=22)
    whole = sorted({round(one) for one in ticks(*frame.x)})
    parts = [frame.x_axis("layer", whole), frame.y_axis("ABX score", ticks(*frame.y)), text(frame.left, 14, title)]
    ends = [(frame.x[0], 0.5), (frame.x[1], 0.5)]
    parts.append(line(frame, ends, stroke="#888", stroke_dasharray="2 3"))
    for number, name in enumerate(names):
        some = scores[(scores["aspect"] == name) & scores["score"].notna()].sort_values("layer")
        points = list(zip(some["layer"], some["score"], strict=True))
        known = some[some["low"].notna()]
        around = [*zip(known["layer"], known["high"], strict=True)]
        around += reversed([*zip(known["layer"], known["low"], strict=True)])
        path = " ".join(f"{frame.across(x):.1f},{frame.up(max(y, frame.y[0])):.1f}" for x, y in around)
        if len(known) > 1:
            parts.append(element("polygon", points=path, fill=COLOURS[number % len(COLOURS)], fill_opacity=0.13))
        parts.append(line(frame, points, **_stroke(number)))
        for (x, y), (_, row) in zip(points, some.iterrows(), strict=True):
            said = element("title", f"{name}, layer {x}: {_with_interval(row)}")
            place = {"cx": frame.across(x), "cy": frame.up(y)}
            parts.append(element("circle", said, **place, r=2.5, fill=COLOURS[number % len(COLOURS)]))
    return Markup("").join(parts)


def _floor(scores: pd.DataFrame) -> float:
    """Lowest value of the axis: a round one below all scores, at most 0.4."""
    lowest = min([0.4, *scores["score"].dropna()])
    return max(0.0, int(lowest * 10) / 10)


def _stroke(number: int) -> dict:
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return {"stroke": COLOURS[number % len(COLOURS)], "stroke_width": 2, "stroke_dasharray": dash}


def _summary(profile: Profile) -> str:
    head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in profile_rows(profile)]
    lines = ["# Nuisance profile", "", *(f"- {one}" for one in profile_questions(profile)), ""]
    lines += [*NOTE.splitlines(), ""] if head[-1] == "dialect share" else []
    if found := warnings(profile.scores):
        lines += ["**Mind:**", "", *(f"- {one}" for one in found), ""]
    lines += ["![ABX scores over layers](profile.svg)", ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _with_interval(row: pd.Series) -> str:
    if pd.isna(row["score"]):
        return "–"
    ends = "" if pd.isna(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['score']:.3f}{ends}"


def _plain(table: pd.DataFrame) -> list[dict]:
    return table.astype(object).where(table.notna(), None).to_dict("records")
