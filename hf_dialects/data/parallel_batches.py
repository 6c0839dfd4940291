"""Batches of parallel sentences: each of them said in several varieties."""

from collections.abc import Sequence

import numpy as np

from hf_dialects.data.samplers import GlobalBatches
from hf_dialects.errors import CorpusError, RecipeError

__all__ = ["ParallelBatches", "parallel_rows"]


class ParallelBatches(GlobalBatches):
    """Batches of P sentences with up to K utterances each, of different varieties.

    Sentences are drawn evenly, without replacement within a batch; then K varieties that say the sentence (all of them
    where there are fewer), and one utterance of each. A sentence that is said in one variety only has no counterpart
    and is left out, and so are utterances whose sentence is unknown. An epoch has as many batches as it takes to draw
    all others, but misses some and repeats others.

    Args:
        sentences: (N,) what each example says; None or "" where it is unknown.
        varieties: (N,) variety of each example.
        batch_size: P · K.
        utterances: K.

    Attributes:
        sentences_per_batch: P.
        left_out: number of examples that are never drawn.

    Raises:
        RecipeError: a batch that is not two sentences with two utterances at least.
        CorpusError: fewer parallel sentences than a batch holds.
    """

    with_replacement = True

    def __init__(
        self,
        sentences: Sequence,
        varieties: Sequence,
        batch_size: int,
        utterances: int = 4,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        if utterances < 2 or batch_size < 2 * utterances or batch_size % utterances:
            raise RecipeError(
                f"a batch of {batch_size} with {utterances} utterances of each sentence is not possible: expected two "
                "utterances or more, and a batch_size that is two or more times as many"
            )
        self.sentences_per_batch, self.utterances = batch_size // utterances, utterances
        self.of_sentence = parallel_rows(sentences, varieties)
        drawable = sum(len(rows) for said in self.of_sentence for rows in said)
        self.left_out = len(sentences) - drawable
        if len(self.of_sentence) < self.sentences_per_batch:
            known = len({one for one in sentences if _known(one)})
            raise CorpusError(
                f"{len(self.of_sentence)} of {known} sentences are said in two varieties or more, but a batch of "
                f"{batch_size} with {utterances} utterances of each holds {self.sentences_per_batch}: the same "
                "sentence needs the same id in every variety; else take a smaller batch_size, or more utterances of "
                "each"
            )
        super().__init__(drawable, batch_size, seed, rank, world_size)

    def _batches(self, rng):
        return [rng.permutation(self._batch(rng)) for _ in range(self.n_batches)]

    def _batch(self, rng: np.random.Generator) -> list[int]:
        rows = []
        for sentence in rng.choice(len(self.of_sentence), self.sentences_per_batch, replace=False):
            said = self.of_sentence[sentence]
            chosen = rng.choice(len(said), min(self.utterances, len(said)), replace=False)
            rows += [rng.choice(said[variety]) for variety in chosen]
        return rows


def parallel_rows(sentences: Sequence, varieties: Sequence) -> list[list[np.ndarray]]:
    """Rows of every sentence that two varieties say or more, variety by variety; both in the order of their names.

    Args:
        sentences, varieties: (N,), as in `ParallelBatches`.
    """
    found: dict[str, dict[str, list[int]]] = {}
    for row, (sentence, variety) in enumerate(zip(sentences, varieties, strict=True)):
        if _known(sentence):
            found.setdefault(str(sentence), {}).setdefault(str(variety), []).append(row)
    parallel = [said for _, said in sorted(found.items()) if len(said) > 1]
    return [[np.array(rows) for _, rows in sorted(said.items())] for said in parallel]


def _known(sentence) -> bool:
    return sentence is not None and sentence != ""
