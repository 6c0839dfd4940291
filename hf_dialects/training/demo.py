"""The demo: one small model on the embedded corpus, over a few seeds, and its answer on a held-out clip."""

from pathlib import Path

import numpy as np
from datasets import DatasetDict

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference
from hf_dialects.training.recipe import load_recipe
from hf_dialects.training.run import train_recipe

CAVEAT = (
    "The demo corpus is formant-synthesised: its accents are rules, not people, and its test split has few voices. "
    "Its scores say nothing about real dialects."
)


def run_demo(out: Path, seeds: int = 3, progress: bool = True, overrides: tuple[str, ...] = (), tell=print) -> dict:
    """Train and evaluate the recipe "demo" with seeds 0 … seeds - 1.

    Args:
        out: folder; one run folder per seed is made in it. Finished seeds are taken from there.
        overrides: of the recipe, dotted.
        tell: where lines for people go.

    Returns:
        {"seeds": n, "accuracy": [...], "cluster_accuracy": [...], "baselines": {name: accuracy}, "clip": {...}}
    """
    corpus = load_corpus("demo")
    tell(CAVEAT)
    tell(summary(corpus))
    results = []
    for seed in range(seeds):
        tell(f"seed {seed} ({seed + 1} of {seeds})")
        results.append(train_recipe(load_recipe("demo", [f"seed={seed}", *overrides]), out / f"seed-{seed}", progress))
    metrics = [one["metrics"]["test"] for one in results]
    answer = {name: [one[name]["value"] for one in metrics] for name in ("accuracy", "macro_f1", "cluster_accuracy", "ece")}
    answer["baselines"] = {name: one["test"]["accuracy"]["value"] for name, one in results[0]["baselines"].items()}
    answer["results"] = results
    answer["clip"] = name_clip(out / "seed-0" / "model", corpus)
    return answer


def summary(corpus: DatasetDict) -> str:
    """One line per split."""
    lines = []
    for name, split in corpus.items():
        hours = sum(split["duration"]) / 3600
        lines.append(f"  {name:<10} {len(split):>5} utterances, {hours:.2f} h, {len(set(split['speaker'])):>2} voices")
    return "\n".join(lines)


def over_seeds(values: list[float]) -> str:
    """ "0.612 (0.598 to 0.630 over 3 seeds)" """
    if len(values) == 1:
        return f"{values[0]:.3f} (one seed)"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f} over {len(values)} seeds)"


def name_clip(model_folder: Path, corpus: DatasetDict) -> dict:
    """What the pipeline says of the middle clip of the test split.

    Returns:
        {"id", "gold", "label", "score"}
    """
    model, extractor = load_for_inference(model_folder)
    split = corpus["test"]
    row = split[len(split) // 2]
    pipeline = DialectPipeline(model=model, feature_extractor=extractor, task="audio-classification")
    best = pipeline(decode(row["audio"], extractor.sampling_rate), top_k=1)[0]
    gold = split.features["dialect"].int2str(row["dialect"])
    return {"id": row["id"], "gold": gold, "label": best["label"], "score": round(best["score"], 4)}
