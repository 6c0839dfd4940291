"""An ABX question asked of a model or of embeddings on disk: a look at the question, one pass, the grid."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx.pooler import PARTS, Length
from hf_dialects.abx.score import abx
from hf_dialects.abx.task import END, START, Task
from hf_dialects.abx_grid import Grid, Items, Question, Setting, complete, run_grid, setting_named
from hf_dialects.abx_items import EmbeddingItems, check_gap, corpus_attributes, default_groups
from hf_dialects.data.screen import Skipped
from hf_dialects.embedding_files import MANIFEST
from hf_dialects.embeddings import embed
from hf_dialects.errors import DialectError
from hf_dialects.saving import load_for_inference
from hf_dialects.snippet_embeddings import embed_snippets, snippet_cost

MOST_PAIRS = 10**8  # that are looked at beforehand


@dataclass
class Answer:
    """What `ask` found.

    Attributes:
        grid: the scores.
        facts: what they stand on: "groups", "crossed", "draws", "permutations", "seed"; "embeddings", their manifest.
        shown: the setting that was asked for by name.
        items: where the vectors come from.
    """

    grid: Grid
    facts: dict
    shown: Setting | None = None
    items: EmbeddingItems | None = None


def ask(
    source: str | Path,
    dataset,
    question: Question,
    out: Path,
    lengths_s: Sequence[float] | None = None,
    layers: Sequence[int] | None = None,
    poolings: Sequence[str] | None = None,
    tail: str = "drop",
    frames: bool = False,
    groups: str | None = None,
    crossed: str | None = None,
    draws: int = 2000,
    permutations: int = 1000,
    seed: int = 0,
    show: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: bool = True,
    tell: Callable[[str], None] = print,
) -> Answer:
    """Ask a question of every layer, length and pooling.

    Args:
        source: a run folder, model folder or Hub id; or a folder of `embed` or `embed_snippets`.
        dataset: the corpus.
        out: snippets or frames of a model go there, and the scores of every setting; what is there is not done again.
        lengths_s: seconds of a snippet; None = whole recordings, of a folder all its lengths.
        layers, poolings: None = all.
        tail, overwrite: see `embed_snippets`.
        frames: compare sequences of frames by time warping.
        groups, crossed, draws, permutations, seed, device, tell: see `run_grid`; groups None takes `default_groups`.
        show: name of a setting that is to be shown, checked before anything is scored.

    Raises:
        DialectError: whatever makes the question impossible, before an encoder runs as far as it can be known then.
    """
    attributes = corpus_attributes(dataset)
    groups = groups or default_groups(attributes, question)
    check_question(attributes, question, [groups, crossed], _is_cut(source, lengths_s))
    wanted = poolings or tuple(PARTS)
    options = {"overwrite": overwrite, "progress": progress, "tell": tell}
    folder = embedding_folder(source, dataset, out, lengths_s or (None,), layers, wanted, tail, frames, **options)
    items = EmbeddingItems(folder, attributes, frames)
    settings = items.settings(layers, lengths_s, poolings)
    shown = setting_named(settings, show) if show else None
    drawn = {"groups": groups, "crossed": crossed, "draws": draws, "permutations": permutations, "seed": seed}
    more = {"folder": out / "settings", "device": device, "progress": progress, "tell": tell}
    grid = run_grid(items.read, settings, question, **drawn, **more)
    return Answer(grid, drawn | {"embeddings": items.manifest}, shown, items)


def _is_cut(source: str | Path, lengths_s: Sequence[float] | None) -> bool:
    """Whether recordings are, or will be, cut into snippets."""
    if lengths_s is None and is_embedding_folder(source):
        settings = json.loads((Path(source) / MANIFEST).read_text("utf-8"))["settings"]
        return any(settings.get("lengths_s", ()))
    return lengths_s is not None


def is_embedding_folder(source: str | Path) -> bool:
    """Whether `source` is a folder of embeddings and not a model."""
    return (Path(source) / MANIFEST).is_file()


def check_question(attributes: pd.DataFrame, question: Question, groups: Sequence[str | None], cut: bool) -> None:
    """Ask the question of vectors drawn at random, before an encoder runs for hours.

    Args:
        attributes: what `abx_items.corpus_attributes` returns.
        groups: attributes of the interval, None left out.
        cut: whether recordings are cut into snippets; two of each recording then stand for all.

    Raises:
        DialectError: attributes that do not exist or are known nowhere, a single value of ON, or no triple; where
            ACROSS is nested in ON the message names `differ`.
    """
    check_gap(attributes, question)
    if cut:
        far = question.min_gap_s + 2.0
        attributes = pd.concat(
            [attributes.assign(**{START: start, END: start + 1.0}) for start in (0.0, far)], ignore_index=True
        )
    elif question.min_gap_s > 0:
        raise DialectError("min_gap_s is about snippets, but recordings are taken whole; cut them with --snippets")
    names = [*question.attributes, *filter(None, groups)]
    vectors = np.random.default_rng(0).normal(size=(len(attributes), 2))
    items, _ = complete(Items(vectors, attributes), names)
    if not len(items.attributes):
        raise DialectError(f"no recording of the corpus has all of: {', '.join(dict.fromkeys(names))}")
    asked = {"on": question.on, "by": question.by, "across": question.across, "differ": question.differ}
    task = Task(items.attributes, len(items.attributes), **asked, min_gap_s=question.min_gap_s)
    if sum(len(context) ** 2 for context in task.contexts) <= MOST_PAIRS:
        abx(items.vectors, items.attributes, **asked, min_gap_s=question.min_gap_s)


def embedding_folder(
    source: str | Path,
    dataset,
    out: Path,
    lengths_s: Sequence[Length] = (None,),
    layers: Sequence[int] | None = None,
    poolings: Sequence[str] = ("max", "mean", "statistics"),
    tail: str = "drop",
    frames: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    tell: Callable[[str], None] = print,
) -> Path:
    """`source` itself if it holds embeddings, else out/snippets or out/frames, written or completed by the model.

    Args:
        source: a run folder, model folder or Hub id, or a folder of embeddings.
        dataset: rows with `audio` and a unique `id`.
        lengths_s, layers, poolings, tail, overwrite: see `embed_snippets`.
        frames: write all frames instead of snippets.
        tell: is told what it will take, and what was left out.

    Raises:
        CheckpointError: no such model; or the folder holds embeddings of something else.
    """
    if is_embedding_folder(source):
        return Path(source)
    import torch

    model, feature_extractor = load_for_inference(source, head=False)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    options = {"overwrite": overwrite, "progress": progress}
    if frames:
        folder = out / "frames"
        layers = range(model.base_model.encoder.config.num_hidden_layers + 1) if layers is None else layers
        skipped = embed(model, feature_extractor, dataset, folder, layers=layers, frames=True, **options)
    else:
        folder = out / "snippets"
        tell(f"encoding {snippet_cost(model, feature_extractor, dataset, lengths_s, layers, poolings)}")
        options |= {"lengths_s": lengths_s, "layers": layers, "poolings": poolings, "tail": tail}
        skipped = embed_snippets(model, feature_extractor, dataset, folder, **options)
    tell_left_out(skipped, folder, tell)
    return folder


def tell_left_out(skipped: Sequence[Skipped], folder: Path, tell: Callable[[str], None]) -> None:
    """Name the first recordings that an embedding left out, and the file that lists all."""
    for one in skipped[:10]:
        tell(f"left out ({one.reason}): {one.message}")
    if len(skipped) > 10:
        tell(f"and {len(skipped) - 10} more, all of them in {folder / 'skipped.csv'}")
