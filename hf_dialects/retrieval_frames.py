"""Frames for retrieval: of a model, embedded to disk once, or of a folder; and the set whose centre they are moved to.

Dimensions: N utterances, T frames of one, D channels.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hf_dialects.abx_source import is_embedding_folder, tell_left_out
from hf_dialects.embedding_files import INDEX, MANIFEST, read_frames
from hf_dialects.embeddings import embed
from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.fingerprints import changes
from hf_dialects.frames import encoder_of, frame_rate_hz, layer_index
from hf_dialects.models.encoder_dialect import output_size
from hf_dialects.retrieval.centring import FrameStatistics
from hf_dialects.saving import load_for_inference
from hf_dialects.snippet_embeddings import snippet_cost


@dataclass(frozen=True)
class Centre:
    """A set to whose centre frames are moved.

    Attributes:
        source: what it is called.
        dataset: its recordings, to be embedded.
        folder: its frames, where they are embedded already; one of the two is given.
        whiten: also divide by the spread in every direction.
    """

    source: str
    dataset: object | None = None
    folder: Path | None = None
    whiten: bool = False


@dataclass(frozen=True)
class FrameSource:
    """Frames on disk.

    Attributes:
        folder: of the utterances, what `embed` wrote.
        manifest: what they were made of.
        layers: that are asked for, 0 to n.
        centre: the set that frames are centred on, with its folder; None = as they are.
    """

    folder: Path
    manifest: dict
    layers: tuple[int, ...]
    centre: Centre | None = None

    @property
    def ids(self) -> list[str]:
        """Of all utterances in the folder."""
        return read_frames(self.folder, self.layers[0])[0]

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return float(pd.read_parquet(self.folder / INDEX)["frame_rate_hz"].iloc[0])

    def read(self, layer: int, ids: Sequence[str]) -> list[np.ndarray]:
        """N arrays (T, D) float32, as they are; memory maps."""
        stored, frames = read_frames(self.folder, layer)
        place = {id: number for number, id in enumerate(stored)}
        return [frames[place[id]] for id in ids]

    def statistics(self, layer: int) -> FrameStatistics | None:
        """Of the set that frames are centred on."""
        if self.centre is None:
            return None
        ids, frames = read_frames(self.centre.folder, layer)
        return FrameStatistics.fit(frames, self.centre.source, ids, self.centre.whiten)


def frame_source(
    source: str | Path,
    dataset,
    out: Path,
    layers: Sequence[int] | None = None,
    centre: Centre | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    progress: bool = True,
    tell: Callable[[str], None] = print,
) -> FrameSource:
    """Embed what is not embedded yet.

    Args:
        source: a run folder, model folder or Hub id; or a folder of frames that `embed` wrote.
        dataset: the utterances.
        out: frames of a model go to its folders "frames" and "centre".
        layers: None = the last of a model, all of a folder.
        tell: is told what it will take, and what was left out.

    Raises:
        CheckpointError: no such model or layer; frames of something else.
        DialectError: a set for the centre that would have to be embedded, but there is no model.
    """
    if is_embedding_folder(source):
        if centre is not None and centre.folder is None:
            raise DialectError(
                f"{source} holds frames, so those of {centre.source} must be on disk too: write them with hf-dialects "
                "embed MODEL --frames, and name that folder instead"
            )
        manifest = _manifest(Path(source))
        n_layers, there = manifest["n_layers"], manifest["settings"]["layers"]
        chosen = there if layers is None else [one + n_layers + 1 if one < 0 else one for one in layers]
        found = FrameSource(Path(source), manifest, tuple(sorted(set(chosen))), centre)
        for layer in found.layers:
            read_frames(found.folder, layer)
    else:
        model, feature_extractor = load_for_inference(source, head=False)
        model.to(device)
        chosen = sorted({layer_index(model, layer) for layer in layers or (-1,)})

        def embedded(rows, folder: Path) -> Path:
            if not (folder / MANIFEST).is_file() or not _manifest(folder)["complete"]:
                tell(f"encoding {frame_cost(model, feature_extractor, rows, chosen)}")
            options = {"layers": chosen, "frames": True, "overwrite": overwrite, "progress": progress}
            skipped = embed(model, feature_extractor, rows, folder, **options)
            tell_left_out(skipped, folder, tell)
            return folder

        folder = embedded(dataset, out / "frames")
        found = FrameSource(folder, _manifest(folder), tuple(chosen), centre)
        if centre is not None and centre.folder is None:
            found = replace(found, centre=replace(centre, folder=embedded(centre.dataset, out / "centre")))
    if found.centre is not None:
        _check_centre(found)
    return found


def frame_cost(model, feature_extractor, dataset, layers: Sequence[int]):
    """`Cost` of writing all frames of a corpus."""
    cost = snippet_cost(model, feature_extractor, dataset, (None,), layers)
    size = 4 * output_size(encoder_of(model).config) * len(layers)
    return replace(cost, disk_bytes=round(3600 * cost.hours * frame_rate_hz(model, feature_extractor) * size))


def _check_centre(found: FrameSource) -> None:
    folder = found.centre.folder
    if differing := changes(_manifest(folder)["model"], found.manifest["model"]):
        raise CheckpointError(
            f"the frames in {folder} and those in {found.folder} are of different models ({', '.join(differing)}): "
            "embed both with one"
        )
    for layer in found.layers:
        read_frames(folder, layer)


def _manifest(folder: Path) -> dict:
    return json.loads((folder / MANIFEST).read_text("utf-8"))
