"""Mel energies in decibels as SpeechBrain's `Fbank` computes them, for models that were trained on these.

S samples, F feature frames, M mel bins.
"""

from functools import cache
from math import log10

import torch

RANGE_DB = 80.0  # below the loudest bin of the utterance
SILENCE = 1e-10


def decibel_mel(
    samples: torch.Tensor, n_bins: int, sampling_rate: int, n_fft: int, window_length: int, hop_length: int
) -> torch.Tensor:
    """Mel energies in decibels, not normalised.

    Frames are centred on multiples of the hop, zeros beyond both ends; Hamming window; energies more than 80 dB below
    the utterance's highest are raised to that.

    Args:
        samples: (S,) float32.
        n_bins: M.
        sampling_rate: Hz.
        n_fft, window_length, hop_length: in samples.

    Returns:
        (F, M) float32, F = S // hop_length + 1.
    """
    window = torch.hamming_window(window_length)
    spectrum = torch.stft(
        samples, n_fft, hop_length, window_length, window, center=True, pad_mode="constant", return_complex=True
    )
    energies = spectrum.abs().square().T @ mel_filters(n_bins, sampling_rate, n_fft)
    levels = 10 * energies.clamp(min=SILENCE).log10()
    return levels.clamp(min=levels.max() - RANGE_DB)


@cache
def mel_filters(n_bins: int, sampling_rate: int, n_fft: int) -> torch.Tensor:
    """Triangles (n_fft // 2 + 1, M) from 0 Hz to half the rate, peak 1.

    Each is symmetric in Hz: both sides are as wide as its lower one would be.
    """
    mels = torch.linspace(0, 2595 * log10(1 + sampling_rate / 2 / 700), n_bins + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    centres, widths = edges[1:-1], edges[1:-1] - edges[:-2]
    frequencies = torch.linspace(0, sampling_rate // 2, n_fft // 2 + 1)
    return (1 - (frequencies[:, None] - centres).abs() / widths).clamp(min=0)
