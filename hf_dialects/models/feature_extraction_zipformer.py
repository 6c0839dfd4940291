"""Kaldi filter-bank features for the Zipformer.

B utterances, S samples, F feature frames, M mel bins.
"""

from math import log

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor

FLOOR = 1e-10  # of energies, and so of padding
SHORTEST_FRAMES = 9  # of which the encoder makes one


class ZipformerFeatureExtractor(SequenceFeatureExtractor):
    """Logarithms of mel energies as Kaldi computes them, not normalised.

    Frames of 25 ms every 10 ms, centred, so that an utterance of S samples has (S + 80) // 160 at 16 kHz and its ends
    are mirrored; mean removed, pre-emphasis 0.97, Povey window, no dither; bins from 20 Hz to 400 Hz below half the
    rate. An utterance too short for one frame of the encoder, below 85 ms, is completed with zeros to that length.

    Args:
        feature_size: M, mel bins.
        sampling_rate: of the input in Hz.
        padding_value: of frames behind an utterance; the logarithm of the smallest energy.
    """

    model_input_names = ["input_features", "attention_mask"]  # noqa: RUF012

    def __init__(self, feature_size: int = 80, sampling_rate: int = 16000, padding_value: float = log(FLOOR), **kwargs):
        kwargs["return_attention_mask"] = True  # saved files hold it too
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return self.sampling_rate // 100

    def filter_bank(self, waveform: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Features of one utterance: (S,) in [-1, 1] → (F, M) float32.

        Raises:
            ImportError: torchaudio is missing, or does not fit the installed torch.
            ValueError: more than one channel.
        """
        try:
            from torchaudio.compliance.kaldi import fbank
        except (ImportError, OSError, RuntimeError) as error:
            raise ImportError(
                f"Kaldi features need torchaudio, which cannot be imported ({error}); install one that fits torch: "
                "pip install 'torch<2.15' 'torchaudio<2.12'"
            ) from error
        samples = torch.as_tensor(waveform, dtype=torch.float32)
        if samples.ndim != 1:
            raise ValueError(f"an utterance has shape {tuple(samples.shape)}; (S,) samples of one channel are expected")
        shortest = SHORTEST_FRAMES * self.hop_length - self.hop_length // 2
        samples = torch.nn.functional.pad(samples, (0, max(0, shortest - len(samples))))
        return fbank(
            samples[None],
            num_mel_bins=self.feature_size,
            sample_frequency=self.sampling_rate,
            dither=0.0,
            snip_edges=False,
            high_freq=-400.0,
            energy_floor=FLOOR,
        )

    def __call__(
        self, raw_speech, sampling_rate: int | None = None, return_tensors: str | None = None, **kwargs
    ) -> BatchFeature:
        """Features of one waveform (S,) or a list of waveforms.

        Args:
            raw_speech: float arrays or tensors in [-1, 1].
            sampling_rate: of the waveforms in Hz, to be checked.
            return_tensors: "pt" for torch tensors; numpy arrays otherwise.

        Returns:
            `input_features` (B, F, M) float32, `padding_value` behind each utterance; `attention_mask` (B, F) int64.

        Raises:
            ValueError: the waveforms were recorded at another rate than `sampling_rate`.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"the audio is sampled at {sampling_rate} Hz, the model takes "
                f"{self.sampling_rate} Hz: resample it first"
            )
        one = isinstance(raw_speech, (np.ndarray, torch.Tensor)) and raw_speech.ndim == 1
        features = [self.filter_bank(waveform) for waveform in ([raw_speech] if one else raw_speech)]
        lengths = torch.tensor([len(utterance) for utterance in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True, padding_value=self.padding_value)
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
        batch = BatchFeature({"input_features": padded.numpy(), "attention_mask": mask.numpy()})
        return batch.convert_to_tensors(return_tensors) if return_tensors else batch
