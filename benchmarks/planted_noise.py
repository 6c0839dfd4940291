"""Do data maps find wrong labels, and what is regained by correcting them: 10 % of the training labels are made wrong.

    python benchmarks/planted_noise.py --seeds 3

On the embedded corpus, with the encoder of the recipe `demo`. Wrong labels are drawn uniformly from all dialects, or
from the dialect's cluster. Rankings: the data map of folds by speaker (every recording judged by models that never
heard its speaker), the map of training itself, confident learning on the out-of-fold predictions, the loss of the last
epoch, and no ranking. Then the model is trained on clean labels, on the wrong ones, after somebody listened to the
first 20 % of the map's list and corrected what was wrong there, and after relabelling what confident learning flags.
Nothing is told how many labels are wrong. Runs stand in runs/planted-noise/; the command can be stopped and started
again. Writes benchmarks/planted_noise.md, in which what is not finished is missing.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import DatasetDict
from reading import write_results

from hf_dialects.cli import shell
from hf_dialects.data.corrections import Correction, apply_corrections
from hf_dialects.data.randomness import generator
from hf_dialects.evaluation import label_errors
from hf_dialects.inference import Predictions
from hf_dialects.reproduce.grid import remove_checkpoints
from hf_dialects.reproduce.grid_splits import load_splits
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.dynamics import read_dynamics
from hf_dialects.training.folds import fold_corpus, train_folds
from hf_dialects.training.recipe import load_recipe
from hf_dialects.training.run import open_run, read_finished, train_on
from hf_dialects.training.screened import Screened

KINDS = ("uniform", "within cluster")
SHARE = 0.1  # of the training labels that are made wrong
BUDGET = 0.2  # of the map's list that somebody listens to
RANKINGS = {
    "map, out of fold": "data map of folds by speaker, 1 − mean probability of the label",
    "map, training": "data map of training itself",
    "confident learning": "cleanlab, on out-of-fold predictions",
    "loss, out of fold": "cross-entropy after the last epoch, out of fold",
    "loss, training": "cross-entropy in the last epoch of training",
    "random": "no ranking",
}


def plant(data: Screened, kind: str, seed: int) -> tuple[Screened, dict[str, str]]:
    """Make labels of the training split wrong.

    Returns:
        (the splits, id → right dialect of what is wrong now)
    """
    train, names = data.splits["train"], data.labels
    clusters = data.clusters
    ids, gold = list(train["id"]), [names[label] for label in train["dialect"]]
    rng = generator(seed, 0, kind, "planted noise")
    wrong = rng.permutation(len(ids))[: round(SHARE * len(ids))]
    corrections = []
    for row in wrong:
        others = [name for name in names if name != gold[row]]
        if kind == "within cluster":
            others = [name for name in others if clusters[name] == clusters[gold[row]]]
        corrections.append(Correction(ids[row], gold[row], str(rng.choice(others)), "relabel"))
    return _with_train(data, corrections), {one.id: one.gold for one in corrections}


def _with_train(data: Screened, corrections: list[Correction]) -> Screened:
    train, _ = apply_corrections(data.splits["train"], corrections)
    return replace(data, splits=DatasetDict(dict(data.splits) | {"train": train}))


def train(data: Screened, overrides: list[str], folder: Path, record: bool = False) -> dict:
    """A run of the recipe `demo`, or what it left."""
    kept = ["evaluation.baselines=false", *overrides]
    recipe = load_recipe("demo", [*kept, "training.record_dynamics=training"] if record else kept)
    open_run(recipe, folder)
    results = read_finished(folder) or train_on(data, recipe, folder, progress=False)
    remove_checkpoints(folder)
    return results


def train_out_of_fold(data: Screened, overrides: list[str], folder: Path, k: int) -> Path:
    """Folds by speaker within the training split, with the data map of what they never heard."""
    recipe = load_recipe("demo", ["evaluation.baselines=false", "training.record_dynamics=out_of_fold", *overrides])
    folds = fold_corpus(data.splits["train"], {"split_by": ["speaker"]}, k, progress=False)
    train_folds(recipe, folder, k, progress=False, folds=folds)
    remove_checkpoints(folder)
    return folder


def rank(ids: list[str], noisy: Path, folds: Path, seed: int) -> tuple[dict[str, np.ndarray], Predictions, np.ndarray]:
    """Ranking → (N,) scores in the order of `ids`; the out-of-fold predictions in that order; what is flagged."""
    predictions = Predictions.read(folds / "predictions" / "test.parquet")
    order = pd.Index(predictions.ids).get_indexer(ids)
    gold, probabilities = predictions.gold[order], predictions.probabilities[order]
    confident = label_errors.confident_learning(gold, probabilities)
    scores = {}
    for name, folder in (("out of fold", folds), ("training", noisy)):
        scores[f"map, {name}"] = label_errors.map_score(DataMap.from_run(folder).subset(ids).confidence)
        frame = read_dynamics(folder)
        last = frame[frame["epoch"] == frame["epoch"].max()].set_index("id")["probability"].reindex(ids)
        scores[f"loss, {name}"] = label_errors.loss_score(last.to_numpy())
    scores["confident learning"] = confident.ranking
    scores["random"] = label_errors.random_score(ids, seed)
    suggested = label_errors.most_probable_other(gold, probabilities)
    return scores, suggested, confident.flagged


def measure(data: Screened, kind: str, seed: int, options) -> dict:
    """All of one kind of noise with one seed."""
    folder = options.runs / f"seed-{seed}"
    own = folder / kind.replace(" ", "-")
    if (own / "measured.json").is_file():
        return json.loads((own / "measured.json").read_text(encoding="utf-8"))
    overrides = [f"seed={seed}", *options.overrides]
    noisy, right = plant(data, kind, seed)
    ids = list(noisy.splits["train"]["id"])
    now = dict(zip(ids, (data.labels[label] for label in noisy.splits["train"]["dialect"]), strict=True))
    wrong = np.array([id in right for id in ids])
    results = {"clean": train(data, overrides, folder / "clean"), "noisy": train(noisy, overrides, own / "noisy", True)}
    folds = train_out_of_fold(noisy, overrides, own / "folds", options.folds)
    scores, suggested, flagged = rank(ids, own / "noisy", folds, seed)
    heard = [ids[row] for row in np.argsort(-scores["map, out of fold"], kind="stable")[: round(BUDGET * len(ids))]]
    by_ear = [Correction(id, now[id], right[id], "relabel") for id in heard if id in right]
    by_machine = [
        Correction(ids[row], now[ids[row]], data.labels[suggested[row]], "relabel") for row in np.flatnonzero(flagged)
    ]
    results["heard 20 %"] = train(_with_train(noisy, by_ear), overrides, own / "heard")
    results["flagged, relabelled"] = train(_with_train(noisy, by_machine), overrides, own / "flagged")
    found = {
        "rankings": {name: vars(label_errors.inspection_curve(values, wrong)) for name, values in scores.items()},
        "accuracy": {name: one["metrics"]["test"]["accuracy"]["value"] for name, one in results.items()},
        "flagged": int(flagged.sum()),
        "flagged_wrong": int(wrong[flagged].sum()),
        "corrected_by_ear": len(by_ear),
    }
    (own / "measured.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return json.loads((own / "measured.json").read_text(encoding="utf-8"))


def table(kind: str, found: list[dict]) -> list[str]:
    """Markdown of one kind of noise over its seeds."""
    budgets = list(found[0]["rankings"]["random"]["precision"])
    rows = [
        f"## {kind}",
        "",
        "| ranking | AUC | average precision | " + " | ".join(f"precision at {float(b):.0%}" for b in budgets) + " |",
        "|---|" + "---|" * (2 + len(budgets)),
    ]
    for name in RANKINGS:
        ones = [one["rankings"][name] for one in found]
        cells = [_spread([one[key] for one in ones]) for key in ("auc", "average_precision")]
        cells += [_spread([one["precision"][budget] for one in ones]) for budget in budgets]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    rows += ["", "| training labels | test accuracy | against wrong labels |", "|---|---|---|"]
    noisy = np.array([one["accuracy"]["noisy"] for one in found])
    for name in found[0]["accuracy"]:
        values = np.array([one["accuracy"][name] for one in found])
        rows.append(f"| {name} | {_spread(values)} | {_spread(values - noisy, '+.3f')} |")
    flagged, hits = (sum(one[name] for one in found) for name in ("flagged", "flagged_wrong"))
    corrected = sum(one["corrected_by_ear"] for one in found)
    return [
        *rows,
        "",
        f"Confident learning flags {flagged / len(found):.0f} labels a seed, {hits / max(flagged, 1):.0%} of them "
        f"wrong; listening to {BUDGET:.0%} finds {corrected / len(found):.0f} wrong ones.",
        "",
    ]


def _spread(values, form: str = ".3f") -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):{form}}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the recipe, such as training.num_train_epochs=2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--runs", type=Path, default=Path("runs/planted-noise"))
    options = parser.parse_intermixed_args()
    shell.start()
    (data,) = load_splits({"source": "demo"}, progress=False)
    found = {kind: [] for kind in KINDS}
    for seed in range(options.seeds):
        for kind in KINDS:
            print(f"{kind}, seed {seed}", flush=True)
            found[kind].append(measure(data, kind, seed, options))
            write(data, found, options)


def write(data: Screened, found: dict[str, list[dict]], options) -> None:
    """The results so far."""
    train, test = data.splits["train"], data.splits["test"]
    command = " ".join(["python benchmarks/planted_noise.py", f"--seeds {options.seeds}", *options.overrides])
    lines = [
        "# Wrong labels: who finds them, and what correcting them gives back",
        "",
        f"`{command}`: {SHARE:.0%} of {len(train)} training labels of the embedded corpus made wrong "
        f"({len(set(train['speaker']))} voices, {options.folds} folds by speaker), "
        f"{len(data.labels)} dialects, tested on {len(test)} recordings with their right labels. "
        "Mean ± sd over seeds. Synthetic voices: how easily real label errors are found is another question.",
        "",
        *(f"- {name}: {text}" for name, text in RANKINGS.items()),
        "",
    ]
    for kind, ones in found.items():
        lines += table(kind, ones) if ones else [f"## {kind}", "", "not run", ""]
        if ones and len(ones) < options.seeds:
            lines += [f"{len(ones)} of {options.seeds} seeds are finished.", ""]
    text = "\n".join(lines)
    write_results(Path(__file__).with_suffix(".md"), text.splitlines())
    print(text, flush=True)


if __name__ == "__main__":
    main()
