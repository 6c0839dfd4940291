"""Embeddings of a run's clips by its model as trained, and by the same model before."""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from transformers import set_seed

from hf_dialects.data.audio import decode
from hf_dialects.errors import AudioError, CheckpointError, DialectError
from hf_dialects.inference import Predictions, predict
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.report.run_folder import RunFolder
from hf_dialects.saving import load_for_inference
from hf_dialects.training.build import build_model


@dataclass(frozen=True)
class Vectors:
    """Embeddings of some clips.

    Attributes:
        title: "before training" or "after training".
        made: how they were made, in words.
        ids: N ids.
        values: (N, P) float32.
    """

    title: str
    made: str
    ids: list[str]
    values: np.ndarray


def before_and_after(run: RunFolder, rows: Dataset, progress: bool = True) -> list[Vectors]:
    """Embeddings of `rows` before and after the training of a run, of the same clips in the same order.

    The untrained model is built again from the recipe and its seed; where that fails, because a pretrained encoder is
    out of reach, mean and deviation of a log-mel spectrum take its place.

    Raises:
        CheckpointError: the run has no dialect model.
    """
    if run.model_folder is None:
        raise CheckpointError("the folder holds no model, so there are no embeddings to show")
    model, extractor = load_for_inference(run.model_folder)
    if not isinstance(model, DialectForAudioClassification):
        raise CheckpointError(f"a {type(model).__name__} gives no embeddings of whole clips")
    options = {"embeddings": True, "progress": progress}
    trained = predict(model, extractor, rows, name="embeddings after training", **options)
    after = _vectors("after training", "pooled vectors of the trained model, mean over the windows of a clip", trained)
    heard = rows.select(np.flatnonzero(np.isin(list(rows["id"]), after.ids)))
    try:
        untrained, extractor = _untrained(run)
    except (OSError, DialectError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        return [_mel(heard, f"the untrained model could not be built again ({reason})"), after]
    found = predict(untrained, extractor, heard, name="embeddings before training", **options)
    return [
        _vectors("before training", "the same model as it was initialised, from the recipe and its seed", found),
        after,
    ]


def _untrained(run: RunFolder):
    if run.recipe is None:
        raise CheckpointError("the folder holds no recipe")
    set_seed(run.recipe.seed)  # as `training.run.fit` does before it builds the model
    model, extractor = build_model(run.recipe.model, run.labels, run.clusters)
    return model.eval(), extractor


def _vectors(title: str, made: str, predictions: Predictions) -> Vectors:
    return Vectors(title, made, predictions.ids, predictions.embeddings)


def _mel(rows: Dataset, why: str) -> Vectors:
    extractor = DialectFeatureExtractor()
    ids, values = [], []
    for row in rows:
        try:
            frames = extractor.log_mel(decode(row["audio"], extractor.sampling_rate))  # (F, M)
        except AudioError:
            continue
        ids.append(row["id"])
        values.append(np.concatenate([frames.mean(0), frames.std(0)]))
    made = f"mean and deviation of a {extractor.feature_size}-bin log-mel spectrum: {why}"
    return Vectors("before training", made, ids, np.stack(values).astype(np.float32))
