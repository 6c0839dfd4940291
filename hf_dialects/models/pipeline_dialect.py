"""Audio classification of recordings of any length: overlapping windows, mean of their probabilities."""

import torch
from transformers import AudioClassificationPipeline
from transformers.pipelines.base import ChunkPipeline

from .audio_dialect import load_audio
from .configuration_dialect import DialectConfig
from .encoder_dialect import input_name, minimum_input
from .feature_extraction_dialect import MINIMUM_S, extract, longest_input_s
from .speech_dialect import spoken_windows
from .windows_dialect import window_spans

NO_SPEECH = "no speech"


class DialectPipeline(ChunkPipeline, AudioClassificationPipeline):
    """Names the dialect of a recording.

    A recording is cut into windows (length and stride from the model's configuration), every window is classified, and
    the probabilities are averaged. Takes a path, the bytes of a file, a waveform (S,), or a dict with "array" or "raw"
    and "sampling_rate", with "bytes" or with "path".

    Args (of a call):
        top_k: how many dialects to return, best first; None for all.
        windows: also return every window's start, end (seconds), share of speech and probabilities.
        window_s, stride_s: other windows than the model's.
        min_speech: windows with a smaller share of speech, in [0, 1], are left out of the mean and of what `windows`
            returns. The share is told by loudness alone: it leaves out pauses and dead air, not music.
        calibrated: divide the logits of every window by the temperature in the model's configuration.

    Returns:
        list of {"label", "score"}. Where `min_speech` leaves no window it is [{"label": "no speech", "score": None}];
        no dialect has a score of None. With `windows` a dict {"labels": that list, "windows": [{"start_s", "end_s",
        "speech_share", "scores"}]}.

    Raises:
        ValueError: audio that cannot be read, is empty, shorter than the encoder's minimum, or holds NaN; `calibrated`
            for a model without a temperature.
    """

    def _sanitize_parameters(
        self, window_s=None, stride_s=None, windows=None, min_speech=None, calibrated=None, **kwargs
    ):
        preprocess, forward, postprocess = AudioClassificationPipeline._sanitize_parameters(self, **kwargs)
        given = {"window_s": window_s, "stride_s": stride_s, "min_speech": min_speech}
        preprocess |= {name: value for name, value in given.items() if value is not None}
        if calibrated and self.model.config.model_type != DialectConfig.model_type:
            raise ValueError(
                f"a {self.model.config.model_type} model keeps no temperature, so nothing is known about its "
                "calibration; leave `calibrated` away"
            )
        given = {"windows": windows, "min_speech": min_speech, "calibrated": calibrated}
        postprocess |= {name: value for name, value in given.items() if value is not None}
        return preprocess, forward, postprocess

    def preprocess(self, inputs, window_s=None, stride_s=None, min_speech=0.0):
        rate = self.feature_extractor.sampling_rate
        waveform = load_audio(inputs, rate)
        config = self.model.config
        window_s = window_s or getattr(config, "window_s", None)
        spans = spans_of(len(waveform), self.feature_extractor, config, window_s, stride_s)
        heard = spoken_windows(waveform, spans, rate, min_speech)
        # of several recordings, one that yields nothing would lose its place: a window goes on and is left out later
        heard = heard or spoken_windows(waveform, spans[-1:], rate)
        for index, (start, end, share) in enumerate(heard):
            features = extract(self.feature_extractor, [waveform[start:end]])
            yield {**features, "window": (start / rate, end / rate, share), "is_last": index == len(heard) - 1}

    def _forward(self, model_inputs):
        window, is_last = model_inputs.pop("window"), model_inputs.pop("is_last")
        return {"logits": self.model(**model_inputs).logits, "window": window, "is_last": is_last}

    def postprocess(
        self, model_outputs, top_k=5, function_to_apply=None, windows=False, min_speech=0.0, calibrated=False
    ):
        names = self.model.config.id2label
        temperature = self.model.config.temperature if calibrated else 1.0
        heard = [one for one in model_outputs if one["window"][2] >= min_speech]
        scores = [(one["logits"][0].float() / temperature).softmax(-1) for one in heard]  # W times (C,)
        if heard:
            mean, order = torch.stack(scores).mean(0).topk(min(top_k or len(names), len(names)))
            ranked = zip(mean.tolist(), order.tolist(), strict=True)
            labels = [{"score": score, "label": names[index]} for score, index in ranked]
        else:
            labels = [{"score": None, "label": NO_SPEECH}]
        if not windows:
            return labels
        listed = []
        for one, row in zip(heard, scores, strict=True):
            start, end, share = one["window"]
            of_labels = {names[index]: score for index, score in enumerate(row.tolist())}
            listed.append({"start_s": start, "end_s": end, "speech_share": share, "scores": of_labels})
        return {"labels": labels, "windows": listed}


def spans_of(
    n_samples: int, feature_extractor, config, window_s: float | None, stride_s: float | None = None
) -> list[tuple[int, int]]:
    """Windows (start, end) in samples of a recording, for this model.

    Raises:
        ValueError: the recording is empty or shorter than the encoder's minimum, or the window longer than it takes.
    """
    rate = feature_extractor.sampling_rate
    longest = longest_input_s(feature_extractor)
    if longest is not None and (window_s or longest) > longest + 1e-9:
        raise ValueError(
            f"window_s is {window_s} s, but the encoder takes {longest:.2f} s at most: set a shorter window"
        )
    return window_spans(
        n_samples,
        rate,
        window_s or longest,
        stride_s or getattr(config, "stride_s", None) or window_s,
        tail=getattr(config, "tail", "keep"),
        minimum_samples=minimum_samples(feature_extractor, config),
    )


def minimum_samples(feature_extractor, config) -> int:
    """Shortest recording, in samples, that the extractor and the encoder of this model take."""
    encoder_config = getattr(config, "encoder_config", config)
    shortest = minimum_input(encoder_config)
    if input_name(encoder_config) == "input_features" and shortest > 1:
        shortest = (shortest - 1) * feature_extractor.hop_length + getattr(feature_extractor, "window_length", 0)
    return max(shortest, round(MINIMUM_S * feature_extractor.sampling_rate))
