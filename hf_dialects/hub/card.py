"""The card of a classifier: a template of `model_cards/`, filled from the run's `results.json` and configuration."""

import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import yaml
from huggingface_hub import EvalResult, ModelCardData

from hf_dialects.evaluation.results import METRIC_NAMES
from hf_dialects.evaluation.tables import with_interval

CARD = "README.md"
TEMPLATES = "hf_dialects.model_cards"
TASK = "audio-classification"
TAGS = ["dialect-identification", "accent-identification", "speech", "hf-dialects"]
HUB_METRICS = {"macro_f1": "f1", "weighted_f1": "f1"}  # where the Hub's name differs
NOT_MEASURED = "not measured"


def classifier_card(run_dir: str | Path, results: Mapping, repo_id: str, license: str) -> str:
    """README.md of a repository: the header that the Hub reads, with a model index, and the text.

    Every number comes from `results`; one that is missing there reads "not measured".

    Args:
        results: see `evaluation.results.build_results`.
        license: as the Hub names it.
    """
    run_dir = Path(run_dir)
    config = json.loads((run_dir / "model" / "config.json").read_text("utf-8"))
    recipe = run_dir / "recipe.yaml"
    recipe = yaml.safe_load(recipe.read_text("utf-8")) if recipe.is_file() else {}
    encoder = config.get("encoder_config") or {}
    text = Template(files(TEMPLATES).joinpath("classifier.md").read_text("utf-8")).substitute(
        name=repo_id.split("/")[-1],
        repo_id=repo_id,
        n_labels=len(results["labels"]),
        description=_cell(" ".join(str(recipe.get("description") or "").split())),
        encoder=encoder.get("model_type", config.get("model_type")),
        pooling=config.get("pooling", "mean"),
        window_s=config.get("window_s", NOT_MEASURED),
        stride_s=config.get("stride_s", NOT_MEASURED),
        data=_data(results),
        leakage=_leakage(results),
        results="\n\n".join(_split(results, split) for split in _splits(results)) or NOT_MEASURED,
        calibration=_calibration(results),
        varieties=_varieties(results, config.get("clusters") or {}),
        versions=", ".join(f"{name} {version}" for name, version in _environment(results).items()) or NOT_MEASURED,
        seed=results["seed"],
        fingerprint=results["data"].get("fingerprint", NOT_MEASURED),
    )
    return f"---\n{_header(results, _corpus(recipe), repo_id, license)}\n---\n\n{text}"


def _header(results: Mapping, corpus: str, repo_id: str, license: str) -> str:
    evaluated = [
        EvalResult(
            task_type=TASK,
            dataset_type=corpus,
            dataset_name=corpus,
            dataset_split=split,
            metric_type=HUB_METRICS.get(metric, metric),
            metric_name=title,
            metric_value=entry["value"],
        )
        for split in _splits(results)
        for metric, title in METRIC_NAMES.items()
        if (entry := results["metrics"][split].get(metric)) and entry["value"] is not None
    ]
    options = {"eval_results": evaluated, "model_name": repo_id.split("/")[-1]} if evaluated else {}
    return ModelCardData(
        license=license, library_name="transformers", pipeline_tag=TASK, tags=TAGS, **options
    ).to_yaml()


def _corpus(recipe: Mapping) -> str:
    """Name of the corpus, without the folder it lies in."""
    source = (recipe.get("data") or {}).get("source")
    sources = source if isinstance(source, list) else [source]
    names = [Path(one).name if Path(one).is_absolute() else one for one in sources if isinstance(one, str)]
    return " + ".join(names) or "unnamed corpus"


def _splits(results: Mapping) -> list[str]:
    return sorted(results["metrics"], key=lambda split: (split != "test", split != "validation", split))


def _environment(results: Mapping) -> Mapping:
    return (results.get("environment") or {}).get("versions") or {}


def _data(results: Mapping) -> str:
    rows = [
        [split, facts.get("n"), _number(facts.get("hours"), 2), facts.get("speakers")]
        for split, facts in results["data"].get("splits", {}).items()
    ]
    return _table(["split", "recordings", "hours", "speakers"], rows)


def _leakage(results: Mapping) -> str:
    rows = [
        [column, found.get("values"), found.get("crossing"), found.get("examples")]
        for column, found in (results["data"].get("leakage") or {}).items()
        if found.get("values")
    ]
    return "What crosses the split:\n\n" + _table(["column", "values", "in more than one split", "recordings"], rows)


def _split(results: Mapping, split: str) -> str:
    """The model beside its baselines."""
    beside = {name: per_split[split] for name, per_split in results["baselines"].items() if split in per_split}
    rows = []
    for metric, title in METRIC_NAMES.items():
        row = [_entry(scores.get(metric)) for scores in (results["metrics"][split], *beside.values())]
        warning = (results["metrics"][split].get(metric) or {}).get("warning")
        rows.append([title, *row, warning or " "])
    return f"### {html.escape(split)}\n\n" + _table(["", "model", *beside, "note"], rows)


def _calibration(results: Mapping) -> str:
    found = results.get("calibration") or {}
    if "temperature" not in found:
        return f"Temperature: {NOT_MEASURED}. The calibration error (ECE) of the probabilities as they come is above."
    return f"Logits are divided by the temperature {_number(found['temperature'], 3)}, which lies in the configuration."


def _varieties(results: Mapping, clusters: Mapping) -> str:
    split = next(iter(_splits(results)), None)
    per_dialect = results["per_dialect"].get(split, {})
    rows = []
    for label in results["labels"]:
        found = per_dialect.get(label, {})
        scores = [_number(found.get(name), 3) for name in ("precision", "recall", "f1")]
        rows.append([label, clusters.get(label, " "), *scores, found.get("support"), found.get("speakers")])
    head = ["variety", "group", "precision", "recall", "F1", "recordings", "speakers"]
    return (f"On {html.escape(split)}:\n\n" if split else "") + _table(head, rows)


def _entry(entry: Mapping | None) -> str:
    return NOT_MEASURED if not entry or entry["value"] is None else with_interval(entry)


def _number(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    if not rows:
        return NOT_MEASURED
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value) -> str:
    text = NOT_MEASURED if value is None else str(value)
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")
