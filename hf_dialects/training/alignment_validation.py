"""Whether parallel utterances of held-out recordings have come together.

Dimensions: N utterances, T frames of one, D channels.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hf_dialects.data.parallel_batches import ParallelBatches, parallel_rows
from hf_dialects.errors import CorpusError, DialectError
from hf_dialects.retrieval.benchmark import retrieval_benchmark
from hf_dialects.retrieval.parallel import Parallel
from hf_dialects.retrieval.scores import seqsim_matrix
from hf_dialects.training.alignment_loss import alignment_loss
from hf_dialects.training.arguments import DialectTrainingArguments

SEED = 0  # of the batches, whatever the run's: values of all runs are of the same batches


class AlignmentValidation:
    """Judges the frames of a validation split.

    Args:
        sentences: (N,) what each utterance says; None where it is unknown, such utterances do not count.
        varieties: (N,) variety of each.
        args: of the training; their batches, temperature and hardness are those of the contrastive value.

    Raises:
        CorpusError: no two varieties have two sentences in common.
    """

    def __init__(self, sentences: Sequence, varieties: Sequence[int], args: DialectTrainingArguments):
        self.rows = [row for row, one in enumerate(sentences) if one is not None]
        of_sentence = [str(sentences[row]) for row in self.rows]
        of_variety = [varieties[row] for row in self.rows]
        self.attributes = {"sentence": np.array(of_sentence), "variety": np.array(of_variety)}
        try:
            Parallel(self.attributes, len(self.rows), "variety", "sentence", group=None)
        except DialectError as error:
            raise CorpusError(f"the validation split cannot tell whether varieties come together: {error}") from error
        utterances = args.align_utterances
        size = min(args.batch_size, utterances * len(parallel_rows(of_sentence, of_variety)))
        self.batches = ParallelBatches(of_sentence, of_variety, size, utterances, SEED).global_batches(epoch=0)
        self.options = {"temperature": args.align_temperature, "hardness": args.align_hardness}

    def metrics(self, frames: Sequence[np.ndarray]) -> dict[str, float]:
        """ "contrastive", mean of `alignment_loss` over fixed batches; "recall_at_1" of `retrieval_benchmark`.

        Args:
            frames: N arrays (T, D).
        """
        frames = [frames[row] for row in self.rows]
        scores = seqsim_matrix(frames)
        similarity = torch.from_numpy(scores)
        sentence, variety = (
            torch.from_numpy(np.unique(self.attributes[name], return_inverse=True)[1]) for name in self.attributes
        )
        losses = [
            alignment_loss(similarity[batch][:, batch], sentence[batch], variety[batch], **self.options).item()
            for batch in self.batches
        ]
        result = retrieval_benchmark(frames, self.attributes, "variety", "sentence", None, scores=scores)
        return {"contrastive": float(np.mean(losses)), "recall_at_1": result.value}
