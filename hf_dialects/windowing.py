"""The windows of recordings as what a model takes: each normalised on its own, or cut out of one pass of the front.

S samples, T frames and C channels of the front, B windows.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import tee

import numpy as np
import torch

from hf_dialects.errors import DialectError
from hf_dialects.frames import encoder_of
from hf_dialects.models.encoder_dialect import padding_leaks
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.pipeline_dialect import minimum_samples, spans_of
from hf_dialects.models.speech_dialect import speech_share
from hf_dialects.precision import running_in
from hf_dialects.recordings import Recording, slices
from hf_dialects.shared_front import check_shared_front, frame_span, front_frames, front_of, given_frames

NORMALIZE = ("window", "recording")


@dataclass(frozen=True)
class Window:
    """One window of a recording.

    Attributes:
        start, end: in samples, end excluded.
        share: of speech, relative to the loud frames of the whole recording.
        input: (S,) float32 samples, or (T, C) frames of the front.
    """

    start: int
    end: int
    share: float
    input: np.ndarray | torch.Tensor

    def __len__(self) -> int:
        return self.end - self.start


class Windowing:
    """How recordings become the input of a model, window by window, in memory that does not grow with them.

    With normalize="window" the feature extractor sees every window alone. With "recording" samples are normalised once
    over the recording (where the extractor normalises at all), the front of the encoder runs once over it, and the
    frames of a window are cut out: bit-equal to windows of the normalised recording that go through the model one at a
    time, within rounding where they are shorter than 1.3 s. The two differ in what a model hears of quiet and loud
    stretches.

    Args:
        model: a dialect model, an audio classifier of transformers, or an encoder.
        feature_extractor: the encoder's.
        window_s, stride_s: see `spans_of`.
        normalize: of `NORMALIZE`.
        precision: of `precision.PRECISIONS`.
        min_speech: windows with a smaller share of speech are left out.

    Attributes:
        same_length: whether windows of a batch must be equally long.

    Raises:
        DialectError: windows that do not fit the model, or whose front cannot be shared.
        ValueError: an unknown word, or `min_speech` is no share.
    """

    def __init__(
        self,
        model,
        feature_extractor,
        window_s: float | None = None,
        stride_s: float | None = None,
        normalize: str = "window",
        precision: str = "float32",
        min_speech: float = 0.0,
    ):
        if normalize not in NORMALIZE:
            raise ValueError(f"normalize is {normalize!r}; it must be one of: {', '.join(NORMALIZE)}")
        if not 0 <= min_speech <= 1:
            raise ValueError(f"min_speech is {min_speech}; it must be a share of speech between 0 and 1, such as 0.3")
        self.model, self.feature_extractor, self.config = model, feature_extractor, model.config
        self.window_s, self.stride_s, self.min_speech = window_s, stride_s, min_speech
        self.normalize, self.precision = normalize, precision
        self.shared = normalize == "recording"
        if self.shared:
            stride_s = stride_s or getattr(model.config, "stride_s", None)
            check_shared_front(model, feature_extractor, window_s, stride_s)
        try:
            self.spans(minimum_samples(feature_extractor, model.config))
        except ValueError as error:
            raise DialectError(str(error)) from error
        self.same_length = self.shared or padding_leaks(getattr(model.config, "encoder_config", model.config))
        self._front = None

    def spans(self, n_samples: int) -> list[tuple[int, int]]:
        """(start, end) in samples of the windows of a recording."""
        return spans_of(n_samples, self.feature_extractor, self.config, self.window_s, self.stride_s)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The model in eval mode and in the wanted precision, ready for `inputs`; windows are taken within."""
        was_training = self.model.training
        self.model.eval()
        try:
            with ExitStack() as stack:
                if self.shared:
                    self._front = stack.enter_context(given_frames(self.model))
                stack.enter_context(running_in(self.precision, self.model.device))
                stack.enter_context(torch.inference_mode())
                yield
        finally:
            self._front = None
            self.model.train(was_training)

    def windows(self, recording: Recording) -> Iterator[Window]:
        """Windows of a recording in which enough is said, in order."""
        spans, rate = self.spans(len(recording)), recording.sampling_rate
        blocks, again = tee(recording.blocks())
        cut = (piece.numpy() for piece in slices(map(torch.from_numpy, blocks), spans))
        full = spans[0][1] - spans[0][0]
        frames = self._frames(recording, again, [span for span in spans if span[1] - span[0] == full])
        loud = recording.survey.loud_db
        for (start, end), samples in zip(spans, cut, strict=True):
            found = samples
            if self.shared and end - start == full:
                found = next(frames)
            elif self.shared:  # the last window, where it is shorter
                found = front_of(self._front, self._normalized(recording, samples))
            share = speech_share(samples, rate, loud)
            if share >= self.min_speech:
                yield Window(start, end, share, found)

    def _normalized(self, recording: Recording, samples: np.ndarray) -> torch.Tensor:
        if getattr(self.feature_extractor, "do_normalize", False):
            samples = recording.survey.normalized(samples)
        return torch.from_numpy(samples)

    def _frames(self, recording: Recording, blocks, spans) -> Iterator[torch.Tensor]:
        config = encoder_of(self.model).config
        samples = (self._normalized(recording, block) for block in blocks)
        frames = front_frames(self._front, config, samples)
        return slices(frames, [frame_span(start, end, config) for start, end in spans])

    def inputs(self, windows: Sequence[Window]) -> dict[str, torch.Tensor]:
        """What the model takes for these windows, on its device."""
        device = self.model.device
        if not self.shared:
            return extract(self.feature_extractor, [window.input for window in windows]).to(device)
        return {"input_values": torch.stack([window.input for window in windows]).transpose(1, 2)}
