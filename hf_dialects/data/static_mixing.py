"""Static mixup: two waveforms are mixed before the encoder (Zhang et al. 2018, arXiv:1710.09412, eq. 1).

Both recordings are first cut as in plain training, to at most the crop length, each at its own place; the shorter one
is then padded with zeros at its end to the length of the longer, so padding up to the crop length stays masked. Before
that each loses its mean, and the partner gets the example's root mean square: up to the level this is the mixture of
two waveforms of zero mean and unit variance, but a log-mel encoder hears the level of real recordings. Augmentation and
analysis follow on the mixture. Its target is mixed with the same weight.

Partners and weights are drawn anew for every epoch, like those of latent mixup.
"""

from dataclasses import replace

import numpy as np

from hf_dialects.data.audio import decode
from hf_dialects.data.clips import Clips
from hf_dialects.data.pairs import Pair, PairedClips

__all__ = ["StaticMixing", "mix_waveforms"]


def mix_waveforms(own: np.ndarray, partner: np.ndarray, weight: float) -> np.ndarray:
    """weight · own + (1 - weight) · partner, without their means, at the level of `own`.

    Args:
        own, partner: (S,), (S',) float32. A silent partner adds silence; beside a silent `own` the partner keeps its
            level.

    Returns:
        (max(S, S'),) float32
    """
    mixture = np.zeros(max(len(own), len(partner)), dtype=np.float32)
    own, partner = own - own.mean(), partner - partner.mean()
    level, other = (float(np.sqrt(np.mean(np.square(one)))) for one in (own, partner))
    gain = level / other if level > 0 and other > 0 else 1.0
    mixture[: len(own)] += weight * own
    mixture[: len(partner)] += (1 - weight) * gain * partner
    return mixture


class StaticMixing(PairedClips):
    """Mixtures of two recordings, addressed by `Pair`.

    Items:
        {"row": int, "label": int, "partner_label": int, "own_weight": float, "recordable": bool,
        "clip": (S,) or (F, M) float32}; only an unmixed one says something about its recording
    """

    def __init__(self, clips: Clips):
        super().__init__(clips)
        self.cut = replace(
            clips.prepare, analyse=None, waveform_augment=None, spectral_augment=None, longest_frames=None
        )
        self.finish = replace(clips.prepare, crop_s=None)

    def __getitem__(self, key: Pair) -> dict:
        epoch, row, partner, weight = key
        if partner == row:
            item = self.clips[(epoch, row)]
        else:
            mixture = mix_waveforms(self._cut(row, epoch), self._cut(partner, epoch), weight)
            names = f"{self.ids[row]} with {self.ids[partner]}"  # other draws than those of the crop
            item = {"row": row, "label": self.labels[row], "clip": self.finish.clip(mixture, names, epoch)}
        mixed = {"partner_label": self.labels[partner], "own_weight": weight, "recordable": partner == row}
        return item | mixed

    def _cut(self, row: int, epoch: int) -> np.ndarray:
        waveform = decode(self.dataset[row]["audio"], self.prepare.sampling_rate)
        return self.cut.clip(waveform, self.ids[row], epoch)
