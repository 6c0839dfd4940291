"""What brings parallel utterances together: SeqSim that can be differentiated, and a contrastive loss over sentences.

Dimensions: B utterances, T frames, D channels.
"""

import torch
from torch.nn import functional

from hf_dialects.models.ranks_dialect import gather_with_gradient, world_size

SHORTEST = 1e-12  # a frame of smaller norm has no direction


def batch_seqsim(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """SeqSim of all pairs of a batch, as `hf_dialects.retrieval.seqsim` defines it, with gradient.

    Frames that are equally good maxima share the gradient evenly. Some 12 B²T² bytes are in memory until the backward
    pass is through.

    Args:
        frames: (B, T, D) of any float type and length; padding may hold any finite value.
        mask: (B, T) bool, True = frame of the utterance; at least one in every row.

    Returns:
        (B, B) float32, or float64 for float64 frames; symmetric.
    """
    with torch.autocast(frames.device.type, enabled=False):
        frames = frames if frames.dtype == torch.float64 else frames.float()
        norm = frames.norm(dim=-1, keepdim=True)
        units = (frames / torch.where(norm > SHORTEST, norm, 1)).flatten(0, 1)  # (BT, D)
        products = (units @ units.T).view(*mask.shape, *mask.shape)  # (B, T, B, T)
        best = products.masked_fill(~mask, -torch.inf).amax(-1)  # (B, T, B)
        recall = best.masked_fill(~mask[:, :, None], 0).sum(1) / mask.sum(1)[:, None]  # (B, B)
        precision = recall.T
        total = recall + precision
        harmonic = 2 * precision * recall / torch.where(total > 0, total, 1)
        return torch.where(total > 0, harmonic, total / 2)


def alignment_loss(
    similarity: torch.Tensor,
    sentence: torch.Tensor,
    variety: torch.Tensor,
    temperature: float = 0.05,
    hardness: float = 0.0,
) -> torch.Tensor:
    """Supervised contrastive loss over sentences, other varieties of one sentence being positives.

    With l_ij = s_ij / τ, P_i the utterances of the same sentence in another variety and N_i those of other sentences

        L = mean over i of  log( Σ_{p∈P_i} exp(l_ip) + Σ_{n∈N_i} w_in exp(l_in) ) − 1/|P_i| Σ_{p∈P_i} l_ip
        w_in = |N_i| exp(β l_in) / Σ_{m∈N_i} exp(β l_im)

    Other utterances of the same sentence in the same variety are in neither. β = 0 is L_out of Khosla et al. 2020
    (arXiv:2004.11362), eq. 2. β > 0 weights negatives by how hard they are, as the released code of Robinson et al.
    2021 (arXiv:2010.04592) does, through whose weights the gradient flows too; labels are known here, so there is no
    correction for false negatives (τ+ = 0).

    Args:
        similarity: (B, B), s.
        sentence, variety: (B,) int.
        temperature: τ.
        hardness: β.

    Returns:
        (); 0 with a gradient path where no utterance has both a positive and a negative. Those without are left out of
        the mean.
    """
    logits = similarity / temperature
    same = sentence[:, None] == sentence
    positive, negative = same & (variety[:, None] != variety), ~same
    anchors = positive.any(1) & negative.any(1)
    if not anchors.any():
        return (similarity * 0).sum()
    logits, positive, negative = logits[anchors], positive[anchors], negative[anchors]

    def log_sum(scale: float, among: torch.Tensor) -> torch.Tensor:
        return (scale * logits).masked_fill(~among, -torch.inf).logsumexp(1)

    # Σ w exp(l), its logarithm
    hard = log_sum(1 + hardness, negative) - log_sum(hardness, negative) + negative.sum(1).to(logits.dtype).log()
    mean = torch.where(positive, logits, 0).sum(1) / positive.sum(1)
    return (torch.logaddexp(log_sum(1.0, positive), hard) - mean).mean()


def gather_frames(
    frames: torch.Tensor, mask: torch.Tensor, sentence: torch.Tensor, variety: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames (B, T, D), mask (B, T), sentence and variety (B,) of all processes, padded to the longest; every process
    must call it. Padding is cut off: masks are True up to the end of an utterance.

    Gradients are those of `gather_with_gradient`.
    """
    lengths = mask.sum(1)
    longest = lengths.max()
    if world_size() > 1:
        torch.distributed.all_reduce(longest, torch.distributed.ReduceOp.MAX)
    longest = int(longest)
    frames = functional.pad(frames[:, :longest], (0, 0, 0, max(0, longest - frames.shape[1])))
    frames, numbers = gather_with_gradient(frames, torch.stack([lengths, sentence, variety], 1))
    lengths, sentence, variety = numbers.unbind(1)
    return frames, torch.arange(longest, device=frames.device) < lengths[:, None], sentence, variety
