"""Cross-entropy alone against the three contrastive objectives beside it, on real recordings by speaker folds.

    python benchmarks/objectives_on_recordings.py DATA --labels Hindi,Marathi,Chinese,English --seeds 3

Every arm sees the same folds, crops, order and number of steps; a seed changes initialisation and order only.
Runs stand in runs/objectives/ARM/seed-N; finished ones are taken from there, so the command can be stopped and
started again. Writes benchmarks/objectives_on_recordings.md.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from hf_dialects.cli import shell
from hf_dialects.evaluation.compare import compare_runs, describe_comparison
from hf_dialects.training.folds import train_folds
from hf_dialects.training.recipe import load_recipe

ARMS = {"cross-entropy": None, "supcon": "supcon", "triplet": "triplet", "multi_similarity": "multi_similarity"}
METRICS = ("accuracy", "macro_f1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--labels", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/objectives"))
    options = parser.parse_args()
    shell.start()
    shared = [f"data.source={options.data}", f"data.labels=[{options.labels}]", "evaluation.draws=500"]
    for seed in range(options.seeds):
        for arm, objective in ARMS.items():
            print(f"{arm}, seed {seed}", flush=True)
            chosen = [*shared, f"seed={seed}", f"model.objective={objective or 'null'}"]
            train_folds(
                load_recipe("small", chosen), options.runs / arm / f"seed-{seed}", options.folds, progress=False
            )
    write(options)


def write(options) -> None:
    rows = ["| arm | " + " | ".join(METRICS) + " |", "|---|---|---|"]
    for arm in ARMS:
        files = [options.runs / arm / f"seed-{seed}" / "results.json" for seed in range(options.seeds)]
        results = [json.loads(file.read_text(encoding="utf-8"))["metrics"]["test"] for file in files]
        values = [[one[metric]["value"] for one in results] for metric in METRICS]
        rows.append(
            f"| {arm} | " + " | ".join(f"{np.mean(one):.3f} ± {np.std(one, ddof=1):.3f}" for one in values) + " |"
        )
    first = json.loads((options.runs / "cross-entropy" / "seed-0" / "results.json").read_text(encoding="utf-8"))
    for name, beside in first["baselines"].items():
        rows.append(
            f"| {name} (baseline) | "
            + " | ".join(f"{beside['test'][metric]['value']:.3f}" for metric in METRICS)
            + " |"
        )
    comparison = compare_runs([options.runs / arm for arm in ARMS], metrics=METRICS, split="test")
    versions = ", ".join(f"{name} {version}" for name, version in first["environment"]["versions"].items())
    text = "\n".join(
        [
            "# Contrastive objectives beside cross-entropy, real recordings",
            "",
            f"`python benchmarks/objectives_on_recordings.py {Path(options.data).name} --labels {options.labels} "
            f"--seeds {options.seeds}`, {options.folds} folds by speaker, recipe `small`, mean ± sd over seeds.",
            "",
            *rows,
            "",
            "Paired differences to cross-entropy, speakers and seeds resampled together, p adjusted by Holm:",
            "",
            "```",
            describe_comparison(comparison),
            "```",
            "",
            f"CPU; {versions}.",
        ]
    )
    path = Path(__file__).with_suffix(".md")
    path.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
