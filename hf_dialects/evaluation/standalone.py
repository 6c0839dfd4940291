"""Evaluating a saved model on a corpus."""

import time
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets

from hf_dialects.data.load import load_corpus
from hf_dialects.data.screen import write_skipped
from hf_dialects.errors import CorpusError
from hf_dialects.evaluation.breakdown import breakdown
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.inference import predict
from hf_dialects.saving import load_for_inference


def evaluate_model(
    model: str | Path,
    data,
    out: Path,
    split: str | None = None,
    label: str = "dialect",
    by: tuple[str, ...] = (),
    batch_size: int = 16,
    min_speech: float = 0.0,
    progress: bool = True,
) -> dict:
    """Predict a corpus and write results.json, predictions and skipped.csv.

    Args:
        model: run folder, model folder or Hub id of any audio classifier.
        data: what `load_corpus` takes.
        out: folder for the files.
        split: split of the corpus; None takes "test" where there is one, else everything.
        label: column that names the variety.
        by: columns to break the result down by; adds "by" to the results.

    Raises:
        CorpusError: a variety of the corpus is unknown to the model.
    """
    started = time.time()
    classifier, extractor = load_for_inference(model)
    labels = [classifier.config.id2label[index] for index in range(classifier.config.num_labels)]
    name, corpus = chosen_split(load_corpus(data, label=label), split)
    corpus = with_labels_of_model(corpus, labels)
    predictions = predict(
        classifier,
        extractor,
        corpus,
        batch_size=batch_size,
        min_speech=min_speech,
        progress=progress,
        name=f"predicting {name}",
    )
    clusters = getattr(classifier.config, "clusters", None)
    results = build_results(
        {name: predictions},
        {name: corpus},
        labels,
        clusters,
        selected_on=None,
        environment=environment(str(classifier.device), time.time() - started),
    )
    if by:
        results["by"] = breakdown(predictions, corpus, by=by, labels=labels, clusters=clusters)
    predictions.write(out / "predictions" / f"{name}.parquet")
    write_skipped(predictions.skipped, out / "skipped.csv")
    write_results(results, out / "results.json")
    return results


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
    found = np.array([-1 if label is None else label for label in corpus["dialect"]])
    used = sorted({names[label] for label in found if label >= 0})
    unknown = [name for name in used if name not in labels]
    if unknown:
        raise CorpusError(
            f"the corpus has {len(unknown)} varieties that the model does not know: {', '.join(unknown[:5])}; "
            f"the model's are {', '.join(labels[:20])}. "
            "Keep only known ones, or evaluate with the model they were trained for"
        )
    if names == labels:
        return corpus
    numbers = np.array([labels.index(name) if name in labels else -1 for name in names] + [-1])
    column = numbers[found].tolist()  # rows without a label, -1, take the last
    return (
        corpus.remove_columns("dialect").add_column("dialect", column).cast_column("dialect", ClassLabel(names=labels))
    )
