"""Frames of recordings of any length. The encoder is run over recordings here and in `inference` only.

S samples, T encoder frames, D channels of a frame, n blocks of the encoder.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hf_dialects.errors import DialectError
from hf_dialects.models.encoder_dialect import (
    fixed_input,
    frame_lengths,
    frame_mask,
    frame_stride,
    hidden_states,
    input_name,
    minimum_input,
    one_frame_rate,
)
from hf_dialects.models.feature_extraction_dialect import extract, extract_whole, longest_input_s
from hf_dialects.models.pipeline_dialect import minimum_samples
from hf_dialects.recordings import Recording, slices

KALDI_HOP = 160  # samples; extractors that stack Kaldi features (wav2vec2-bert) do not name it


def encoder_of(model):
    """The bare encoder of a dialect model, of an audio classifier of transformers, or of an encoder itself."""
    if model.config.model_type == "dialect":
        return model.base_model.encoder
    return model.get_encoder() if model.config.is_encoder_decoder else model.base_model


def frame_rate_hz(model, feature_extractor) -> float:
    """Frames per second of `encode_frames`."""
    config, hop = encoder_of(model).config, 1
    if input_name(config) == "input_features":
        hop = getattr(feature_extractor, "hop_length", KALDI_HOP) * getattr(feature_extractor, "stride", 1)
    return feature_extractor.sampling_rate / (hop * frame_stride(config))


def layer_index(model, layer: int) -> int:
    """`layer` as 0 (input of the first block) … n (output of the last); negative counts from the last.

    Raises:
        DialectError: the encoder has no such layer.
    """
    n_layers = encoder_of(model).config.num_hidden_layers
    if not -n_layers - 1 <= layer <= n_layers:
        raise DialectError(
            f"layer is {layer}, the encoder has {n_layers} blocks: take 0 to {n_layers}, or -1 to {-n_layers - 1}"
        )
    return layer % (n_layers + 1)


@torch.inference_mode()
def encode_frames(
    model,
    feature_extractor,
    waveform: np.ndarray,
    layers: Sequence[int] = (-1,),
    chunk_s: float = 30.0,
    context_s: float = 2.0,
) -> dict[int, np.ndarray]:
    """Hidden states of a recording of any length, as many frames as in one pass over all of it.

    A recording of at most `chunk_s` goes through the encoder in one pass. A longer one is analysed and normalised as a
    whole and encoded in chunks that start on the encoder's frame grid; every pass sees `context_s` more on both sides,
    whose frames are thrown away. Convolutions then give what they would give in one pass; attention sees the chunk and
    its context instead of the whole recording, and group-normalised fronts average over it, so values differ from one
    pass.

    Encoders of fixed length (Whisper) take as much as fits into every pass, at most a quarter of it as context on each
    side.

    Args:
        model: a dialect model, an audio classifier of transformers, or an encoder.
        feature_extractor: the encoder's.
        waveform: (S,) float32 at the extractor's rate.
        layers: hidden states to return; 0 is the input of the first block, n the final output, negative counts from
            the last.
        chunk_s: seconds of new frames in one pass.
        context_s: seconds of context on both sides.

    Returns:
        {layer as given: (T, D) float32}

    Raises:
        DialectError: a layer that the encoder lacks, an encoder whose frames are not those of its input, or a recording
            that is too short.
    """
    indices = {layer: layer_index(model, layer) for layer in layers}
    _check(encoder_of(model), feature_extractor, waveform)
    was_training = model.training
    model.eval()
    parts = list(frame_blocks(model, feature_extractor, waveform, indices.values(), chunk_s, context_s))
    model.train(was_training)
    return {layer: np.concatenate([part[index] for part in parts]) for layer, index in indices.items()}


@torch.inference_mode()
def frame_blocks(
    model,
    feature_extractor,
    recording: np.ndarray | Recording,
    indices: Collection[int],
    chunk_s: float = 30.0,
    context_s: float = 2.0,
) -> Iterator[dict[int, np.ndarray]]:
    """What `encode_frames` gives, chunk by chunk, of a model in eval mode.

    A `Recording` is never held: memory does not grow with its length. Its frames are those of its waveform within
    rounding, since its mean and deviation are summed in another order (see `Recording.survey`); it must be one that
    `encodes_in_blocks` lets pass.

    Args:
        indices: hidden states to return, 0 to n.

    Yields:
        {index: (T_i, D) float32}
    """
    _check(encoder_of(model), feature_extractor, recording)
    encoder, config = encoder_of(model), encoder_of(model).config
    longest_s = longest_input_s(feature_extractor)
    in_blocks = isinstance(recording, Recording)
    if not in_blocks and len(recording) <= (longest_s or chunk_s) * feature_extractor.sampling_rate:
        states, mask = run_encoder(encoder, extract(feature_extractor, [recording]), indices)
        yield {index: _array(state[0][mask[0]]) for index, state in states.items()}
        return
    rate = frame_rate_hz(model, feature_extractor)
    if in_blocks:
        length = len(recording)
        samples = map(torch.from_numpy, recording.normalized_blocks(feature_extractor))
        passes = _passes(encoder, length, chunk_s * rate, context_s * rate)
        parts = (part[None] for part in slices(samples, [one.samples for one in passes]))
    else:
        time = 2 if config.model_type == "whisper" else 1
        values = extract_whole(feature_extractor, recording)
        passes = _passes(encoder, values.shape[time], chunk_s * rate, context_s * rate)
        parts = (values.narrow(time, one.samples[0], one.samples[1] - one.samples[0]) for one in passes)
    for one, part in zip(passes, parts, strict=True):
        states, _ = run_encoder(encoder, {input_name(config): part}, indices)
        yield {index: _array(state[0, one.first : one.end]) for index, state in states.items()}


def encodes_in_blocks(model, feature_extractor) -> bool:
    """Whether frames of a `Recording` can be taken: of encoders of samples that take any length. The features of the
    others are normalised over the whole recording."""
    of_samples = input_name(encoder_of(model).config) == "input_values"
    return of_samples and longest_input_s(feature_extractor) is None


@dataclass(frozen=True)
class _Pass:
    """One pass over a stretch of a long input: which part of the input it sees, [start, end), and which of its frames
    are new, [first, end)."""

    samples: tuple[int, int]
    first: int
    end: int


def _passes(encoder, length: int, chunk: float, context: float) -> list[_Pass]:
    """Passes over an input of some length, in order; chunk and context in frames."""
    config = encoder.config
    stride, receptive = frame_stride(config), minimum_input(config)
    n_frames = int(frame_lengths(encoder, torch.tensor(length)))
    chunk, context = max(1, round(chunk)), round(context)
    one_pass = chunk + 2 * context
    if (fixed := fixed_input(config)) is not None:
        one_pass = fixed // stride
        context = min(context, one_pass // 4)
        chunk = min(chunk, one_pass - 2 * context)
    n_chunks = -(-n_frames // chunk)
    passes = []
    for number in range(n_chunks):
        first, end = n_frames * number // n_chunks, n_frames * (number + 1) // n_chunks
        start = max(0, min(first - context, n_frames - one_pass))
        stop = min(n_frames, start + one_pass)
        input_stop = length if stop == n_frames else (stop - 1) * stride + max(stride, receptive)
        passes.append(_Pass((start * stride, input_stop), first - start, end - start))
    return passes


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def run_encoder(encoder, inputs: Mapping[str, torch.Tensor], indices: Collection[int]):
    """One pass of the encoder.

    Args:
        encoder: see `encoder_of`.
        inputs: `input_values` or `input_features` (B, …), optionally `attention_mask`.
        indices: hidden states to return, 0 to n.

    Returns:
        ({index: (B, T, D)}, mask (B, T) bool, True = frame of the utterance)

    Raises:
        DialectError: layers below the last of an encoder that has more frames there.
    """
    last = encoder.config.num_hidden_layers
    if set(indices) != {last} and not one_frame_rate(encoder.config):
        raise DialectError(
            f"the {encoder.config.model_type} encoder has its last frames at a lower rate than those below, which "
            f"layers {sorted(set(indices))} ask for: take the last layer, {last} or -1, alone"
        )
    name = input_name(encoder.config)
    given = {name: inputs[name].to(encoder.device, encoder.dtype)}
    if "attention_mask" in inputs:
        given["attention_mask"] = inputs["attention_mask"].to(encoder.device)
    states = hidden_states(encoder, given, all_layers=set(indices) != {last})
    mask = frame_mask(encoder, given.get("attention_mask"), states[-1])
    return {index: states[-1 if index == last else index] for index in indices}, mask


def _check(encoder, feature_extractor, waveform: np.ndarray | Recording) -> None:
    config, name = encoder.config, feature_extractor.model_input_names[0]
    if name != input_name(config) or not hasattr(config, "num_hidden_layers"):
        raise DialectError(
            f"{config.model_type} is no encoder with one frame per stretch of {name}: its frames cannot be taken"
        )
    if getattr(config, "add_adapter", False):
        raise DialectError(
            f"the {config.model_type} encoder has an adapter, whose frames are not on the grid of the other layers; "
            "load it with encoder_overrides={'add_adapter': False}"
        )
    minimum = minimum_samples(feature_extractor, config)
    shape = (len(waveform),) if isinstance(waveform, Recording) else waveform.shape
    if len(shape) != 1 or len(waveform) < minimum:
        raise DialectError(f"the waveform has shape {shape}: (S,) with at least {minimum} samples is expected")
