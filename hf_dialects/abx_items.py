"""Items for ABX tests: what lies in an embedding folder, beside the metadata of its corpus."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx.pooler import PARTS, Length, label
from hf_dialects.abx.task import END, RECORDING, START
from hf_dialects.abx_grid import Items, Question, Setting
from hf_dialects.data.leakage import column_values
from hf_dialects.embedding_files import MANIFEST, read_frames, read_vectors
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.snippet_files import read_snippets


def corpus_attributes(dataset) -> pd.DataFrame:
    """Every column of a corpus but the audio, null where unknown; classes by name; a recording without one is its id.

    Args:
        dataset: rows with a unique `id`.
    """
    found = {}
    for name in dataset.column_names:
        if name == "audio":
            continue
        values, feature = column_values(dataset, name), dataset.features[name]
        if hasattr(feature, "int2str"):
            values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
        found[name] = values
    ids = [str(id) for id in found["id"]]
    known = found.get(RECORDING, [None] * len(ids))
    found[RECORDING] = [id if value is None else value for id, value in zip(ids, known, strict=True)]
    return pd.DataFrame(found | {"id": ids})


class EmbeddingItems:
    """Items from a folder of `embed_snippets` or of `embed`.

    Snippets have the attributes of their recording, and start_s and end_s in it. Where the corpus has a column start_s,
    its files were cut out of longer recordings, and the snippets' times are moved by it.

    Args:
        folder: the embeddings.
        attributes: what `corpus_attributes` returns.
        frames: whether the folder's frames are to be compared as sequences.

    Raises:
        CheckpointError: no embeddings; frames where they are not asked for, or the other way round.
    """

    def __init__(self, folder: str | Path, attributes: pd.DataFrame, frames: bool = False):
        self.folder, self.attributes = Path(folder), attributes
        path = self.folder / MANIFEST
        if not path.is_file():
            raise CheckpointError(f"{folder} holds no embeddings (it has no {MANIFEST})")
        self.manifest = json.loads(path.read_text("utf-8"))
        settings = self.manifest["settings"]
        self.cut = "lengths_s" in settings
        self.frames = settings.get("frames", False)
        if self.frames != frames:
            holds = "frames: compare them by time warping with --frames" if self.frames else "no frames: leave --frames"
            raise CheckpointError(f"{folder} holds {holds}, or write others with hf-dialects embed")

    def settings(
        self,
        layers: Sequence[int] | None = None,
        lengths_s: Sequence[Length] | None = None,
        poolings: Sequence[str] | None = None,
    ) -> list[Setting]:
        """What the folder holds of these; None = everything.

        Raises:
            DialectError: something else is asked for.
        """
        stored = self.manifest["settings"]
        n_layers = self.manifest["n_layers"]
        if self.cut:
            of_folder = [name for name, parts in PARTS.items() if set(parts) <= set(stored["parts"])]
            lengths = [None if one is None else float(one) for one in stored["lengths_s"]]
        else:
            of_folder, lengths = ["frames" if self.frames else "model"], [None]
        wanted = [layer + n_layers + 1 if layer < 0 else layer for layer in (layers or stored["layers"])]
        lengths_s, poolings = lengths_s or lengths, poolings or of_folder
        for what, asked, there in (
            ("layer", wanted, stored["layers"]),
            ("snippets of", [label(one) for one in lengths_s], [label(one) for one in lengths]),
            ("pooling", poolings, of_folder),
        ):
            if unknown := [str(one) for one in asked if one not in there]:
                listed = ", ".join(map(str, there))
                raise DialectError(f"{self.folder} has no {what} {', '.join(unknown)}; it holds: {listed}")
        return [Setting(layer, length, name) for name in poolings for length in lengths_s for layer in sorted(wanted)]

    def read(self, setting: Setting) -> Items:
        """Vectors or sequences of one setting, with their attributes.

        Raises:
            CheckpointError: recordings in the folder that the corpus does not name.
        """
        if self.cut:
            table, vectors = read_snippets(self.folder, setting.layer, setting.length_s, setting.pooling)
        else:
            ids, vectors = (read_frames if self.frames else read_vectors)(self.folder, setting.layer)
            table = pd.DataFrame({"id": ids})
        rows = pd.Index(self.attributes["id"]).get_indexer(table["id"])
        known = np.flatnonzero(rows >= 0)
        if not len(known) and len(table):
            raise CheckpointError(
                f"none of the {table['id'].nunique()} recordings in {self.folder} is in the corpus, the first: "
                f"{table['id'].iloc[0]}; name the corpus that was embedded with --data"
            )
        if len(known) < len(table):  # another split of the corpus than was embedded
            table, rows = table.iloc[known], rows[known]
            vectors = [vectors[row] for row in known] if isinstance(vectors, list) else vectors[known]
        attributes = self.attributes.iloc[rows].reset_index(drop=True)
        if self.cut:
            offset = attributes[START].astype(float).fillna(0.0) if START in attributes else 0.0
            for name in (START, END):
                attributes[name] = table[name].to_numpy() + offset
        return Items(vectors, attributes)


def check_gap(attributes: pd.DataFrame, question: Question) -> None:
    """Raise `DialectError` where a gap is asked for, but several files belong to one recording without their place."""
    if question.min_gap_s <= 0 or START in attributes.columns:
        return
    files = attributes[RECORDING].value_counts()
    if len(files) and files.iloc[0] > 1:
        raise DialectError(
            f"min_gap_s needs the place of every file in its recording, but {files.index[0]!r} has {files.iloc[0]} "
            f"files and the corpus no column {START} (seconds into the recording); add it, or use differ={RECORDING!r}"
        )


def default_groups(attributes: pd.DataFrame, question: Question) -> str | None:
    """What to resample whole: the first of speaker, recording, session and site that is known and not tested itself."""
    for name in ("speaker", RECORDING, "session", "site"):
        if name in attributes.columns and name != question.on and attributes[name].notna().all():
            return name
    return None
