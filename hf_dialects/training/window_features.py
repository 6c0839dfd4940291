"""Pooled features of every window and layer of a corpus, computed once and kept on disk.

W windows, P size of a pooled vector.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from hf_dialects.data.audio import decode
from hf_dialects.errors import RecipeError
from hf_dialects.models import encoder_dialect
from hf_dialects.models.encoder_dialect import frame_mask, hidden_states
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.pipeline_dialect import spans_of

SHARD = 100  # recordings of one file: what an interruption can lose at most


@dataclass
class WindowFeatures:
    """Features of a corpus.

    Attributes:
        ids: of the recordings.
        owner: (W,) int64, position in `ids` of every window's recording.
        layers: layer → (W, P) float32.
    """

    ids: list[str]
    owner: np.ndarray
    layers: dict[int, np.ndarray]

    def select(self, ids: list[str]) -> "WindowFeatures":
        """The windows of these recordings, in this order."""
        position = {id: index for index, id in enumerate(self.ids)}
        by_owner = np.split(np.arange(len(self.owner)), np.flatnonzero(np.diff(self.owner)) + 1)
        groups = [by_owner[position[id]] for id in ids]
        rows = np.concatenate(groups)
        owner = np.repeat(np.arange(len(ids)), [len(group) for group in groups])
        return WindowFeatures(list(ids), owner, {layer: values[rows] for layer, values in self.layers.items()})


def wanted_layers(text: str | None, model) -> list[int]:
    """ "6,9,12", "all" or None (the configured one) → layer numbers from 0.

    Raises:
        RecipeError: not a number, or outside the encoder.
    """
    n_layers = model.config.encoder_config.num_hidden_layers
    if text is None:
        return list(range(n_layers + 1)) if model.config.layer == "weighted" else [model.config.layer_index]
    if text == "all":
        return list(range(n_layers + 1))
    try:
        numbers = [int(one) for one in text.split(",")]
    except ValueError as error:
        raise RecipeError(f'layers is {text!r}; give numbers such as 6,9,12, or "all"') from error
    outside = [one for one in numbers if not -n_layers - 1 <= one <= n_layers]
    if outside:
        raise RecipeError(
            f"layer {outside[0]} is outside the encoder: it has 0 (input of the first block) to {n_layers}"
        )
    return sorted({one % (n_layers + 1) for one in numbers})


def window_features(
    model, feature_extractor, corpus, layers: list[int], folder: Path, progress: bool = True
) -> WindowFeatures:
    """Compute, or read back what an earlier call with the same model, corpus, layers and code left in `folder`.

    Args:
        model: `DialectForAudioClassification` with a pooling that has nothing to learn.
        feature_extractor: the encoder's.
        corpus: screened recordings.
        layers: layer numbers from 0.
        folder: files named by the fingerprint of all that determines them; finished shards survive an interruption.
    """
    key = fingerprint(model, feature_extractor, corpus, layers)
    folder.mkdir(parents=True, exist_ok=True)
    ids = list(corpus["id"])
    shards = []
    starts = range(0, len(ids), SHARD)
    for start in tqdm(starts, desc="features of frozen encoder", unit=f"{SHARD} clips", disable=not progress):
        path = folder / f"{key}-{start // SHARD:05d}.safetensors"
        if not path.is_file():
            partial = path.with_suffix(".partial")
            save_file(
                _shard(model, feature_extractor, corpus, range(start, min(start + SHARD, len(ids))), layers), partial
            )
            partial.replace(path)
        shards.append(load_file(path))
    owner = np.concatenate([shard["owner"] for shard in shards])
    return WindowFeatures(
        ids, owner, {layer: np.concatenate([shard[f"layer-{layer}"] for shard in shards]) for layer in layers}
    )


@torch.inference_mode()
def _shard(model, feature_extractor, corpus, rows: range, layers: list[int]) -> dict[str, np.ndarray]:
    model.eval()
    base, rate = model.base_model, feature_extractor.sampling_rate
    owner, vectors = [], {layer: [] for layer in layers}
    for row in rows:
        waveform = decode(corpus[row]["audio"], rate)
        for start, end in spans_of(len(waveform), feature_extractor, model.config, model.config.window_s):
            inputs = dict(extract(feature_extractor, [waveform[start:end]]).to(model.device))
            inputs[base.main_input_name] = inputs[base.main_input_name].to(base.dtype)
            states = hidden_states(base.encoder, inputs, all_layers=True)
            mask = frame_mask(base.encoder, inputs.get("attention_mask"), states[-1])
            owner.append(row)
            for layer in layers:
                vectors[layer].append(base.pooling(states[layer], mask)[0].float().cpu().numpy())
    return {"owner": np.array(owner)} | {f"layer-{layer}": np.stack(found) for layer, found in vectors.items()}


def fingerprint(model, feature_extractor, corpus, layers: list[int]) -> str:
    """sha256 over encoder weights, configuration, windows, ids and durations, layers and the code that encodes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.base_model.encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    config = model.config
    settings = [
        config.pooling,
        config.window_s,
        config.stride_s,
        config.tail,
        layers,
        feature_extractor.to_json_string(),
    ]
    digest.update(json.dumps(settings, default=str).encode())
    digest.update(json.dumps([list(corpus["id"]), [round(float(value), 4) for value in corpus["duration"]]]).encode())
    digest.update(Path(encoder_dialect.__file__).read_bytes())
    return digest.hexdigest()[:24]
