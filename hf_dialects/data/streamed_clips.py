"""A streamed corpus as an endless stream of clips, shared out over processes and workers."""

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import count

from datasets.distributed import split_dataset_by_node
from torch.utils.data import IterableDataset, get_worker_info

from hf_dialects.data.audio import decode
from hf_dialects.data.preparation import Preparation
from hf_dialects.errors import AudioError, CorpusError

logger = logging.getLogger(__name__)


class StreamedClips(IterableDataset):
    """Clips of a `datasets.IterableDataset`, epoch after epoch without end: training stops by its number of steps.

    Within an epoch every recording goes to one process and one of its workers. Which batches form depends on how many
    there are: unlike a corpus on disk, a stream gives several processes other batches than one. Recordings that cannot
    be used are passed over, logged and counted.

    Args:
        stream: corpus with columns audio, dialect and id; shuffled within a buffer, anew for every epoch.
        rank, world_size: this process among all.
        buffer: recordings of the shuffle buffer; 0 keeps the order.
        preparation: arguments of `Preparation`.

    Items:
        {"row": -1, "id": str, "label": int, "clip": (S,) or (F, M) float32}
    """

    def __init__(self, stream, rank: int = 0, world_size: int = 1, *, buffer: int = 1000, **preparation):
        self.stream, self.rank, self.world_size, self.buffer = stream, rank, world_size, buffer
        self.prepare = Preparation(**preparation)
        self.skipped: Counter[str] = Counter()  # of this process; workers keep their own

    def __iter__(self) -> Iterator[dict]:
        for epoch in count():
            given = 0
            for item in self.epoch(epoch):
                given += 1
                yield item
            if not given:
                if get_worker_info() is None:
                    raise CorpusError(
                        f"the share of process {self.rank} of {self.world_size} holds no usable recording: "
                        "the stream has too few for so many"
                    )
                return  # more workers than shards: the others read them

    def epoch(self, epoch: int) -> Iterator[dict]:
        """One pass over this process's share, or a worker's part of it (datasets gives every worker its shards)."""
        stream = self.stream
        if self.buffer:
            stream = stream.shuffle(seed=self.prepare.seed, buffer_size=self.buffer)
        share = split_dataset_by_node(stream, self.rank, self.world_size)
        share.set_epoch(epoch)
        for row in share:
            try:
                clip = self.prepare.clip(decode(row["audio"], self.prepare.sampling_rate), row["id"], epoch)
            except AudioError as error:
                self.skipped[error.reason] += 1
                logger.warning("left out: %s", error)
                continue
            yield {"row": -1, "id": row["id"], "label": row["dialect"], "clip": clip}
