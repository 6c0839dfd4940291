"""How well the embeddings of a run keep dialects apart on test recordings, beside its results."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from scipy.spatial.distance import cdist

from hf_dialects.evaluation.groups import Groups, find_groups
from hf_dialects.inference import predict
from hf_dialects.metrics.separation import purity_of_rows, separation, standardised
from hf_dialects.saving import load_for_inference

NUMBERS, ROWS = "separation.json", "separation.parquet"


def embed_rows(model, extractor, rows: Dataset, batch_size: int = 16) -> tuple[np.ndarray, Groups]:
    """Pooled vectors (N, P) float64, standardised, of the recordings that can be used, and who speaks them."""
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    found = predict(model, extractor, rows, batch_size=batch_size, embeddings=True, progress=False)
    return standardised(found.embeddings), find_groups(rows, found.ids, found.gold)


def measure(model_folder: Path, rows: Dataset, folder: Path) -> None:
    """Write separation.json, what `metrics.separation` says of the dialects, and separation.parquet, the purity of
    every recording. Speakers are the unit that intervals resample."""
    vectors, groups = embed_rows(*load_for_inference(model_folder), rows)
    numbers = separation(vectors, {"dialect": groups.gold.tolist()}, groups.values.tolist())["dialect"]
    speakers = np.unique(groups.values, return_inverse=True)[1]
    purity, _ = purity_of_rows(cdist(vectors, vectors), groups.gold, speakers)
    pd.DataFrame({"id": groups.ids, "purity": purity}).to_parquet(folder / ROWS, index=False)
    text = json.dumps(asdict(numbers) | {"n": len(purity), "unit": groups.unit})
    (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")  # last: it says that both are there


def read_numbers(folder: Path) -> dict | None:
    """What `measure` wrote, None where it did not."""
    path = folder / NUMBERS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_purity(folder: Path, ids: list[str]) -> np.ndarray:
    """Purity (N,) of these recordings, NaN where unknown."""
    return pd.read_parquet(folder / ROWS).set_index("id")["purity"].reindex(ids).to_numpy(dtype=float)
