"""Model cards: a template of `model_cards/`, filled from what a run measured, under the header that the Hub reads."""

import re
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from huggingface_hub import EvalResult, ModelCardData

from hf_dialects.hub.card_tables import cell, data_table, leakage_table, varieties_table
from hf_dialects.hub.card_text import cited, description, installation, limit, speakers_of
from hf_dialects.hub.classifier_card import classifier_parts
from hf_dialects.hub.encoder_card import encoder_parts
from hf_dialects.hub.figures import Figure
from hf_dialects.hub.parts import Parts
from hf_dialects.hub.source import CLASSIFIER, ENCODER, ZIPFORMER, Source
from hf_dialects.hub.varieties import languages_of
from hf_dialects.hub.zipformer_card import zipformer_parts

CARD = "README.md"
TEMPLATES = "hf_dialects.model_cards"
TAGS = ("speech", "hf-dialects")
PARTS = {CLASSIFIER: classifier_parts, ENCODER: encoder_parts, ZIPFORMER: zipformer_parts}
PAPERS = "papers.bib"


def write_card(source: Source, repo_id: str, license: str, figures: Sequence[Figure] = ()) -> str:
    """README.md of a repository: the header that the Hub reads, with a model index, and the text.

    Every number comes from the run's results; one that is missing there reads "not measured".

    Args:
        license: as the Hub names it.
        figures: files of the repository to show.
    """
    parts, results = PARTS[source.kind](source), source.results
    entries = papers(parts.papers)
    environment = results.get("environment") or source.retrieval.get("environment") or {}
    fields = {
        "name": repo_id.split("/")[-1],
        "description": description(source),
        "install": installation(source),
        "speakers": speakers_of(source),
        "varieties": varieties_table(parts.labels),
        "data": data_table(results, speakers_of(source)),
        "leakage": leakage_table(results),
        "figures": "\n\n".join(f"![{one.caption}]({one.path})" for one in figures),
        "versions": ", ".join(f"{name} {version}" for name, version in (environment.get("versions") or {}).items())
        or "Versions were not recorded.",
        "seed": results.get("seed", source.recipe.get("seed", "not recorded")),
        "corpus": cell(_corpus(source.corpora)),
        "fingerprint": (results.get("data") or {}).get("fingerprint", "not recorded"),
        "cited": cited(entries),
        "papers": "\n\n".join(entries),
        "people": _template("people.md").template,
    }
    fields |= parts.fields
    fields["use"] = _template(parts.use).substitute(repo_id=repo_id, limit=limit(source))
    text = _template(parts.template).substitute({name: str(value).strip() for name, value in fields.items()})
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r" +\n", "\n", text))  # of parts that are empty
    return f"---\n{_header(source, parts, repo_id, license)}\n---\n\n{text}"


def papers(keys: Sequence[str]) -> list[str]:
    """Entries of papers.bib by their keys."""
    entries = _template(PAPERS).template.strip().split("\n\n")
    named = {one.split("{", 1)[1].split(",", 1)[0]: one for one in entries}
    return [named[key] for key in keys]


def _template(name: str) -> Template:
    return Template(files(TEMPLATES).joinpath(name).read_text("utf-8"))


def _header(source: Source, parts: Parts, repo_id: str, license: str) -> str:
    corpus = _corpus(source.corpora)
    evaluated = [
        EvalResult(
            task_type=parts.task,
            dataset_type=one.corpus or corpus,
            dataset_name=one.corpus or corpus,
            dataset_split=one.split,
            metric_type=one.metric,
            metric_name=one.title,
            metric_value=one.value,
        )
        for one in parts.scores
    ]
    options = {"eval_results": evaluated, "model_name": repo_id.split("/")[-1]} if evaluated else {}
    return ModelCardData(
        license=license,
        language=languages_of(parts.labels) or None,
        library_name="transformers",
        pipeline_tag=parts.task,
        tags=[*parts.tags, *TAGS],
        **options,
    ).to_yaml()


def _corpus(names: Sequence[str]) -> str:
    return " + ".join(names) or "unnamed corpus"
