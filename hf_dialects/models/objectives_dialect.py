"""Contrastive objectives: embeddings of one dialect together, of different dialects apart.

B utterances, P size of an embedding z. For anchor i of a batch, P_i are the others with the same label, N_i those with
another label; S_ij is the cosine of z_i and z_j. Embeddings of any length go in: normalisation happens here.
"""

import inspect
from abc import ABC, abstractmethod

import torch
from torch import nn

SHORTEST = 1e-12  # an embedding of smaller norm has no direction


class Objective(nn.Module, ABC):
    """Mean of the terms that a subclass computes.

    Shapes: embeddings (B, P) of any float type, labels (B,) int → () float32, or float64 for float64 embeddings.
    Lower precision is computed in float32, also under autocast.

    Edge: a batch without any term gives 0 with a gradient path.
    """

    @abstractmethod
    def terms(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(B, P), (B,) → (number of terms,)."""

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
            raise ValueError(
                "objectives take embeddings (B, P) and labels (B,), "
                f"found {tuple(embeddings.shape)} and {tuple(labels.shape)}"
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            vectors = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
            terms = self.terms(vectors, labels.to(vectors.device))
            return terms.mean() if terms.numel() else (vectors * 0).sum()


class SupervisedContrastive(Objective):
    """Supervised contrastive loss, SC.

    L = mean over i of −1/|P_i| Σ_{p∈P_i} log( exp(S_ip/τ) / Σ_{a∈A_i} exp(S_ia/τ) )

    Two readings of A_i, named by `denominator`. "all": all others, P_i and N_i together; Khosla et al. 2020
    (arXiv:2004.11362), eq. 2 (L_out). "negatives": N_i alone, as eq. 1 of SALVI prints it; that value may be below 0.

    Edge: an anchor without a positive is left out of the mean, for "negatives" also one without a negative. "all" needs
    no negative: in a batch of one dialect it evens out the similarities. SupConLoss of pytorch-metric-learning offers
    only "all"; it is equal wherever the batch has two dialects, and 0 where it has one.
    """

    def __init__(self, temperature: float = 0.1, denominator: str = "all"):
        super().__init__()
        self.temperature = _number("temperature", temperature, above=0)
        self.denominator = _one_of("denominator", denominator, ("all", "negatives"))

    def terms(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        unit = _unit(embeddings)
        similarity = unit @ unit.T / self.temperature  # (B, B)
        positive, negative = _pairs(labels)
        compared = positive | negative if self.denominator == "all" else negative
        anchors = positive.any(1) & compared.any(1)
        similarity, positive, compared = similarity[anchors], positive[anchors], compared[anchors]
        mean = torch.where(positive, similarity, 0).sum(1) / positive.sum(1)
        return similarity.masked_fill(~compared, -torch.inf).logsumexp(1) - mean


class TripletMargin(Objective):
    """Triplet margin loss, TM, over all triplets of the batch.

    L = mean over (a, p ∈ P_a, n ∈ N_a) of max(0, d(z_a, z_p) − d(z_a, z_n) + μ), d the Euclidean distance

    Source: Schroff et al. 2015 (arXiv:1503.03832), without their squares; TripletMarginLoss of
    pytorch-metric-learning. `normalize` compares directions (z/|z|), otherwise raw embeddings. `reduction` "nonzero",
    the library's, is the mean over triplets that violate the margin; "all" also counts the others, as 0.

    Edge: two equal embeddings have distance 0 and take no gradient from it.
    """

    def __init__(self, margin: float = 0.05, normalize: bool = True, reduction: str = "nonzero"):
        super().__init__()
        losses, _, _, reducers = _library()
        self.normalize = _one_of("normalize", normalize, (True, False))
        self.reduction = _one_of("reduction", reduction, ("nonzero", "all"))
        margin = _number("margin", margin, above=None)
        self.loss = losses.TripletMarginLoss(margin, distance=_Euclidean(), reducer=reducers.DoNothingReducer())

    def terms(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        vectors = _unit(embeddings) if self.normalize else embeddings
        terms = self.loss(vectors, labels)["loss"]["losses"]
        if not torch.is_tensor(terms):  # the library's answer to a batch without triplets
            return vectors.new_zeros(0)
        return terms[terms > 0] if self.reduction == "nonzero" else terms


class MultiSimilarity(Objective):
    """Multi-similarity loss, MS.

    L = mean over i of 1/α log(1 + Σ_{p∈P'_i} e^{−α(S_ip − λ)}) + 1/β log(1 + Σ_{n∈N'_i} e^{β(S_in − λ)})

    P'_i and N'_i are the pairs worth learning from: positives with S_ip − ε < max_n S_in over N_i, negatives with
    S_in + ε > min_p S_ip over P_i.

    Source: Wang et al. 2019 (arXiv:1904.06627); MultiSimilarityLoss and MultiSimilarityMiner of
    pytorch-metric-learning. `base` is λ; `epsilon` None switches the selection off (P' = P, N' = N).

    Edge: an anchor without a positive is left out of the mean; one with positives but no selected pair counts as 0.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float | None = 0.1):
        super().__init__()
        losses, distances, miners, reducers = _library()
        alpha, beta = _number("alpha", alpha, above=0), _number("beta", beta, above=0)
        cosine = distances.DotProductSimilarity(normalize_embeddings=False)  # of unit vectors
        self.loss = losses.MultiSimilarityLoss(
            alpha, beta, _number("base", base, above=None), distance=cosine, reducer=reducers.DoNothingReducer()
        )
        self.miner = None
        if epsilon is not None:
            self.miner = miners.MultiSimilarityMiner(_number("epsilon", epsilon, above=None), distance=cosine)

    def terms(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        unit = _unit(embeddings)
        pairs = None
        if self.miner is not None:
            # twice: the library takes one positive and one negative pair for none; repeated pairs count once
            pairs = tuple(indices.repeat(2) for indices in self.miner(unit, labels))
        terms = self.loss(unit, labels, pairs)["loss"]["losses"]
        terms = terms.squeeze(1) if torch.is_tensor(terms) else (unit * 0).sum(1)  # no tensor: no pair was selected
        return terms[_pairs(labels)[0].any(1)]


OBJECTIVES = {"supcon": SupervisedContrastive, "triplet": TripletMargin, "multi_similarity": MultiSimilarity}


def build_objective(name: str, **options) -> Objective:
    """A contrastive objective by name.

    Args:
        name: "supcon", "triplet" or "multi_similarity".
        options: supcon: temperature=0.1, denominator="all" | "negatives"; triplet: margin=0.05, normalize=True,
            reduction="nonzero" | "all"; multi_similarity: alpha=2, beta=50, base=0.5, epsilon=0.1 or None.

    Returns:
        Module (embeddings (B, P), labels (B,) int) → () loss.

    Raises:
        ValueError: unknown name or option, or a value out of range.
        ImportError: pytorch-metric-learning is not installed ("triplet" and "multi_similarity" need it).
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective is {name!r}; it must be one of: {', '.join(OBJECTIVES)}")
    valid = list(inspect.signature(OBJECTIVES[name]).parameters)
    unknown = [option for option in options if option not in valid]
    if unknown:
        raise ValueError(
            f"objective {name!r} has no option {', '.join(map(repr, unknown))}; it takes: {', '.join(valid)}"
        )
    return OBJECTIVES[name](**options)


class _Euclidean(nn.Module):
    """Exact distances for the library; its own lose digits in batches above 25, 0.1 and more for long vectors."""

    is_inverted = False  # large = far

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")

    def margin(self, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        return positive - negative


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """z/|z|. What is shorter than `SHORTEST` stays as it is, so that its gradient is not scaled by 1e12."""
    norm = vectors.norm(dim=1, keepdim=True)
    return vectors / torch.where(norm > SHORTEST, norm, 1)


def _pairs(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) → positive, negative (B, B) bool: others with the same label, others with another."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def _number(name: str, found, above: float | None) -> float:
    if isinstance(found, bool) or not isinstance(found, (int, float)) or (above is not None and not found > above):
        expected = "a number" if above is None else f"a number above {above}"
        raise ValueError(f"{name} is {found!r}; it must be {expected}")
    return found


def _one_of(name: str, found, valid: tuple):
    if found not in valid:
        raise ValueError(f"{name} is {found!r}; it must be one of: {', '.join(map(str, valid))}")
    return found


def _library():
    try:
        from pytorch_metric_learning import distances, losses, miners, reducers
    except ImportError as error:
        raise ImportError(
            "this contrastive objective needs pytorch-metric-learning; run: pip install pytorch-metric-learning"
        ) from error
    return losses, distances, miners, reducers
