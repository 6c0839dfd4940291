"""The demo: one small model on the embedded corpus, over a few seeds, and its answer on a held-out clip."""

import multiprocessing
import os
import queue
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from datasets import DatasetDict
from tqdm.auto import tqdm
from transformers import TrainerCallback
from transformers.utils import logging

from hf_dialects.data.audio import decode
from hf_dialects.data.load import load_corpus
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference
from hf_dialects.training.recipe import Recipe, load_recipe
from hf_dialects.training.run import train_recipe

CAVEAT = (
    "The demo corpus is formant-synthesised: its accents are rules, not people, and its test split has few voices. "
    "Its scores say nothing about real dialects."
)


def run_demo(out: Path, seeds: int = 3, progress: bool = True, overrides: tuple[str, ...] = (), tell=print) -> dict:
    """Train and evaluate the recipe "demo" with seeds 0 … seeds - 1, in processes side by side.

    Args:
        out: folder; one run folder per seed is made in it. Finished seeds are taken from there.
        overrides: of the recipe, dotted.
        tell: where lines for people go.

    Returns:
        {"accuracy": [one per seed], "macro_f1": […], "cluster_accuracy": […], "ece": […],
         "baselines": {name: accuracy}, "clip": see `name_clip`, "results": [results.json of every seed]}
    """
    tell(CAVEAT)
    corpus = load_corpus("demo")
    tell(summary(corpus))
    once = {seed: [] if seed == 0 else ["evaluation.baselines=false"] for seed in range(seeds)}  # they know no seed
    runs = {out / f"seed-{seed}": load_recipe("demo", [f"seed={seed}", *once[seed], *overrides]) for seed in once}
    results = in_parallel(runs, progress)
    metrics = [one["metrics"]["test"] for one in results]
    answer = {
        name: [one[name]["value"] for one in metrics] for name in ("accuracy", "macro_f1", "cluster_accuracy", "ece")
    }
    answer["baselines"] = {name: one["test"]["accuracy"]["value"] for name, one in results[0]["baselines"].items()}
    return answer | {"clip": name_clip(out / "seed-0" / "model", corpus), "results": results}


def in_parallel(runs: dict[Path, Recipe], progress: bool) -> list[dict]:
    """Train several recipes, each in a process of its own, under one progress bar; results in the order given."""
    workers = min(len(runs), 2 * (os.cpu_count() or 1))  # more than cores: no core waits for the last seed alone
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        steps = manager.Queue()
        pending = [pool.submit(_train, recipe, folder, steps) for folder, recipe in runs.items()]
        bar = tqdm(desc=f"training {len(runs)} models, {workers} at a time", unit="step", disable=not progress)
        totals: dict[str, int] = {}
        while not all(one.done() for one in pending):
            try:
                name, total, done = steps.get(timeout=0.5)
            except queue.Empty:
                continue
            totals[name] = total
            bar.total = round(sum(totals.values()) / len(totals) * len(runs))
            bar.update(done)
        bar.close()
        return [one.result() for one in pending]


class _Steps(TrainerCallback):
    """Reports (run, all steps, steps since the last report) to a queue."""

    def __init__(self, name: str, steps):
        self.name, self.steps, self.told = name, steps, 0

    def on_log(self, args, state, control, **kwargs):
        self.steps.put((self.name, state.max_steps, state.global_step - self.told))
        self.told = state.global_step


def _train(recipe: Recipe, folder: Path, steps) -> dict:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return train_recipe(recipe, folder, progress=False, callbacks=(_Steps(folder.name, steps),))


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
