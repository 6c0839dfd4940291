"""What a retrieval leaves behind: layers.csv, retrieval.json, summary.md, and a folder of tables for every layer."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from hf_dialects.disk import KEPT, disk_space
from hf_dialects.embedding_files import write_json
from hf_dialects.report.retrieval_figures import heat_map
from hf_dialects.retrieval.controls import DURATION, MATCHED, MEAN_VECTOR, SEQSIM, SHUFFLED
from hf_dialects.retrieval.result import HEADLINE, RetrievalResult
from hf_dialects.retrieval.tables import latex, markdown, percent
from hf_dialects.retrieval_source import MEL_DTW, Found

CHEAP = (DURATION, MEL_DTW, MEAN_VECTOR, SHUFFLED)  # an encoder should do better than these
NOTE = "No layer is chosen: a headline takes one that was fixed beforehand, or chosen on other utterances."


def write_retrieval(
    found: Found, layers: pd.DataFrame, folder: Path, facts: Mapping, draws: int = 2000, seed: int = 0
) -> list[Path]:
    """Write all files but the page.

    Args:
        layers: what `layer_table` returns.
        facts: what else retrieval.json holds: "data", "seed", "environment" ….
        draws, seed: of the intervals.

    Returns:
        summary.md, layers.csv and retrieval.json.
    """
    content = {"schema": 1, "question": asdict(found.question) | {"group": found.pool.group}, "shown": found.shown}
    rows = layers.astype(object).where(layers.notna(), None).to_dict("records")
    content |= {"layers": rows, "results": {}, "embeddings": found.manifest, **facts}
    with disk_space(folder, KEPT):
        for layer, result in found.results.items():
            content["results"][str(layer)] = result.to_dict() | {"groups": group_rows(result, draws, seed)}
            _write_layer(result, folder / f"layer-{layer}")
        layers.to_csv(folder / "layers.csv", index=False)
        write_json(folder / "retrieval.json", content)
        (folder / "summary.md").write_text(_summary(found, layers), encoding="utf-8")
    return [folder / name for name in ("summary.md", "layers.csv", "retrieval.json")]


def question_text(found: Found) -> str:
    """The question in words."""
    result, question = found.results[found.shown], found.question
    groups = f", by {found.pool.group}" if found.pool.group else ""
    return (
        f"For every utterance of one {question.between}, the utterance of another that has the same "
        f"{question.parallel}{groups}: {len(result.parallel.sites)} values of {question.between}, "
        f"{len(result.parallel.pairs)} ordered pairs, {len(found.pool.rows)} utterances, {len(result.source)} queries."
    )


def layer_table(found: Found, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """A row per layer: recall@1 with its interval over sites × sentences, the other metrics, chance, share of ties,
    and recall@1 of everything SeqSim is held against ("chance among matched": that of the distractors)."""
    rows = []
    for layer, result in found.results.items():
        interval, own = result.interval(n=draws, seed=seed), result.controls.loc[SEQSIM]
        row = {"layer": layer, HEADLINE: interval.value, "low": interval.low, "high": interval.high}
        row |= {name: own[name] for name in (*result.metrics, "chance", "ties") if name != HEADLINE}
        row |= result.controls[HEADLINE].drop(SEQSIM).to_dict()
        row["chance among matched"] = result.controls.loc[MATCHED, "chance"]
        rows.append(row | {"warning": interval.warning})
    return pd.DataFrame(rows)


def shown_rows(layers: pd.DataFrame) -> list[list[str]]:
    """Head and rows of the layers for people, in percent."""
    ends = [f"[{100 * low:.1f}, {100 * high:.1f}]" for low, high in layers[["low", "high"]].to_numpy()]
    metrics = [name for name in layers.columns if name.startswith("recall@")]
    shown = percent(layers[[*metrics, "mrr", "chance", "ties"]])
    shown.insert(0, "layer", layers["layer"].astype(str))
    shown.insert(2, "interval", ends)
    return [list(shown.columns), *shown.to_numpy().tolist()]


def control_rows(result: RetrievalResult) -> list[list[str]]:
    """Head and rows of everything SeqSim is held against, in percent."""
    shown = percent(result.controls)
    return [["retrieved by", *shown.columns], *([name, *row] for name, row in shown.T.items())]


def cautions(found: Found, layers: pd.DataFrame) -> list[str]:
    """What is to be known before any number is read: cheap controls that are as good, few sites."""
    said = []
    for _, row in layers.iterrows():
        as_good = [f"{name} {100 * row[name]:.1f} %" for name in CHEAP if name in row and row[name] >= row["low"]]
        if as_good:
            own = f"{100 * row[HEADLINE]:.1f} % (interval from {100 * row['low']:.1f} %)"
            said.append(f"layer {row['layer']}: SeqSim finds {own}, no better than {', '.join(as_good)}")
    return said + list(dict.fromkeys(layers["warning"].dropna()))


def group_rows(result: RetrievalResult, draws: int = 2000, seed: int = 0) -> list[dict]:
    """Every ordered pair of groups that has a pair of sites: from, to, metrics, and the interval of recall@1."""
    between = {name: result.groups(name) for name in result.metrics}
    found = []
    for source in result.parallel.groups:
        for target in result.parallel.groups:
            if pd.notna(between[HEADLINE].loc[source, target]):
                values = {name: float(table.loc[source, target]) for name, table in between.items()}
                ends = result.interval(source=source, target=target, n=draws, seed=seed).to_dict()
                found.append({"from": str(source), "to": str(target), **values, "interval": ends})
    return found


def _write_layer(result: RetrievalResult, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"pairs": result.pairs, "sites": result.sites, "sentences": result.sentences, "hubs": result.hubs}
    tables["controls"] = result.controls.reset_index(names="control")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    texts = {
        "summary.md": result.to_markdown(),
        "groups.tex": result.to_latex(),
        "controls.tex": latex(percent(result.controls)),
        "sites.svg": heat_map(result.between_sites(), f"{HEADLINE} in percent, site by site"),
        "groups.svg": heat_map(result.matrix, f"{HEADLINE} in percent, group by group"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _summary(found: Found, layers: pd.DataFrame) -> str:
    head, *rows = shown_rows(layers)
    shown = pd.DataFrame([row[1:] for row in rows], index=[row[0] for row in rows], columns=head[1:])
    parts = [f"# Retrieval between {found.results[found.shown].parallel.places}"]
    if found_ones := cautions(found, layers):
        parts += ["**Mind:**", "\n".join(f"- {one}" for one in found_ones)]
    parts += [question_text(found), f"In percent. {NOTE}", markdown(shown, head[0])]
    for layer in found.results:
        figures = f"![site by site](layer-{layer}/sites.svg) ![group by group](layer-{layer}/groups.svg)"
        parts += [f"## Layer {layer}", f"[All tables](layer-{layer}/summary.md). {figures}"]
    notes = found.results[found.shown].notes
    return "\n\n".join([*parts, *notes]) + "\n"
