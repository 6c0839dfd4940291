"""Training curves out of the logs of a run."""

from collections.abc import Mapping, Sequence

from hf_dialects.report.run_folder import RunFolder

LOSSES = {  # name in the figure → keys of the log, the first that is there counts
    "training cross-entropy": ("cross_entropy_loss", "loss"),
    "validation cross-entropy": ("eval_cross_entropy", "eval_loss"),
    "training contrastive": ("contrastive_loss",),
}
SCORES = {"validation accuracy": ("eval_accuracy",), "validation macro F1": ("eval_macro_f1",)}


def curves(run: RunFolder, names: Mapping[str, Sequence[str]]) -> dict[str, list[list[tuple[float, float]]]]:
    """Name → one line of (epoch, value) per fold, for those of `names` that were logged."""
    logs = [history.get("log", []) for history in run.history.values()]
    found = {name: [line for log in logs if (line := _line(log, keys))] for name, keys in names.items()}
    return {name: lines for name, lines in found.items() if lines}


def kept_epochs(run: RunFolder) -> list[float]:
    """Epochs of the checkpoints that validation chose."""
    epochs = []
    for history in run.history.values():
        step = (history.get("best") or "").rpartition("-")[2]
        epochs += [one["epoch"] for one in history.get("log", []) if str(one.get("step")) == step and "epoch" in one][
            :1
        ]
    return epochs


def _line(log: Sequence[Mapping], keys: Sequence[str]) -> list[tuple[float, float]]:
    key = next((key for key in keys if any(_plotted(one, key) for one in log)), None)
    return [(float(one["epoch"]), float(one[key])) for one in log if _plotted(one, key)]


def _plotted(entry: Mapping, key: str | None) -> bool:
    return isinstance(entry.get(key), (int, float)) and "epoch" in entry
