"""Evaluating a saved model on a corpus."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets

from hf_dialects.data.load import load_corpus
from hf_dialects.data.screen import write_skipped
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.breakdown import breakdown
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.label_map import label_map as fitted_label_map
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.evaluation.settings_difference import settings_difference
from hf_dialects.evaluation.temperature import calibration_at
from hf_dialects.inference import predict
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.feature_extraction_dialect import longest_input_s
from hf_dialects.precision import precision_used
from hf_dialects.saving import load_for_inference


def evaluate_model(
    model: str | Path,
    data,
    out: Path,
    split: str | None = None,
    label: str = "dialect",
    by: tuple[str, ...] = (),
    seconds: tuple[float, ...] | None = None,
    batch_size: int | None = 16,
    min_speech: float = 0.0,
    window_s: float | None = None,
    stride_s: float | None = None,
    label_map: str | Path | Mapping[str, str] | None = None,
    progress: bool = True,
    normalize: str = "window",
    precision: str = "float32",
) -> dict:
    """Predict a corpus and write results.json, predictions and skipped.csv.

    Args:
        model: run folder, model folder or Hub id of any audio classifier.
        data: what `load_corpus` takes.
        out: folder for the files.
        split: split of the corpus; None takes "test" where there is one, else everything.
        label: column that names the variety.
        by: columns to break the result down by; adds "by" to the results.
        seconds: rising edges of `duration` there; None for those of `breakdown`.
        window_s, stride_s: windows of another length than the model's, in seconds.
        batch_size: windows of one pass; None for the fastest on this processor, see `BatchSize`.
        normalize, precision: see `Windowing`; where they are not the defaults, "windows" holds "difference", see
            `settings_difference`.
        label_map: for a model with other labels than the corpus: label of the model → variety, or a file of it. Adds
            "label_map" to the results, see `LabelMap.apply`.

    Returns:
        the content of results.json, with "windows": see `windows_of`, and for a model with a temperature "calibration":
        see `temperature.calibration_at`. All other scores are those without it.

    Raises:
        CorpusError: a variety of the corpus is unknown to the model, or the map does not fit.
    """
    started = time.time()
    classifier, extractor = load_for_inference(model)
    labels = [classifier.config.id2label[index] for index in range(classifier.config.num_labels)]
    name, corpus = chosen_split(load_corpus(data, label=label, fill_duration="duration" in by), split)
    clusters = getattr(classifier.config, "clusters", None)
    mapped = None
    if label_map is None:
        corpus = with_labels_of_model(corpus, labels)
    else:
        dialects = corpus.features["dialect"].names
        mapped = fitted_label_map(label_map, labels, dialects, used_labels(corpus))
        labels, clusters = dialects, None
    windows = windows_of(classifier.config, extractor, window_s, stride_s)
    temperature = classifier.config.temperature if isinstance(classifier.config, DialectConfig) else 1.0
    calibrated = temperature != 1 and mapped is None
    precision = precision_used(precision, classifier.device)
    given = {name: windows[name] for name in ("window_s", "stride_s")}
    given |= {"batch_size": batch_size, "min_speech": min_speech, "normalize": normalize, "precision": precision}
    predictions = predict(
        classifier,
        extractor,
        corpus,
        **given,
        window_logits=calibrated,
        progress=progress,
        name=f"predicting {name}",
    )
    windows |= {"normalize": normalize, "precision": precision}
    if difference := settings_difference(classifier, extractor, corpus, predictions, **given):
        windows["difference"] = difference
    more = {"windows": windows}
    if mapped is not None:
        predictions, more["label_map"] = mapped.apply(predictions)
    results = build_results(
        {name: predictions},
        {name: corpus},
        labels,
        clusters,
        selected_on=None,
        environment=environment(str(classifier.device), time.time() - started),
    )
    results |= more
    if calibrated:
        results["calibration"] = calibration_at(temperature, {name: predictions}, {name: corpus}, labels)
    if by:
        edges = {} if seconds is None else {"seconds": seconds}
        results["by"] = breakdown(predictions, corpus, by=by, labels=labels, clusters=clusters, **edges)
    predictions.write(out / "predictions" / f"{name}.parquet")
    write_skipped(predictions.skipped, out / "skipped.csv")
    write_results(results, out / "results.json")
    return results


def windows_of(config, feature_extractor, window_s: float | None = None, stride_s: float | None = None) -> dict:
    """The windows a recording is cut into.

    Those asked for, else those of the model's configuration, else, for models that say nothing about windows, 8 s every
    3 s as a `DialectConfig` has it, or what the encoder takes where that is less.

    Returns:
        {"window_s", "stride_s": seconds, None for one window over everything, "set_by": "option" | "model" | "default"}
    """
    own = config if hasattr(config, "window_s") else DialectConfig
    asked = window_s is not None or stride_s is not None
    set_by = "option" if asked else "model" if own is config else "default"
    longest = longest_input_s(feature_extractor)
    if window_s is None:
        window_s = own.window_s
        if longest is not None and own is not config:
            window_s = min(window_s, longest)
    window_s = window_s or longest
    if stride_s is None and window_s is not None:
        stride_s = min(own.stride_s, window_s)
    return {"window_s": window_s, "stride_s": stride_s, "set_by": set_by}


def chosen_split(corpus: Dataset | DatasetDict, split: str | None) -> tuple[str, Dataset]:
    """(its name, the rows) of a split, of "test", or of everything.

    Raises:
        CorpusError: no such split.
    """
    if isinstance(corpus, Dataset):
        if split not in (None, "all"):
            raise CorpusError(
                f"the corpus has no splits, so there is no {split!r}; leave --split away to take all of it"
            )
        return "all", corpus
    if split == "all" or (split is None and "test" not in corpus):
        return "all", concatenate_datasets(list(corpus.values()))
    name = split or "test"
    if name not in corpus:
        raise CorpusError(f"the corpus has no split {name!r}; it has {', '.join(corpus)}")
    return name, corpus[name]


def with_labels_of_model(corpus: Dataset, labels: list[str]) -> Dataset:
    """The corpus with the model's label numbers.

    Raises:
        CorpusError: varieties that the model does not know, by name.
    """
    names = corpus.features["dialect"].names
    unknown = [name for name in used_labels(corpus) if name not in labels]
    if unknown:
        raise CorpusError(
            f"the corpus has {len(unknown)} varieties that the model does not know: {', '.join(unknown[:5])}; "
            f"the model's are {', '.join(labels[:20])}. "
            "Keep only known ones, or say with a label map which label of the model stands for which variety"
        )
    if names == labels:
        return corpus
    found = np.array([-1 if label is None else label for label in corpus["dialect"]])
    numbers = np.array([labels.index(name) if name in labels else -1 for name in names] + [-1])
    column = numbers[found].tolist()  # rows without a label, -1, take the last
    return (
        corpus.remove_columns("dialect").add_column("dialect", column).cast_column("dialect", ClassLabel(names=labels))
    )


def used_labels(corpus: Dataset) -> list[str]:
    """Names of the varieties that have recordings, sorted."""
    names = corpus.features["dialect"].names
    return sorted({names[label] for label in corpus["dialect"] if label is not None and label >= 0})
