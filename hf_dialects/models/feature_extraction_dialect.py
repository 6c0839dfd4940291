"""Log-mel features for encoders trained from scratch, and one way to call any encoder's feature extractor.

B utterances, S samples, F feature frames, M mel bins.
"""

from copy import copy

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from .decibel_mel_dialect import decibel_mel

SCALES = ("log", "decibel")
MINIMUM_S = 0.035  # two analysis windows of 25 ms, 10 ms apart: front-ends that stack two make no frame of less


class DialectFeatureExtractor(SequenceFeatureExtractor):
    """Log-mel energies with a chosen hop, the mean of every bin over the utterance taken away.

    A frame needs its whole analysis window inside the utterance, so frames do not depend on padding; utterances
    shorter than one window are completed with zeros.

    Args:
        feature_size: M, mel bins.
        sampling_rate: of the input in Hz.
        hop_s: distance between frames in seconds.
        window_s: analysis window in seconds (Hann).
        n_fft: length of the Fourier transform; at least the window.
        bins_first: give (B, M, F), as Whisper encoders take it, instead of (B, F, M).
        frames: pad every batch to this many frames, for encoders of fixed length; None pads to the longest.
        normalize: take away the mean of every bin over the utterance's frames.
        scale: "log", the natural logarithm as described above; or "decibel", the features of models trained with
            SpeechBrain (`decibel_mel`), whose frames are centred on multiples of the hop, so that the first and last
            reach beyond the utterance.

    Raises:
        ValueError: settings that do not go together.
    """

    model_input_names = ["input_features", "attention_mask"]  # noqa: RUF012

    def __init__(
        self,
        feature_size: int = 40,
        sampling_rate: int = 16000,
        hop_s: float = 0.02,
        window_s: float = 0.032,
        n_fft: int = 512,
        bins_first: bool = False,
        frames: int | None = None,
        normalize: bool = True,
        scale: str = "log",
        padding_value: float = 0.0,
        **kwargs,
    ):
        kwargs["return_attention_mask"] = True  # saved files hold it too
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.hop_s, self.window_s, self.n_fft = hop_s, window_s, n_fft
        self.bins_first, self.frames, self.normalize, self.scale = bins_first, frames, normalize, scale
        if scale not in SCALES or (scale == "decibel" and frames is not None):
            raise ValueError(
                f"scale must be one of {', '.join(SCALES)}, without frames for decibel; found {scale!r} and {frames}"
            )
        if n_fft < self.window_length:
            raise ValueError(f"n_fft is {n_fft}, but the window of {window_s} s has {self.window_length} samples")

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return round(self.hop_s * self.sampling_rate)

    @property
    def window_length(self) -> int:
        """Samples of one analysis window."""
        return round(self.window_s * self.sampling_rate)

    @property
    def longest_s(self) -> float | None:
        """Seconds of speech that fit in `frames`; None where any length goes."""
        if self.frames is None:
            return None
        return ((self.frames - 1) * self.hop_length + self.window_length) / self.sampling_rate

    def log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """Logarithm of mel energies on the configured scale, not normalised: (S,) float32 → (F, M) float32."""
        samples = torch.as_tensor(np.asarray(waveform, dtype=np.float32))
        if self.scale == "decibel":
            sizes = self.feature_size, self.sampling_rate, self.n_fft, self.window_length, self.hop_length
            return decibel_mel(samples, *sizes).numpy()
        samples = torch.nn.functional.pad(samples, (0, max(0, self.window_length - len(samples))))
        windows = samples.unfold(0, self.window_length, self.hop_length) * torch.hann_window(self.window_length)
        power = torch.fft.rfft(windows, self.n_fft).abs().square()  # (F, n_fft / 2 + 1)
        return torch.log(power @ self._filters() + 1e-6).numpy()

    def batch(self, features: list[np.ndarray]) -> BatchFeature:
        """Normalise and pad log-mel matrices.

        Args:
            features: list of (F_i, M) float32, as `log_mel` gives them.

        Returns:
            `input_features` (B, F, M), or (B, M, F) with `bins_first`, float32, zeros where padded; `attention_mask`
            (B, F) int64.

        Raises:
            ValueError: an utterance is longer than `frames`.
        """
        longest = max(len(one) for one in features)
        if self.frames is not None and longest > self.frames:
            raise ValueError(
                f"an utterance has {longest} feature frames, the encoder takes {self.frames} ({self.longest_s:.2f} s): "
                "cut the recording into windows (set window_s)"
            )
        padded = np.zeros((len(features), self.frames or longest, self.feature_size), dtype=np.float32)
        mask = np.zeros(padded.shape[:2], dtype=np.int64)
        for row, one in enumerate(features):
            padded[row, : len(one)] = one - one.mean(0, keepdims=True) if self.normalize else one
            mask[row, : len(one)] = 1
        if self.bins_first:
            padded = np.ascontiguousarray(padded.transpose(0, 2, 1))
        return BatchFeature({"input_features": padded, "attention_mask": mask})

    def __call__(
        self, raw_speech, sampling_rate: int | None = None, return_tensors: str | None = None, **kwargs
    ) -> BatchFeature:
        """Features of one waveform (S,) or a list of waveforms, see `batch`.

        Raises:
            ValueError: the waveforms were recorded at another rate than `sampling_rate`.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"the audio is sampled at {sampling_rate} Hz, the model takes "
                f"{self.sampling_rate} Hz: resample it first"
            )
        one = isinstance(raw_speech, (np.ndarray, torch.Tensor)) and raw_speech.ndim == 1
        features = self.batch([self.log_mel(waveform) for waveform in ([raw_speech] if one else raw_speech)])
        return features.convert_to_tensors(return_tensors) if return_tensors else features

    def _filters(self) -> torch.Tensor:
        key = (self.n_fft, self.feature_size, self.sampling_rate)
        if key not in _FILTERS:
            _FILTERS[key] = torch.from_numpy(
                mel_filter_bank(
                    num_frequency_bins=self.n_fft // 2 + 1,
                    num_mel_filters=self.feature_size,
                    min_frequency=20.0,
                    max_frequency=self.sampling_rate / 2,
                    sampling_rate=self.sampling_rate,
                    norm=None,
                    mel_scale="htk",
                )
            ).float()
        return _FILTERS[key]


_FILTERS: dict[tuple[int, int, int], torch.Tensor] = {}


def extract(feature_extractor, waveforms: list[np.ndarray]) -> BatchFeature:
    """Batch waveforms for an encoder with the extractor it was trained with.

    Args:
        feature_extractor: any feature extractor of transformers.
        waveforms: list of (S_i,) float32 at the extractor's rate.

    Returns:
        `input_values` or `input_features`, and `attention_mask` (B, ·): 1 = input, 0 = padding. torch tensors.

    Raises:
        ValueError: a waveform is longer than the encoder takes in one pass.
    """
    rate = feature_extractor.sampling_rate
    shortest = round(MINIMUM_S * rate)
    waveforms = [np.pad(one, (0, max(0, shortest - len(one)))) for one in waveforms]
    options = {}
    if _is_whisper(feature_extractor):
        longest, limit = max(map(len, waveforms)), feature_extractor.n_samples
        if longest > limit:  # the extractor would cut it without a word
            raise ValueError(
                f"an utterance lasts {longest / rate:.2f} s, the encoder takes {limit / rate:.2f} s: "
                "cut the recording into windows (set window_s)"
            )
        options = {"padding": "max_length", "return_attention_mask": True}  # pads the samples before the spectrum
    elif not isinstance(feature_extractor, DialectFeatureExtractor):
        options = {"padding": True, "return_attention_mask": True}
    return feature_extractor(waveforms, sampling_rate=rate, return_tensors="pt", **options)


def extract_whole(feature_extractor, waveform: np.ndarray) -> torch.Tensor:
    """Input (1, S), (1, F, M) or (1, M, F) of a recording of any length, also for encoders that take a fixed one.

    Args:
        feature_extractor: any feature extractor of transformers.
        waveform: (S,) float32 at the extractor's rate.
    """
    if isinstance(feature_extractor, DialectFeatureExtractor):
        feature_extractor = copy(feature_extractor)
        feature_extractor.frames = None
    options = {"padding": True, "return_attention_mask": True, "return_tensors": "pt"}
    if _is_whisper(feature_extractor):  # a started hop counts as a frame, as in `extract`
        options |= {"truncation": False, "pad_to_multiple_of": feature_extractor.hop_length}
    inputs = feature_extractor([waveform], sampling_rate=feature_extractor.sampling_rate, **options)
    values = inputs[feature_extractor.model_input_names[0]]
    bins_first = _is_whisper(feature_extractor) or getattr(feature_extractor, "bins_first", False)
    return values.narrow(2 if bins_first else 1, 0, int(inputs["attention_mask"].sum()))


def longest_input_s(feature_extractor) -> float | None:
    """Seconds that extractor and encoder take in one pass; None where any length goes."""
    if _is_whisper(feature_extractor):
        return feature_extractor.n_samples / feature_extractor.sampling_rate
    if isinstance(
        getattr(feature_extractor, "max_length", None), int
    ):  # the audio spectrogram transformer's, 10 ms hop
        return feature_extractor.max_length * 0.01
    return getattr(feature_extractor, "longest_s", None)


def _is_whisper(feature_extractor) -> bool:
    return hasattr(feature_extractor, "nb_max_frames")
