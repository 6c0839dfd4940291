"""Naming the dialect of single recordings of any length, window by window. The answers are those of `DialectPipeline`.

W windows, C dialects.
"""

import time
from itertools import islice

import torch

from hf_dialects.batch_size import BatchSize
from hf_dialects.errors import AudioError
from hf_dialects.inference import batches
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.pipeline_dialect import NO_SPEECH, minimum_samples
from hf_dialects.precision import precision_used
from hf_dialects.recordings import Recording
from hf_dialects.windowing import Window, Windowing

SAMPLE = 8  # windows on which a precision is held against float32


class RecordingClassifier:
    """Names the dialect of recordings, in memory that does not grow with them.

    Args:
        model: any audio classifier of transformers.
        feature_extractor: the encoder's.
        window_s, stride_s: other windows than the model's configuration says.
        min_speech: windows with a smaller share of speech are left out.
        calibrated: divide logits by the temperature in the model's configuration.
        batch_size: windows of one pass; None for the fastest on this processor, see `BatchSize`.
        normalize: "window" or "recording", see `Windowing`.
        precision: "float32" or "bfloat16" (float32, with a warning, where the hardware lacks it).

    Raises:
        DialectError: windows that do not fit the model, or whose front cannot be shared.
        ValueError: `calibrated` for a model without a temperature, or an unknown word.
    """

    def __init__(
        self,
        model,
        feature_extractor,
        window_s: float | None = None,
        stride_s: float | None = None,
        min_speech: float = 0.0,
        calibrated: bool = False,
        batch_size: int | None = None,
        normalize: str = "window",
        precision: str = "float32",
    ):
        if calibrated and model.config.model_type != DialectConfig.model_type:
            raise ValueError(
                f"a {model.config.model_type} model keeps no temperature, so nothing is known about its calibration; "
                "leave `calibrated` away"
            )
        window_s = window_s or getattr(model.config, "window_s", None)
        self.model, self.feature_extractor = model, feature_extractor
        self.temperature = model.config.temperature if calibrated else 1.0
        self.precision = precision_used(precision, model.device)
        self.windowing = Windowing(model, feature_extractor, window_s, stride_s, normalize, self.precision, min_speech)
        self.size = BatchSize.of(model, batch_size, window_s, normalize, self.precision)

    def __call__(self, audio, top_k: int | None = 5) -> dict:
        """What is spoken in a recording.

        Args:
            audio: what `data.audio.decode` takes.
            top_k: how many dialects, best first; None for all.

        Returns:
            {"labels": [{"label", "score"}], "windows": [{"start_s", "end_s", "speech_share", "scores"}]}, see
            `DialectPipeline`.

        Raises:
            AudioError: a recording that cannot be used.
        """
        heard, logits = self._logits(self._read(audio), self.windowing)
        names, rate = self.model.config.id2label, self.feature_extractor.sampling_rate
        if not heard:
            return {"labels": [{"score": None, "label": NO_SPEECH}], "windows": []}
        scores = (logits / self.temperature).softmax(-1)
        mean, order = scores.mean(0).topk(min(top_k or len(names), len(names)))
        ranked = zip(mean.tolist(), order.tolist(), strict=True)
        windows = [
            {
                "start_s": window.start / rate,
                "end_s": window.end / rate,
                "speech_share": window.share,
                "scores": {names[index]: score for index, score in enumerate(row)},
            }
            for window, row in zip(heard, scores.tolist(), strict=True)
        ]
        return {"labels": [{"score": score, "label": names[index]} for score, index in ranked], "windows": windows}

    def precision_difference(self, audio) -> tuple[float, float, int]:
        """The largest differences from float32 in logits and in probabilities, on the first windows of a recording.

        Returns:
            (of a logit, of a probability, how many windows were compared)
        """
        recording, own = self._read(audio), self.windowing
        exact = Windowing(
            self.model, self.feature_extractor, own.window_s, own.stride_s, own.normalize, "float32", own.min_speech
        )
        (_, found), (_, expected) = (self._logits(recording, one, SAMPLE) for one in (own, exact))
        if not len(found):
            return 0.0, 0.0, 0
        probabilities = (found.softmax(-1) - expected.softmax(-1)).abs().max().item()
        return (found - expected).abs().max().item(), probabilities, len(found)

    def _read(self, audio) -> Recording:
        rate = self.feature_extractor.sampling_rate
        recording, minimum = Recording.read(audio, rate), minimum_samples(self.feature_extractor, self.model.config)
        if len(recording) < minimum:
            raise AudioError(
                f"the recording lasts {len(recording) / rate:.3f} s, the encoder needs at least {minimum / rate:.3f} "
                "s: leave it out or give a longer one",
                "too short",
            )
        return recording

    def _logits(
        self, recording: Recording, windowing: Windowing, most: int | None = None
    ) -> tuple[list[Window], torch.Tensor]:
        """Windows, without their input, and logits (W, C) float32."""
        found = []
        with windowing.running():
            windows = enumerate(islice(windowing.windows(recording), most))
            for batch in batches(windows, self.size if most is None else 1, windowing.same_length):
                started = time.perf_counter()
                cut = [window for _, window in batch]
                logits = self.model(**windowing.inputs(cut)).logits.float().cpu()
                self.size.took(cut, time.perf_counter() - started)
                for (number, window), row in zip(batch, logits, strict=True):
                    found.append((number, Window(window.start, window.end, window.share, None), row))
        found.sort(key=lambda one: one[0])
        return [window for _, window, _ in found], torch.stack([row for *_, row in found]) if found else torch.empty(0)
