"""A dialect classifier as a classifier of transformers, which loads without remote code.

`…ForSequenceClassification` projects frames, takes their mean without padding, and classifies it: with the identity as
projection this is a dialect model with mean pooling of the last layer and a linear head.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import (
    HubertForSequenceClassification,
    Wav2Vec2ForSequenceClassification,
    WavLMForSequenceClassification,
)

from hf_dialects.errors import CheckpointError
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.saving import load_for_inference

STOCK = {
    "wav2vec2": Wav2Vec2ForSequenceClassification,
    "hubert": HubertForSequenceClassification,
    "wavlm": WavLMForSequenceClassification,
}
TOLERANCE = 1e-4  # of logits, which sum in another order
SECONDS = (1.0, 0.6)  # of the waveforms that are compared, so that one is padded


def write_plain(checkpoint: str | Path, folder: Path) -> None:
    """Write a dialect classifier as a stock model with the same logits.

    Args:
        checkpoint: run or model folder of a `DialectForAudioClassification`.
        folder: to write config.json, model.safetensors and preprocessor_config.json into.

    Raises:
        CheckpointError: the architecture has no stock equal (says why), or the logits differ.
    """
    model, extractor = load_for_inference(checkpoint)
    stock = plain_model(model)
    _compare(model, stock, extractor)
    stock.save_pretrained(folder)
    extractor.save_pretrained(folder)


def plain_model(model: DialectForAudioClassification):
    """The stock model, with the same weights.

    Raises:
        CheckpointError: there is none.
    """
    if reason := obstacle(model):
        raise CheckpointError(
            f"--plain cannot write this model: {reason}. A stock classifier takes the mean of the last layer of "
            f"{', '.join(STOCK)} and a linear head; push without --plain"
        )
    config = copy.deepcopy(model.config.encoder_config)
    config.update({"classifier_proj_size": config.hidden_size, "use_weighted_layer_sum": False})
    config.id2label, config.label2id = model.config.id2label, model.config.label2id
    stock = STOCK[config.model_type](config).to(model.dtype)
    getattr(stock, stock.base_model_prefix).load_state_dict(model.dialect.encoder.state_dict())
    (linear,) = (one for one in model.classifier if isinstance(one, nn.Linear))
    with torch.no_grad():
        stock.projector.weight.copy_(torch.eye(config.hidden_size))
        stock.projector.bias.zero_()
        stock.classifier.weight.copy_(linear.weight)
        stock.classifier.bias.copy_(linear.bias)
    return stock.eval()


def obstacle(model) -> str | None:
    """Why there is no stock model of the same function; None where there is."""
    if not isinstance(model, DialectForAudioClassification):
        return f"it is a {type(model).__name__}, no dialect classifier"
    config = model.config
    encoder = config.encoder_config
    if encoder.model_type not in STOCK:
        return f"its encoder is {encoder.model_type}"
    if getattr(encoder, "add_adapter", False):
        return "its encoder ends in an adapter"
    if config.pooling != "mean":
        return f"its pooling is {config.pooling}"
    if config.layer_index != encoder.num_hidden_layers:
        return f"it pools layer {config.layer} of {encoder.num_hidden_layers}"
    if config.classifier_hidden:
        return "its head has a hidden layer"
    return None


def _compare(model, stock, extractor) -> None:
    """With padding and without."""
    random = np.random.default_rng(0)
    clips = [
        (0.1 * random.standard_normal(round(seconds * extractor.sampling_rate))).astype(np.float32)
        for seconds in SECONDS
    ]
    options = {"sampling_rate": extractor.sampling_rate, "padding": True, "return_tensors": "pt"}
    for batch in (clips, clips[:1]):
        inputs = extractor(batch, **options)
        with torch.no_grad():
            difference = (model(**inputs).logits - stock(**inputs).logits).abs().max().item()
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"--plain gives other logits than the dialect model (by {difference:.2g}): push without --plain"
            )
